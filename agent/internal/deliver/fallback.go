package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
)

// standBy has the fallback used once its time has come, unless the server
// answers before.
func (a *Agent) standBy() {
	if a.config.Fallback.Directory != "" {
		a.due = time.Now().Add(config.Duration(a.config.Fallback.After))
	}
}

// hasNothingBetter reports whether the fallback would take the place of no set
// that came from the server.
func (a *Agent) hasNothingBetter() bool {
	return len(a.outputs) == 0 || a.dir.isEmpty() || a.dir.loadState().Stale
}

// fallbackDue is when the fallback is to be used: never, where it is not
// waited for.
func (a *Agent) fallbackDue() <-chan time.Time {
	if a.due.IsZero() {
		return nil
	}
	return time.After(time.Until(a.due))
}

// inTime asks the server something, for no longer than until the fallback is
// due. Any failure but that the server is away rules the fallback out: it must
// not bring back what was taken from this identity.
func (a *Agent) inTime(ctx context.Context, ask func(context.Context) error) error {
	if a.due.IsZero() {
		return ask(ctx)
	}
	asking, cancel := context.WithDeadline(ctx, a.due)
	defer cancel()
	err := ask(asking)
	if err != nil && ReasonOf(err) != Unreachable {
		a.due = time.Time{}
	}
	return err
}

// fallBack delivers the fallback, if it was waited for. It is the one chance:
// whether it works or not, the server is waited for afterwards.
func (a *Agent) fallBack() bool {
	if a.due.IsZero() {
		return false
	}
	a.due = time.Time{}
	defer debug.FreeOSMemory() // as after what the server sends
	if err := a.deliverFallback(); err != nil {
		a.log.Warn("the fallback is not used", "reason", string(ReasonOf(err)), "err", err)
		return false
	}
	a.status.fellBack()
	a.log.Warn("started from the fallback: the server is away or overloaded", "reason", string(StaleFallback), "generation", a.known.Generation)
	a.reports.note()
	return true
}

func (a *Agent) deliverFallback() error {
	print, err := a.fingerprint()
	if err != nil {
		return err
	}
	found, err := readFolder(a.config.Fallback.Directory, config.Bytes(a.config.MaxSize))
	if err != nil {
		return fmt.Errorf("read the fallback: %w", err)
	}
	set, err := fallbackSet(a.config.Sources, found)
	if err != nil {
		return err
	}
	_, err = a.deliver(set, state{Fingerprint: print, Stale: true})
	return err
}

// fallbackSet is the set that the sources would deliver, of what was found, by
// name. A Secret may hold more than this application asks for.
func fallbackSet(sources []config.Source, found []Secret) (Set, error) {
	all := reads(sources)
	if !slices.ContainsFunc(all, func(r read) bool { return r.key == "" }) {
		asked := map[string]bool{}
		for _, r := range all {
			asked[r.source.Name(r.key)] = true
		}
		found = slices.DeleteFunc(found, func(s Secret) bool { return !asked[s.Name] })
	}
	if len(found) == 0 {
		return Set{}, api.Errorf(api.ErrNotFound, "read the fallback: it holds none of the secrets: has the Secret been made?")
	}
	return Set{Secrets: found, Missing: missing(all, found)}, nil
}

// readFolder reads one secret from each file. Where the folder is a volume of
// Kubernetes, which is exchanged by a swap of its ..data link, the link is
// followed once for all: they belong together.
func readFolder(dir string, limit int64) (found []Secret, err error) {
	// Its old files may vanish while we read; a second look finds the new ones.
	for range 3 {
		if found, err = readFolderOnce(dir, limit); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return found, err
}

func readFolderOnce(dir string, limit int64) (found []Secret, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if target, err := root.Readlink(dataLink); err == nil {
		inside, err := root.OpenRoot(target)
		if err != nil {
			return nil, err
		}
		defer inside.Close()
		root = inside
	}
	all, err := names(root, ".")
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		if strings.HasPrefix(name, ".") {
			continue
		}
		value, err := readValue(root, name, limit)
		if err != nil {
			return nil, err
		}
		limit -= int64(len(value))
		found = append(found, Secret{Name: name, Value: value, Place: "the fallback"})
	}
	slices.SortFunc(found, compareNames)
	return found, nil
}

func readValue(root *os.Root, name string, limit int64) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	if info.Size() > limit {
		return "", api.Errorf(api.ErrTooLarge, "the files are larger than maxSize: raise it, or mount less")
	}
	data, err := readFile(root, name, info.Size())
	defer clear(data)
	return string(data), err
}
