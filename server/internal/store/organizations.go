package store

import "context"

// Organization is a top-level boundary.
type Organization struct {
	ID, Name, Slug       string
	CreatedAt, UpdatedAt int64
}

const organizationColumns = "id, name, slug, created_at, updated_at"

func scanOrganization(s scanner, o *Organization) error {
	return s.Scan(&o.ID, &o.Name, &o.Slug, &o.CreatedAt, &o.UpdatedAt)
}

// AddOrganization stores an organisation; a slug that is taken is ErrExists.
func (tx *Tx) AddOrganization(ctx context.Context, o Organization) error {
	_, err := tx.exec(ctx, "organization "+o.Slug,
		"INSERT INTO organizations ("+organizationColumns+") VALUES ($1, $2, $3, $4, $5)", o.ID, o.Name, o.Slug, o.CreatedAt, o.UpdatedAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindInstance, CreatedAt: o.CreatedAt})
}

// Organization reads one organisation.
func (tx *Tx) Organization(ctx context.Context, id string) (Organization, error) {
	return one(ctx, tx, "organization "+id, scanOrganization, "SELECT "+organizationColumns+" FROM organizations WHERE id = $1", id)
}

// Organizations lists all organisations by slug.
func (tx *Tx) Organizations(ctx context.Context) ([]Organization, error) {
	return list(ctx, tx, "list the organizations", scanOrganization, "SELECT "+organizationColumns+" FROM organizations ORDER BY slug")
}

// OrganizationMembership is the role of a person or identity in an organisation.
type OrganizationMembership struct {
	OrganizationID, ActorType, ActorID, Role string
	CreatedAt, UpdatedAt                     int64
}

const organizationMembershipColumns = "organization_id, actor_type, actor_id, role, created_at, updated_at"

func scanOrganizationMembership(s scanner, m *OrganizationMembership) error {
	return s.Scan(&m.OrganizationID, &m.ActorType, &m.ActorID, &m.Role, &m.CreatedAt, &m.UpdatedAt)
}

// SetOrganizationMembership gives an actor a role in an organisation, in the
// place of any that he had.
func (tx *Tx) SetOrganizationMembership(ctx context.Context, m OrganizationMembership) error {
	_, err := tx.exec(ctx, "store an organization membership",
		"INSERT INTO organization_memberships ("+organizationMembershipColumns+") VALUES ($1, $2, $3, $4, $5, $6)"+
			" ON CONFLICT (organization_id, actor_type, actor_id) DO UPDATE SET role = excluded.role, updated_at = excluded.updated_at",
		m.OrganizationID, m.ActorType, m.ActorID, m.Role, m.CreatedAt, m.UpdatedAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: m.ActorID, CreatedAt: m.UpdatedAt})
}

// DeleteOrganizationMembership takes an actor out of an organisation and of
// all its projects.
func (tx *Tx) DeleteOrganizationMembership(ctx context.Context, organizationID, actorType, actorID string, now int64) error {
	err := tx.must(ctx, "organization membership of "+actorID,
		"DELETE FROM organization_memberships WHERE organization_id = $1 AND actor_type = $2 AND actor_id = $3", organizationID, actorType, actorID)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, "delete the project memberships",
		"DELETE FROM project_memberships WHERE actor_type = $1 AND actor_id = $2"+
			" AND project_id IN (SELECT id FROM projects WHERE organization_id = $3)", actorType, actorID, organizationID)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: actorID, CreatedAt: now})
}

// ActorOrganizations lists the organisation memberships of one actor.
func (tx *Tx) ActorOrganizations(ctx context.Context, actorType, actorID string) ([]OrganizationMembership, error) {
	return list(ctx, tx, "list the organizations of "+actorID, scanOrganizationMembership,
		"SELECT "+organizationMembershipColumns+" FROM organization_memberships WHERE actor_type = $1 AND actor_id = $2 ORDER BY organization_id", actorType, actorID)
}

// OrganizationMembers lists the memberships of people in an organisation.
func (tx *Tx) OrganizationMembers(ctx context.Context, organizationID string) ([]OrganizationMembership, error) {
	return list(ctx, tx, "list the members", scanOrganizationMembership,
		"SELECT "+organizationMembershipColumns+" FROM organization_memberships WHERE organization_id = $1 AND actor_type = 'user' ORDER BY actor_id", organizationID)
}
