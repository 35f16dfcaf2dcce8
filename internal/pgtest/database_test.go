package pgtest_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/jackc/pgx/v5"
)

func TestEveryTestHasAnEmptyDatabaseOfItsOwn(t *testing.T) {
	first, second := connect(t, pgtest.URI(t)), connect(t, pgtest.URI(t))
	exec1(t, first, "CREATE TABLE mine (n int)")
	const tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
	if n := query[int](t, first, tables); n != 1 {
		t.Errorf("the first database has %d tables, want 1", n)
	}
	if n := query[int](t, second, tables); n != 0 {
		t.Errorf("the second database has %d tables, want 0", n)
	}
}

func TestWhoeverIsConnectedAtTheEndOfATestIsCutOffAndTheDatabaseDropped(t *testing.T) {
	for _, test := range []struct {
		name      string
		throwAway string
		left      int
	}{
		{"on a server that stays", "", 0},
		{"on a server that goes away itself", "yes", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			admin := connect(t, sharedServer(t).URI())
			t.Setenv(pgtest.ThrowAway, test.throwAway)
			var held *pgx.Conn
			t.Run("test", func(t *testing.T) {
				var err error
				if held, err = pgx.Connect(context.Background(), pgtest.URI(t)); err != nil {
					t.Fatal(err)
				}
			})
			if err := held.Ping(t.Context()); err == nil {
				t.Error("the connection outlived its test")
			}
			name := held.Config().Database
			if n := query[int](t, admin, "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); n != test.left {
				t.Errorf("%d databases %s are left, want %d", n, name, test.left)
			}
		})
	}
}

func TestNamedServerIsUsed(t *testing.T) {
	want, err := url.Parse(sharedServer(t).URI())
	if err != nil {
		t.Fatal(err)
	}
	got, err := url.Parse(pgtest.URI(t))
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != want.Host {
		t.Errorf("the database is on %s, want %s", got.Host, want.Host)
	}
}

const (
	traceVariable    = "PGTEST_TRACE"
	templateVariable = "PGTEST_TEMPLATE"
)

// newTemplateName is one that no server has, however long it has been running.
func newTemplateName() string { return "numbers_" + strings.ToLower(rand.Text()) }

// TestTemplateIsClonedByManyTestsAtOnce also runs in several processes, for
// TestTemplateIsMadeOnceForAllProcesses.
func TestTemplateIsClonedByManyTestsAtOnce(t *testing.T) {
	name := cmp.Or(os.Getenv(templateVariable), newTemplateName())
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.Template(t, name, migrateNumbers))
			exec1(t, conn, "INSERT INTO numbers VALUES (2)")
			if sum := query[int](t, conn, "SELECT sum(n) FROM numbers"); sum != 3 {
				t.Errorf("the numbers add up to %d, want 3: another test's rows are here, or the template's are not", sum)
			}
		})
	}
}

func migrateNumbers(uri string) error {
	if name := os.Getenv(traceVariable); name != "" {
		trace, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer trace.Close()
		if _, err := trace.WriteString("migrated\n"); err != nil {
			return err
		}
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (1)")
	return err
}

func TestTemplateIsMadeOnceForAllProcesses(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	sharedServer(t)
	env := append(os.Environ(), traceVariable+"="+trace, templateVariable+"="+newTemplateName())
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			child := exec.Command(os.Args[0], "-test.run=^TestTemplateIsClonedByManyTestsAtOnce$")
			child.Env = env
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	group.Wait()
	got, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "migrated\n" {
		t.Errorf("migrate ran %d times, want once", strings.Count(string(got), "migrated"))
	}
}

func TestHalfMadeTemplateIsMadeAgain(t *testing.T) {
	admin := connect(t, sharedServer(t).URI())
	name := newTemplateName()
	// As left by a process that died in the middle of migrate.
	exec1(t, admin, "CREATE DATABASE kms_template_"+name+"_unfinished")
	conn := connect(t, pgtest.Template(t, name, migrateNumbers))
	if sum := query[int](t, conn, "SELECT sum(n) FROM numbers"); sum != 1 {
		t.Errorf("the numbers add up to %d, want 1", sum)
	}
}

func TestProgramOfTheInstallationRuns(t *testing.T) {
	out, err := exec.Command(pgtest.Program(t, "postgres"), "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "postgres") {
		t.Errorf("postgres --version = %q, %v", out, err)
	}
}
