package deliver

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// Agent keeps one set up to date. Its methods belong to one goroutine.
type Agent struct {
	config  config.Config
	client  *sdk.Client
	log     *slog.Logger
	status  *Status
	outputs []config.Output
	dir     Dir

	known      state    // what lies in the directory
	sighting   sighting // of it
	configured string   // the fingerprint of the configuration, once it was made
	variables  []string // as they were last fetched; nil where nobody wants them
	wantsEnv   bool
	due        time.Time // when the fallback is used; zero where it is not waited for
	reports    *reporter // nil: nobody is told how the agent stands
	untold     bool      // there is a new generation, and it was not complete at once
	onChange   func()    // there is a new generation, or there are new variables
	schedule   schedule
	refusals   int // in a row
}

// New makes an agent that keeps files; it does nothing yet.
func New(c config.Config, client *sdk.Client, log *slog.Logger) *Agent {
	a := newAgent(c, client, log)
	if c.Outputs == nil {
		a.outputs = []config.Output{{Format: "files", OnMissing: "error"}}
	}
	return a
}

func newAgent(c config.Config, client *sdk.Client, log *slog.Logger) *Agent {
	return &Agent{
		config: c, client: client, log: log, status: newStatus(),
		outputs: c.Outputs, dir: newDir(c),
		schedule: newSchedule(config.Duration(c.PollInterval), log),
		onChange: func() {},
	}
}

func newDir(c config.Config) Dir {
	d := Dir{Path: c.Directory, Mode: config.FileMode(c.Mode), GID: c.GID, Rename: c.WriteMode == "rename", Previous: c.Previous, AllowDisk: c.AllowDisk}
	for _, o := range c.Outputs {
		d.Enter |= d.enter([]File{{Mode: config.FileMode(o.Mode), GID: o.GID}})
	}
	return d
}

// Once brings everything up to date. changed says that there is something to
// tell.
func (a *Agent) Once(ctx context.Context) (changed bool, err error) {
	print, err := a.fingerprint()
	if err != nil {
		return false, err
	}
	set, cursor, fetched, err := Fetch(ctx, a.client, a.config.Sources, a.cursor(print))
	if errors.Is(err, api.ErrTooLarge) {
		err = api.Errorf(api.ErrTooLarge, "%w: narrow the sources, or raise maxSize and the container's memory limit", err)
	}
	if err != nil || !fetched {
		return false, err // the files stay as they are
	}
	defer debug.FreeOSMemory() // what the values leave behind is overwritten, or given back
	return a.deliver(set, state{Fingerprint: print, Cursor: cursor})
}

// cursor is what need not be read again; nil where the set is not in place as
// this configuration wants it.
func (a *Agent) cursor(print string) Cursor {
	if len(a.outputs) > 0 && !a.sighting.complete(a.dir, a.known) {
		a.dir.Settled = "" // somebody was at it
		return nil
	}
	if a.known.Fingerprint != print || a.wantsEnv && a.variables == nil {
		return nil
	}
	return a.known.Cursor
}

// deliver puts the set where it is wanted: files first, then variables.
func (a *Agent) deliver(set Set, now state) (changed bool, err error) {
	var env []string
	if a.wantsEnv {
		if env, err = environment(a.config.Exec, set); err != nil {
			return false, err
		}
	}
	if len(a.outputs) > 0 {
		if changed, err = a.write(set, &now); err != nil {
			return changed, err
		}
	}
	if a.wantsEnv {
		changed = changed || !slices.Equal(a.variables, env)
		a.variables = env
	}
	a.known = now
	return changed, nil
}

// write makes the set files, and notes what they were made from.
func (a *Agent) write(set Set, now *state) (changed bool, err error) {
	files, err := Render(a.outputs, set, config.Bytes(a.config.MaxSize))
	if err != nil {
		return false, err
	}
	defer wipe(files)
	a.status.rendered()
	first := a.dir.Last == "" && a.dir.isEmpty()
	written, err := Write(a.dir, files)
	if written.Generation != "" {
		a.dir.Last = written.Generation
		a.status.wrote(written, files)
	}
	if written.Changed && !first {
		a.status.replaced(written.Generation)
	}
	if written.Changed && !now.Stale {
		a.log.Info("secrets written", "files", len(files), "generation", written.Generation)
	}
	if err != nil {
		a.untold = a.untold || written.Changed // there may be no room yet to put all in place
		return false, err
	}
	a.dir.Settled = written.Generation
	changed, a.untold = written.Changed || a.untold, false
	now.Generation, now.Files = written.Generation, written.Files
	if err := a.dir.saveState(*now); err != nil {
		a.log.Warn("state not saved: a restart will read everything again", "err", err)
	}
	return changed, nil
}

