package reports

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// budgets are how much may be done, by whom. A pod reports when something has
// changed, a few times a day; but a node that starts anew has a hundred pods,
// and a rollout a thousand.
type budgets struct {
	sources, pods, owners, happenings *buckets
	reviews, reports                  *rate.Limiter
}

func newBudgets() budgets {
	return budgets{
		// A network may show all pods of a node under one address.
		sources: newBuckets(5, 150),
		reviews: rate.NewLimiter(50, 500),
		pods:    newBuckets(0.1, 6),
		reports: rate.NewLimiter(50, 500),
		// All pods of an owner tend to fail at once, which is one Event.
		owners:     newBuckets(1./60, 10),
		happenings: newBuckets(1./300, 1),
	}
}

// review takes one question about a token from the budgets, or gives the time
// until there is one.
func (b budgets) review(source string) time.Duration {
	if wait := b.sources.take(source); wait > 0 {
		return wait
	}
	return take(b.reviews)
}

func (b budgets) report(from identity) time.Duration {
	if wait := b.pods.take(string(from.uid)); wait > 0 {
		return wait
	}
	return take(b.reports)
}

// event reports whether the owner may get one more, of this reason.
func (b budgets) event(owner, reason string) bool {
	return b.happenings.take(owner+" "+reason) == 0 && b.owners.take(owner) == 0
}

// take gives the time until there is something to take, 0 after taking it.
func take(l *rate.Limiter) time.Duration {
	r := l.Reserve()
	wait := r.Delay()
	if wait > 0 {
		r.Cancel()
	}
	return wait
}

// maxBuckets is more pods than most clusters have; what is beyond begins anew.
const maxBuckets = 10000

// buckets are budgets of their own for names.
type buckets struct {
	perSecond rate.Limit
	most      int

	mu sync.Mutex
	of map[string]*rate.Limiter // guarded by mu
}

func newBuckets(perSecond rate.Limit, most int) *buckets {
	return &buckets{perSecond: perSecond, most: most, of: map[string]*rate.Limiter{}}
}

func (b *buckets) take(name string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	limiter, found := b.of[name]
	if !found {
		makeRoom(b.of, maxBuckets, func(l *rate.Limiter) bool { return l.Tokens() >= float64(b.most) })
		limiter = rate.NewLimiter(b.perSecond, b.most)
		b.of[name] = limiter
	}
	return take(limiter)
}

// makeRoom keeps a map below its bound: what is idle goes, or, where nothing
// is, some.
func makeRoom[K comparable, V any](m map[K]V, most int, idle func(V) bool) {
	if len(m) < most {
		return
	}
	for key, value := range m {
		if idle(value) {
			delete(m, key)
		}
	}
	for key := range m {
		if len(m) <= most*9/10 {
			return
		}
		delete(m, key)
	}
}
