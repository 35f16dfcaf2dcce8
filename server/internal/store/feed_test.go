package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hanzoai/kms/server/internal/store"
)

func follow(tb testing.TB, s *store.Store) *store.Feed {
	tb.Helper()
	feed, err := s.Follow(tb.Context())
	if err != nil {
		tb.Fatalf("Follow: %v", err)
	}
	return feed
}

func readFeed(tb testing.TB, feed *store.Feed) []store.Change {
	tb.Helper()
	changes, err := feed.Read(tb.Context())
	if err != nil {
		tb.Fatalf("Read: %v", err)
	}
	return changes
}

func kinds(changes []store.Change) (kinds []string) {
	for _, c := range changes {
		kinds = append(kinds, c.Kind)
	}
	return kinds
}

func entities(changes []store.Change) (entities []string) {
	for _, c := range changes {
		entities = append(entities, c.Kind+" "+c.EntityID)
	}
	return entities
}

// tell is a change of an entity that is known by a name of the test's.
func tell(entity string) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		return tx.Changed(ctx, store.Change{Kind: store.KindFolder, EntityID: entity, EnvironmentID: "environment", Revision: 7, CreatedAt: now})
	}
}

func told(tb testing.TB, feed *store.Feed) (names []string) {
	tb.Helper()
	for _, c := range readFeed(tb, feed) {
		names = append(names, c.EntityID)
	}
	return names
}

func TestAFeedTellsEachChangeOnceAndInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		update(t, s, tell("past"))
		feed := follow(t, s)
		diff(t, "a fresh feed", told(t, feed), []string(nil))
		update(t, s, tell("a"), tell("b"))
		update(t, s, tell("c"))
		got := readFeed(t, feed)
		diff(t, "entities", entities(got), []string{"folder a", "folder b", "folder c"})
		want := got[0]
		want.Kind, want.EntityID, want.EnvironmentID, want.Revision, want.CreatedAt = "folder", "a", "environment", 7, now
		diff(t, "change", got[0], want)
		diff(t, "read again", told(t, feed), []string(nil))
		update(t, s, tell("d"))
		diff(t, "the next change", told(t, feed), []string{"d"})
		diff(t, "a feed made later", told(t, follow(t, s)), []string(nil))
	})
}

func TestTwoFeedsDoNotTakeChangesFromEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		one, other := follow(t, s), follow(t, s)
		update(t, s, tell("a"))
		diff(t, "one", told(t, one), []string{"a"})
		update(t, s, tell("b"))
		diff(t, "one", told(t, one), []string{"b"})
		diff(t, "other", told(t, other), []string{"a", "b"})
	})
}

func TestAFeedMayBeReadInATransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		feed := follow(t, s)
		readIn := func(ctx context.Context, tx *store.Tx) ([]string, error) {
			changes, err := feed.ReadIn(ctx, tx)
			return entities(changes), err
		}
		update(t, s, tell("a"))
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			got, err := readIn(ctx, tx)
			diff(t, "in an Update", got, []string{"folder a"})
			return err
		}, tell("b"))
		diff(t, "after it", told(t, feed), []string{"b"})
		diff(t, "in a View", read(t, s, func(ctx context.Context, tx *store.Tx) ([]string, error) {
			if _, err := slugs(ctx, tx); err != nil { // it sees what is committed by now
				return nil, err
			}
			update(t, s, tell("c"))
			update(t, s, tell("d"))
			diff(t, "beside the View", told(t, feed), []string{"c", "d"})
			return readIn(ctx, tx)
		}), []string(nil))
		update(t, s, tell("e"))
		diff(t, "after the View", told(t, feed), []string{"e"})
	})
}

