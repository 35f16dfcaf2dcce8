package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/tell"
)

// Notifier tells everybody of the generation that lies in the directory, who
// was not told before. Each target is told on its own: one that hangs or fails
// holds up neither the others nor the next refresh.
//
// The record of whom was told lies beside the set, so a change that somebody
// was not told of is told after a restart too: at least once, and exactly once
// unless the process dies between the notification and its record.
type Notifier struct {
	dir      Dir
	targets  []config.Target
	debounce time.Duration
	splay    time.Duration
	wrappers *hub
	status   *Status
	log      *slog.Logger

	records sync.Mutex // guards the links that say who was told
}

func newNotifier(c config.Config, dir Dir, wrappers *hub, status *Status, log *slog.Logger) *Notifier {
	return &Notifier{dir: dir, targets: c.Notify, debounce: config.Duration(c.Debounce), splay: config.Duration(c.Splay),
		wrappers: wrappers, status: status, log: log}
}

// run tells until ctx ends. changes is raised when there may be something new.
func (n *Notifier) run(ctx context.Context, changes level) {
	var tellers sync.WaitGroup
	defer tellers.Wait()
	wake := make([]level, len(n.targets))
	for i, target := range n.targets {
		wake[i] = newLevel()
		tellers.Go(func() { n.follow(ctx, target, wake[i]) })
	}
	if n.pending() {
		changes.raise() // of the time when no agent was there
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
		if !settle(ctx, changes, n.debounce, n.splay) {
			return
		}
		n.wrappers.announce()
		for _, w := range wake {
			w.raise()
		}
		if len(n.targets) == 0 {
			n.recordAll()
		}
	}
}

// follow tells one target each time it is woken, and again until that works.
func (n *Notifier) follow(ctx context.Context, target config.Target, wake level) {
	name := tell.Name(target)
	run := trouble{what: "notification", log: n.log.With("target", name)}
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-again:
		}
		again = nil
		generation, err := n.Tell(ctx, target)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.status.notified(name, err)
			again = time.After(run.retry(err, notifyBackoff))
		case generation != "":
			n.status.notified(name, nil)
			run.over()
			n.log.Info("application notified", "generation", generation, "target", name)
		}
	}
}

// Tell tells one target of the generation that lies there now, if it was not
// told yet. It gives the generation, "" where there was nothing to tell.
func (n *Notifier) Tell(ctx context.Context, target config.Target) (generation string, err error) {
	key := targetKey(target)
	generation, err = n.due(key)
	if err != nil || generation == "" {
		return "", err
	}
	if target.Wrapper {
		err = n.wrappers.tell(ctx, generation, config.Duration(target.Timeout))
	} else {
		err = tell.Tell(ctx, target)
	}
	if err != nil {
		return "", fmt.Errorf("notify: %w", err)
	}
	n.dir.did("tell")
	return generation, n.record(key, generation)
}

// targetKey names the record of a target: the same for the same target over
// restarts.
func targetKey(target config.Target) string {
	text, _ := json.Marshal(target)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// due is the generation that the target has to be told of, "" if none. The
// record is made already, beside its place: a full disk must not make the
// application reload for ever.
func (n *Notifier) due(key string) (string, error) {
	n.records.Lock()
	defer n.records.Unlock()
	root, current, err := n.dir.look()
	if root == nil {
		return "", err
	}
	defer root.Close()
	if isTold(root, key, current) {
		return "", nil
	}
	tmp := toldPrefix + key + "_tmp"
	root.Remove(tmp)
	if err := root.Symlink(current, tmp); err != nil {
		return "", fmt.Errorf("prepare the record of a notification: %w", err)
	}
	n.dir.did("make " + tmp)
	return current, nil
}

func isTold(root *os.Root, key, generation string) bool {
	everybody, _ := root.Readlink(notifiedLink)
	this, _ := root.Readlink(toldPrefix + key)
	return everybody == generation || this == generation
}

// record notes that the target was told of the generation.
func (n *Notifier) record(key, generation string) error {
	n.records.Lock()
	defer n.records.Unlock()
	root, err := os.OpenRoot(n.dir.Path)
	if err != nil {
		return fmt.Errorf("record a notification: %w", err)
	}
	defer root.Close()
	name := toldPrefix + key
	if err := root.Rename(name+"_tmp", name); err != nil {
		return fmt.Errorf("record a notification: %w", err)
	}
	n.dir.did("swap " + name)
	for _, target := range n.targets {
		if !isTold(root, targetKey(target), generation) {
			return nil
		}
	}
	// This one was told and that is on record, so the failure is not his.
	if err := n.close(root, generation); err != nil {
		n.log.Warn("the record that everybody was notified is not written", "err", err)
	}
	return nil
}

// close notes that everybody was told of the generation, and removes the
// records of the single targets. A later one is being made for a generation
// that nobody was told of yet.
func (n *Notifier) close(root *os.Root, generation string) error {
	if err := n.dir.replaceLink(root, notifiedLinkTmp, notifiedLink, generation); err != nil {
		return err
	}
	all, err := names(root, ".")
	if err != nil {
		return err
	}
	for _, name := range all {
		told, _ := root.Readlink(name)
		if strings.HasPrefix(name, toldPrefix) && number(told) <= number(generation) {
			root.Remove(name)
			n.dir.did("remove " + name)
		}
	}
	return nil
}

// recordAll notes that there is nobody to tell.
func (n *Notifier) recordAll() {
	n.records.Lock()
	defer n.records.Unlock()
	root, current, _ := n.dir.look()
	if root == nil {
		return
	}
	defer root.Close()
	if err := n.close(root, current); err != nil {
		n.log.Warn("the record of who was notified is not written", "err", err)
	}
}

// pending reports whether somebody was not told of the current generation.
func (n *Notifier) pending() bool {
	root, current, _ := n.dir.look()
	if root == nil {
		return false
	}
	defer root.Close()
	everybody, _ := root.Readlink(notifiedLink)
	return everybody != current
}
