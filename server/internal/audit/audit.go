// Package audit makes the audit trail a part of every request: no value
// leaves and no change is kept without a committed row that says who did what.
//
// A change carries its row in its own transaction (Write). A read joins a batch
// (Join): each of two writers takes all that arrived while it was busy, reads
// the change feed, sends back those requests that a change has touched, and
// commits the rows of the rest at once. So the batch is also the fence: what
// is answered after Join reflects every change acknowledged before the request
// arrived, on every replica.
//
// Rows carry a MAC, batches a MAC over their rows' MACs, and Seal ties batches
// into a hash chain, so that Verify finds whatever was edited, forged, removed
// or reordered. The package must never be handed a secret value, and must never
// let a request pass when its row cannot be written.
package audit

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

// The actions of the audit trail.
const (
	Read   = "read"
	Create = "create"
	Update = "update"
	Delete = "delete"
	Login  = "login"
	Logout = "logout"
)

// The outcomes of the audit trail.
const (
	Success = "success"
	Denied  = "denied" // by policy, or for want of proof who it is
	Failed  = "failed" // for another reason
)

// Entry is one row to write, with the secrets that it is about. The batch
// fills in id, time, run, batch, ordinal and MAC.
type Entry struct {
	store.AuditRow
	Items []store.ManifestItem
}

// Keys signs and checks; the server's versioned audit key does both.
type Keys interface {
	MAC(label string, parts ...[]byte) []byte
	Check(mac []byte, label string, parts ...[]byte) bool
}

// Config is what a Log needs; all fields but the last two are required.
type Config struct {
	Store *store.Store
	Keys  Keys
	Apply func([]store.Change) // throws away what the changes made stale
	Log   *slog.Logger
	Now   func() time.Time

	// RetentionDays is how long rows are kept; 0 means 365.
	RetentionDays int
	// Workers is how many batches may be in flight; 0 means 2.
	Workers int
}

// ErrStale sends a request back to be resolved anew: what it was resolved from
// has changed.
var ErrStale = errors.New("resolved from what has changed since")

// Log is the audit trail of one replica. Run must be running.
type Log struct {
	cfg   Config
	fence fence
	main  queue
	lane  lane

	manifests sync.Map // (day, hash) of manifests that are stored, bounded by forget
	known     atomic.Int64
	Stats     Stats
}

// Stats counts what the metrics show.
type Stats struct {
	Batches, Rows, Stale, Shed, Failures atomic.Int64
	UnsealedSince                        atomic.Int64 // microsecond of the oldest batch that is not sealed; 0: none
}

// New makes a Log that follows the change feed from now on.
func New(ctx context.Context, cfg Config) (*Log, error) {
	feed, err := cfg.Store.Follow(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.RetentionDays == 0 {
		cfg.RetentionDays = 365
	}
	if cfg.Workers == 0 {
		cfg.Workers = 2
	}
	l := &Log{cfg: cfg, fence: fence{feed: feed, apply: cfg.Apply}}
	l.main.init(maxPending)
	l.lane.init()
	return l, nil
}

// maxPending bounds the requests that wait for a batch; beyond it they are
// turned away, since they would wait longer than their clients do.
const maxPending = 16384

// batchTimeout bounds one commit. A database that does not answer within it is
// not there.
const batchTimeout = 10 * time.Second

// Run writes batches, and keeps the trail in order, until ctx is done; then it
// finishes what has joined and returns.
func (l *Log) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range l.cfg.Workers {
		workers.Go(func() { l.work(&l.main) })
	}
	workers.Go(func() { l.work(&l.lane.queue) })
	workers.Go(func() { l.upkeep(ctx) })
	<-ctx.Done()
	l.main.close()
	l.lane.close()
	workers.Wait()
	return nil
}

// Join waits until e is committed in a batch whose look at the change feed
// began after the call, and fresh still held then. It returns ErrStale when it
// did not, and api.ErrUnavailable when the row could not be written. A nil e
// writes no row: the call is the fence alone.
func (l *Log) Join(ctx context.Context, e *Entry, fresh func() bool) error {
	return l.main.join(ctx, e, fresh)
}

// Write adds the row of a change to its transaction.
func (l *Log) Write(ctx context.Context, tx *store.Tx, e Entry) error {
	w := writer{run: store.NewID()}
	batch, rows, manifests := l.batch(&w, []*Entry{&e})
	return tx.AppendAudit(ctx, batch, rows, manifests)
}

// Fence reads the change feed now, unless a read that began within age is
// known to have completed.
func (l *Log) Fence(ctx context.Context, age time.Duration) error {
	if l.fence.within(age) {
		return nil
	}
	return l.fence.pass(ctx)
}

// FenceIn is Fence, always, on the connection of a transaction.
func (l *Log) FenceIn(ctx context.Context, tx *store.Tx) error {
	return l.fence.read(func() ([]store.Change, error) { return l.fence.feed.ReadIn(ctx, tx) })
}

// Recent reports whether the last completed look at the change feed began
// within age.
func (l *Log) Recent(age time.Duration) bool { return l.fence.within(age) }

// Changed makes the next Recent false: this replica has just committed a
// change itself, and whoever made it expects to see it.
func (l *Log) Changed() {
	now := time.Now()
	l.fence.changed.Store(&now)
}

// fence reads the change feed and applies it, one at a time: a reader that
// finds nothing new must know that what others found has been applied.
type fence struct {
	feed  *store.Feed
	apply func([]store.Change)

	mu      sync.Mutex
	begun   atomic.Pointer[time.Time] // of the last completed read, monotonic
	changed atomic.Pointer[time.Time] // of this replica's last change
}

func (f *fence) pass(ctx context.Context) error {
	return f.read(func() ([]store.Change, error) { return f.feed.Read(ctx) })
}

func (f *fence) read(feed func() ([]store.Change, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	begun := time.Now()
	changes, err := feed()
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		f.apply(changes)
	}
	f.begun.Store(&begun)
	return nil
}

func (f *fence) within(age time.Duration) bool {
	begun, changed := f.begun.Load(), f.changed.Load()
	return begun != nil && time.Since(*begun) < age && (changed == nil || begun.After(*changed))
}

// errBusy turns a request away when too many wait.
func errBusy() error {
	return api.RetryLater(api.ErrUnavailable, time.Second, "the audit trail cannot keep up: nothing is served without it: try again")
}
