package store_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func batch(run string, number int64) store.AuditBatch {
	return store.AuditBatch{Run: run, Number: number, Count: 1, MAC: []byte{0, byte(number)}, CreatedAt: now}
}

func auditRow(run string, number, ordinal int64) store.AuditRow {
	return store.AuditRow{ID: store.NewID(), CreatedAt: now, Run: run, Batch: number, Ordinal: ordinal,
		OrganizationID: "org", ProjectID: "project", ProjectSlug: "payments", Environment: "prod", Path: "/api", SecretKey: "KEY", SecretVersion: 3,
		Action: "secret.read", Event: "get-secret", Outcome: "allowed", Repeats: 1, ActorType: store.ActorIdentity, ActorID: "actor", ActorName: "payments-service",
		IP: "192.0.2.7", UserAgent: "kms-agent/1", RequestID: "req", Metadata: `{"a":"b"}`, MAC: []byte{0, 255}}
}

func appendAudit(tb testing.TB, s *store.Store, b store.AuditBatch, rows []store.AuditRow, manifests ...store.Manifest) {
	tb.Helper()
	if err := s.AppendAudit(tb.Context(), b, rows, manifests); err != nil {
		tb.Fatalf("AppendAudit: %v", err)
	}
}

func audit(tb testing.TB, s *store.Store, q store.AuditQuery) []store.AuditRow {
	tb.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([]store.AuditRow, error) { return tx.Audit(ctx, q) })
}

func counts(tb testing.TB, s *store.Store) [2]int64 {
	tb.Helper()
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([2]int64, error) {
		rows, batched, err := tx.CountAudit(ctx)
		return [2]int64{rows, batched}, err
	})
}

var prodKeys = store.Manifest{Day: store.Day(now), Hash: []byte("hash\x00 of prod"), Items: []store.ManifestItem{
	{Environment: "prod", Path: "/", Key: "Z", Version: 2}, {Environment: "prod", Path: "/", Key: "A", Version: 1}, {Environment: "prod", Path: "/api", Key: "Z", Version: 9}}}

func TestABatchIsReadAsItWasAppended(t *testing.T) {
	appends := map[string]func(*testing.T, *store.Store, store.AuditBatch, []store.AuditRow, ...store.Manifest){
		"alone": func(t *testing.T, s *store.Store, b store.AuditBatch, rows []store.AuditRow, manifests ...store.Manifest) {
			appendAudit(t, s, b, rows, manifests...)
		},
		"with a change": func(t *testing.T, s *store.Store, b store.AuditBatch, rows []store.AuditRow, manifests ...store.Manifest) {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AppendAudit(ctx, b, rows, manifests) })
		},
	}
	for name, do := range appends {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *store.Store) {
				one, several := auditRow("run", 1, 0), auditRow("run", 1, 1)
				several.SecretKey, several.SecretVersion, several.Manifest, several.Reason = "", 0, prodKeys.Hash, "because"
				b := batch("run", 1)
				b.Count = 2
				do(t, s, b, []store.AuditRow{one, several}, prodKeys)

				diff(t, "rows", audit(t, s, store.AuditQuery{OrganizationIDs: []string{"org"}}), []store.AuditRow{several, one})
				diff(t, "rows of the batch", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.AuditRow, error) { return tx.BatchRows(ctx, b) }),
					[]store.AuditRow{one, several})
				diff(t, "manifest", manifest(t, s, prodKeys), prodKeys.Items)
				diff(t, "counts", counts(t, s), [2]int64{2, 2})
				got := batchesAfter(t, s, 0, 0, 10, false)
				diff(t, "batches", sealed(got), []store.AuditBatch{b})
			})
		})
	}
}

func manifest(tb testing.TB, s *store.Store, m store.Manifest) []store.ManifestItem {
	tb.Helper()
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([]store.ManifestItem, error) {
		return tx.ManifestItems(ctx, m.Day, m.Hash)
	})
}

func batchesAfter(tb testing.TB, s *store.Store, xid, position, limit int64, settled bool) []store.AuditBatch {
	tb.Helper()
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([]store.AuditBatch, error) {
		return tx.BatchesAfter(ctx, xid, position, limit, settled)
	})
}

// sealed is what the batches' MACs cover: not where the database put them.
func sealed(batches []store.AuditBatch) []store.AuditBatch {
	var bare []store.AuditBatch
	for _, b := range batches {
		b.XID, b.Position = 0, 0
		bare = append(bare, b)
	}
	return bare
}

