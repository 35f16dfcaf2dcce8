package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/google/go-cmp/cmp"
)

func clientSecret(w world, lookup string, usesLimit int64) store.ClientSecret {
	return store.ClientSecret{ID: store.NewID(), IdentityID: w.identity.ID, Lookup: []byte(lookup), Prefix: "st.abcde", Description: "ci",
		UsesLimit: usesLimit, TTL: 3600, CreatedAt: now, UpdatedAt: now}
}

// race calls do from many goroutines at once and counts the true answers.
func race(goroutines int, do func() bool) int {
	var yes atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for range goroutines {
		all.Go(func() {
			<-start
			if do() {
				yes.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	return int(yes.Load())
}

func TestAClientSecretIsFoundByItsHashAndInItsList(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		first, second := clientSecret(w, "first\x00\xff", 5), clientSecret(w, "second", 0)
		second.CreatedAt++
		update(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.AddClientSecret(ctx, second) },
			func(ctx context.Context, tx *store.Tx) error { return tx.AddClientSecret(ctx, first) })
		diff(t, "by lookup", read(t, s, func(ctx context.Context, tx *store.Tx) (store.ClientSecret, error) {
			return tx.ClientSecretByLookup(ctx, first.Lookup)
		}), first)
		diff(t, "list", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.ClientSecret, error) {
			return tx.ClientSecrets(ctx, w.identity.ID)
		}), []store.ClientSecret{first, second})
	})
}

func TestOfFiftyLoginsAsManySucceedAsTheClientSecretAllows(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		const limit = 7
		secret := clientSecret(w, "secret", limit)
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddClientSecret(ctx, secret) })
		allowed := race(50, func() (allowed bool) {
			if err := try(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				allowed, err = tx.UseClientSecret(ctx, secret.ID, now+second)
				return err
			}); err != nil {
				t.Errorf("UseClientSecret: %v", err)
			}
			return allowed
		})
		diff(t, "logins that were allowed", allowed, limit)
		secret.Uses, secret.LastUsedAt = limit, now+second
		got := read(t, s, func(ctx context.Context, tx *store.Tx) (store.ClientSecret, error) {
			return tx.ClientSecret(ctx, secret.ID)
		})
		diff(t, "client secret", got, secret)
	})
}

func TestAClientSecretCountsItsLoginsUntilItIsRevoked(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		secret := clientSecret(w, "secret", 0)
		use := func() (allowed bool) {
			update(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				allowed, err = tx.UseClientSecret(ctx, secret.ID, now+1)
				return err
			})
			return allowed
		}
		update(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.AddClientSecret(ctx, secret) },
			func(ctx context.Context, tx *store.Tx) error { return tx.CountLogins(ctx, secret.ID, 41, now) })
		diff(t, "a use without a limit is allowed", use(), true)
		feed := follow(t, s)
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeClientSecret(ctx, secret.ID, now+2) })
		diff(t, "a use of a revoked one is allowed", use(), false)
		diff(t, "what the feed tells", entities(readFeed(t, feed)), []string{"client_secret " + secret.ID})
		secret.Uses, secret.LastUsedAt, secret.Revoked, secret.UpdatedAt = 42, now+1, true, now+2
		got := read(t, s, func(ctx context.Context, tx *store.Tx) (store.ClientSecret, error) {
			return tx.ClientSecret(ctx, secret.ID)
		})
		diff(t, "client secret", got, secret)
	})
}

