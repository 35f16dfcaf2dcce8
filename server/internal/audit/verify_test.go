package audit_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/kmstest"
)

// sealedTrail is a server with a trail of a few links, reads with manifests
// among them, and nothing unsealed but what its own tasks add.
func sealedTrail(t *testing.T, engine string) *kmstest.Server {
	t.Helper()
	kms := kmstest.New(t, kmstest.Options{Engine: engine})
	project := kms.Project("shop")
	for round := range 3 {
		kms.Put(project, "dev", "/", fmt.Sprintf("A%d", round), "a", fmt.Sprintf("B%d", round), "b")
		for range 2 {
			if _, err := kms.Admin().ListSecrets(sdk.ListSecretsOptions{ProjectID: project.ID, Environment: "dev"}); err != nil {
				t.Fatal(err)
			}
		}
		seal(t, kms)
	}
	return kms
}

// edits are values to put into the columns of a row: another one for each.
var edits = map[string]string{
	"id": "'01900000-0000-7000-8000-000000000000'", "created_at": "created_at + 1", "run": "'01900000-0000-7000-8000-000000000000'", "batch": "batch + 1",
	"ordinal": "ordinal + 1", "organization_id": "'x'", "project_id": "'x'", "project_slug": "'x'", "environment": "'x'", "path": "'/x'", "secret_key": "'X'",
	"secret_version": "secret_version + 1", "manifest": "$1", "action": "'x'", "event": "'x'", "outcome": "'x'", "reason": "'x'", "repeats": "repeats + 1",
	"actor_type": "'x'", "actor_id": "'x'", "actor_name": "'x'", "ip": "'x'", "user_agent": "'x'", "request_id": "'x'", "metadata": "'{\"x\":\"\"}'", "mac": "$1",
}

func TestVerifyFindsAnEditOfAnyColumn(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := sealedTrail(t, engine)
		db := database(t, kms)
		wantIntact(t, kms)
		var id string
		if err := db.QueryRow("SELECT id FROM audit_log WHERE event = 'get-secrets' ORDER BY id LIMIT 1").Scan(&id); err != nil {
			t.Fatal(err)
		}
		columns := columnsOf(t, db, "audit_log")
		if len(columns) != len(edits) {
			t.Errorf("the table has %d columns, the test edits %d", len(columns), len(edits))
		}
		for _, column := range columns {
			execute(t, db, "CREATE TABLE saved AS SELECT * FROM audit_log WHERE id = $1", id)
			value := edits[column]
			var args []any
			if value == "$1" {
				args = append(args, []byte{1, 2, 3})
			}
			execute(t, db, fmt.Sprintf("UPDATE audit_log SET %s = %s WHERE id = '%s'", column, value, id), args...)
			if report := verify(t, kms); len(report.Problems) == 0 {
				t.Errorf("an edited %s is not found", column)
			}
			execute(t, db, "DELETE FROM audit_log WHERE id IN ($1, '01900000-0000-7000-8000-000000000000')", id)
			execute(t, db, "INSERT INTO audit_log SELECT * FROM saved")
			execute(t, db, "DROP TABLE saved")
		}
		wantIntact(t, kms)
	})
}

