package store_test

import (
	"context"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

func TestOrganizationsAreListedBySlug(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		for _, slug := range []string{"zoo", "lux", "9lives", "hanzo"} {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddOrganization(ctx, organization(slug)) })
		}
		diff(t, "slugs", read(t, s, slugs), []string{"9lives", "hanzo", "lux", "zoo"})
	})
}

func TestAnOrganizationIsReadAsItWasWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		got := read(t, s, func(ctx context.Context, tx *store.Tx) (store.Organization, error) {
			return tx.Organization(ctx, w.organization.ID)
		})
		diff(t, "organisation", got, w.organization)
	})
}

func TestAnOrganizationMembershipIsReplacedAndEndsInItsProjects(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		m := store.OrganizationMembership{OrganizationID: w.organization.ID, ActorType: store.ActorUser, ActorID: w.user.ID, Role: "member", CreatedAt: now, UpdatedAt: now}
		admin := m
		admin.Role, admin.CreatedAt, admin.UpdatedAt = "admin", now+second, now+second
		project := store.Membership{ID: store.NewID(), ProjectID: w.project.ID, ActorType: store.ActorUser, ActorID: w.user.ID, Roles: []store.MembershipRole{{Role: "viewer"}}, CreatedAt: now, UpdatedAt: now}
		update(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.SetOrganizationMembership(ctx, m) },
			func(ctx context.Context, tx *store.Tx) error { return tx.SetOrganizationMembership(ctx, admin) },
			func(ctx context.Context, tx *store.Tx) error { return tx.AddMembership(ctx, project) })
		admin.CreatedAt = now // since when he is a member
		members := func(ctx context.Context, tx *store.Tx) ([]store.OrganizationMembership, error) {
			return tx.OrganizationMembers(ctx, w.organization.ID)
		}
		diff(t, "members", read(t, s, members), []store.OrganizationMembership{admin})
		diff(t, "his organisations", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.OrganizationMembership, error) {
			return tx.ActorOrganizations(ctx, store.ActorUser, w.user.ID)
		}), []store.OrganizationMembership{admin})

		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteOrganizationMembership(ctx, w.organization.ID, store.ActorUser, w.user.ID, now)
		})
		if got := read(t, s, members); got != nil {
			t.Errorf("members after it: %v, want none", got)
		}
		_, err := tryRead(t, s, func(ctx context.Context, tx *store.Tx) (store.Membership, error) {
			return tx.Membership(ctx, w.project.ID, store.ActorUser, w.user.ID)
		})
		wantError(t, err, api.ErrNotFound)
	})
}

func TestAPersonIsFoundByIDAndAddress(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		anyUser := func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.AnyUser(ctx) }
		diff(t, "AnyUser of an empty database", read(t, s, anyUser), false)
		w := seed(t, s)
		diff(t, "AnyUser", read(t, s, anyUser), true)
		diff(t, "User", read(t, s, func(ctx context.Context, tx *store.Tx) (store.User, error) { return tx.User(ctx, w.user.ID) }), w.user)
		diff(t, "UserByEmail", read(t, s, func(ctx context.Context, tx *store.Tx) (store.User, error) { return tx.UserByEmail(ctx, w.user.Email) }), w.user)
	})
}

func TestAPasswordLinkWorksOnceAndUntilItExpires(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		add := func(lookup string) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				return tx.AddPasswordLink(ctx, []byte(lookup), w.user.ID, now+second)
			}
		}
		update(t, s, add("first"), add("second"), add("third"))
		take := func(lookup string, at int64) (userID string, err error) {
			err = try(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				userID, err = tx.TakePasswordLink(ctx, []byte(lookup), at)
				return err
			})
			return userID, err
		}
		got, err := take("first", now)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "whose link it is", got, w.user.ID)
		_, err = take("first", now)
		wantError(t, err, api.ErrNotFound)
		_, err = take("second", now+second)
		wantError(t, err, api.ErrNotFound)

		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetPassword(ctx, w.user.ID, "argon2id", now+1)
		})
		user := read(t, s, func(ctx context.Context, tx *store.Tx) (store.User, error) { return tx.User(ctx, w.user.ID) })
		w.user.PasswordHash, w.user.PasswordSetAt, w.user.UpdatedAt = "argon2id", now+1, now+1
		diff(t, "person", user, w.user)
		_, err = take("third", now) // a new password ends the other links
		wantError(t, err, api.ErrNotFound)
	})
}

