package certs

import (
	"context"
	"log/slog"
	"time"
)

const (
	// reread is how often everything is looked at without a reason.
	reread = time.Minute

	// gather is how long events are waited for to come together. It also
	// bounds a quarrel with somebody who undoes our changes.
	gather = 100 * time.Millisecond

	patience   = 15 * time.Second // for one round
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// wake holds that there is a reason to work, or not.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

func (w wake) up() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// round is one piece of work. It says when the next one falls due.
type round func(context.Context) (next time.Duration, err error)

// repeat works whenever there is a reason, until ctx ends. An error is logged
// when it is a new one, and work is tried again, ever later.
func repeat(ctx context.Context, w wake, log *slog.Logger, what string, work round) {
	retry, told := firstRetry, ""
	for ctx.Err() == nil {
		wait, err := bounded(ctx, work)
		switch {
		case err == nil:
			retry, told = firstRetry, ""
		case ctx.Err() != nil:
			return
		default:
			wait, retry = retry, min(2*retry, lastRetry)
			if told != err.Error() {
				told = err.Error()
				log.Warn(what+" failed and is tried again", "err", err)
			}
		}
		pause(ctx, w, min(wait, reread))
	}
}

func bounded(ctx context.Context, work round) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return work(ctx)
}

// pause waits for a reason to work, or for a while.
func pause(ctx context.Context, w wake, wait time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-w:
	case <-time.After(wait):
	}
	select {
	case <-ctx.Done():
	case <-time.After(gather):
	}
	select {
	case <-w:
	default:
	}
}
