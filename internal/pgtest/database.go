package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable is the environment variable that names a server to use instead of
// a throw-away one: a URI with superuser rights.
const Variable = "KMS_TEST_POSTGRES"

// ThrowAway is the environment variable that says, set to anything, that the
// server named by Variable goes away after the tests: with-postgres sets both.
const ThrowAway = "KMS_TEST_POSTGRES_THROWAWAY"

// patience is how long any one step may take on a machine that is busy with
// other tests; it bounds a hang and asserts nothing.
const patience = 2 * time.Minute

// shared is the one cluster of this process. Nothing stops it: a test process
// has no last moment of its own, so the cluster ends when the process does.
var shared = sync.OnceValues(func() (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	return Start(ctx, Options{})
})

// templateName keeps the name of the unfinished database within the 63 bytes
// that PostgreSQL does not cut off.
var templateName = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// URI is an empty database of this test's own. When the test ends, so do the
// connections to it, and it is dropped, unless it goes away with its server.
func URI(tb testing.TB) string {
	tb.Helper()
	return newDatabase(tb, adminURI(tb), "template0")
}

// Template is a database of this test's own that migrate has already been
// applied to: migrate runs once for each name on a server, and every test gets
// a clone. It must close its connections. The template stays on the server, so
// name (lower-case letters, digits and _, at most 40) has to change whenever
// migrate would make something else: let it hold a hash of the migrations.
func Template(tb testing.TB, name string, migrate func(uri string) error) string {
	tb.Helper()
	if !templateName.MatchString(name) {
		tb.Fatalf("make the template database %q: want up to 40 characters of a-z, 0-9 and _", name)
	}
	admin := adminURI(tb)
	template := "kms_template_" + name
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := makeTemplate(ctx, admin, template, migrate); err != nil {
		tb.Fatalf("make the template database %s: %v", template, err)
	}
	return newDatabase(tb, admin, template)
}

// New is a server of this test's own, to crash and restart. It is stopped when
// the test ends.
func New(tb testing.TB) *Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*patience)
	defer cancel()
	server, err := Start(ctx, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return server
}

// Program is the path of one of PostgreSQL's programs, such as "pg_dump".
func Program(tb testing.TB, name string) string {
	tb.Helper()
	install, err := findOrInstall(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(install.bin, name)
}

func adminURI(tb testing.TB) string {
	tb.Helper()
	if uri := os.Getenv(Variable); uri != "" {
		return uri
	}
	server, err := shared()
	if err != nil {
		tb.Fatalf("start a throw-away PostgreSQL: %v", err)
	}
	return server.URI()
}

func newDatabase(tb testing.TB, admin, template string) string {
	tb.Helper()
	name := "kms_test_" + strings.ToLower(rand.Text())
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := execute(ctx, admin, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		tb.Fatalf("create a database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := execute(ctx, admin, farewell(name)); err != nil {
			tb.Errorf("take the database %s away: %v", name, err)
		}
	})
	uri, err := databaseURI(admin, name)
	if err != nil {
		tb.Fatal(err)
	}
	return uri
}

// farewell is the statement that ends the use of a database. To drop one takes
// a checkpoint, which is most of what a short test takes on a slow disk, so a
// server that goes away as a whole is only rid of the connections.
func farewell(name string) string {
	if os.Getenv(Variable) == "" || os.Getenv(ThrowAway) != "" {
		return "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'"
	}
	return "DROP DATABASE " + name + " WITH (FORCE)"
}

// makeTemplate makes the database unless it exists. Its name is given to it
// last, so a template that exists is complete, whoever died while making it.
func makeTemplate(ctx context.Context, admin, template string, migrate func(uri string) error) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // releases the lock too
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey(template)); err != nil {
		return err
	}
	var exists bool
	row := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", template)
	if err := row.Scan(&exists); err != nil || exists {
		return err
	}
	unfinished := template + "_unfinished"
	if err := run(ctx, conn, "DROP DATABASE IF EXISTS "+unfinished+" WITH (FORCE)", "CREATE DATABASE "+unfinished+" TEMPLATE template0"); err != nil {
		return err
	}
	uri, err := databaseURI(admin, unfinished)
	if err != nil {
		return err
	}
	if err := migrate(uri); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	// A template that nobody can connect to can always be cloned.
	return run(ctx, conn, "ALTER DATABASE "+unfinished+" ALLOW_CONNECTIONS false", "ALTER DATABASE "+unfinished+" RENAME TO "+template)
}

func lockKey(name string) int64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	return int64(hash.Sum64())
}

func execute(ctx context.Context, uri, statement string) error {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return run(ctx, conn, statement)
}

func run(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// databaseURI is admin with another database. The error holds no part of
// admin, which has a password.
func databaseURI(admin, name string) (string, error) {
	uri, err := url.Parse(admin)
	if err != nil || (uri.Scheme != "postgres" && uri.Scheme != "postgresql") {
		return "", fmt.Errorf("%s is not a URI; write postgres://USER:PASSWORD@HOST:PORT/DATABASE", Variable)
	}
	uri.Path = "/" + name
	return uri.String(), nil
}
