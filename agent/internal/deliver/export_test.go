package deliver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanzoai/kms/agent/config"
)

// WithStep is for tests: step is called after each change on disk.
func WithStep(d Dir, step func(what string)) Dir {
	d.step = step
	return d
}

// NewNotifier is for tests that tell a single target of a set.
func NewNotifier(d Dir, targets ...config.Target) *Notifier {
	c := config.Config{Notify: targets}
	return newNotifier(c, d, newHub(d), newStatus(), slog.New(slog.DiscardHandler))
}

// WatchPoll is how often files are looked at that cannot be watched.
const WatchPoll time.Duration = watchPoll

// Keep is Run for tests in a bubble of synctest, where nothing can wait for the
// network or the kernel. rotated is what would tell that the credentials did.
func (a *Agent) Keep(ctx context.Context, rotated <-chan struct{}) error {
	if err := a.dir.Check(); err != nil {
		return err
	}
	return a.keep(ctx, newHub(a.dir), rotated)
}

// WatchFiles is for tests that watch files without an agent.
func WatchFiles(ctx context.Context, parts *sync.WaitGroup, log *slog.Logger, doubt time.Duration, files ...string) <-chan struct{} {
	return watchFiles(ctx, parts, log, doubt, files...)
}