func TestAPasswordLinkIsTakenByOneOfTwenty(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddPasswordLink(ctx, []byte("link"), w.user.ID, now+second)
		})
		taken := race(20, func() bool {
			return try(t, s, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.TakePasswordLink(ctx, []byte("link"), now)
				return err
			}) == nil
		})
		diff(t, "people who took it", taken, 1)
	})
}

func TestIdentitiesAreListedByNameAndChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		bot := store.Identity{ID: store.NewID(), OrganizationID: w.organization.ID, Name: "Bot", InstanceAdmin: true, CreatedAt: now, UpdatedAt: now}
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddIdentity(ctx, bot) })
		w.identity.Name, w.identity.DeleteProtection, w.identity.UpdatedAt = "api", false, now+second
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateIdentity(ctx, w.identity) })
		diff(t, "identities", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Identity, error) {
			return tx.Identities(ctx, w.organization.ID)
		}), []store.Identity{bot, w.identity})
		diff(t, "identity", read(t, s, func(ctx context.Context, tx *store.Tx) (store.Identity, error) { return tx.Identity(ctx, bot.ID) }), bot)
	})
}

func TestUniversalAuthKeepsItsClientIDWhenItIsSetAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		universalAuth := func(ctx context.Context, tx *store.Tx) (store.UniversalAuth, error) {
			return tx.UniversalAuth(ctx, w.identity.ID)
		}
		diff(t, "universal auth", read(t, s, universalAuth), w.auth)
		diff(t, "by client id", read(t, s, func(ctx context.Context, tx *store.Tx) (store.UniversalAuth, error) {
			return tx.UniversalAuthByClientID(ctx, w.auth.ClientID)
		}), w.auth)
		again := w.auth
		again.ID, again.ClientID, again.CreatedAt, again.UpdatedAt = store.NewID(), store.NewID(), now+second, now+second
		again.TTL, again.MaxTTL, again.Period, again.UsesLimit = 60, 120, 30, 7
		again.SecretTrustedIPs, again.TokenTrustedIPs = nil, []string{"192.0.2.0/24", "2001:db8::/32"}
		again.LockoutEnabled, again.LockoutThreshold, again.LockoutDuration, again.LockoutCounterReset = false, 5, 600, 60
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetUniversalAuth(ctx, again) })
		want := again
		want.ID, want.ClientID, want.CreatedAt, want.SecretTrustedIPs = w.auth.ID, w.auth.ClientID, w.auth.CreatedAt, []string{}
		diff(t, "universal auth set again", read(t, s, universalAuth), want)
	})
}

func TestAnIdentityTakesItsCredentialsAndMembershipsAlong(t *testing.T) {
	deletions := map[string]func(context.Context, *store.Tx, world) error{
		"the identity": func(ctx context.Context, tx *store.Tx, w world) error {
			return tx.DeleteIdentity(ctx, w.identity.ID, now)
		},
		"its universal auth": func(ctx context.Context, tx *store.Tx, w world) error {
			return tx.DeleteUniversalAuth(ctx, w.identity.ID, now)
		},
	}
	for name, deletion := range deletions {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *store.Store) {
				w := seed(t, s)
				secret := clientSecret(w, "secret", 0)
				member := store.OrganizationMembership{OrganizationID: w.organization.ID, ActorType: store.ActorIdentity, ActorID: w.identity.ID, Role: "member", CreatedAt: now, UpdatedAt: now}
				update(t, s,
					func(ctx context.Context, tx *store.Tx) error { return tx.AddClientSecret(ctx, secret) },
					func(ctx context.Context, tx *store.Tx) error { return tx.SetOrganizationMembership(ctx, member) })
				feed := follow(t, s)
				update(t, s, func(ctx context.Context, tx *store.Tx) error { return deletion(ctx, tx, w) })
				_, err := tryRead(t, s, func(ctx context.Context, tx *store.Tx) (store.ClientSecret, error) {
					return tx.ClientSecret(ctx, secret.ID)
				})
				wantError(t, err, api.ErrNotFound)
				diff(t, "what the feed tells", entities(readFeed(t, feed)), []string{"client_secret " + secret.ID, "actor " + w.identity.ID})
				memberships := read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.OrganizationMembership, error) {
					return tx.ActorOrganizations(ctx, store.ActorIdentity, w.identity.ID)
				})
				diff(t, "is still a member", len(memberships) == 1, name == "its universal auth")
			})
		})
	}
}
