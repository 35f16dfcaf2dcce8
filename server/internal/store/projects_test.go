package store_test

import (
	"context"
	"testing"

	"github.com/hanzoai/kms/server/internal/store"
)

func environments(tb testing.TB, s *store.Store, projectID string) []store.Environment {
	tb.Helper()
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([]store.Environment, error) {
		return tx.Environments(ctx, projectID)
	})
}

func TestAProjectIsReadAsItWasWrittenAndChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		project := func(ctx context.Context, tx *store.Tx) (store.Project, error) { return tx.Project(ctx, w.project.ID) }
		diff(t, "project", read(t, s, project), w.project)
		w.project.Name, w.project.Slug, w.project.Description, w.project.DeleteProtection, w.project.UpdatedAt = "Pay", "pay", "", false, now+1
		feed := follow(t, s)
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateProject(ctx, w.project) })
		diff(t, "changed project", read(t, s, project), w.project)
		diff(t, "what the feed tells", entities(readFeed(t, feed)), []string{"organization " + w.organization.ID, "project " + w.project.ID})
		diff(t, "projects", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Project, error) {
			return tx.Projects(ctx, w.organization.ID)
		}), []store.Project{w.project})
	})
}

func TestAProjectTakesEverythingInItAlong(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		secret := newSecret(w.root.ID, "KEY")
		update(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.AddSecret(ctx, secret.Secret, secret.Version) },
			addKeys(key(w.project.ID, 1), key("", 1)),
			func(ctx context.Context, tx *store.Tx) error { return tx.DeleteProject(ctx, w.project, now) })
		if got := environments(t, s, w.project.ID); got != nil {
			t.Errorf("environments: %v, want none", got)
		}
		if got := versions(t, s, secret.Secret.ID, 0, 10); got != nil {
			t.Errorf("versions of its secret: %v, want none", got)
		}
		diff(t, "keys that are left", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Key, error) { return tx.AllKeys(ctx) }), []store.Key{key("", 1)})
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddProject(ctx, w.project) })
	})
}

func TestAnEnvironmentIsNamedByItsSlugAndItsAliases(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		development := store.Environment{ID: store.NewID(), ProjectID: w.project.ID, Name: "Development", Slug: "dev", Position: 1, Revision: 1,
			CreatedAt: now, UpdatedAt: now, Aliases: []string{"develop", "development"}}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddEnvironment(ctx, development, store.NewID())
		})
		diff(t, "environments by position", environments(t, s, w.project.ID), []store.Environment{development, w.environment})
		diff(t, "slugs", development.Slugs(), []string{"dev", "develop", "development"})

		// The alias becomes the canonical slug, and the slug an alias.
		changed := w.environment
		changed.Name, changed.Slug, changed.Aliases, changed.Position, changed.Restricted, changed.UpdatedAt = "Live", "production", []string{"prod"}, 0, false, now+1
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateEnvironment(ctx, changed) })
		changed.Revision++
		diff(t, "environments after the change", environments(t, s, w.project.ID), []store.Environment{changed, development})
		got := read(t, s, func(ctx context.Context, tx *store.Tx) (string, error) { return tx.EnvironmentProject(ctx, changed.ID) })
		diff(t, "project of the environment", got, w.project.ID)

		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteEnvironment(ctx, changed, now) })
		diff(t, "environments after the deletion", environments(t, s, w.project.ID), []store.Environment{development})
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddEnvironment(ctx, w.environment, w.root.ID) }) // its slugs are free
	})
}

func TestAMembershipHoldsRolesForGoodAndForATime(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		person := store.Membership{ID: store.NewID(), ProjectID: w.project.ID, ActorType: store.ActorUser, ActorID: w.user.ID,
			Roles: []store.MembershipRole{{Role: "viewer"}, {Role: "admin", ExpiresAt: now + 1}}, CreatedAt: now, UpdatedAt: now}
		machine := store.Membership{ID: store.NewID(), ProjectID: w.project.ID, ActorType: store.ActorIdentity, ActorID: w.identity.ID,
			Roles: []store.MembershipRole{{Role: "member"}}, CreatedAt: now, UpdatedAt: now}
		update(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.AddMembership(ctx, person) },
			func(ctx context.Context, tx *store.Tx) error { return tx.AddMembership(ctx, machine) })
		of := func(actorType string) []store.Membership {
			return read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Membership, error) {
				return tx.Memberships(ctx, w.project.ID, actorType)
			})
		}
		diff(t, "people", of(store.ActorUser), []store.Membership{person})
		diff(t, "machines", of(store.ActorIdentity), []store.Membership{machine})

		machine.Roles, machine.UpdatedAt = []store.MembershipRole{{Role: "admin"}}, now+1
		feed := follow(t, s)
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateMembership(ctx, machine) })
		diff(t, "projects of the machine", read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Membership, error) {
			return tx.ActorMemberships(ctx, store.ActorIdentity, w.identity.ID)
		}), []store.Membership{machine})
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteMembership(ctx, machine, now) })
		if got := of(store.ActorIdentity); got != nil {
			t.Errorf("machines after the deletion: %v, want none", got)
		}
		diff(t, "what the feed tells", entities(readFeed(t, feed)), []string{"actor " + w.identity.ID, "actor " + w.identity.ID})
	})
}

func TestRolesAreSetByIDAndListedBySlug(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		b := store.Role{ID: store.NewID(), ProjectID: w.project.ID, Slug: "b", Name: "B", Description: "of b", Rules: `[{"path":"/**"}]`, CreatedAt: now, UpdatedAt: now}
		a := store.Role{ID: store.NewID(), ProjectID: w.project.ID, Slug: "a", Name: "A", Rules: "[]", CreatedAt: now, UpdatedAt: now}
		set := func(r store.Role) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error { return tx.SetRole(ctx, r) }
		}
		roles := func(ctx context.Context, tx *store.Tx) ([]store.Role, error) { return tx.Roles(ctx, w.project.ID) }
		update(t, s, set(b), set(a))
		diff(t, "roles", read(t, s, roles), []store.Role{a, b})
		a.Slug, a.Name, a.Description, a.Rules, a.UpdatedAt = "c", "C", "of c", `[{}]`, now+1
		update(t, s, set(a))
		diff(t, "roles after a change", read(t, s, roles), []store.Role{b, a})
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, b, now) })
		diff(t, "roles after a deletion", read(t, s, roles), []store.Role{a})
	})
}

func TestTagsAreSetByIDAndListedBySlug(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		b := store.Tag{ID: store.NewID(), ProjectID: w.project.ID, Slug: "b", Color: "#ff0000", CreatedAt: now}
		a := store.Tag{ID: store.NewID(), ProjectID: w.project.ID, Slug: "a", CreatedAt: now}
		set := func(tag store.Tag) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error { return tx.SetTag(ctx, tag, now) }
		}
		tags := func(ctx context.Context, tx *store.Tx) ([]store.Tag, error) { return tx.Tags(ctx, w.project.ID) }
		update(t, s, set(b), set(a))
		diff(t, "tags", read(t, s, tags), []store.Tag{a, b})
		a.Slug, a.Color = "c", "#00ff00"
		update(t, s, set(a))
		diff(t, "tags after a change", read(t, s, tags), []store.Tag{b, a})
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteTag(ctx, b, now) })
		diff(t, "tags after a deletion", read(t, s, tags), []store.Tag{a})
	})
}