func TestABatchIsAppendedWholeOrNotAtAll(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		first := auditRow("run", 1, 0)
		appendAudit(t, s, batch("run", 1), []store.AuditRow{first})
		tests := map[string]struct {
			batch store.AuditBatch
			rows  []store.AuditRow
		}{
			"the number of the batch is taken": {batch("run", 1), []store.AuditRow{auditRow("run", 1, 0)}},
			"a row is there already":           {batch("run", 2), []store.AuditRow{auditRow("run", 2, 0), first}},
			"a row is twice in it":             {batch("run", 3), []store.AuditRow{{ID: "x", MAC: []byte{0}}, {ID: "x", MAC: []byte{0}}}},
		}
		for name, test := range tests {
			wantError(t, s.AppendAudit(t.Context(), test.batch, test.rows, []store.Manifest{prodKeys}), api.ErrUnavailable)
			diff(t, "counts after: "+name, counts(t, s), [2]int64{1, 1})
			if got := manifest(t, s, prodKeys); got != nil {
				t.Errorf("manifest after: %s: %v, want none", name, got)
			}
		}
		broken := fmt.Errorf("the change failed")
		wantError(t, try(t, s,
			func(ctx context.Context, tx *store.Tx) error {
				return tx.AppendAudit(ctx, batch("run", 4), []store.AuditRow{auditRow("run", 4, 0)}, nil)
			},
			func(context.Context, *store.Tx) error { return broken }), broken)
		diff(t, "counts after a change that failed", counts(t, s), [2]int64{1, 1})
	})
}

func TestABatchMayHoldNoRows(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		b := batch("run", 1)
		b.Count = 0
		appendAudit(t, s, b, nil)
		diff(t, "batches", sealed(batchesAfter(t, s, 0, 0, 10, false)), []store.AuditBatch{b})
		diff(t, "counts", counts(t, s), [2]int64{0, 0})
	})
}

func TestTheSameManifestsMayArriveFromAllReplicasAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		const replicas, batches = 6, 5
		var running sync.WaitGroup
		for replica := range replicas {
			running.Go(func() {
				for n := range int64(batches) {
					a, b := prodKeys, prodKeys
					b.Hash = []byte("another hash")
					manifests := []store.Manifest{a, b}
					if replica%2 == 0 {
						manifests = []store.Manifest{b, a}
					}
					run := fmt.Sprintf("run %d", replica)
					if err := s.AppendAudit(t.Context(), batch(run, n), []store.AuditRow{auditRow(run, n, 0)}, manifests); err != nil {
						t.Errorf("AppendAudit: %v", err)
					}
				}
			})
		}
		running.Wait()
		diff(t, "counts", counts(t, s), [2]int64{replicas * batches, replicas * batches})
		diff(t, "manifest", manifest(t, s, prodKeys), prodKeys.Items)
	})
}

