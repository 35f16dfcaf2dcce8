package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

// queue collects the requests that wait for a batch.
type queue struct {
	mu      sync.Mutex
	arrived sync.Cond
	waiting []*request // guarded by mu
	closed  bool       // guarded by mu
	max     int
}

// request is one waiting request.
type request struct {
	entry *Entry // nil: the fence alone
	fresh func() bool
	done  chan error // one slot
}

func (q *queue) init(max int) {
	q.max = max
	q.arrived.L = &q.mu
}

func (q *queue) join(ctx context.Context, e *Entry, fresh func() bool) error {
	r := &request{entry: e, fresh: fresh, done: make(chan error, 1)}
	if err := q.put(r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		// The row may yet be written: it says that the secret was about to be
		// disclosed, which is the side to err on.
		return ctx.Err()
	}
}

func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return api.RetryLater(api.ErrUnavailable, time.Second, "the server is stopping: try again")
	}
	if len(q.waiting) >= q.max {
		return errBusy()
	}
	q.waiting = append(q.waiting, r)
	q.arrived.Signal()
	return nil
}

// take waits for requests and takes all there are, at most maxBatch; it gives
// none once the queue is closed and empty.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.arrived.Wait()
	}
	n := min(len(q.waiting), maxBatch)
	taken := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
	return taken
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.arrived.Broadcast()
}

// maxBatch bounds the rows of one commit.
const maxBatch = 1024

// writer numbers the batches of one worker. A worker has one batch in flight,
// so the numbers of a run have no gap however the process ends; a batch that
// failed ends its run, and so does midnight: days are dropped whole.
type writer struct {
	run    string
	number int64
	day    int64 // of the last batch
}

func (l *Log) work(q *queue) {
	w := &writer{run: store.NewID()}
	for {
		requests := q.take()
		if len(requests) == 0 {
			return
		}
		l.commit(w, requests)
	}
}

// commit is the fence and the group commit.
func (l *Log) commit(w *writer, requests []*request) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	if err := l.fence.pass(ctx); err != nil {
		l.Stats.Failures.Add(1)
		answer(requests, l.unwritten(err))
		return
	}
	passed, entries := l.pass(requests)
	if len(entries) == 0 {
		answer(passed, nil)
		return
	}
	batch, rows, manifests := l.batch(w, entries)
	if err := l.cfg.Store.AppendAudit(ctx, batch, rows, manifests); err != nil {
		// Whether it was committed is not known: the numbers start anew.
		l.Stats.Failures.Add(1)
		*w = writer{run: store.NewID()}
		answer(passed, l.unwritten(err))
		return
	}
	l.remember(manifests)
	l.Stats.Batches.Add(1)
	l.Stats.Rows.Add(int64(len(rows)))
	answer(passed, nil)
}

// pass sends back the requests that the feed has touched and gives the others,
// with the entries among them.
func (l *Log) pass(requests []*request) (passed []*request, entries []*Entry) {
	passed = requests[:0]
	for _, r := range requests {
		if r.fresh != nil && !r.fresh() {
			l.Stats.Stale.Add(1)
			r.done <- ErrStale
			continue
		}
		passed = append(passed, r)
		if r.entry != nil {
			entries = append(entries, r.entry)
		}
	}
	return passed, entries
}

func answer(requests []*request, err error) {
	for _, r := range requests {
		r.done <- err
	}
}

func (l *Log) unwritten(err error) error {
	l.cfg.Log.Error("audit trail not written", "err", err.Error())
	return api.RetryLater(api.ErrUnavailable, time.Second, "the audit trail cannot be written: nothing is served without it: try again")
}

// batch makes the rows of entries, with MACs, and the batch row over them.
func (l *Log) batch(w *writer, entries []*Entry) (store.AuditBatch, []store.AuditRow, []store.Manifest) {
	now := l.cfg.Now().UnixMicro()
	if day := store.Day(now); day != w.day {
		*w = writer{run: store.NewID(), day: day}
	}
	w.number++
	batch := store.AuditBatch{Run: w.run, Number: w.number, Count: int64(len(entries)), CreatedAt: now}
	rows := make([]store.AuditRow, len(entries))
	macs := make([][]byte, 0, len(entries))
	var manifests []store.Manifest
	for i, e := range entries {
		row := &rows[i]
		*row = e.AuditRow
		row.ID, row.CreatedAt, row.Run, row.Batch, row.Ordinal = store.NewID(), now, w.run, w.number, int64(i)
		row.Repeats = max(row.Repeats, 1)
		if row.Metadata == "" {
			row.Metadata = "{}"
		}
		if m, needed := l.manifest(row, e.Items); needed {
			manifests = append(manifests, m)
		}
		row.MAC = l.cfg.Keys.MAC("audit row", encodeRow(row))
		macs = append(macs, row.MAC)
	}
	batch.MAC = l.cfg.Keys.MAC("audit batch", append([][]byte{encodeBatch(&batch)}, macs...)...)
	return batch, rows, manifests
}

// manifest names what row is about: one secret in the row itself, several by
// the hash of their list, which is stored once a day.
func (l *Log) manifest(row *store.AuditRow, items []store.ManifestItem) (store.Manifest, bool) {
	switch {
	case len(items) == 0:
		return store.Manifest{}, false
	case len(items) == 1 && items[0].Environment == row.Environment && items[0].Path == row.Path:
		row.SecretKey, row.SecretVersion = items[0].Key, items[0].Version
		return store.Manifest{}, false
	}
	row.Manifest = hashItems(items)
	m := store.Manifest{Day: store.Day(row.CreatedAt), Hash: row.Manifest, Items: items}
	_, known := l.manifests.Load(manifestKey(m))
	return m, !known
}

func manifestKey(m store.Manifest) string { return fmt.Sprintf("%d %x", m.Day, m.Hash) }

// maxKnown bounds the memory of stored manifests; a forgotten one is sent again.
const maxKnown = 20_000

func (l *Log) remember(manifests []store.Manifest) {
	for _, m := range manifests {
		if l.known.Add(1) > maxKnown {
			l.manifests.Clear()
			l.known.Store(1)
		}
		l.manifests.Store(manifestKey(m), struct{}{})
	}
}

// hashItems is SHA-256 over the list, each part with its length: names only,
// nothing secret, so no key.
func hashItems(items []store.ManifestItem) []byte {
	var b []byte
	for _, item := range items {
		b = appendText(b, item.Environment)
		b = appendText(b, item.Path)
		b = appendText(b, item.Key)
		b = binary.BigEndian.AppendUint64(b, uint64(item.Version))
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// encodeRow is what the MAC of a row is over: every column but the MAC, texts
// with their length in front so that no two rows encode alike.
func encodeRow(r *store.AuditRow) []byte {
	b := make([]byte, 0, 512)
	for _, text := range []string{r.ID, r.Run, r.OrganizationID, r.ProjectID, r.ProjectSlug, r.Environment, r.Path, r.SecretKey, string(r.Manifest),
		r.Action, r.Event, r.Outcome, r.Reason, r.ActorType, r.ActorID, r.ActorName, r.IP, r.UserAgent, r.RequestID, r.Metadata} {
		b = appendText(b, text)
	}
	for _, n := range []int64{r.CreatedAt, r.Batch, r.Ordinal, r.SecretVersion, r.Repeats} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func encodeBatch(batch *store.AuditBatch) []byte {
	b := appendText(nil, batch.Run)
	for _, n := range []int64{batch.Number, batch.Count, batch.CreatedAt} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}
