package audit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hanzoai/kms/api"
)

// lane is the way of requests that proved no identity. It has a queue of its
// own, so that a flood of them never delays the others, and it writes only the
// first few rows a minute of each source; the rest become one row that counts.
type lane struct {
	queue

	mu      sync.Mutex
	sources map[string]*source // guarded by mu
}

// source counts the refusals of one source within one minute.
type source struct {
	began  time.Time
	count  int64
	sample Entry
}

const (
	lanePending  = 256  // waiting rows, beyond which requests are shed
	laneSources  = 8192 // sources remembered, beyond which requests are shed
	laneRows     = 20   // rows a minute of one source
	laneInterval = time.Minute
)

func (n *lane) init() {
	n.queue.init(lanePending)
	n.sources = map[string]*source{}
}

// Refused writes the row of a request that proved no identity. source is where
// it came from (a network prefix), known whether it named a client that
// exists. It returns api.ErrRateLimited when there are too many to keep count of.
func (l *Log) Refused(ctx context.Context, e Entry, source string, known bool) error {
	counted, err := l.lane.count(fmt.Sprintf("%s %t %s", source, known, e.Reason), e, l.cfg.Now())
	if err != nil {
		l.Stats.Shed.Add(1)
	}
	if err != nil || counted {
		return err
	}
	return l.lane.join(ctx, &e, nil)
}

// count reports whether the refusal is only counted, not a row of its own.
func (n *lane) count(key string, e Entry, now time.Time) (counted bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sources[key]
	if s == nil {
		if len(n.sources) >= laneSources {
			return false, api.RetryLater(api.ErrRateLimited, laneInterval, "too many refused requests: try again in a minute")
		}
		s = &source{began: now, sample: e}
		n.sources[key] = s
	}
	s.count++
	return s.count > laneRows, nil
}

// drain takes the sources whose minute is over and gives the rows that count
// what had no row of its own.
func (n *lane) drain(now time.Time) []*Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	var rows []*Entry
	for key, s := range n.sources {
		if now.Sub(s.began) < laneInterval {
			continue
		}
		if s.count > laneRows {
			row := s.sample
			row.Repeats = s.count - laneRows
			row.RequestID = ""
			rows = append(rows, &row)
		}
		delete(n.sources, key)
	}
	return rows
}