func TestAuditQueriesNarrowTheTrail(t *testing.T) {
	plain := func(change func(*store.AuditRow)) store.AuditRow {
		row := auditRow("run", 1, 0)
		change(&row)
		return row
	}
	rows := map[string]store.AuditRow{
		"plain":        plain(func(*store.AuditRow) {}),
		"other org":    plain(func(r *store.AuditRow) { r.OrganizationID = "other" }),
		"no org":       plain(func(r *store.AuditRow) { r.OrganizationID = "" }),
		"project":      plain(func(r *store.AuditRow) { r.ProjectID = "other" }),
		"person":       plain(func(r *store.AuditRow) { r.ActorType, r.ActorID = store.ActorUser, "ada" }),
		"staging":      plain(func(r *store.AuditRow) { r.Environment = "staging" }),
		"path":         plain(func(r *store.AuditRow) { r.Path = "/" }),
		"write":        plain(func(r *store.AuditRow) { r.Action, r.Event = "secret.write", "update-secret" }),
		"delete":       plain(func(r *store.AuditRow) { r.Action, r.Event = "secret.delete", "delete-secret" }),
		"refused":      plain(func(r *store.AuditRow) { r.Outcome = "denied" }),
		"address":      plain(func(r *store.AuditRow) { r.IP = "2001:db8::1" }),
		"agent":        plain(func(r *store.AuditRow) { r.UserAgent = "curl" }),
		"other key":    plain(func(r *store.AuditRow) { r.SecretKey = "OTHER" }),
		"in manifest":  plain(func(r *store.AuditRow) { r.SecretKey, r.Manifest = "", prodKeys.Hash }),
		"out manifest": plain(func(r *store.AuditRow) { r.SecretKey, r.Manifest = "", []byte("another hash") }),
		"earlier":      plain(func(r *store.AuditRow) { r.CreatedAt = now - 10 }),
		"later":        plain(func(r *store.AuditRow) { r.CreatedAt = now + 10 }),
	}
	another := store.Manifest{Day: prodKeys.Day, Hash: []byte("another hash"), Items: []store.ManifestItem{{Environment: "prod", Path: "/", Key: "A", Version: 1}}}
	tests := map[string]struct {
		query store.AuditQuery
		want  []string
	}{
		"another organisation":    {store.AuditQuery{OrganizationIDs: []string{"other"}}, []string{"other org"}},
		"rows of no organisation": {store.AuditQuery{OrganizationIDs: []string{""}}, []string{"no org"}},
		"two organisations":       {store.AuditQuery{OrganizationIDs: []string{"other", ""}}, []string{"other org", "no org"}},
		"no organisation is none": {store.AuditQuery{}, nil},
		"a quote is no SQL":       {store.AuditQuery{OrganizationIDs: []string{"org' OR '1'='1"}}, nil},
		"a project":               {store.AuditQuery{ProjectID: "other"}, []string{"project"}},
		"people":                  {store.AuditQuery{ActorType: store.ActorUser}, []string{"person"}},
		"one actor":               {store.AuditQuery{ActorID: "ada"}, []string{"person"}},
		"an environment":          {store.AuditQuery{Environment: "staging"}, []string{"staging"}},
		"a path":                  {store.AuditQuery{Path: "/"}, []string{"path"}},
		"two actions":             {store.AuditQuery{Actions: []string{"secret.write", "secret.delete"}}, []string{"write", "delete"}},
		"an event":                {store.AuditQuery{Events: []string{"update-secret"}}, []string{"write"}},
		"refusals":                {store.AuditQuery{Outcome: "denied"}, []string{"refused"}},
		"an address":              {store.AuditQuery{IP: "2001:db8::1"}, []string{"address"}},
		"a program":               {store.AuditQuery{UserAgent: "curl"}, []string{"agent"}},
		"a key of a row":          {store.AuditQuery{SecretKey: "OTHER"}, []string{"other key"}},
		"a key of a manifest":     {store.AuditQuery{SecretKey: "Z"}, []string{"in manifest"}},
		"a key of two manifests":  {store.AuditQuery{SecretKey: "A"}, []string{"in manifest", "out manifest"}},
		"before":                  {store.AuditQuery{To: now}, []string{"earlier"}},
		"from on":                 {store.AuditQuery{From: now + 10}, []string{"later"}},
		"a moment":                {store.AuditQuery{From: now - 10, To: now - 9}, []string{"earlier"}},
		"all that does not match": {store.AuditQuery{Environment: "staging", Outcome: "denied"}, nil},
	}
	onBoth(t, func(t *testing.T, s *store.Store) {
		names := map[string]string{}
		var all []store.AuditRow
		for name, row := range rows {
			names[row.ID] = name
			all = append(all, row)
		}
		appendAudit(t, s, batch("run", 1), all, prodKeys, another)
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				if test.query.OrganizationIDs == nil && name != "no organisation is none" {
					test.query.OrganizationIDs = []string{"org"}
				}
				got, want := map[string]bool{}, map[string]bool{}
				for _, row := range audit(t, s, test.query) {
					got[names[row.ID]] = true
				}
				for _, name := range test.want {
					want[name] = true
				}
				diff(t, "rows", got, want)
			})
		}
	})
}

func TestPagesOfTheTrailFitTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		var rows, want []store.AuditRow
		for n := range int64(11) {
			row := auditRow("run", 1, n)
			row.CreatedAt = now + n/4 // several rows of one moment
			rows = append(rows, row)
			want = append([]store.AuditRow{row}, want...)
		}
		appendAudit(t, s, batch("run", 1), rows)
		q := store.AuditQuery{OrganizationIDs: []string{"org"}, Limit: 3}
		var got []store.AuditRow
		for page := audit(t, s, q); len(page) > 0; page = audit(t, s, q) {
			got = append(got, page...)
			last := page[len(page)-1]
			q.BeforeAt, q.BeforeID = last.CreatedAt, last.ID
			appendAudit(t, s, batch("newer", int64(len(got))), []store.AuditRow{auditRow("newer", int64(len(got)), 0)}) // moves no page
		}
		got = withoutRun(got, "newer")
		diff(t, "rows of all pages", got, want)
		diff(t, "by offset", audit(t, s, store.AuditQuery{OrganizationIDs: []string{"org"}, To: now + 1, Offset: 1, Limit: 2})[1].CreatedAt, int64(now))
	})
}

