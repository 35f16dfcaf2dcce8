package store

import (
	"context"
	"encoding/json"
)

// Project is a project without its environments.
type Project struct {
	ID, OrganizationID, Name, Slug, Description string
	DeleteProtection                            bool
	CreatedAt, UpdatedAt                        int64
}

const projectColumns = "id, organization_id, name, slug, description, delete_protection, created_at, updated_at"

func scanProject(s scanner, p *Project) error {
	return s.Scan(&p.ID, &p.OrganizationID, &p.Name, &p.Slug, &p.Description, &p.DeleteProtection, &p.CreatedAt, &p.UpdatedAt)
}

// AddProject stores a project; a slug that its organisation has is ErrExists.
func (tx *Tx) AddProject(ctx context.Context, p Project) error {
	_, err := tx.exec(ctx, "project "+p.Slug, "INSERT INTO projects ("+projectColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		p.ID, p.OrganizationID, p.Name, p.Slug, p.Description, p.DeleteProtection, p.CreatedAt, p.UpdatedAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindOrganization, EntityID: p.OrganizationID, CreatedAt: p.CreatedAt})
}

// Project reads one project.
func (tx *Tx) Project(ctx context.Context, id string) (Project, error) {
	return one(ctx, tx, "project "+id, scanProject, "SELECT "+projectColumns+" FROM projects WHERE id = $1", id)
}

// Projects lists the projects of an organisation by slug.
func (tx *Tx) Projects(ctx context.Context, organizationID string) ([]Project, error) {
	return list(ctx, tx, "list the projects", scanProject,
		"SELECT "+projectColumns+" FROM projects WHERE organization_id = $1 ORDER BY slug", organizationID)
}

// UpdateProject stores the name, slug, description and protection of a project.
func (tx *Tx) UpdateProject(ctx context.Context, p Project) error {
	err := tx.must(ctx, "project "+p.Slug,
		"UPDATE projects SET name = $1, slug = $2, description = $3, delete_protection = $4, updated_at = $5 WHERE id = $6",
		p.Name, p.Slug, p.Description, p.DeleteProtection, p.UpdatedAt, p.ID)
	if err != nil {
		return err
	}
	return tx.projectChanged(ctx, p.OrganizationID, p.ID, p.UpdatedAt)
}

// DeleteProject deletes a project with everything in it, its keys included.
func (tx *Tx) DeleteProject(ctx context.Context, p Project, now int64) error {
	if err := tx.must(ctx, "project "+p.ID, "DELETE FROM projects WHERE id = $1", p.ID); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "delete the project's keys", "DELETE FROM keys WHERE scope = $1", p.ID); err != nil {
		return err
	}
	return tx.projectChanged(ctx, p.OrganizationID, p.ID, now)
}

func (tx *Tx) projectChanged(ctx context.Context, organizationID, projectID string, now int64) error {
	if err := tx.Changed(ctx, Change{Kind: KindOrganization, EntityID: organizationID, CreatedAt: now}); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: projectID, CreatedAt: now})
}

// Membership is what an actor may do in a project: a list of roles.
type Membership struct {
	ID, ProjectID, ActorType, ActorID string
	Roles                             []MembershipRole
	CreatedAt, UpdatedAt              int64
}

// MembershipRole is a built-in or custom role, for good or until a time.
type MembershipRole struct {
	Role      string `json:"role"`
	ExpiresAt int64  `json:"expiresAt,omitempty"` // 0: for good
}

const membershipColumns = "id, project_id, actor_type, actor_id, roles, created_at, updated_at"

func scanMembership(s scanner, m *Membership) error {
	var roles string
	if err := s.Scan(&m.ID, &m.ProjectID, &m.ActorType, &m.ActorID, &roles, &m.CreatedAt, &m.UpdatedAt); err != nil {
		return err
	}
	return json.Unmarshal([]byte(roles), &m.Roles)
}

// AddMembership stores a membership; a second one of an actor is ErrExists.
func (tx *Tx) AddMembership(ctx context.Context, m Membership) error {
	roles, err := json.Marshal(m.Roles)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "membership", "INSERT INTO project_memberships ("+membershipColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7)",
		m.ID, m.ProjectID, m.ActorType, m.ActorID, string(roles), m.CreatedAt, m.UpdatedAt); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: m.ActorID, CreatedAt: m.UpdatedAt})
}

// UpdateMembership replaces the roles of a membership.
func (tx *Tx) UpdateMembership(ctx context.Context, m Membership) error {
	roles, err := json.Marshal(m.Roles)
	if err != nil {
		return err
	}
	if err := tx.must(ctx, "membership of "+m.ActorID, "UPDATE project_memberships SET roles = $1, updated_at = $2 WHERE id = $3",
		string(roles), m.UpdatedAt, m.ID); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: m.ActorID, CreatedAt: m.UpdatedAt})
}

