package store

import (
	"context"
	"slices"
)

// Environment is one environment of a project. Slugs are all that name it, the
// canonical one first.
type Environment struct {
	ID, ProjectID, Name, Slug string
	Position                  int64
	Restricted                bool
	Revision                  int64
	CreatedAt, UpdatedAt      int64
	Aliases                   []string
}

// Slugs are all slugs that name the environment, the canonical one first.
func (e Environment) Slugs() []string { return append([]string{e.Slug}, e.Aliases...) }

const environmentColumns = "id, project_id, name, slug, position, restricted, revision, created_at, updated_at"

func scanEnvironment(s scanner, e *Environment) error {
	return s.Scan(&e.ID, &e.ProjectID, &e.Name, &e.Slug, &e.Position, &e.Restricted, &e.Revision, &e.CreatedAt, &e.UpdatedAt)
}

// AddEnvironment stores an environment with its slugs and its root folder; a
// slug that the project has is ErrExists.
func (tx *Tx) AddEnvironment(ctx context.Context, e Environment, rootFolderID string) error {
	_, err := tx.exec(ctx, "environment "+e.Slug, "INSERT INTO environments ("+environmentColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		e.ID, e.ProjectID, e.Name, e.Slug, e.Position, e.Restricted, e.Revision, e.CreatedAt, e.UpdatedAt)
	if err != nil {
		return err
	}
	if err := tx.addSlugs(ctx, e); err != nil {
		return err
	}
	root := Folder{ID: rootFolderID, EnvironmentID: e.ID, Version: 1, CreatedAt: e.CreatedAt, UpdatedAt: e.CreatedAt}
	if err := tx.insertFolder(ctx, root); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: e.ProjectID, CreatedAt: e.UpdatedAt})
}

func (tx *Tx) addSlugs(ctx context.Context, e Environment) error {
	for _, slug := range e.Slugs() {
		if _, err := tx.exec(ctx, "environment "+slug,
			"INSERT INTO environment_slugs (project_id, slug, environment_id) VALUES ($1, $2, $3)", e.ProjectID, slug, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// UpdateEnvironment stores the name, slugs, position and access level.
func (tx *Tx) UpdateEnvironment(ctx context.Context, e Environment) error {
	err := tx.must(ctx, "environment "+e.Slug,
		"UPDATE environments SET name = $1, slug = $2, position = $3, restricted = $4, updated_at = $5, revision = revision + 1 WHERE id = $6",
		e.Name, e.Slug, e.Position, e.Restricted, e.UpdatedAt, e.ID)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "replace the slugs", "DELETE FROM environment_slugs WHERE environment_id = $1", e.ID); err != nil {
		return err
	}
	if err := tx.addSlugs(ctx, e); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: e.ProjectID, EnvironmentID: e.ID, CreatedAt: e.UpdatedAt})
}

// DeleteEnvironment deletes an environment with everything in it.
func (tx *Tx) DeleteEnvironment(ctx context.Context, e Environment, now int64) error {
	if err := tx.must(ctx, "environment "+e.Slug, "DELETE FROM environments WHERE id = $1", e.ID); err != nil {
		return err
	}
	if err := tx.Changed(ctx, Change{Kind: KindEnvironment, EntityID: e.ID, EnvironmentID: e.ID, CreatedAt: now}); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: e.ProjectID, CreatedAt: now})
}

// Environments lists the environments of a project by position.
func (tx *Tx) Environments(ctx context.Context, projectID string) ([]Environment, error) {
	all, err := list(ctx, tx, "list the environments", scanEnvironment,
		"SELECT "+environmentColumns+" FROM environments WHERE project_id = $1 ORDER BY position, id", projectID)
	if err != nil {
		return nil, err
	}
	type alias struct{ environmentID, slug string }
	slugs, err := list(ctx, tx, "list the slugs", func(s scanner, a *alias) error { return s.Scan(&a.environmentID, &a.slug) },
		"SELECT environment_id, slug FROM environment_slugs WHERE project_id = $1 ORDER BY slug", projectID)
	if err != nil {
		return nil, err
	}
	for i := range all {
		for _, slug := range slugs {
			if slug.environmentID == all[i].ID && slug.slug != all[i].Slug {
				all[i].Aliases = append(all[i].Aliases, slug.slug)
			}
		}
	}
	return all, nil
}

// EnvironmentProject is the project of an environment.
func (tx *Tx) EnvironmentProject(ctx context.Context, environmentID string) (projectID string, err error) {
	return one(ctx, tx, "environment "+environmentID, scanText, "SELECT project_id FROM environments WHERE id = $1", environmentID)
}

// LockEnvironments takes the write locks of environments, in the order of
// their ids so that two writers cannot wait for each other. It comes first in
// an Update: what is read after it cannot change until the commit.
func (tx *Tx) LockEnvironments(ctx context.Context, ids ...string) error {
	if !tx.dialect.Postgres {
		return nil // one writer
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for _, id := range ids {
		if _, err := list(ctx, tx, "lock environment "+id, scanText, "SELECT id FROM environments WHERE id = $1 FOR NO KEY UPDATE", id); err != nil {
			return err
		}
	}
	return nil
}

// LockProject takes the write lock of a project: of its environments,
// memberships, roles and tags as a whole.
func (tx *Tx) LockProject(ctx context.Context, id string) error {
	return tx.lockRow(ctx, "projects", id)
}

// LockOrganization takes the write lock of an organisation.
func (tx *Tx) LockOrganization(ctx context.Context, id string) error {
	return tx.lockRow(ctx, "organizations", id)
}

// LockIdentity takes the write lock of an identity and its credentials.
func (tx *Tx) LockIdentity(ctx context.Context, id string) error {
	return tx.lockRow(ctx, "identities", id)
}

func (tx *Tx) lockRow(ctx context.Context, table, id string) error {
	if !tx.dialect.Postgres {
		return nil
	}
	_, err := list(ctx, tx, "lock "+id, scanText, "SELECT id FROM "+table+" WHERE id = $1 FOR NO KEY UPDATE", id)
	return err
}
