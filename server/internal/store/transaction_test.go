package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/jackc/pgx/v5/pgconn"
)

func organization(slug string) store.Organization {
	return store.Organization{ID: store.NewID(), Name: slug, Slug: slug, CreatedAt: now, UpdatedAt: now}
}

func slugs(ctx context.Context, tx *store.Tx) ([]string, error) {
	all, err := tx.Organizations(ctx)
	var slugs []string
	for _, o := range all {
		slugs = append(slugs, o.Slug)
	}
	return slugs, err
}

func TestAViewIsOneSnapshot(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		err := s.View(t.Context(), func(tx *store.Tx) error {
			before, err := slugs(t.Context(), tx)
			if err != nil {
				return err
			}
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddOrganization(ctx, organization("later")) })
			after, err := slugs(t.Context(), tx)
			diff(t, "organisations in the View after a commit beside it", after, before)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "organisations in the next View", read(t, s, slugs), []string{"later"})
	})
}

func TestAViewCannotWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		err := s.View(t.Context(), func(tx *store.Tx) error { return tx.AddOrganization(t.Context(), organization("hanzo")) })
		if err == nil {
			t.Error("a write in a View did not fail")
		}
		if got := read(t, s, slugs); got != nil {
			t.Errorf("organisations after it: %v, want none", got)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddOrganization(ctx, organization("hanzo")) })
	})
}

func TestAnUpdateThatFailsLeavesNothing(t *testing.T) {
	broken := errors.New("second thoughts")
	tests := map[string]func() error{
		"it returns an error": func() error { return broken },
		"it panics":           func() error { panic(broken) },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *store.Store) {
				feed := follow(t, s)
				w := newWorld()
				if got := recovered(func() error { return try(t, s, w.store, func(context.Context, *store.Tx) error { return end() }) }); !errors.Is(got, broken) {
					t.Errorf("Update: %v, want %v", got, broken)
				}
				if got := read(t, s, slugs); got != nil {
					t.Errorf("organisations: %v, want none", got)
				}
				if got := readFeed(t, feed); got != nil {
					t.Errorf("feed: %v, want nothing", got)
				}
				update(t, s, w.store) // the connection is not stuck in the transaction
			})
		})
	}
}

func recovered(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = p.(error)
		}
	}()
	return do()
}

func TestACancelledCallIsNotAnOutage(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := map[string]func() error{
			"Update": func() error {
				return s.Update(ctx, func(tx *store.Tx) error {
					cancel()
					return tx.AddOrganization(ctx, organization("hanzo"))
				})
			},
			"View": func() error { return s.View(ctx, func(*store.Tx) error { return nil }) },
			"AppendAudit": func() error {
				return s.AppendAudit(ctx, store.AuditBatch{Run: "run", MAC: []byte("mac"), CreatedAt: now}, nil, nil)
			},
		}
		for _, name := range []string{"Update", "View", "AppendAudit"} {
			err := calls[name]()
			wantError(t, err, context.Canceled)
			if errors.Is(err, api.ErrUnavailable) {
				t.Errorf("%s: got %v, want it not to be called an outage", name, err)
			}
		}
		if got := read(t, s, slugs); got != nil {
			t.Errorf("organisations: %v, want none", got)
		}
	})
}

