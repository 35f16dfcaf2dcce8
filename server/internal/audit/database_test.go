package audit_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// database opens the database behind a server, as somebody does who should
// not.
func database(t *testing.T, kms *kmstest.Server) *sql.DB {
	t.Helper()
	driver, name := "pgx", kms.Config.DatabaseURI.Reveal()
	if name == "" {
		driver, name = "sqlite", "file:"+kms.Config.Data+"/kms.db?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) (affected int64) {
	t.Helper()
	result, err := db.Exec(statement, args...)
	if err == nil {
		affected, err = result.RowsAffected()
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return affected
}

func log(kms *kmstest.Server) *audit.Log { return kms.App().Service().Audit() }

// rows is the whole trail, newest first.
func rows(t *testing.T, kms *kmstest.Server) (all []store.AuditRow) {
	t.Helper()
	err := kms.Store().View(t.Context(), func(tx *store.Tx) (err error) {
		organizations, err := tx.Organizations(t.Context())
		ids := []string{""}
		for _, o := range organizations {
			ids = append(ids, o.ID)
		}
		if err == nil {
			all, err = tx.Audit(t.Context(), store.AuditQuery{OrganizationIDs: ids, Limit: 1_000_000})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// added is the rows that an action adds, newest first.
func added(t *testing.T, kms *kmstest.Server, action func()) []store.AuditRow {
	t.Helper()
	before := len(rows(t, kms))
	action()
	after := rows(t, kms)
	return after[:len(after)-before]
}

func seal(t *testing.T, kms *kmstest.Server) {
	t.Helper()
	// PostgreSQL settles a batch once no older transaction runs anywhere on it;
	// other tests have theirs.
	for {
		if err := log(kms).Seal(context.Background()); err != nil {
			t.Fatal(err)
		}
		if verify(t, kms).Unsealed == 0 {
			return
		}
	}
}

func verify(t *testing.T, kms *kmstest.Server, seen ...audit.Head) audit.Report {
	t.Helper()
	report, err := log(kms).Verify(context.Background(), seen)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
