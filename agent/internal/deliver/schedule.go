package deliver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hanzoai/kms/api"
)

// The longest waits between tries, and the first.
const (
	firstBackoff   = time.Second
	initBackoff    = 5 * time.Second
	refreshBackoff = time.Minute
	notifyBackoff  = 30 * time.Second
	maxRetryAfter  = 5 * time.Minute // a server that asks for more is not obeyed
)

// schedule says when to look for a change again. It is where a message of the
// server that something has changed will come in one day.
type schedule struct {
	interval time.Duration
	trouble
}

func newSchedule(interval time.Duration, log *slog.Logger) schedule {
	return schedule{interval, trouble{what: "refresh", log: log}}
}

// next is the wait after a success: the interval give or take a tenth, so that
// agents that were started together spread.
func (s *schedule) next() time.Duration {
	return s.interval - s.interval/10 + rand.N(s.interval/5)
}

// trouble is a run of failures of one thing.
type trouble struct {
	what     string
	log      *slog.Logger
	failures int
	reason   Reason
}

// retry counts a failure and gives the pause before the next try: a random
// part of a bound that doubles up to longest, and no less than the server
// asked for. A failure is logged when it is the first or has another reason
// than the one before: an outage of an hour is two lines.
func (t *trouble) retry(err error, longest time.Duration) time.Duration {
	reason := ReasonOf(err)
	if t.failures++; reason != t.reason {
		t.log.Warn(t.what+" failed", "reason", string(reason), "err", err)
	}
	t.reason = reason
	bound := longest
	if t.failures < 16 {
		bound = min(longest, firstBackoff<<(t.failures-1))
	}
	return max(rand.N(bound), min(api.RetryAfter(err), maxRetryAfter))
}

// over ends the run.
func (t *trouble) over() {
	if t.failures > 0 {
		t.log.Info(t.what+" recovered", "failures", t.failures)
	}
	t.failures, t.reason = 0, ""
}

// level is raised when there is something to do, and stays raised until
// somebody looks: however often it is raised meanwhile.
type level chan struct{}

func newLevel() level { return make(level, 1) }

func (l level) raise() {
	select {
	case l <- struct{}{}:
	default:
	}
}

// settle waits until nothing has changed for a while, but not for ever, and
// then for a random part of the splay. false: ctx ended.
func settle(ctx context.Context, changes level, debounce, splay time.Duration) bool {
	limit := time.After(10 * debounce)
	for quiet := false; !quiet; {
		select {
		case <-changes:
		case <-time.After(debounce):
			quiet = true
		case <-limit:
			quiet = true
		case <-ctx.Done():
			return false
		}
	}
	return splay == 0 || sleep(ctx, rand.N(splay)) == nil
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