func columnsOf(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.Query("SELECT * FROM " + table + " LIMIT 0")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func wantIntact(t *testing.T, kms *kmstest.Server, seen ...audit.Head) {
	t.Helper()
	if report := verify(t, kms, seen...); len(report.Problems) > 0 || report.Rows == 0 || report.Batches == 0 {
		t.Fatalf("the trail is not intact: %+v", report)
	}
}

// What somebody who can write the database can do to the trail. Each is done
// to a copy of its own: the statements are not taken back.
func TestVerifyFindsWhateverIsDoneToTheTrail(t *testing.T) {
	t.Parallel()
	someBatch := "(SELECT run FROM audit_log WHERE event = 'get-secrets' ORDER BY id LIMIT 1)"
	tests := []struct {
		name       string
		statements []string
		want       string // in one of the problems
	}{
		{"a row is deleted", []string{"DELETE FROM audit_log WHERE id = (SELECT min(id) FROM audit_log WHERE event = 'get-secrets')"}, "does not hold"},
		{"a row is forged", []string{`INSERT INTO audit_log SELECT '01900000-0000-7000-8000-000000000001', created_at, '01900000-0000-7000-8000-00000000000f', 1, 0, organization_id, project_id,
			project_slug, environment, path, secret_key, secret_version, manifest, action, event, outcome, reason, repeats, actor_type, actor_id, 'mallory', ip, user_agent, request_id,
			metadata, mac FROM audit_log WHERE event = 'get-secrets' LIMIT 1`}, "in no batch"},
		{"a row is forged into a batch", []string{`INSERT INTO audit_log SELECT '01900000-0000-7000-8000-000000000001', created_at, run, batch, ordinal + 1, organization_id, project_id,
			project_slug, environment, path, secret_key, secret_version, manifest, action, event, outcome, reason, repeats, actor_type, actor_id, 'mallory', ip, user_agent, request_id,
			metadata, mac FROM audit_log WHERE event = 'get-secrets' LIMIT 1`}, "does not hold"},
		{"a row is put twice into its batch", []string{`INSERT INTO audit_log SELECT '01900000-0000-7000-8000-000000000001', created_at, run, batch, ordinal, organization_id, project_id,
			project_slug, environment, path, secret_key, secret_version, manifest, action, event, outcome, reason, repeats, actor_type, actor_id, actor_name, ip, user_agent, request_id,
			metadata, mac FROM audit_log WHERE event = 'get-secrets' LIMIT 1`}, "does not hold"},
		{"a batch is deleted with its rows", []string{"DELETE FROM audit_log WHERE run = (SELECT run FROM audit_batches ORDER BY position LIMIT 1) AND batch = 1",
			"DELETE FROM audit_batches WHERE position = (SELECT min(position) FROM audit_batches)"}, "not those that were sealed"},
		{"a batch in the middle of a run is deleted", []string{
			"DELETE FROM audit_log WHERE run = " + someBatch + " AND batch = 2", "DELETE FROM audit_batches WHERE number = 2"}, "is missing"},
		{"a batch row is edited", []string{"UPDATE audit_batches SET count = count + 1 WHERE position = (SELECT min(position) FROM audit_batches)"}, "does not hold"},
		{"batches change their numbers", []string{"UPDATE audit_batches SET number = 999 WHERE number = 1 AND run = " + someBatch,
			"UPDATE audit_batches SET number = 1 WHERE number = 2 AND run = " + someBatch, "UPDATE audit_batches SET number = 2 WHERE number = 999 AND run = " + someBatch}, "not those that were sealed"},
		{"a manifest is edited", []string{"UPDATE audit_manifests SET secret_key = 'OTHER' WHERE ordinal = 0"}, "list of secrets"},
		{"a manifest loses a line", []string{"DELETE FROM audit_manifests WHERE ordinal = 1"}, "list of secrets"},
		{"all manifests are removed", []string{"DELETE FROM audit_manifests"}, "list of secrets"},
		{"a link is edited", []string{"UPDATE audit_chain SET count = count - 1 WHERE number = 1"}, "edited or forged"},
		{"a link in the middle is deleted", []string{"DELETE FROM audit_chain WHERE number = 2"}, "is missing"},
		{"two links change places", []string{"UPDATE audit_chain SET number = 0 WHERE number = 1", "UPDATE audit_chain SET number = 1 WHERE number = 2",
			"UPDATE audit_chain SET number = 2 WHERE number = 0"}, "edited or forged"},
		{"the tail of the chain is cut off, with what it seals", []string{
			"DELETE FROM audit_log WHERE created_at > (SELECT last_at FROM audit_chain WHERE number = 1)",
			"DELETE FROM audit_batches WHERE created_at > (SELECT last_at FROM audit_chain WHERE number = 1)", "DELETE FROM audit_chain WHERE number > 1"}, "was cut off"},
		{"the end of the chain is made anew, without a batch", []string{"DELETE FROM audit_chain WHERE number > 2",
			"DELETE FROM audit_log WHERE (run, batch) IN (SELECT run, number FROM audit_batches ORDER BY position DESC LIMIT 1)",
			"DELETE FROM audit_batches WHERE position = (SELECT max(position) FROM audit_batches)"}, "seen before"},
		{"everything is wiped", []string{"DELETE FROM audit_log", "DELETE FROM audit_batches", "DELETE FROM audit_manifests", "DELETE FROM audit_chain"}, "was cut off"},
	}
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := sealedTrail(t, engine)
		head := verify(t, kms).Head
		db := database(t, kms)
		for _, table := range trailTables {
			execute(t, db, "CREATE TABLE saved_"+table+" AS SELECT * FROM "+table)
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				restore(t, db, engine)
				for i, changed := range together(t, db, test.statements...) {
					if changed == 0 {
						t.Fatalf("%s changes nothing", test.statements[i])
					}
				}
				seal(t, kms) // whoever did it waits for the server to carry on
				report := verify(t, kms, head)
				if !strings.Contains(strings.Join(report.Problems, "\n"), test.want) {
					t.Errorf("problems: %q, want one with %q", report.Problems, test.want)
				}
			})
		}
		restore(t, db, engine)
		wantIntact(t, kms, head)
	})
}