func withoutRun(rows []store.AuditRow, run string) (kept []store.AuditRow) {
	for _, row := range rows {
		if row.Run != run {
			kept = append(kept, row)
		}
	}
	return kept
}

func TestBatchesAreListedOnceBehindEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		var want []store.AuditBatch
		for n := range int64(7) {
			want = append(want, batch("run", n))
			appendAudit(t, s, want[n], nil)
		}
		var got []store.AuditBatch
		var last store.AuditBatch
		for page := batchesAfter(t, s, 0, 0, 3, false); len(page) > 0; page = batchesAfter(t, s, last.XID, last.Position, 3, false) {
			got, last = append(got, page...), page[len(page)-1]
		}
		diff(t, "batches", sealed(got), want)
	})
}

// A sealer that chained a batch which another could still come before would
// leave that other one out of the chain for good.
func TestSettledBatchesHaveNoneToComeBeforeThem(t *testing.T) {
	onPostgres(t, func(t *testing.T, s *store.Store) {
		late, early := batch("late", 1), batch("early", 1)
		commit := openUpdate(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AppendAudit(ctx, late, nil, nil) })
		appendAudit(t, s, early, nil)
		if got := batchesAfter(t, s, 0, 0, 10, true); got != nil {
			t.Errorf("settled batches while one is open: %v, want none", sealed(got))
		}
		diff(t, "all batches while one is open", sealed(batchesAfter(t, s, 0, 0, 10, false)), []store.AuditBatch{early})
		commit()
		got := awaitSettled(t, s, 2)
		diff(t, "settled batches", sealed(got), []store.AuditBatch{late, early})
	})
}

// awaitSettled waits for the transactions of other tests on the same server,
// which any of these batches could belong to as far as PostgreSQL knows.
func awaitSettled(t *testing.T, s *store.Store, count int) []store.AuditBatch {
	t.Helper()
	for {
		if got := batchesAfter(t, s, 0, 0, 10, true); len(got) >= count {
			return got
		}
		runtime.Gosched()
	}
}

func link(number int64) store.ChainLink {
	return store.ChainLink{Number: number, Previous: []byte{0, byte(number - 1)}, Digest: []byte{0, byte(number)}, Count: 2, FirstAt: now, LastAt: now + 1,
		LastXID: 1 << 40, LastPosition: 7, MAC: []byte{255}, CreatedAt: now + 2}
}

func TestTheChainIsReadInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		for _, number := range []int64{1, 2, 3, 10} {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddChainLink(ctx, link(number)) })
		}
		diff(t, "head", read(t, s, func(ctx context.Context, tx *store.Tx) (store.ChainLink, error) { return tx.ChainHead(ctx) }), link(10))
		after := func(number, limit int64) []store.ChainLink {
			return read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.ChainLink, error) {
				return tx.ChainAfter(ctx, number, limit)
			})
		}
		diff(t, "links after 1", after(1, 2), []store.ChainLink{link(2), link(3)})
		diff(t, "links after 3", after(3, 2), []store.ChainLink{link(10)})
		if got := after(10, 2); got != nil {
			t.Errorf("links after the head: %v, want none", got)
		}
	})
}

// appendDays appends a batch of one row with a manifest on each of the days
// from..to around now.
func appendDays(t *testing.T, s *store.Store, from, to int64) {
	t.Helper()
	for d := from; d <= to; d++ {
		run := fmt.Sprintf("day %d", d)
		b, row, m := batch(run, 1), auditRow(run, 1, 0), prodKeys
		b.CreatedAt, row.CreatedAt, m.Day = now+d*day, now+d*day, store.Day(now+d*day)
		row.Manifest = m.Hash
		appendAudit(t, s, b, []store.AuditRow{row}, m)
	}
}

func runs(rows []store.AuditRow) (runs []string) {
	for _, row := range rows {
		runs = append(runs, row.Run)
	}
	return runs
}

