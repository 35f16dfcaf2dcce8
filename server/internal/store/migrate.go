package store

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/hanzoai/kms/api"
)

//go:embed migrations/*.sql
var migrations embed.FS

// release is what this program knows of the schema: migrations raise it, and a
// schema names the oldest release that may still start on it.
const release = 1

// Migrate brings the schema up to date: the migrations that are not applied
// yet, in the order of their names, each in a transaction. Any number of
// servers may start at once: each migration takes a lock and looks again.
func (s *Store) Migrate(ctx context.Context) error {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	for _, entry := range entries {
		if err := s.migrate(ctx, entry.Name()); err != nil {
			return fmt.Errorf("migration %s: %w", entry.Name(), err)
		}
	}
	return s.checkRelease(ctx)
}

func (s *Store) migrate(ctx context.Context, name string) error {
	text, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return err
	}
	var sql strings.Builder
	if err := template.Must(template.New(name).Parse(string(text))).Execute(&sql, s.engine.dialect()); err != nil {
		return err
	}
	return s.Update(ctx, func(tx *Tx) error {
		if tx.dialect.Postgres {
			if _, err := tx.exec(ctx, "lock", "SELECT pg_advisory_xact_lock($1)", lockID("migrate")); err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, "make the table of migrations",
			"CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"); err != nil {
			return err
		}
		applied, err := list(ctx, tx, "read the migrations", scanText, "SELECT name FROM schema_migrations WHERE name = $1", name)
		if err != nil || len(applied) > 0 {
			return err
		}
		if _, err := tx.exec(ctx, "apply", sql.String()); err != nil {
			return err
		}
		_, err = tx.exec(ctx, "record", "INSERT INTO schema_migrations (name, applied_at) VALUES ($1, $2)", name, micros(time.Now()))
		return err
	})
}

// checkRelease refuses a schema that a newer release has moved past this one.
func (s *Store) checkRelease(ctx context.Context) error {
	return s.View(ctx, func(tx *Tx) error {
		oldest, err := tx.Meta(ctx, "oldest_release")
		if err != nil {
			return err
		}
		var number int
		if _, err := fmt.Sscan(oldest, &number); err != nil || number > release {
			return api.Errorf(api.ErrConflict, "the database belongs to a newer release: it needs release %s, this is %d: run the newer kms-server", oldest, release)
		}
		return nil
	})
}

// Migrated reports whether the schema has been made at all: false for an
// empty database. It changes nothing.
func (s *Store) Migrated(ctx context.Context) (found bool, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		sql := "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'"
		if tx.dialect.Postgres {
			sql = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('schema_migrations')"
		}
		count, err := one(ctx, tx, "look for the schema", scanInt, sql)
		found = count > 0
		return err
	})
	return found, err
}

// Meta is a fact about the database as a whole.
func (tx *Tx) Meta(ctx context.Context, name string) (string, error) {
	return one(ctx, tx, "read "+name, scanText, "SELECT value FROM meta WHERE name = $1", name)
}

// SetMeta stores a fact about the database as a whole.
func (tx *Tx) SetMeta(ctx context.Context, name, value string) error {
	_, err := tx.exec(ctx, "store "+name,
		"INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// SchemaHash names the schema that Migrate makes: it changes with every
// migration.
func SchemaHash() (string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, entry := range entries {
		text, err := migrations.ReadFile("migrations/" + entry.Name())
		if err != nil {
			return "", err
		}
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}