// Init brings the files up to date once, and tries again for as long as ctx
// lasts while the server is away, unless there is a fallback. It notifies
// nobody.
func (a *Agent) Init(ctx context.Context) error {
	defer a.logOut()
	a.known = a.dir.loadState()
	return a.first(ctx)
}

func (a *Agent) first(ctx context.Context) error {
	if a.hasNothingBetter() {
		a.standBy()
	}
	var before error // says more than that the time is up
	for {
		changed, err := a.ask(ctx)
		if err == nil {
			a.succeeded(changed)
			return nil
		}
		if before == nil || ctx.Err() == nil {
			a.failed(err)
			before = err
		}
		if ReasonOf(before) != Unreachable {
			return before
		}
		select {
		case <-time.After(a.schedule.retry(before, initBackoff)):
			continue
		case <-ctx.Done():
		case <-a.fallbackDue():
		}
		switch {
		case ctx.Err() != context.Canceled && a.fallBack():
			return nil
		case ctx.Err() != nil:
			return before
		}
	}
}

// ask does what Once does, for no longer than until the fallback is due.
func (a *Agent) ask(ctx context.Context) (changed bool, err error) {
	err = a.inTime(ctx, func(ctx context.Context) (err error) {
		changed, err = a.Once(ctx)
		return err
	})
	if err == nil {
		a.due = time.Time{}
	}
	return changed, err
}

func (a *Agent) succeeded(changed bool) {
	a.status.succeeded(changed)
	a.schedule.over()
	a.reports.note()
}

func (a *Agent) failed(err error) {
	a.status.failed(err)
	a.reports.note()
}

// Run keeps the files up to date and everybody informed until ctx ends. An
// error means that it could not begin, or that its access was revoked and it
// was told to end then.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.dir.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	if err := a.serveAddress(ctx, &parts); err != nil {
		return err
	}
	wrappers := newHub(a.dir)
	a.serveSocket(ctx, &parts, wrappers)
	defer a.logOut()
	return a.keep(ctx, wrappers, a.watchCredentials(ctx, &parts))
}

// keep is Run without what others ask and what the kernel tells.
func (a *Agent) keep(ctx context.Context, wrappers *hub, rotated <-chan struct{}) error {
	a.known = a.dir.loadState()
	if print, err := a.fingerprint(); err == nil && a.known.Fingerprint == print {
		a.status.found(a.known)
	}
	if a.known.Stale {
		a.log.Warn("the secrets are still those of the fallback", "reason", string(StaleFallback), "generation", a.known.Generation)
	}
	if a.dir.isEmpty() {
		a.standBy()
	}
	changes := newLevel()
	a.onChange = changes.raise
	ctx, cancel := context.WithCancel(ctx)
	var notifying sync.WaitGroup
	a.reports = newReporter(ctx, &notifying, a.config.Report, a.status, a.log)
	a.reports.note() // of a fallback that an agent before this one started from
	notifier := newNotifier(a.config, a.dir, wrappers, a.status, a.log)
	notifying.Go(func() { notifier.run(ctx, changes) })
	defer notifying.Wait()
	defer cancel()
	return a.follow(ctx, rotated)
}

// NotReady says why not everything is in place, or that access is refused; ""
// when all is well. It may be called while others run.
func (a *Agent) NotReady() string { return a.notReady() }

// LogStatus writes to the log how the agent is doing. It may be called while
// others run.
func (a *Agent) LogStatus() { a.status.log(a.log) }

// follow refreshes until ctx ends, or the access is revoked and that is the
// end.
func (a *Agent) follow(ctx context.Context, rotated <-chan struct{}) error {
	for {
		wait, err := a.refresh(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if !a.pause(ctx, wait, rotated) {
			return nil
		}
	}
}

// pause waits until the server is to be asked again. The fallback may become
// due meanwhile. false: ctx ended.
func (a *Agent) pause(ctx context.Context, wait time.Duration, rotated <-chan struct{}) bool {
	again := time.After(wait)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-again:
			return true
		case <-rotated:
			a.logInAnew(ctx)
			return true
		case <-a.fallbackDue():
			if a.fallBack() {
				a.onChange()
			}
		}
	}
}

// refresh does what Once does, reports how it went, and gives the wait until
// the next time. An error is the end.
func (a *Agent) refresh(ctx context.Context) (wait time.Duration, end error) {
	changed, err := a.ask(ctx)
	if changed {
		a.onChange()
	}
	switch {
	case ctx.Err() != nil:
		return 0, nil
	case err != nil:
		a.failed(err)
		return a.schedule.retry(err, a.longestBackoff()), a.refused(err)
	}
	a.refusals = 0
	a.succeeded(changed)
	return a.schedule.next(), nil
}

// longestBackoff is that of failures in a row. What is stale already is not to
// stay so for another day.
func (a *Agent) longestBackoff() time.Duration {
	if a.known.Stale {
		return refreshBackoff
	}
	return max(config.Duration(a.config.PollInterval), refreshBackoff)
}
