package deliver

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/supervise"
	"github.com/hanzoai/kms/agent/internal/tell"
	"github.com/hanzoai/kms/sdk"
)

// variables is where the environment of a command comes from: the server, or
// an agent beside this one.
type variables interface {
	// first waits until they are there.
	first(ctx context.Context) ([]string, error)

	// next waits for a change of what was read: of the variables or, for those
	// that a signal tells, of files beside them. An error is the end.
	next(ctx context.Context) ([]string, error)
}

// Command is what Exec runs.
type Command struct {
	Args    []string
	Timeout time.Duration      // for the secrets to be there
	Signals *supervise.Signals // taken from the beginning: the command's, once it runs
}

// Exec runs a command with the secrets as its environment, until it ends, and
// gives its exit code.
func Exec(c config.Config, client *sdk.Client, log *slog.Logger, command Command) (code int, err error) {
	var parts sync.WaitGroup
	defer parts.Wait()
	running, cancel := context.WithCancel(context.Background())
	defer cancel()
	var from variables = newFollower(c, log)
	if c.Exec.File == "" {
		from = newFetcher(running, c, client, log, &parts)
	}
	env, code, err := command.first(from)
	if err != nil || code != 0 {
		return code, err
	}
	x := execution{config: c.Exec, log: log, env: env, changes: make(chan supervise.Change)}
	parts.Go(func() { x.follow(running, from) })
	code, err = supervise.Run(supervise.Command{Args: command.Args, StopSignal: tell.Signal(c.Exec.StopSignal), Grace: config.Duration(c.Exec.Grace), Signals: command.Signals, Log: log},
		childEnvironment(os.Environ(), env), x.changes)
	cancel()
	parts.Wait()
	if x.end != nil {
		return 0, x.end
	}
	return code, err
}

// first waits for the variables. A signal that asks for the end ends the wait,
// with the code that goes with it.
func (c Command) first(from variables) (env []string, code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		env, err = from.first(ctx)
	}()
	for {
		select {
		case <-ready:
			return env, code, err
		case signal := <-c.Signals.Arrived():
			if slices.Contains(endingSignals, signal) {
				cancel()
				<-ready
				return nil, 128 + int(signal), nil
			}
		}
	}
}

var endingSignals = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}

// execution is what a running command is told of.
type execution struct {
	config  config.Exec
	log     *slog.Logger
	env     []string // that it has
	changes chan supervise.Change
	end     error // why it was stopped; read after it ended
}

func (x *execution) follow(ctx context.Context, from variables) {
	for {
		env, err := from.next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			x.end = err
			x.apply(ctx, supervise.Change{Stop: true})
			return
		}
		if change, needed := x.change(env); needed {
			x.apply(ctx, change)
		}
	}
}

// change is what is to be done about new variables.
func (x *execution) change(env []string) (change supervise.Change, needed bool) {
	switch {
	case x.config.OnChange == "signal":
		return supervise.Change{Signal: tell.Signal(x.config.Signal)}, true
	case x.config.OnChange == "restart" && !slices.Equal(env, x.env):
		x.env = env
		return supervise.Change{Env: childEnvironment(os.Environ(), env)}, true
	}
	return supervise.Change{}, false
}

func (x *execution) apply(ctx context.Context, change supervise.Change) {
	done := make(chan error, 1)
	change.Done = done
	select {
	case x.changes <- change:
	case <-ctx.Done():
		return
	}
	select {
	case err := <-done:
		if err != nil {
			x.log.Warn("the command did not take up the change", "err", err)
		}
	case <-ctx.Done():
	}
}

// childEnvironment is the environment of a command: the agent's, with the
// secrets, and without what the agent logs in and is configured with.
func childEnvironment(ours, secrets []string) []string {
	taken := map[string]bool{}
	for _, name := range bootstrapVariables {
		taken[name] = true
	}
	for _, variable := range secrets {
		name, _, _ := strings.Cut(variable, "=")
		taken[name] = true
	}
	env := slices.DeleteFunc(slices.Clone(ours), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return taken[name]
	})
	return append(env, secrets...)
}

var bootstrapVariables = []string{"KMS_AGENT_CONFIG", "KMS_CONFIG", "KMS_LOG_LEVEL", "KMS_TIMEOUT", "KMS_CLIENT_ID", "KMS_CLIENT_SECRET"}

// fetcher gets variables from the server.
type fetcher struct {
	agent   *Agent
	running context.Context // the command's life
	parts   *sync.WaitGroup
	changes level
	ended   chan error

	mu  sync.Mutex // guards what follows
	env []string
}

func newFetcher(running context.Context, c config.Config, client *sdk.Client, log *slog.Logger, parts *sync.WaitGroup) *fetcher {
	f := &fetcher{agent: newAgent(c, client, log), running: running, parts: parts, changes: newLevel(), ended: make(chan error, 1)}
	f.agent.wantsEnv = true
	f.agent.reports = newReporter(running, parts, c.Report, f.agent.status, log)
	f.agent.onChange = f.publish
	return f
}

func (f *fetcher) first(ctx context.Context) ([]string, error) {
	a := f.agent
	if len(a.outputs) > 0 {
		if err := a.dir.Check(); err != nil {
			return nil, err
		}
	}
	if err := a.serveAddress(f.running, f.parts); err != nil {
		return nil, err
	}
	if err := a.first(ctx); err != nil {
		a.logOut()
		return nil, err
	}
	f.env = a.variables
	f.parts.Go(f.run)
	return f.env, nil
}

func (f *fetcher) run() {
	a := f.agent
	defer a.logOut()
	rotated := a.watchCredentials(f.running, f.parts)
	wait := a.schedule.next()
	if a.known.Stale {
		wait = min(wait, refreshBackoff)
	}
	if sleep(f.running, wait) == nil {
		f.ended <- a.follow(f.running, rotated)
	}
}

// publish is called by the agent, on its goroutine.
func (f *fetcher) publish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.env = f.agent.variables
	f.changes.raise()
}

func (f *fetcher) next(ctx context.Context) ([]string, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-f.ended:
		return nil, err
	case <-f.changes:
	}
	c := f.agent.config
	if !settle(ctx, f.changes, config.Duration(c.Debounce), config.Duration(c.Splay)) {
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.env, nil
}
