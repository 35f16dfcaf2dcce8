package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/google/go-cmp/cmp"
)

// engine is one of the two databases that the suite holds to the same answers.
type engine struct {
	name string
	// config is a database of the test's own: empty, or already migrated.
	config   func(testing.TB) store.Config
	migrated func(testing.TB) store.Config
}

var engines = []engine{
	{"postgres", emptyPostgres, migratedPostgres},
	{"sqlite", emptySQLite, emptySQLite},
}

func emptyPostgres(tb testing.TB) store.Config { return store.Config{URI: pgtest.URI(tb)} }

func emptySQLite(tb testing.TB) store.Config { return store.Config{Dir: tb.TempDir()} }

func migratedPostgres(tb testing.TB) store.Config {
	tb.Helper()
	return store.Config{URI: pgtest.Template(tb, "store_"+schemaHash(tb), func(uri string) error {
		s, err := store.Open(tb.Context(), store.Config{URI: uri})
		if err != nil {
			return err
		}
		return errors.Join(s.Migrate(tb.Context()), s.Close())
	})}
}

// schemaHash changes whenever the migrations do: a template of yesterday's
// schema on a server that lives on must not be used.
func schemaHash(tb testing.TB) string {
	tb.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		tb.Fatalf("find the migrations: %v, %v", files, err)
	}
	hash := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// onBoth runs a test on each engine, on a migrated database of its own.
func onBoth(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t, engine.migrated(t)))
		})
	}
}

// onPostgres runs a test of what only PostgreSQL can do: two writers at once.
func onPostgres(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Parallel()
	test(t, newStore(t, migratedPostgres(t)))
}

// newStore opens and migrates a database, and closes it with the test.
func newStore(tb testing.TB, cfg store.Config) *store.Store {
	tb.Helper()
	s := open(tb, cfg)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatalf("Migrate: %v", err)
	}
	return s
}

func open(tb testing.TB, cfg store.Config) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return s
}

// update commits steps in one transaction.
func update(tb testing.TB, s *store.Store, steps ...func(context.Context, *store.Tx) error) {
	tb.Helper()
	if err := try(tb, s, steps...); err != nil {
		tb.Fatalf("Update: %v", err)
	}
}

func try(tb testing.TB, s *store.Store, steps ...func(context.Context, *store.Tx) error) error {
	ctx := tb.Context()
	return s.Update(ctx, func(tx *store.Tx) error {
		for _, step := range steps {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// read is what one query of a View says.
func read[T any](tb testing.TB, s *store.Store, query func(context.Context, *store.Tx) (T, error)) T {
	tb.Helper()
	got, err := tryRead(tb, s, query)
	if err != nil {
		tb.Fatalf("View: %v", err)
	}
	return got
}

func tryRead[T any](tb testing.TB, s *store.Store, query func(context.Context, *store.Tx) (T, error)) (got T, err error) {
	ctx := tb.Context()
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		got, err = query(ctx, tx)
		return err
	})
	return got, err
}

func wantError(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("got error %v, want one of kind %q", err, want)
	}
}

func diff(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(sameBytes)); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// sameBytes tells nil, which is NULL in the database, from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// now is a time in the middle of a day, in microseconds.
const now = 1_790_000_000_000_000

const (
	second = 1_000_000
	day    = 24 * 60 * 60 * second
)

// world is a small organisation: one project with an environment and its root
// folder, one machine identity that logs in, one person.
type world struct {
	organization store.Organization
	project      store.Project
	environment  store.Environment
	root         store.Folder
	identity     store.Identity
	auth         store.UniversalAuth
	user         store.User
}

func newWorld() world {
	var w world
	w.organization = store.Organization{ID: store.NewID(), Name: "Hanzo", Slug: "hanzo", CreatedAt: now, UpdatedAt: now}
	w.project = store.Project{ID: store.NewID(), OrganizationID: w.organization.ID, Name: "Payments", Slug: "payments",
		Description: "cards", DeleteProtection: true, CreatedAt: now, UpdatedAt: now}
	w.environment = store.Environment{ID: store.NewID(), ProjectID: w.project.ID, Name: "Production", Slug: "prod", Position: 3,
		Restricted: true, Revision: 1, CreatedAt: now, UpdatedAt: now, Aliases: []string{"production"}}
	w.root = store.Folder{ID: store.NewID(), EnvironmentID: w.environment.ID, Version: 1, CreatedAt: now, UpdatedAt: now}
	w.identity = store.Identity{ID: store.NewID(), OrganizationID: w.organization.ID, Name: "payments-service",
		DeleteProtection: true, CreatedAt: now, UpdatedAt: now}
	w.auth = store.UniversalAuth{IdentityID: w.identity.ID, ID: store.NewID(), ClientID: store.NewID(), TTL: 7200, MaxTTL: 7200,
		SecretTrustedIPs: []string{"10.0.0.0/8"}, TokenTrustedIPs: []string{}, LockoutEnabled: true, LockoutThreshold: 3,
		LockoutDuration: 300, LockoutCounterReset: 30, CreatedAt: now, UpdatedAt: now}
	w.user = store.User{ID: store.NewID(), Email: "ada@hanzo.ai", FirstName: "Ada", LastName: "Lovelace", SuperAdmin: true, CreatedAt: now, UpdatedAt: now}
	return w
}

// seed stores a new world.
func seed(tb testing.TB, s *store.Store) world {
	tb.Helper()
	w := newWorld()
	update(tb, s, w.store)
	return w
}

func (w world) store(ctx context.Context, tx *store.Tx) error {
	for _, add := range []func() error{
		func() error { return tx.AddOrganization(ctx, w.organization) },
		func() error { return tx.AddProject(ctx, w.project) },
		func() error { return tx.AddEnvironment(ctx, w.environment, w.root.ID) },
		func() error { return tx.AddIdentity(ctx, w.identity) },
		func() error { return tx.SetUniversalAuth(ctx, w.auth) },
		func() error { return tx.AddUser(ctx, w.user) },
	} {
		if err := add(); err != nil {
			return err
		}
	}
	return nil
}

// newSecret is a secret of a folder with its first version.
func newSecret(folderID, key string) store.SecretRow {
	id, versionID := store.NewID(), store.NewID()
	return store.SecretRow{
		Secret: store.Secret{ID: id, FolderID: folderID, Key: key, Version: 1, VersionID: versionID, HeadMAC: []byte("head 1"), CreatedAt: now, UpdatedAt: now},
		Version: store.SecretVersion{ID: versionID, SecretID: id, Version: 1, Key: key, Value: []byte("sealed 1"),
			ActorType: store.ActorIdentity, ActorID: "identity", ActorName: "payments-service", CreatedAt: now},
	}
}

// next is the following version of a secret.
func next(r store.SecretRow) store.SecretRow {
	r.Secret.Version++
	r.Secret.VersionID = store.NewID()
	r.Secret.UpdatedAt += second
	r.Version.ID, r.Version.Version, r.Version.Key = r.Secret.VersionID, r.Secret.Version, r.Secret.Key
	r.Version.CreatedAt += second
	return r
}