func TestOldDaysAreDroppedWholeAndYoungOnesKept(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		if err := s.PartitionAudit(t.Context(), now-2*day, now+day); err != nil {
			t.Fatal(err)
		}
		// The days -4 and -3 have no partition of their own, nor has 2.
		appendDays(t, s, -4, 2)
		all := store.AuditQuery{OrganizationIDs: []string{"org"}}
		diff(t, "rows before", runs(audit(t, s, all)), []string{"day 2", "day 1", "day 0", "day -1", "day -2", "day -3", "day -4"})
		for range 2 { // the second drops nothing
			if err := s.DropAudit(t.Context(), now-day); err != nil {
				t.Fatal(err)
			}
			diff(t, "rows after", runs(audit(t, s, all)), []string{"day 2", "day 1", "day 0", "day -1"})
			diff(t, "counts after", counts(t, s), [2]int64{4, 4})
		}
		for d, want := range map[int64][]store.ManifestItem{-4: nil, -2: nil, -1: prodKeys.Items, 2: prodKeys.Items} {
			m := prodKeys
			m.Day = store.Day(now + d*day)
			diff(t, fmt.Sprintf("manifest of day %d", d), manifest(t, s, m), want)
		}
		appendDays(t, s, 3, 3)
	})
}

func TestDroppingMoreRowsThanOneBite(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		rows := make([]store.AuditRow, 1000)
		for i := range rows {
			rows[i] = auditRow("run", 1, int64(i))
		}
		appendAudit(t, s, batch("run", 1), rows)
		appendDays(t, s, 1, 1)
		if err := s.DropAudit(t.Context(), now+day); err != nil {
			t.Fatal(err)
		}
		diff(t, "counts", counts(t, s), [2]int64{1, 1})
	})
}

func TestPartitionsMayBeMadeAgainAndByAllReplicasAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		race(6, func() bool {
			err := s.PartitionAudit(t.Context(), now, now+3*day)
			if err != nil {
				t.Errorf("PartitionAudit: %v", err)
			}
			return err == nil
		})
		appendDays(t, s, 0, 4)
		diff(t, "rows", len(audit(t, s, store.AuditQuery{OrganizationIDs: []string{"org"}})), 5)
	})
}

// The rows of a day that began before its partition was made lie in the rest;
// a partition for them would be refused, and with it those of all later days.
func TestADayThatHasRowsAlreadyKeepsThemInTheRest(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		appendDays(t, s, 0, 0)
		if err := s.PartitionAudit(t.Context(), now-day, now+day); err != nil {
			t.Fatalf("PartitionAudit: %v", err)
		}
		appendDays(t, s, 1, 1)
		all := store.AuditQuery{OrganizationIDs: []string{"org"}}
		diff(t, "rows", runs(audit(t, s, all)), []string{"day 1", "day 0"})
		if err := s.DropAudit(t.Context(), now+day); err != nil {
			t.Fatal(err)
		}
		diff(t, "rows after day 0 is dropped", runs(audit(t, s, all)), []string{"day 1"})
	})
}

func TestPostgresKeepsEachDayInAPartition(t *testing.T) {
	t.Parallel()
	cfg := migratedPostgres(t)
	s := open(t, cfg)
	if err := s.PartitionAudit(t.Context(), now, now); err != nil {
		t.Fatal(err)
	}
	appendDays(t, s, 0, 1)
	conn, err := pgx.Connect(t.Context(), cfg.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), "SELECT tableoid::regclass::text || ' ' || run FROM audit_log ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"audit_log_20260921 day 0", "audit_log_rest day 1"}, got); d != "" {
		t.Errorf("where the rows are (-want +got):\n%s", d)
	}
	if err := s.DropAudit(t.Context(), now+day); err != nil {
		t.Fatal(err)
	}
	var tables []string
	rows, err = conn.Query(t.Context(), "SELECT relname::text FROM pg_class WHERE relname LIKE 'audit\\_%\\_2026%' AND relkind = 'r'")
	if err == nil {
		tables, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(tables) > 0 {
		t.Errorf("partitions after the day is dropped: %s, %v; want none", strings.Join(tables, ", "), err)
	}
}

func TestDayIsTheFirstMicrosecondOfADay(t *testing.T) {
	t.Parallel()
	for us, want := range map[int64]int64{0: 0, 1: 0, day - 1: 0, day: day, now: 1_789_948_800_000_000} {
		diff(t, fmt.Sprintf("Day(%d)", us), store.Day(us), want)
	}
}