// trailTables is the audit trail.
var trailTables = []string{"audit_log", "audit_manifests", "audit_batches", "audit_chain"}

// restore puts the trail back as it was saved.
func restore(t *testing.T, db *sql.DB, engine string) {
	t.Helper()
	var statements []string
	for _, table := range trailTables {
		into := table
		if table == "audit_batches" && engine == kmstest.Postgres {
			into += " OVERRIDING SYSTEM VALUE"
		}
		statements = append(statements, "DELETE FROM "+table, "INSERT INTO "+into+" SELECT * FROM saved_"+table)
	}
	together(t, db, statements...)
}

// together runs statements in one transaction and gives how many rows each
// changed.
func together(t *testing.T, db *sql.DB, statements ...string) (changed []int64) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, statement := range statements {
		result, err := tx.Exec(statement)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			t.Fatal(err)
		}
		changed = append(changed, n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestVerifyHoldsUnderLoadFromTwoReplicasThatBothSeal(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		replicas := []*kmstest.Server{kms, kms}
		if engine == kmstest.Postgres {
			replicas[1] = kmstest.New(t, kmstest.Options{Beside: kms})
		}
		project := kms.Project("shop")
		kms.Put(project, "dev", "/", "A", "a", "B", "b")
		var work, sealers sync.WaitGroup
		done := make(chan struct{})
		for _, replica := range replicas {
			for worker := range 8 {
				work.Go(func() {
					client := replica.Admin()
					for n := range 10 {
						if _, err := client.ListSecrets(sdk.ListSecretsOptions{ProjectID: project.ID, Environment: "dev"}); err != nil {
							t.Errorf("list: %v", err)
						}
						if n%5 == 0 {
							replica.Put(project, "dev", "/", fmt.Sprintf("K%d", worker), "v")
						}
						_, _ = replica.WithToken("garbage").ListProjects(context.Background())
					}
				})
			}
			sealers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						if err := log(replica).Seal(context.Background()); err != nil {
							t.Errorf("seal: %v", err)
						}
					}
				}
			})
		}
		work.Wait()
		wantIntact(t, kms) // sealed in part
		close(done)
		sealers.Wait()
		seal(t, kms)
		report := verify(t, kms)
		if len(report.Problems) > 0 || report.Links == 0 || report.Rows < 200 {
			t.Errorf("after the load: %+v", report)
		}
		wantIntact(t, kms, report.Head)
	})
}

// The command that an operator runs, on the database of a server that is down.
func TestTheCommandVerifiesTheTrail(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "kms-server")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/hanzoai/kms/server").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := sealedTrail(t, engine)
		report := verify(t, kms)
		kms.Stop()
		run := func(heads ...string) (string, error) {
			cmd := exec.Command(binary, append([]string{"audit", "verify"}, heads...)...)
			cmd.Env = append(os.Environ(), "ROOT_ENCRYPTION_KEY="+kms.Config.RootKey.Reveal(), "AUTH_SECRET="+kms.Config.AuthSecret.Reveal(),
				"KMS_DATA="+kms.Config.Data, "DB_CONNECTION_URI="+kms.Config.DatabaseURI.Reveal())
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		head := fmt.Sprintf("%d:%s", report.Head.Number, report.Head.Digest)
		if out, err := run(head); err != nil || !strings.Contains(out, "the audit trail is intact") || !strings.Contains(out, head) {
			t.Errorf("verify an intact trail: %v\n%s", err, out)
		}
		if out, err := run("not-a-head"); err == nil || !strings.Contains(out, "NUMBER:DIGEST") {
			t.Errorf("verify with a head that is none: %v\n%s", err, out)
		}
		execute(t, database(t, kms), "UPDATE audit_log SET actor_name = 'somebody else' WHERE event = 'get-secrets'")
		if out, err := run(); err == nil || !strings.Contains(out, "PROBLEM") || !strings.Contains(out, "does not hold") {
			t.Errorf("verify an edited trail: %v\n%s", err, out)
		}
	})
}
