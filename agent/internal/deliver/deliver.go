package deliver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// Agent keeps one set up to date. It belongs to one goroutine.
type Agent struct {
	config  config.Config
	client  *sdk.Client
	log     *slog.Logger
	dir     Dir
	sources []Source // as they were last fetched
	dirty   bool     // they are not on disk yet

	refreshing trouble
	notifying  trouble
}

// New makes an agent; it does nothing yet.
func New(c config.Config, client *sdk.Client, log *slog.Logger) *Agent {
	return &Agent{
		config:  c,
		client:  client,
		log:     log,
		dir:     Dir{Path: c.Directory, Mode: c.FileMode(), GID: c.GID, AllowDisk: c.AllowDisk},
		sources: NewSources(c),
		dirty:   true,
	}
}

// Once brings the files up to date.
func (a *Agent) Once(ctx context.Context) (Written, error) {
	sources, changed, err := Fetch(ctx, a.client, a.sources)
	if err != nil {
		return Written{}, err // the files stay as they are
	}
	a.sources, a.dirty = sources, a.dirty || changed
	if !a.dirty && a.inPlace() {
		return Written{Generation: a.dir.Last}, nil
	}
	files, err := Render(a.config, a.sources)
	if err != nil {
		return Written{}, err
	}
	written, err := Write(a.dir, files)
	if written.Generation != "" {
		a.dir.Last = written.Generation
	}
	if written.Changed {
		a.log.Info("secrets written", "files", len(files), "generation", written.Generation)
	}
	a.dirty = err != nil
	return written, err
}

// inPlace reports whether the generation that was written last still counts.
func (a *Agent) inPlace() bool {
	root, err := a.dir.open()
	if err != nil {
		return false
	}
	defer root.Close()
	current, err := currentGeneration(root)
	return err == nil && current != "" && current == a.dir.Last
}

// Init brings the files up to date once, and tries again for as long as ctx
// lasts while the server is away. It notifies nobody.
func (a *Agent) Init(ctx context.Context) error {
	for {
		_, err := a.Once(ctx)
		if err == nil || ReasonOf(err) != Unreachable || ctx.Err() != nil {
			return err
		}
		a.refreshing.failed(a.log, "refresh failed", err)
		if sleep(ctx, a.refreshing.wait(initBackoff, err)) != nil {
			return err
		}
	}
}

// Run keeps the files up to date and the application informed until ctx ends.
// An error means that it could not begin.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.dir.Check(); err != nil {
		return err
	}
	var refresh, notify time.Time // when each is due: now
	for {
		if !time.Now().Before(refresh) {
			changed, wait := a.refresh(ctx)
			refresh = time.Now().Add(wait)
			if changed {
				notify = time.Time{}
			}
		}
		if !time.Now().Before(notify) {
			notify = time.Now().Add(a.notify())
		}
		if sleep(ctx, min(time.Until(refresh), time.Until(notify))) != nil {
			return nil
		}
	}
}

// refresh does what Once does, reports how it went, and gives the wait until
// the next time.
func (a *Agent) refresh(ctx context.Context) (changed bool, wait time.Duration) {
	written, err := a.Once(ctx)
	switch {
	case ctx.Err() != nil:
		return false, 0
	case err != nil:
		a.refreshing.failed(a.log, "refresh failed", err)
		return written.Changed, a.refreshing.wait(max(a.config.Interval(), refreshBackoff), err)
	}
	a.refreshing.over(a.log, "refresh recovered")
	interval := a.config.Interval()
	return written.Changed, interval - interval/10 + rand.N(interval/5)
}

// notify tells the application what it does not know yet, reports how it went,
// and gives the wait until it is to be tried again.
func (a *Agent) notify() time.Duration {
	told, err := Notify(a.dir, a.config.Notify)
	if err != nil {
		a.notifying.failed(a.log, "notification failed", err)
		return a.notifying.wait(notifyBackoff, err)
	}
	a.notifying.over(a.log, "notification recovered")
	if told {
		a.log.Info("application notified", "generation", a.dir.Last, "signal", a.config.Notify.Signal)
	}
	return never
}

// The longest waits between tries, and the first.
const (
	firstBackoff   = time.Second
	initBackoff    = 5 * time.Second
	refreshBackoff = time.Minute
	notifyBackoff  = 30 * time.Second
	never          = 365 * 24 * time.Hour
)

// trouble is a run of failures of one thing.
type trouble struct {
	failures int
	reason   Reason
}

// failed counts a failure. It is logged when it is the first, or has another
// reason than the one before: an outage of an hour is two lines.
func (t *trouble) failed(log *slog.Logger, what string, err error) {
	reason := ReasonOf(err)
	if t.failures++; reason != t.reason {
		log.Warn(what, "reason", string(reason), "err", err)
	}
	t.reason = reason
}

// over ends the run.
func (t *trouble) over(log *slog.Logger, what string) {
	if t.failures > 0 {
		log.Info(what, "failures", t.failures)
	}
	*t = trouble{}
}

// wait is the pause before the next try: a random part of a bound that doubles
// up to longest, and no less than the server asked for.
func (t *trouble) wait(longest time.Duration, err error) time.Duration {
	bound := longest
	if t.failures < 16 {
		bound = min(longest, firstBackoff<<(t.failures-1))
	}
	return max(rand.N(bound), api.RetryAfter(err))
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
