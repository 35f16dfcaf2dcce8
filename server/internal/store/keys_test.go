package store_test

import (
	"context"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

func key(scope string, version int64) store.Key {
	return store.Key{Purpose: "data", Scope: scope, Version: version, RootID: "root1", Wrapped: []byte{0, 255, byte(version)}, CreatedAt: now}
}

func addKeys(keys ...store.Key) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		for _, k := range keys {
			if err := tx.AddKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	}
}

func keysOf(scope string) func(context.Context, *store.Tx) ([]store.Key, error) {
	return func(ctx context.Context, tx *store.Tx) ([]store.Key, error) { return tx.Keys(ctx, "data", scope) }
}

func TestRootKeysAreRememberedOnceAndInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		old, fresh := store.RootKey{ID: "z", CheckValue: []byte{1, 0}}, store.RootKey{ID: "a", CheckValue: []byte{2, 0}}
		update(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.AddRootKey(ctx, old, now) },
			func(ctx context.Context, tx *store.Tx) error { return tx.AddRootKey(ctx, fresh, now+1) },
			func(ctx context.Context, tx *store.Tx) error {
				return tx.AddRootKey(ctx, store.RootKey{ID: "z", CheckValue: []byte("other")}, now+2)
			})
		rootKeys := func(ctx context.Context, tx *store.Tx) ([]store.RootKey, error) { return tx.RootKeys(ctx) }
		diff(t, "root keys", read(t, s, rootKeys), []store.RootKey{old, fresh})
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRootKey(ctx, "z") })
		diff(t, "root keys after one is forgotten", read(t, s, rootKeys), []store.RootKey{fresh})
	})
}

func TestKeysAreListedNewestFirstForTheirScope(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		update(t, s, addKeys(key("p", 1), key("p", 10), key("p", 2), key("q", 1), key("", 1)))
		diff(t, "keys of p", read(t, s, keysOf("p")), []store.Key{key("p", 10), key("p", 2), key("p", 1)})
		diff(t, "all keys", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Key, error) { return tx.AllKeys(ctx) }),
			[]store.Key{key("", 1), key("p", 1), key("p", 2), key("p", 10), key("q", 1)})
	})
}

func TestOneOfManyServersMakesTheFirstKey(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		made := race(20, func() bool {
			err := try(t, s, addKeys(key("p", 1)))
			if err != nil {
				wantError(t, err, api.ErrExists)
			}
			return err == nil
		})
		diff(t, "servers that made it", made, 1)
	})
}

// A server that loses the race for a key reads the winner's in the same
// transaction, so AddKey must leave the transaction usable.
func TestATakenKeyVersionDoesNotEndTheTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		update(t, s, addKeys(key("p", 1)))
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			wantError(t, tx.AddKey(ctx, key("p", 1)), api.ErrExists)
			return tx.AddKey(ctx, key("p", 2))
		})
		diff(t, "keys", len(read(t, s, keysOf("p"))), 2)
	})
}

func TestRewrapReplacesOnlyWhatTheOldRootWrapped(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		update(t, s, addKeys(key("p", 1), key("p", 2)))
		wrapped := key("p", 1)
		wrapped.RootID, wrapped.Wrapped = "root2", []byte("by root2")
		rewrap := func(k store.Key, oldRoot string) error {
			return try(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Rewrap(ctx, k, oldRoot) })
		}
		if err := rewrap(wrapped, "root1"); err != nil {
			t.Fatal(err)
		}
		late := wrapped
		late.RootID, late.Wrapped = "root3", []byte("by a server that is late")
		wantError(t, rewrap(late, "root1"), api.ErrNotFound)
		diff(t, "keys", read(t, s, keysOf("p")), []store.Key{key("p", 2), wrapped})
	})
}

func TestSealsAreReservedUpToTheLimitHoweverManyServersAsk(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		update(t, s, addKeys(key("p", 1), key("p", 2)))
		reserve := func(block, limit int64) (got bool) {
			if err := try(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				got, err = tx.ReserveSeals(ctx, "data", "p", 1, block, limit)
				return err
			}); err != nil {
				t.Errorf("ReserveSeals: %v", err)
			}
			return got
		}
		diff(t, "blocks of 100 in an allowance of 450", race(20, func() bool { return reserve(100, 450) }), 4)
		diff(t, "a block of exactly the rest", reserve(50, 450), true)
		diff(t, "one more", reserve(1, 450), false)
		got := read(t, s, keysOf("p"))
		diff(t, "seals of version 1", got[1].Seals, int64(450))
		diff(t, "seals of version 2", got[0].Seals, int64(0))
	})
}
