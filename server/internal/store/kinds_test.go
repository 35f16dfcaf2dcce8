package store_test

import (
	"context"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

func TestANameThatIsTakenIsErrExistsAndChangesNothing(t *testing.T) {
	// Each row adds one more thing whose name the world, or the row before
	// it, has.
	tests := map[string]func(ctx context.Context, tx *store.Tx, w world) error{
		"the slug of an organisation": func(ctx context.Context, tx *store.Tx, w world) error {
			return tx.AddOrganization(ctx, organization(w.organization.Slug))
		},
		"the address of a person": func(ctx context.Context, tx *store.Tx, w world) error {
			w.user.ID = store.NewID()
			return tx.AddUser(ctx, w.user)
		},
		"the id of a person": func(ctx context.Context, tx *store.Tx, w world) error {
			w.user.Email = "grace@hanzo.ai"
			return tx.AddUser(ctx, w.user)
		},
		"the slug of a project": func(ctx context.Context, tx *store.Tx, w world) error {
			w.project.ID = store.NewID()
			return tx.AddProject(ctx, w.project)
		},
		"a project renamed to the slug of another": func(ctx context.Context, tx *store.Tx, w world) error {
			other := w.project
			other.ID, other.Slug = store.NewID(), "other"
			if err := tx.AddProject(ctx, other); err != nil {
				return err
			}
			other.Slug = w.project.Slug
			return tx.UpdateProject(ctx, other)
		},
		"the slug of an environment": func(ctx context.Context, tx *store.Tx, w world) error {
			w.environment.ID, w.environment.Aliases = store.NewID(), nil
			return tx.AddEnvironment(ctx, w.environment, store.NewID())
		},
		"the alias of an environment": func(ctx context.Context, tx *store.Tx, w world) error {
			w.environment.ID, w.environment.Slug, w.environment.Aliases = store.NewID(), w.environment.Aliases[0], nil
			return tx.AddEnvironment(ctx, w.environment, store.NewID())
		},
		"an alias that is another environment's slug": func(ctx context.Context, tx *store.Tx, w world) error {
			w.environment.ID, w.environment.Slug, w.environment.Aliases = store.NewID(), "live", []string{w.environment.Slug}
			return tx.AddEnvironment(ctx, w.environment, store.NewID())
		},
		"the name of a folder": func(ctx context.Context, tx *store.Tx, w world) error {
			folder := store.Folder{ID: store.NewID(), EnvironmentID: w.environment.ID, ParentID: w.root.ID, Name: "api"}
			if err := tx.AddFolder(ctx, folder); err != nil {
				return err
			}
			folder.ID = store.NewID()
			return tx.AddFolder(ctx, folder)
		},
		"a second root folder": func(ctx context.Context, tx *store.Tx, w world) error {
			return tx.AddFolder(ctx, store.Folder{ID: store.NewID(), EnvironmentID: w.environment.ID})
		},
		"the key of a secret": func(ctx context.Context, tx *store.Tx, w world) error {
			if err := add(newSecret(w.root.ID, "KEY"))(ctx, tx); err != nil {
				return err
			}
			return add(newSecret(w.root.ID, "KEY"))(ctx, tx)
		},
		"a secret renamed to the key of another": func(ctx context.Context, tx *store.Tx, w world) error {
			other := newSecret(w.root.ID, "OTHER")
			if err := add(newSecret(w.root.ID, "KEY"))(ctx, tx); err != nil {
				return err
			}
			if err := add(other)(ctx, tx); err != nil {
				return err
			}
			other.Secret.Key = "KEY"
			other = next(other)
			return tx.UpdateSecret(ctx, other.Secret, other.Version)
		},
		"a second membership of an actor": func(ctx context.Context, tx *store.Tx, w world) error {
			m := store.Membership{ID: store.NewID(), ProjectID: w.project.ID, ActorType: store.ActorUser, ActorID: w.user.ID}
			if err := tx.AddMembership(ctx, m); err != nil {
				return err
			}
			m.ID = store.NewID()
			return tx.AddMembership(ctx, m)
		},
		"the slug of a role": func(ctx context.Context, tx *store.Tx, w world) error {
			if err := tx.SetRole(ctx, store.Role{ID: store.NewID(), ProjectID: w.project.ID, Slug: "auditor"}); err != nil {
				return err
			}
			return tx.SetRole(ctx, store.Role{ID: store.NewID(), ProjectID: w.project.ID, Slug: "auditor"})
		},
		"the slug of a tag": func(ctx context.Context, tx *store.Tx, w world) error {
			if err := tx.SetTag(ctx, store.Tag{ID: store.NewID(), ProjectID: w.project.ID, Slug: "pci"}, now); err != nil {
				return err
			}
			return tx.SetTag(ctx, store.Tag{ID: store.NewID(), ProjectID: w.project.ID, Slug: "pci"}, now)
		},
		"the hash of a client secret": func(ctx context.Context, tx *store.Tx, w world) error {
			if err := tx.AddClientSecret(ctx, clientSecret(w, "secret", 0)); err != nil {
				return err
			}
			return tx.AddClientSecret(ctx, clientSecret(w, "secret", 0))
		},
		"the number of a link of the audit chain": func(ctx context.Context, tx *store.Tx, _ world) error {
			if err := tx.AddChainLink(ctx, link(1)); err != nil {
				return err
			}
			return tx.AddChainLink(ctx, link(1))
		},
	}
	onBoth(t, func(t *testing.T, s *store.Store) { // one for all rows: none of them changes it
		w := seed(t, s)
		feed := follow(t, s)
		for name, again := range tests {
			t.Run(name, func(t *testing.T) {
				wantError(t, try(t, s, func(ctx context.Context, tx *store.Tx) error { return again(ctx, tx, w) }), api.ErrExists)
				if got := readFeed(t, feed); got != nil {
					t.Errorf("the feed after it: %v, want nothing", got)
				}
			})
		}
	})
}

func TestSlugsAndNamesAreTakenOnlyWhereTheyAre(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		other := newWorld()
		other.organization.Slug, other.user.Email = "lux", "grace@lux.network"
		update(t, s, other.store) // the same slugs of project and environment, the same name of identity
		diff(t, "environments of the one", environments(t, s, w.project.ID), []store.Environment{w.environment})
		diff(t, "environments of the other", environments(t, s, other.project.ID), []store.Environment{other.environment})
	})
}

