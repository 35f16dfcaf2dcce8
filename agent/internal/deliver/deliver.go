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
	configured string   // the fingerprint of the configuration, once it was made
	variables  []string // as they were last fetched; nil where nobody wants them
	wantsEnv   bool
	untold     bool   // there is a new generation, and it was not complete at once
	onChange   func() // there is a new generation, or there are new variables
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
	if len(a.outputs) > 0 && !a.dir.complete(a.known) {
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
	written, err := Write(a.dir, files)
	if written.Generation != "" {
		a.dir.Last = written.Generation
		a.status.wrote(written, files)
	}
	if written.Changed {
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
// lasts while the server is away. It notifies nobody.
func (a *Agent) Init(ctx context.Context) error {
	defer a.logOut()
	a.known = a.dir.loadState()
	return a.first(ctx)
}

func (a *Agent) first(ctx context.Context) error {
	var before error // says more than that the time is up
	for {
		changed, err := a.Once(ctx)
		if err == nil {
			a.status.succeeded(changed)
			a.schedule.over()
			return nil
		}
		if ctx.Err() != nil && before != nil {
			return before
		}
		a.status.failed(err)
		if ReasonOf(err) != Unreachable || ctx.Err() != nil {
			return err
		}
		before = err
		if sleep(ctx, a.schedule.retry(err, initBackoff)) != nil {
			return err
		}
	}
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
		a.status.found(a.known.Generation)
	}
	changes := newLevel()
	a.onChange = changes.raise
	ctx, cancel := context.WithCancel(ctx)
	var notifying sync.WaitGroup
	notifier := newNotifier(a.config, a.dir, wrappers, a.status, a.log)
	notifying.Go(func() { notifier.run(ctx, changes) })
	defer notifying.Wait()
	defer cancel()
	return a.follow(ctx, rotated)
}

func (a *Agent) watchCredentials(ctx context.Context, parts *sync.WaitGroup) (rotated <-chan struct{}) {
	return watchFiles(ctx, parts, a.log, watchDoubt, a.config.Credentials.ClientIDFile, a.config.Credentials.ClientSecretFile)
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
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-rotated:
			a.logInAnew(ctx)
		}
	}
}

// refresh does what Once does, reports how it went, and gives the wait until
// the next time. An error is the end.
func (a *Agent) refresh(ctx context.Context) (wait time.Duration, end error) {
	changed, err := a.Once(ctx)
	if changed {
		a.onChange()
	}
	switch {
	case ctx.Err() != nil:
		return 0, nil
	case err != nil:
		a.status.failed(err)
		return a.schedule.retry(err, max(config.Duration(a.config.PollInterval), refreshBackoff)), a.refused(err)
	}
	a.refusals = 0
	a.status.succeeded(changed)
	a.schedule.over()
	return a.schedule.next(), nil
}

// logInAnew takes up new credentials. The token before stays in use until they
// are accepted.
func (a *Agent) logInAnew(ctx context.Context) {
	if err := a.client.Relogin(ctx); err != nil {
		a.log.Warn("new credentials are not accepted, the session before stays in use", "reason", string(ReasonOf(err)), "err", err)
		return
	}
	a.log.Info("logged in with new credentials")
}

// logOut ends the access token at the server if that is asked for. The agent
// may be about to be killed, so it does not wait long.
func (a *Agent) logOut() {
	if !a.config.Credentials.RevokeOnExit {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), logOutTimeout)
	defer cancel()
	err := a.client.Revoke(ctx)
	switch {
	case errors.Is(err, api.ErrUnauthenticated): // there is none, or none any more
	case err != nil:
		a.log.Warn("access token not revoked", "reason", string(ReasonOf(err)), "err", err)
	}
}

const logOutTimeout = 3 * time.Second