// openUpdate starts a transaction that makes its changes and then waits for
// commit to be called.
func openUpdate(t *testing.T, s *store.Store, steps ...func(context.Context, *store.Tx) error) (commit func()) {
	t.Helper()
	made, hold, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	steps = append(steps, func(context.Context, *store.Tx) error {
		close(made)
		<-hold
		return nil
	})
	go func() { done <- try(t, s, steps...) }()
	select {
	case <-made:
	case err := <-done:
		t.Fatalf("Update: %v", err)
	}
	commit = sync.OnceFunc(func() {
		close(hold)
		if err := <-done; err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	t.Cleanup(commit)
	return commit
}

func TestAFeedLosesNothingThatCommitsLate(t *testing.T) {
	onPostgres(t, func(t *testing.T, s *store.Store) {
		update(t, s, tell("past"))
		commitOldest := openUpdate(t, s, tell("open before the feed"))
		update(t, s, tell("committed while the oldest runs, before the feed"))
		feed := follow(t, s)
		diff(t, "a fresh feed", told(t, feed), []string(nil))

		commitLate := openUpdate(t, s, tell("late 1"), tell("late 2"))
		update(t, s, tell("early"))
		diff(t, "while the late ones are open", told(t, feed), []string{"early"})
		diff(t, "again", told(t, feed), []string(nil))
		commitLate()
		diff(t, "after they committed", told(t, feed), []string{"late 1", "late 2"})
		update(t, s, tell("after"))
		commitOldest()
		diff(t, "after the oldest committed", told(t, feed), []string{"open before the feed", "after"})
		diff(t, "at the end", told(t, feed), []string(nil))
	})
}

func TestAFeedTellsAllOfEightWritersOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		feed := follow(t, s)
		const writers, transactions = 8, 25
		var running sync.WaitGroup
		var want []string
		for writer := range writers {
			for n := range transactions {
				want = append(want, fmt.Sprintf("%d.%02d.0", writer, n), fmt.Sprintf("%d.%02d.1", writer, n))
			}
			running.Go(func() {
				for n := range transactions {
					if err := try(t, s, tell(fmt.Sprintf("%d.%02d.0", writer, n)), tell(fmt.Sprintf("%d.%02d.1", writer, n))); err != nil {
						t.Errorf("Update: %v", err)
					}
				}
			})
		}
		finished := make(chan struct{})
		go func() { running.Wait(); close(finished) }()
		var got []string
		for open := true; open; {
			select {
			case <-finished:
				open = false // all is committed: one more read tells the rest
			default:
			}
			got = append(got, told(t, feed)...)
		}
		for writer := range writers {
			of := slices.DeleteFunc(slices.Clone(got), func(name string) bool { return name[0] != byte('0'+writer) })
			if !slices.IsSorted(of) {
				t.Errorf("the changes of writer %d are told in the order %v", writer, of)
			}
		}
		slices.Sort(got)
		diff(t, "changes", got, want)
	})
}

func TestAFeedMayBeReadByManyAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		feed := follow(t, s)
		const changes = 20
		var mu sync.Mutex
		var got []string // guarded by mu
		var readers sync.WaitGroup
		for n := range changes {
			update(t, s, tell(fmt.Sprintf("%02d", n)))
			readers.Go(func() {
				changes, err := feed.Read(t.Context())
				if err != nil {
					t.Errorf("Read: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, c := range changes {
					got = append(got, c.EntityID)
				}
			})
		}
		readers.Wait()
		diff(t, "changes that any reader was told", len(got), changes)
		slices.Sort(got)
		diff(t, "different ones", len(slices.Compact(got)), changes)
	})
}

func TestDropFeedDeletesOldChangesInBites(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		feed := follow(t, s)
		at := func(entity string, createdAt int64) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				return tx.Changed(ctx, store.Change{Kind: store.KindFolder, EntityID: entity, CreatedAt: createdAt})
			}
		}
		update(t, s, at("old 1", now-2), at("old 2", now-2), at("old 3", now-1), at("young", now))
		for i, want := range []bool{true, false} {
			var more bool
			update(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				more, err = tx.DropFeed(ctx, now, 2)
				return err
			})
			diff(t, fmt.Sprintf("bite %d says there may be more", i+1), more, want)
		}
		diff(t, "what is left", told(t, feed), []string{"young"})
		update(t, s, at("younger", now), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.DropFeed(ctx, now+1, 10)
			return err
		})
		// Positions are not used again when the newest rows are gone.
		update(t, s, at("youngest", now+1))
		diff(t, "the next change", told(t, feed), []string{"youngest"})
	})
}

func TestAnOldFeedFollowsAnEmptiedTable(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		drop := func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.DropFeed(ctx, now+1, 100)
			return err
		}
		update(t, s, tell("a"))
		feed := follow(t, s)
		update(t, s, drop)
		diff(t, "after the table is emptied", told(t, feed), []string(nil))
		late := follow(t, s)
		update(t, s, tell("b"))
		diff(t, "the old feed", told(t, feed), []string{"b"})
		diff(t, "a feed made on the empty table", told(t, late), []string{"b"})
	})
}