func TestWhatIsNotThereIsErrNotFound(t *testing.T) {
	const id = "01900000-0000-7000-8000-000000000000"
	tests := map[string]func(context.Context, *store.Tx) error{
		"Meta":          func(ctx context.Context, tx *store.Tx) error { _, err := tx.Meta(ctx, "no such fact"); return err },
		"DeleteRootKey": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRootKey(ctx, id) },
		"Rewrap":        func(ctx context.Context, tx *store.Tx) error { return tx.Rewrap(ctx, key(id, 1), "root1") },
		"Organization":  func(ctx context.Context, tx *store.Tx) error { _, err := tx.Organization(ctx, id); return err },
		"User":          func(ctx context.Context, tx *store.Tx) error { _, err := tx.User(ctx, id); return err },
		"UserByEmail": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.UserByEmail(ctx, "ada@hanzo.ai")
			return err
		},
		"SetPassword": func(ctx context.Context, tx *store.Tx) error { return tx.SetPassword(ctx, id, "hash", now) },
		"TakePasswordLink": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.TakePasswordLink(ctx, []byte{0}, now)
			return err
		},
		"Identity":            func(ctx context.Context, tx *store.Tx) error { _, err := tx.Identity(ctx, id); return err },
		"UpdateIdentity":      func(ctx context.Context, tx *store.Tx) error { return tx.UpdateIdentity(ctx, store.Identity{ID: id}) },
		"DeleteIdentity":      func(ctx context.Context, tx *store.Tx) error { return tx.DeleteIdentity(ctx, id, now) },
		"UniversalAuth":       func(ctx context.Context, tx *store.Tx) error { _, err := tx.UniversalAuth(ctx, id); return err },
		"DeleteUniversalAuth": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUniversalAuth(ctx, id, now) },
		"UniversalAuthByClientID": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.UniversalAuthByClientID(ctx, id)
			return err
		},
		"ClientSecret": func(ctx context.Context, tx *store.Tx) error { _, err := tx.ClientSecret(ctx, id); return err },
		"ClientSecretByLookup": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ClientSecretByLookup(ctx, []byte{0})
			return err
		},
		"RevokeClientSecret": func(ctx context.Context, tx *store.Tx) error { return tx.RevokeClientSecret(ctx, id, now) },
		"OpaqueToken":        func(ctx context.Context, tx *store.Tx) error { _, err := tx.OpaqueToken(ctx, []byte{0}); return err },
		"DeleteOpaqueToken":  func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOpaqueToken(ctx, id, now) },
		"Project":            func(ctx context.Context, tx *store.Tx) error { _, err := tx.Project(ctx, id); return err },
		"UpdateProject":      func(ctx context.Context, tx *store.Tx) error { return tx.UpdateProject(ctx, store.Project{ID: id}) },
		"DeleteProject": func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteProject(ctx, store.Project{ID: id}, now)
		},
		"Membership": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Membership(ctx, id, store.ActorUser, id)
			return err
		},
		"UpdateMembership": func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateMembership(ctx, store.Membership{ID: id})
		},
		"DeleteMembership": func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteMembership(ctx, store.Membership{ID: id}, now)
		},
		"DeleteRole": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, store.Role{ID: id}, now) },
		"DeleteTag":  func(ctx context.Context, tx *store.Tx) error { return tx.DeleteTag(ctx, store.Tag{ID: id}, now) },
		"UpdateEnvironment": func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateEnvironment(ctx, store.Environment{ID: id})
		},
		"DeleteEnvironment": func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteEnvironment(ctx, store.Environment{ID: id}, now)
		},
		"EnvironmentProject": func(ctx context.Context, tx *store.Tx) error { _, err := tx.EnvironmentProject(ctx, id); return err },
		"UpdateFolder":       func(ctx context.Context, tx *store.Tx) error { return tx.UpdateFolder(ctx, store.Folder{ID: id}) },
		"DeleteFolders":      func(ctx context.Context, tx *store.Tx) error { return tx.DeleteFolders(ctx, id, []string{id}, now) },
		"FolderEnvironment":  func(ctx context.Context, tx *store.Tx) error { _, err := tx.FolderEnvironment(ctx, id); return err },
		"FolderChanged":      func(ctx context.Context, tx *store.Tx) error { return tx.FolderChanged(ctx, id, id, now) },
		"SecretByKey":        func(ctx context.Context, tx *store.Tx) error { _, err := tx.SecretByKey(ctx, id, "KEY"); return err },
		"SecretFolder":       func(ctx context.Context, tx *store.Tx) error { _, err := tx.SecretFolder(ctx, id); return err },
		"SecretVersion":      func(ctx context.Context, tx *store.Tx) error { _, err := tx.SecretVersion(ctx, id, 1); return err },
		"UpdateSecret": func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateSecret(ctx, store.Secret{ID: id, HeadMAC: []byte{0}}, store.SecretVersion{})
		},
		"DeleteSecret": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSecret(ctx, id, now) },
		"DeleteOrganizationMembership": func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteOrganizationMembership(ctx, id, store.ActorUser, id, now)
		},
		"ChainHead": func(ctx context.Context, tx *store.Tx) error { _, err := tx.ChainHead(ctx); return err },
	}
	onBoth(t, func(t *testing.T, s *store.Store) { // one for all rows: none of them changes it
		for name, call := range tests {
			t.Run(name, func(t *testing.T) { wantError(t, try(t, s, call), api.ErrNotFound) })
		}
	})
}