func TestADeadlockEndsWellForBothWriters(t *testing.T) {
	onPostgres(t, func(t *testing.T, s *store.Store) {
		a, b := organization("a"), organization("b")
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.AddOrganization(ctx, a), tx.AddOrganization(ctx, b))
		})
		var writers sync.WaitGroup
		var bothHoldOne sync.WaitGroup
		bothHoldOne.Add(2)
		write := func(first, second store.Organization, slug string) {
			var once sync.Once
			if err := try(t, s,
				func(ctx context.Context, tx *store.Tx) error { return tx.LockOrganization(ctx, first.ID) },
				func(context.Context, *store.Tx) error {
					once.Do(bothHoldOne.Done)
					bothHoldOne.Wait()
					return nil
				},
				func(ctx context.Context, tx *store.Tx) error { return tx.LockOrganization(ctx, second.ID) },
				func(ctx context.Context, tx *store.Tx) error { return tx.AddOrganization(ctx, organization(slug)) },
			); err != nil {
				t.Errorf("Update: %v", err)
			}
		}
		writers.Go(func() { write(a, b, "from-a-to-b") })
		writers.Go(func() { write(b, a, "from-b-to-a") })
		writers.Wait()
		diff(t, "organisations", read(t, s, slugs), []string{"a", "b", "from-a-to-b", "from-b-to-a"})
	})
}

func TestATransactionThatAlwaysLosesIsGivenUp(t *testing.T) {
	onPostgres(t, func(t *testing.T, s *store.Store) {
		lost := &pgconn.PgError{Code: "40001", Message: "could not serialize access"}
		runs := 0
		err := s.Update(t.Context(), func(*store.Tx) error {
			runs++
			return lost
		})
		wantError(t, err, lost)
		diff(t, "runs", runs, 5)
	})
}

func TestWritersOfTheSameEnvironmentsNeverLoseARace(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		other := store.Environment{ID: store.NewID(), ProjectID: w.project.ID, Name: "Staging", Slug: "staging", Revision: 1, CreatedAt: now, UpdatedAt: now}
		otherRoot := store.NewID()
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddEnvironment(ctx, other, otherRoot) })
		const writers, rounds = 4, 10
		var runs atomic.Int64
		var all sync.WaitGroup
		for i := range writers {
			ids := []string{w.environment.ID, other.ID, w.environment.ID}
			if i%2 == 0 {
				ids = []string{other.ID, w.environment.ID}
			}
			all.Go(func() {
				for range rounds {
					if err := try(t, s,
						func(ctx context.Context, tx *store.Tx) error { runs.Add(1); return tx.LockEnvironments(ctx, ids...) },
						func(ctx context.Context, tx *store.Tx) error {
							return tx.FolderChanged(ctx, ids[0], rootOf(ids[0], w, otherRoot), now)
						},
						func(ctx context.Context, tx *store.Tx) error {
							return tx.FolderChanged(ctx, ids[1], rootOf(ids[1], w, otherRoot), now)
						},
					); err != nil {
						t.Errorf("Update: %v", err)
					}
				}
			})
		}
		all.Wait()
		diff(t, "runs", runs.Load(), int64(writers*rounds))
		for _, environment := range environments(t, s, w.project.ID) {
			diff(t, "revision of "+environment.Slug, environment.Revision, int64(1+writers*rounds))
		}
	})
}

func rootOf(environmentID string, w world, otherRoot string) string {
	if environmentID == w.environment.ID {
		return w.root.ID
	}
	return otherRoot
}

func TestANamedLockHasOneHolder(t *testing.T) {
	t.Parallel()
	cfg := migratedPostgres(t)
	mine, theirs := open(t, cfg), open(t, cfg)
	none := func(context.Context) error { return nil }
	broken := errors.New("the work failed")
	got, err := mine.TryLock(t.Context(), "seal", func(ctx context.Context) error {
		if got, err := theirs.TryLock(ctx, "seal", none); got || err != nil {
			t.Errorf("another replica's TryLock of a lock that is held: %v, %v; want false", got, err)
		}
		if got, err := theirs.TryLock(ctx, "sweep", none); !got || err != nil {
			t.Errorf("another replica's TryLock of another lock: %v, %v; want true", got, err)
		}
		return broken
	})
	if !got || !errors.Is(err, broken) {
		t.Errorf("TryLock: %v, %v; want true, %v", got, err, broken)
	}
	if got, err := theirs.TryLock(t.Context(), "seal", none); !got || err != nil {
		t.Errorf("TryLock after it was let go: %v, %v; want true", got, err)
	}
}