func TestRegeneratingEndsOnlyTheClientSecretsThatWouldLiveLonger(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		const end = now + 100
		ends := map[string]int64{"never": 0, "later": end + 1, "sooner": end - 1, "new": 0, "revoked": 0}
		want := map[string]int64{"never": end, "later": end, "sooner": end - 1, "new": 0, "revoked": 0}
		var newID string
		for name, expiresAt := range ends {
			secret := clientSecret(w, name, 0)
			secret.Description, secret.ExpiresAt, secret.Revoked = name, expiresAt, name == "revoked"
			if name == "new" {
				newID = secret.ID
			}
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddClientSecret(ctx, secret) })
		}
		feed := follow(t, s)
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.LimitClientSecrets(ctx, w.identity.ID, newID, end, now)
		})
		got := map[string]int64{}
		for _, secret := range read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.ClientSecret, error) {
			return tx.ClientSecrets(ctx, w.identity.ID)
		}) {
			got[secret.Description] = secret.ExpiresAt
		}
		diff(t, "ends", got, want)
		diff(t, "changes that the feed tells", len(readFeed(t, feed)), 2)
	})
}

func TestAnOpaqueTokenIsGoodUntilItIsDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		token := store.OpaqueToken{ID: store.NewID(), IdentityID: w.identity.ID, Lookup: []byte{0, 1, 255}, Prefix: "st.abcde", CreatedAt: now}
		byLookup := func(ctx context.Context, tx *store.Tx) (store.OpaqueToken, error) {
			return tx.OpaqueToken(ctx, token.Lookup)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddOpaqueToken(ctx, token) })
		diff(t, "token", read(t, s, byLookup), token)
		feed := follow(t, s)
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOpaqueToken(ctx, token.ID, now) })
		_, err := tryRead(t, s, byLookup)
		wantError(t, err, api.ErrNotFound)
		diff(t, "what the feed tells", entities(readFeed(t, feed)), []string{"token " + token.ID})
	})
}

func TestARevokedTokenIsRememberedUntilItExpires(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		revoke := func(id string, expiresAt int64) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error { return tx.RevokeToken(ctx, id, expiresAt, now) }
		}
		update(t, s, revoke("short", now+1), revoke("long", now+2), revoke("long", now+2)) // twice is once
		revoked := func(id string) bool {
			return read(t, s, func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.RevokedToken(ctx, id) })
		}
		diff(t, "long is revoked", revoked("long"), true)
		diff(t, "another is revoked", revoked("another"), false)
		live := read(t, s, func(ctx context.Context, tx *store.Tx) ([]string, error) { return tx.RevokedTokens(ctx, now+1) })
		diff(t, "revoked tokens that have not expired", live, []string{"long"})

		dropExpired(t, s, now+1, 10)
		diff(t, "short is remembered", revoked("short"), false)
		diff(t, "long is remembered", revoked("long"), true)
	})
}

func dropExpired(t *testing.T, s *store.Store, at, limit int64) (more bool) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		more, err = tx.DropExpiredTokens(ctx, at, limit)
		return err
	})
	return more
}

func TestOfFiftyRequestsAsManySucceedAsTheTokenAllows(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		const limit = 9
		use := func() (allowed bool) {
			if err := try(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				allowed, err = tx.UseToken(ctx, "token", limit, now+second)
				return err
			}); err != nil {
				t.Errorf("UseToken: %v", err)
			}
			return allowed
		}
		diff(t, "requests that were allowed", race(50, use), limit)
		dropExpired(t, s, now+second-1, 10)
		diff(t, "one more while it is valid", use(), false)
		dropExpired(t, s, now+second, 10)
		diff(t, "its uses are forgotten after its end", use(), true)
	})
}

func TestExpiredTokensAreDroppedInBites(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		for _, id := range []string{"a", "b", "c"} {
			update(t, s,
				func(ctx context.Context, tx *store.Tx) error { return tx.RevokeToken(ctx, id, now, now) },
				func(ctx context.Context, tx *store.Tx) error { _, err := tx.UseToken(ctx, id, 1, now); return err })
		}
		var more []bool
		for range 3 {
			more = append(more, dropExpired(t, s, now, 2))
		}
		if d := cmp.Diff([]bool{true, false, false}, more); d != "" {
			t.Errorf("whether there may be more (-want +got):\n%s", d)
		}
	})
}
