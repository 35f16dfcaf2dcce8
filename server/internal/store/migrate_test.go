package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/jackc/pgx/v5"
)

func TestMigrateMakesASchemaOnceHoweverOftenItRuns(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, engine.config(t))
			w := seed(t, s)
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatalf("second Migrate: %v", err)
			}
			got := read(t, s, func(ctx context.Context, tx *store.Tx) (store.Project, error) { return tx.Project(ctx, w.project.ID) })
			diff(t, "project after the second Migrate", got, w.project)
		})
	}
}

func TestMigratedTellsAnEmptyDatabaseAndLeavesItEmpty(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, engine.config(t))
			for range 2 { // the second finds whatever the first had made
				if found, err := s.Migrated(t.Context()); err != nil || found {
					t.Errorf("Migrated on an empty database: %v, %v; want false", found, err)
				}
			}
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if found, err := s.Migrated(t.Context()); err != nil || !found {
				t.Errorf("Migrated after Migrate: %v, %v; want true", found, err)
			}
		})
	}
}

func TestMigratedOnAnEmptyPostgresMakesNoTable(t *testing.T) {
	t.Parallel()
	cfg := emptyPostgres(t)
	if _, err := open(t, cfg).Migrated(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), cfg.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("tables after Migrated: %d, %v; want none", tables, err)
	}
}

func TestEightServersMayStartOnOneEmptyPostgres(t *testing.T) {
	t.Parallel()
	cfg := emptyPostgres(t)
	cfg.MaxConns = 2
	var starts sync.WaitGroup
	for range 8 {
		s := open(t, cfg)
		starts.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Errorf("Migrate: %v", err)
			}
		})
	}
	starts.Wait()
	seed(t, open(t, cfg))
}

func TestASchemaOfANewerReleaseIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetMeta(ctx, "oldest_release", "1000000") })
		err := s.Migrate(t.Context())
		wantError(t, err, api.ErrConflict)
		if err != nil && !strings.Contains(err.Error(), "newer release") {
			t.Errorf("got %q, want it to say that a newer kms-server is needed", err)
		}
	})
}

func TestMetaIsReplaced(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		for _, epoch := range []string{"first", "second"} {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetMeta(ctx, "feed_epoch", epoch) })
			got := read(t, s, func(ctx context.Context, tx *store.Tx) (string, error) { return tx.Meta(ctx, "feed_epoch") })
			diff(t, "feed_epoch", got, epoch)
		}
	})
}
