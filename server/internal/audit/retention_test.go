package audit_test

import (
	"testing"
	"time"

	"github.com/hanzoai/kms/server/kmstest"
)

const day = 24 * time.Hour

// events counts the rows of an event.
func events(t *testing.T, kms *kmstest.Server, event string) (n int) {
	t.Helper()
	for _, row := range rows(t, kms) {
		if row.Event == event {
			n++
		}
	}
	return n
}

func retain(t *testing.T, kms *kmstest.Server) {
	t.Helper()
	if err := log(kms).Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRowsAreKeptFor365Days(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		clock := &kmstest.Clock{}
		kms := kmstest.New(t, kmstest.Options{Engine: engine, Clock: clock})
		project := kms.Project("shop")
		kms.Put(project, "dev", "/", "A", "1", "B", "2")
		seal(t, kms)
		if n := events(t, kms, "bootstrap-instance"); n != 1 {
			t.Fatalf("%d rows of the bootstrap, want 1", n)
		}
		clock.Advance(364 * day)
		retain(t, kms)
		if n := events(t, kms, "bootstrap-instance"); n != 1 {
			t.Errorf("after 364 days %d rows are there, want 1", n)
		}
		kms.Put(project, "dev", "/", "A", "later")
		seal(t, kms)
		wantIntact(t, kms)
		clock.Advance(2 * day)
		retain(t, kms)
		if n := events(t, kms, "bootstrap-instance") + events(t, kms, "create-project"); n != 0 {
			t.Errorf("after 366 days %d rows of the first day are there, want none", n)
		}
		if n := events(t, kms, "update-secret"); n != 1 {
			t.Errorf("%d younger rows are there, want 1", n)
		}
		wantIntact(t, kms, verify(t, kms).Head)
		// And so it stays for a server that starts then.
		kms.Stop()
		kms.Start()
		kms.Put(project, "dev", "/", "A", "latest")
		seal(t, kms)
		wantIntact(t, kms)
	})
}

func TestTheDaysOfRetentionAreASetting(t *testing.T) {
	t.Parallel()
	clock := &kmstest.Clock{}
	kms := kmstest.New(t, kmstest.Options{Clock: clock, Configure: func(c *kmstest.Config) { c.AuditDays = 30 }})
	seal(t, kms)
	clock.Advance(32 * day)
	retain(t, kms)
	if n := events(t, kms, "bootstrap-instance"); n != 0 {
		t.Errorf("after 32 of 30 days %d rows are there, want none", n)
	}
}

// A batch that is in no link could be dropped without a trace, so it is kept
// however old it is.
func TestNoRowIsDroppedBeforeItIsSealed(t *testing.T) {
	t.Parallel()
	clock := &kmstest.Clock{}
	kms := kmstest.New(t, kmstest.Options{Engine: kmstest.Postgres, Clock: clock})
	// An older transaction: whatever comes later is not settled.
	older, err := database(t, kms).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer older.Rollback()
	if _, err := older.Exec("SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	kms.Project("shop")
	clock.Advance(400 * day)
	retain(t, kms)
	if n := events(t, kms, "create-project"); n != 1 {
		t.Fatalf("%d unsealed rows are there, want 1", n)
	}
	if err := older.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // transactions of other tests may still be older
		if retain(t, kms); events(t, kms, "create-project") == 0 {
			if report := verify(t, kms); len(report.Problems) > 0 {
				t.Errorf("after the drop: %q", report.Problems)
			}
			return
		}
	}
	t.Error("sealed rows are still there after 400 days")
}