// DeleteMembership takes an actor out of a project.
func (tx *Tx) DeleteMembership(ctx context.Context, m Membership, now int64) error {
	if err := tx.must(ctx, "membership of "+m.ActorID, "DELETE FROM project_memberships WHERE id = $1", m.ID); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: m.ActorID, CreatedAt: now})
}

// Membership reads the membership of an actor in a project.
func (tx *Tx) Membership(ctx context.Context, projectID, actorType, actorID string) (Membership, error) {
	return one(ctx, tx, "membership of "+actorID, scanMembership,
		"SELECT "+membershipColumns+" FROM project_memberships WHERE project_id = $1 AND actor_type = $2 AND actor_id = $3", projectID, actorType, actorID)
}

// Memberships lists the memberships of a project of one type of actor.
func (tx *Tx) Memberships(ctx context.Context, projectID, actorType string) ([]Membership, error) {
	return list(ctx, tx, "list the memberships", scanMembership,
		"SELECT "+membershipColumns+" FROM project_memberships WHERE project_id = $1 AND actor_type = $2 ORDER BY created_at, id", projectID, actorType)
}

// ActorMemberships lists the project memberships of an actor.
func (tx *Tx) ActorMemberships(ctx context.Context, actorType, actorID string) ([]Membership, error) {
	return list(ctx, tx, "list the memberships of "+actorID, scanMembership,
		"SELECT "+membershipColumns+" FROM project_memberships WHERE actor_type = $1 AND actor_id = $2 ORDER BY project_id", actorType, actorID)
}

// Role is a custom role of a project; Rules is JSON.
type Role struct {
	ID, ProjectID, Slug, Name, Description, Rules string
	CreatedAt, UpdatedAt                          int64
}

const roleColumns = "id, project_id, slug, name, description, rules, created_at, updated_at"

func scanRole(s scanner, r *Role) error {
	return s.Scan(&r.ID, &r.ProjectID, &r.Slug, &r.Name, &r.Description, &r.Rules, &r.CreatedAt, &r.UpdatedAt)
}

// SetRole stores a custom role by its id; a slug that is taken is ErrExists.
func (tx *Tx) SetRole(ctx context.Context, r Role) error {
	_, err := tx.exec(ctx, "role "+r.Slug, "INSERT INTO roles ("+roleColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"+
		" ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, name = excluded.name, description = excluded.description, rules = excluded.rules, updated_at = excluded.updated_at",
		r.ID, r.ProjectID, r.Slug, r.Name, r.Description, r.Rules, r.CreatedAt, r.UpdatedAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: r.ProjectID, CreatedAt: r.UpdatedAt})
}

// DeleteRole deletes a custom role; memberships that name it lose it.
func (tx *Tx) DeleteRole(ctx context.Context, r Role, now int64) error {
	if err := tx.must(ctx, "role "+r.ID, "DELETE FROM roles WHERE id = $1 AND project_id = $2", r.ID, r.ProjectID); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: r.ProjectID, CreatedAt: now})
}

// Roles lists the custom roles of a project by slug.
func (tx *Tx) Roles(ctx context.Context, projectID string) ([]Role, error) {
	return list(ctx, tx, "list the roles", scanRole, "SELECT "+roleColumns+" FROM roles WHERE project_id = $1 ORDER BY slug", projectID)
}

// Tag is a label of secrets in a project.
type Tag struct {
	ID, ProjectID, Slug, Color string
	CreatedAt                  int64
}

const tagColumns = "id, project_id, slug, color, created_at"

func scanTag(s scanner, t *Tag) error {
	return s.Scan(&t.ID, &t.ProjectID, &t.Slug, &t.Color, &t.CreatedAt)
}

// SetTag stores a tag by its id; a slug that is taken is ErrExists.
func (tx *Tx) SetTag(ctx context.Context, t Tag, now int64) error {
	_, err := tx.exec(ctx, "tag "+t.Slug, "INSERT INTO tags ("+tagColumns+") VALUES ($1, $2, $3, $4, $5)"+
		" ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, color = excluded.color", t.ID, t.ProjectID, t.Slug, t.Color, t.CreatedAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: t.ProjectID, CreatedAt: now})
}

// DeleteTag deletes a tag; secrets that carry it lose it.
func (tx *Tx) DeleteTag(ctx context.Context, t Tag, now int64) error {
	if err := tx.must(ctx, "tag "+t.ID, "DELETE FROM tags WHERE id = $1 AND project_id = $2", t.ID, t.ProjectID); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindProject, EntityID: t.ProjectID, CreatedAt: now})
}

// Tags lists the tags of a project by slug.
func (tx *Tx) Tags(ctx context.Context, projectID string) ([]Tag, error) {
	return list(ctx, tx, "list the tags", scanTag, "SELECT "+tagColumns+" FROM tags WHERE project_id = $1 ORDER BY slug", projectID)
}
