package secrets

import (
	"context"
	"crypto/hmac"
	"errors"
	"strings"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/store"
)

// call is one attempt to resolve one request.
type call struct {
	s      *Service
	caller Caller
	now    time.Time
	tx     *store.Tx      // the snapshot to load from; nil: the cache
	tick   uint64         // of when tx began
	notes  []note         // what the request was resolved from
	loaded map[entity]any // from tx

	actor  *actor
	claims auth.Claims // of a signed token
	entry  audit.Entry // the row to write
}

// event says what a request does, for its audit row.
type event struct{ action, name string }

func (s *Service) newCall(caller Caller, ev event, tx *store.Tx, tick uint64) *call {
	c := &call{s: s, caller: caller, now: s.now(), tx: tx, tick: tick}
	if tx != nil {
		c.loaded = map[entity]any{}
	}
	c.entry.AuditRow = store.AuditRow{Action: ev.action, Event: ev.name, Outcome: audit.Success,
		IP: address(caller), UserAgent: clip(caller.UserAgent, 256), RequestID: caller.RequestID, ActorType: "unknownUser"}
	return c
}

func address(caller Caller) string {
	if !caller.Addr.IsValid() {
		return ""
	}
	return caller.Addr.String()
}

// clip bounds what a client may make the audit trail store. What is no UTF-8,
// be it by the cut, PostgreSQL would refuse, and with it everybody's batch.
func clip(text string, max int) string {
	if len(text) > max {
		text = text[:max]
	}
	return strings.ToValidUTF8(text, "?")
}

// attempts bounds how often a request is resolved anew. The second attempt of
// a read is from a snapshot younger than the request and cannot be stale.
const attempts = 8

// read resolves a request that discloses something, and returns once its audit
// row, whatever the outcome, is committed. resolve must have no other effect
// than on c; it runs again, from a snapshot, if the cache was stale.
func (s *Service) read(ctx context.Context, caller Caller, ev event, resolve func(ctx context.Context, c *call) error) error {
	caller = s.verify(ctx, caller)
	c := s.newCall(caller, ev, nil, 0)
	err := c.resolve(ctx, resolve)
	// In this order: a look at the feed counts once what it found was applied,
	// and may have begun before and ended after the request was resolved.
	if errors.Is(err, errUnchanged) && s.audit.Recent(time.Second) && s.cache.fresh(c.notes) {
		return err
	}
	err, stale := c.record(ctx, err, func() bool { return s.cache.fresh(c.notes) })
	if !stale {
		return err
	}
	return s.look(ctx, caller, ev, resolve)
}

// look is read from a snapshot, without the cache.
func (s *Service) look(ctx context.Context, caller Caller, ev event, resolve func(ctx context.Context, c *call) error) error {
	c, err := s.snapshot(ctx, s.verify(ctx, caller), ev, resolve)
	if c == nil {
		return err
	}
	err, _ = c.record(ctx, err, nil)
	return err
}

func (s *Service) snapshot(ctx context.Context, caller Caller, ev event, resolve func(ctx context.Context, c *call) error) (c *call, err error) {
	tick := s.cache.now()
	outer := s.store.View(ctx, func(tx *store.Tx) error {
		c = s.newCall(caller, ev, tx, tick)
		err = c.resolve(ctx, resolve)
		return nil
	})
	if outer != nil {
		return nil, outer
	}
	return c, err
}

func (c *call) resolve(ctx context.Context, resolve func(ctx context.Context, c *call) error) error {
	if err := c.identify(ctx); err != nil {
		return err
	}
	return resolve(ctx, c)
}

// errUnchanged is the outcome of a conditional read that found nothing new: it
// discloses nothing and writes no row.
var errUnchanged = errors.New("unchanged")

// record commits the audit row of a request that came to err, and gives the
// err to answer with: err itself, unless the row could not be written.
func (c *call) record(ctx context.Context, err error, fresh func() bool) (answer error, stale bool) {
	entry := &c.entry
	switch {
	case errors.Is(err, errUnchanged):
		entry = nil
	case err != nil && errors.Is(err, api.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err, false // nothing was decided
	case err != nil:
		c.entry.Items = nil
		c.entry.Outcome, c.entry.Reason = outcome(err), reason(err)
	}
	var joined error
	if c.actor == nil {
		joined = c.s.audit.Refused(ctx, c.entry, auth.SourcePrefix(c.caller.Addr).String(), false)
	} else {
		joined = c.s.audit.Join(ctx, entry, fresh)
	}
	switch {
	case errors.Is(joined, audit.ErrStale):
		return nil, true
	case joined != nil:
		return joined, false
	}
	return err, false
}

func outcome(err error) string {
	if errors.Is(err, api.ErrDenied) || errors.Is(err, api.ErrUnauthenticated) {
		return audit.Denied
	}
	return audit.Failed
}

// reason is the kind of a refusal; its text may hold what a client sent.
func reason(err error) string { return api.Kind(err) }

// work is a change that was planned: what to make ready outside of any
// transaction, what to lock, and what to do then.
type work struct {
	prepare func(ctx context.Context) error               // nil: nothing
	lock    func(ctx context.Context, tx *store.Tx) error // nil: nothing
	apply   func(ctx context.Context, tx *store.Tx) error
}

// change plans a change, carries it out in one transaction, with its audit row
// in it, and returns once that is committed. plan and work may run several
// times and must have no effect but on c and the transaction.
//
// The plan is made from the cache; the transaction takes the locks and then
// looks at the change feed: if anything that the plan was made from has
// changed, it is made anew. What the locks protect cannot change any more.
func (s *Service) change(ctx context.Context, caller Caller, ev event, plan func(ctx context.Context, c *call) (work, error)) error {
	caller = s.verify(ctx, caller)
	for attempt := range attempts {
		c, w, err := s.plan(ctx, caller, ev, plan, attempt)
		if c == nil {
			return err
		}
		if err == nil && w.prepare != nil {
			err = w.prepare(ctx)
		}
		if err == nil {
			if err = s.carryOut(ctx, c, w); errors.Is(err, audit.ErrStale) {
				continue
			}
			if err == nil {
				return nil
			}
		}
		err, stale := c.record(ctx, err, func() bool { return c.tx != nil || s.cache.fresh(c.notes) })
		if !stale {
			return err
		}
	}
	return api.RetryLater(api.ErrUnavailable, time.Second, "what the request depends on kept changing: try again")
}

func (s *Service) plan(ctx context.Context, caller Caller, ev event, plan func(ctx context.Context, c *call) (work, error), attempt int) (c *call, w work, err error) {
	resolve := func(ctx context.Context, c *call) (err error) {
		w, err = plan(ctx, c)
		return err
	}
	if attempt > 0 {
		c, err = s.snapshot(ctx, caller, ev, resolve)
		return c, w, err
	}
	c = s.newCall(caller, ev, nil, 0)
	err = c.resolve(ctx, resolve)
	return c, w, err
}

func (s *Service) carryOut(ctx context.Context, c *call, w work) error {
	entry := c.entry
	defer s.audit.Changed()
	return s.store.Update(ctx, func(tx *store.Tx) error {
		c.entry = entry // a transaction may run twice
		if w.lock != nil {
			if err := w.lock(ctx, tx); err != nil {
				return err
			}
		}
		if err := s.audit.FenceIn(ctx, tx); err != nil {
			return err
		}
		if !s.cache.fresh(c.notes) {
			return audit.ErrStale
		}
		if err := w.apply(ctx, tx); err != nil {
			return err
		}
		return s.audit.Write(ctx, tx, c.entry)
	})
}

func equal(a, b []byte) bool { return hmac.Equal(a, b) }
