package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// The types of actor.
const (
	ActorIdentity = store.ActorIdentity
	ActorUser     = store.ActorUser
)

// Members lists the memberships of a project, of identities or of people.
func (s *Service) Members(ctx context.Context, caller Caller, ref ProjectRef, actorType string) (all []api.Membership, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-project-members"}, func(ctx context.Context, c *call) error {
		all = []api.Membership{}
		r, err := c.project(ctx, ref)
		if err == nil {
			err = r.may(policy.ReadMembers)
		}
		if err != nil {
			return err
		}
		rows, err := c.tx.Memberships(ctx, r.ID, actorType)
		for _, row := range rows {
			if err == nil {
				var wire api.Membership
				wire, err = wireMembership(ctx, c.tx, row)
				all = append(all, wire)
			}
		}
		return err
	})
	return all, err
}

// Member gives the membership of one actor in a project.
func (s *Service) Member(ctx context.Context, caller Caller, ref ProjectRef, actorType, actorID string) (wire api.Membership, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-project-member"}, func(ctx context.Context, c *call) error {
		r, err := c.project(ctx, ref)
		if err == nil {
			err = r.may(policy.ReadMembers)
		}
		if err != nil {
			return err
		}
		row, err := c.tx.Membership(ctx, r.ID, actorType, actorID)
		if err != nil {
			return orElse(gone(err), errNoMember(actorID))
		}
		wire, err = wireMembership(ctx, c.tx, row)
		return err
	})
	return wire, err
}

func errNoMember(actorID string) error {
	return api.Errorf(api.ErrNotFound, "Membership of '%s' in the project not found", named(actorID))
}

func wireMembership(ctx context.Context, tx *store.Tx, m store.Membership) (api.Membership, error) {
	wire := api.Membership{ID: m.ID, ProjectID: m.ProjectID, ActorID: m.ActorID, ActorType: m.ActorType, Roles: []api.MembershipRole{},
		CreatedAt: api.Micros(m.CreatedAt), UpdatedAt: api.Micros(m.UpdatedAt)}
	for _, r := range m.Roles {
		one := api.MembershipRole{Role: r.Role}
		if r.ExpiresAt != 0 {
			end := api.Micros(r.ExpiresAt)
			one.IsTemporary, one.ExpiresAt = true, &end
		}
		wire.Roles = append(wire.Roles, one)
	}
	var err error
	if m.ActorType == store.ActorUser {
		var user store.User
		user, err = tx.User(ctx, m.ActorID)
		wire.Name = user.Email
	} else {
		var identity store.Identity
		identity, err = tx.Identity(ctx, m.ActorID)
		wire.Name = identity.Name
	}
	return wire, err
}

// MemberRole is a role of a membership: built-in or custom, for good or until
// a time in microseconds.
type MemberRole = store.MembershipRole

// maxRoles bounds the roles of one membership.
const maxRoles = 20

// given checks the roles of a membership to be, and what they would give.
func (c *call) given(r reach, actorType string, roles []MemberRole) (policy.Access, error) {
	held := policy.Access{Person: actorType == store.ActorUser}
	if len(roles) == 0 || len(roles) > maxRoles {
		return held, api.Errorf(api.ErrInvalid, "the membership has %d roles: give 1 to %d", len(roles), maxRoles)
	}
	for _, m := range roles {
		if _, _, builtIn := policy.BuiltIn(m.Role); !builtIn && r.roles[m.Role] == nil {
			return held, api.Errorf(api.ErrNotFound, "Role '%s' not found: give admin, member, viewer, no-access or a custom role of the project", named(m.Role))
		}
		if !live(m.ExpiresAt, c.now) {
			return held, api.Errorf(api.ErrInvalid, "the temporary access to role '%s' would have ended already", m.Role)
		}
		r.addRole(&held, m.Role)
	}
	return held, nil
}

// sameOrganization finds an actor that the caller may give something: one of
// the project's organisation.
func (c *call) sameOrganization(ctx context.Context, r reach, actorType, actorID string) (*actor, error) {
	unknown := api.Errorf(api.ErrNotFound, "The %s with id '%s' is not in the organization of the project", actorType, named(actorID))
	a, err := c.loadActor(ctx, actorType, actorID)
	if err != nil {
		return nil, orElse(gone(err), unknown)
	}
	if _, own := a.organizations[r.OrganizationID]; !own {
		return nil, unknown
	}
	return a, nil
}

// AddMember makes an actor a member of a project. Nobody can give a role that
// carries more than he holds.
func (s *Service) AddMember(ctx context.Context, caller Caller, ref ProjectRef, actorType, actorID string, roles []MemberRole) (wire api.Membership, err error) {
	return s.setMember(ctx, caller, event{audit.Create, "add-project-member"}, ref, actorType, actorID, roles, func(ctx context.Context, tx *store.Tx, m store.Membership, exists bool) (store.Membership, error) {
		if exists {
			return m, api.Errorf(api.ErrExists, "The %s is already a member of the project", actorType)
		}
		m.ID, m.CreatedAt = store.NewID(), m.UpdatedAt
		return m, tx.AddMembership(ctx, m)
	})
}

// UpdateMember replaces the roles of a member.
func (s *Service) UpdateMember(ctx context.Context, caller Caller, ref ProjectRef, actorType, actorID string, roles []MemberRole) (wire api.Membership, err error) {
	return s.setMember(ctx, caller, event{audit.Update, "update-project-member"}, ref, actorType, actorID, roles, func(ctx context.Context, tx *store.Tx, m store.Membership, exists bool) (store.Membership, error) {
		if !exists {
			return m, errNoMember(actorID)
		}
		return m, tx.UpdateMembership(ctx, m)
	})
}

func (s *Service) setMember(ctx context.Context, caller Caller, ev event, ref ProjectRef, actorType, actorID string, roles []MemberRole,
	save func(ctx context.Context, tx *store.Tx, m store.Membership, exists bool) (store.Membership, error)) (wire api.Membership, err error) {
	err = s.changeMember(ctx, caller, ev, ref, actorType, actorID, func(ctx context.Context, c *call, tx *store.Tx, r reach, m store.Membership, exists bool) error {
		given, err := c.given(r, actorType, roles)
		if err == nil {
			err = r.covers(given, "give that role")
		}
		if err != nil {
			return err
		}
		c.entry.Metadata = fields("actorType", actorType, "actorId", actorID, "roles", roleNames(roles))
		m.Roles, m.UpdatedAt = roles, c.now.UnixMicro()
		if m, err = save(ctx, tx, m, exists); err != nil {
			return err
		}
		wire, err = wireMembership(ctx, tx, m)
		return err
	})
	return wire, err
}

func roleNames(roles []MemberRole) string {
	names, _ := json.Marshal(roles)
	return string(names)
}

// RemoveMember takes an actor out of a project.
func (s *Service) RemoveMember(ctx context.Context, caller Caller, ref ProjectRef, actorType, actorID string) (wire api.Membership, err error) {
	err = s.changeMember(ctx, caller, event{audit.Delete, "remove-project-member"}, ref, actorType, actorID, func(ctx context.Context, c *call, tx *store.Tx, r reach, m store.Membership, exists bool) error {
		if !exists {
			return errNoMember(actorID)
		}
		c.entry.Metadata = fields("actorType", actorType, "actorId", actorID)
		if wire, err = wireMembership(ctx, tx, m); err != nil {
			return err
		}
		return tx.DeleteMembership(ctx, m, c.now.UnixMicro())
	})
	return wire, err
}

// changeMember is the frame of a change of a membership: the caller must hold
// what the member holds now, or a lesser one could take rights from a greater.
func (s *Service) changeMember(ctx context.Context, caller Caller, ev event, ref ProjectRef, actorType, actorID string,
	apply func(ctx context.Context, c *call, tx *store.Tx, r reach, m store.Membership, exists bool) error) error {
	return s.change(ctx, caller, ev, func(ctx context.Context, c *call) (work, error) {
		r, err := c.project(ctx, ref)
		if err == nil {
			err = r.may(policy.ManageMembers)
		}
		if err != nil {
			return work{}, err
		}
		member, err := c.sameOrganization(ctx, r, actorType, actorID)
		if err == nil {
			err = r.covers(c.access(member, r.project), "change the roles of that member")
		}
		if err != nil {
			return work{}, err
		}
		return work{
			lock: func(ctx context.Context, tx *store.Tx) error { return tx.LockProject(ctx, r.ID) },
			apply: func(ctx context.Context, tx *store.Tx) error {
				m, err := tx.Membership(ctx, r.ID, actorType, actorID)
				if err != nil && !errors.Is(err, api.ErrNotFound) {
					return err
				}
				exists := err == nil
				m.ProjectID, m.ActorType, m.ActorID = r.ID, actorType, actorID
				return apply(ctx, c, tx, r, m, exists)
			},
		}, nil
	})
}

// Roles lists the custom roles of a project by slug.
func (s *Service) Roles(ctx context.Context, caller Caller, ref ProjectRef) (all []api.Role, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-roles"}, func(ctx context.Context, c *call) error {
		all = []api.Role{}
		r, err := c.project(ctx, ref)
		if err == nil {
			err = r.may(policy.ReadRoles)
		}
		if err != nil {
			return err
		}
		for _, slug := range sortedKeys(r.roles) {
			all = append(all, wireRole(r.roles[slug]))
		}
		return nil
	})
	return all, err
}

func wireRole(r *role) api.Role {
	return api.Role{ID: r.ID, ProjectID: r.ProjectID, Slug: r.Slug, Name: r.Name, Description: r.Description, Rules: r.wire,
		CreatedAt: api.Micros(r.CreatedAt), UpdatedAt: api.Micros(r.UpdatedAt)}
}

// Role gives one custom role of a project, by id or slug.
func (s *Service) Role(ctx context.Context, caller Caller, ref ProjectRef, idOrSlug string) (wire api.Role, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-role"}, func(ctx context.Context, c *call) error {
		r, err := c.project(ctx, ref)
		if err == nil {
			err = r.may(policy.ReadRoles)
		}
		if err != nil {
			return err
		}
		found, err := r.role(idOrSlug)
		if err == nil {
			wire = wireRole(found)
		}
		return err
	})
	return wire, err
}

func (p *project) role(idOrSlug string) (*role, error) {
	for _, r := range p.roles {
		if r.ID == idOrSlug || r.Slug == idOrSlug {
			return r, nil
		}
	}
	return nil, api.Errorf(api.ErrNotFound, "Role '%s' not found", named(idOrSlug))
}

// RoleUpdate is a custom role to make or change; nil keeps.
type RoleUpdate struct {
	Slug, Name, Description *string
	Rules                   []api.Rule
}

// maxCustomRoles bounds the custom roles of one project.
const maxCustomRoles = 200

// SetRole makes a custom role (idOrSlug empty) or changes one. Its holders get
// what it carries, so nobody can put into it what he does not hold.
func (s *Service) SetRole(ctx context.Context, caller Caller, ref ProjectRef, idOrSlug string, u RoleUpdate) (wire api.Role, err error) {
	if err := u.check(idOrSlug == ""); err != nil {
		return wire, err
	}
	ev := event{audit.Create, "create-role"}
	if idOrSlug != "" {
		ev = event{audit.Update, "update-role"}
	}
	err = s.changeProject(ctx, caller, ev, ref, policy.ManageRoles, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		row, err := r.roleRow(idOrSlug, u, c.now.UnixMicro())
		if err != nil {
			return err
		}
		parsed, err := parseRole(row)
		if err != nil {
			return err
		}
		if err := r.coversRole(parsed, "define that role"); err != nil {
			return err
		}
		c.entry.Metadata = fields("role", row.Slug)
		wire = wireRole(parsed)
		if idOrSlug != "" {
			// Who narrows a role takes rights from its holders.
			old, err := r.role(idOrSlug)
			if err == nil {
				err = r.coversRole(old, "change that role")
			}
			if err == nil && old.Slug != row.Slug {
				err = c.renameRole(ctx, tx, r, old.Slug, row.Slug)
			}
			if err != nil {
				return err
			}
		}
		return tx.SetRole(ctx, row)
	})
	return wire, err
}

// coversRole asks for both kinds of holder: a ceiling limits people, not
// identities.
func (r reach) coversRole(custom *role, what string) error {
	for _, person := range []bool{false, true} {
		given := policy.Access{Person: person}
		given.AddCustom(custom.rules)
		if err := r.covers(given, what); err != nil {
			return err
		}
	}
	return nil
}

// renameRole gives the members that have a role another name for it; an empty
// one takes it away. A name that stayed behind would give its holders whatever
// role is made under it next.
func (c *call) renameRole(ctx context.Context, tx *store.Tx, r reach, from, to string) error {
	for _, actorType := range []string{store.ActorIdentity, store.ActorUser} {
		members, err := tx.Memberships(ctx, r.ID, actorType)
		if err != nil {
			return err
		}
		for _, m := range members {
			if !slices.ContainsFunc(m.Roles, func(held MemberRole) bool { return held.Role == from }) {
				continue
			}
			m.Roles, m.UpdatedAt = renamed(m.Roles, from, to), c.now.UnixMicro()
			if err := tx.UpdateMembership(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func renamed(roles []MemberRole, from, to string) []MemberRole {
	var kept []MemberRole
	for _, held := range roles {
		if held.Role == from {
			held.Role = to
		}
		if held.Role != "" {
			kept = append(kept, held)
		}
	}
	if len(kept) == 0 {
		return []MemberRole{{Role: policy.RoleNoAccess}}
	}
	return kept
}

func (u RoleUpdate) check(complete bool) error {
	if complete && (u.Slug == nil || u.Rules == nil) {
		return api.Errorf(api.ErrInvalid, "a role needs a slug and permissions")
	}
	if u.Slug != nil {
		if _, err := api.ParseSlug("slug", *u.Slug); err != nil {
			return err
		}
		if _, _, builtIn := policy.BuiltIn(*u.Slug); builtIn {
			return api.Errorf(api.ErrExists, "the role '%s' is built in: give another slug", *u.Slug)
		}
	}
	if u.Name != nil {
		if _, err := api.ParseName("name", *u.Name, api.MaxName); err != nil {
			return err
		}
	}
	if u.Description != nil {
		if _, err := api.ParseText("description", *u.Description, api.MaxDescription); err != nil {
			return err
		}
	}
	if u.Rules != nil {
		_, err := policy.ParseRules(u.Rules)
		return err
	}
	return nil
}

func (r reach) roleRow(idOrSlug string, u RoleUpdate, now int64) (store.Role, error) {
	row := store.Role{ID: store.NewID(), ProjectID: r.ID, CreatedAt: now}
	if idOrSlug == "" && len(r.roles) >= maxCustomRoles {
		return row, api.Errorf(api.ErrInvalid, "the project has %d custom roles: one project has at most %d", len(r.roles), maxCustomRoles)
	}
	if idOrSlug != "" {
		old, err := r.role(idOrSlug)
		if err != nil {
			return row, err
		}
		row = old.Role
	}
	if u.Slug != nil {
		if taken := r.roles[*u.Slug]; taken != nil && taken.ID != row.ID {
			return row, api.Errorf(api.ErrExists, "Role with slug '%s' already exists", *u.Slug)
		}
		row.Slug = *u.Slug
	}
	if row.Name == "" {
		row.Name = row.Slug
	}
	if u.Name != nil {
		row.Name = *u.Name
	}
	if u.Description != nil {
		row.Description = *u.Description
	}
	if u.Rules != nil {
		rules, err := json.Marshal(u.Rules)
		if err != nil {
			return row, err
		}
		row.Rules = string(rules)
	}
	row.UpdatedAt = now
	return row, nil
}

// DeleteRole deletes a custom role; whoever had it loses it.
func (s *Service) DeleteRole(ctx context.Context, caller Caller, ref ProjectRef, idOrSlug string) (wire api.Role, err error) {
	err = s.changeProject(ctx, caller, event{audit.Delete, "delete-role"}, ref, policy.ManageRoles, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		found, err := r.role(idOrSlug)
		if err != nil {
			return err
		}
		if err := r.coversRole(found, "delete that role"); err != nil {
			return err
		}
		c.entry.Metadata = fields("role", found.Slug)
		wire = wireRole(found)
		if err := c.renameRole(ctx, tx, r, found.Slug, ""); err != nil {
			return err
		}
		return tx.DeleteRole(ctx, found.Role, c.now.UnixMicro())
	})
	return wire, err
}

// AddPeople makes people of the organisation members of a project by their
// e-mail addresses, all or none.
func (s *Service) AddPeople(ctx context.Context, caller Caller, ref ProjectRef, emails []string, roles []MemberRole) (all []api.Membership, err error) {
	if len(emails) == 0 || len(emails) > maxInvited {
		return nil, api.Errorf(api.ErrInvalid, "the request names %d people: give 1 to %d", len(emails), maxInvited)
	}
	for i := range emails {
		if emails[i], err = parseEmail(emails[i]); err != nil {
			return nil, err
		}
	}
	err = s.changeProject(ctx, caller, event{audit.Create, "add-project-members"}, ref, policy.ManageMembers, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		given, err := c.given(r, store.ActorUser, roles)
		if err == nil {
			err = r.covers(given, "give that role")
		}
		if err != nil {
			return err
		}
		all = nil
		c.entry.Metadata = fields("emails", strings.Join(emails, " "), "roles", roleNames(roles))
		for _, email := range emails {
			wire, err := c.addPerson(ctx, tx, r, email, roles)
			if err != nil {
				return err
			}
			all = append(all, wire)
		}
		return nil
	})
	return all, err
}

func (c *call) addPerson(ctx context.Context, tx *store.Tx, r reach, email string, roles []MemberRole) (api.Membership, error) {
	unknown := api.Errorf(api.ErrNotFound, "A person of the request is not in the organization of the project: invite him first")
	u, err := tx.UserByEmail(ctx, email)
	if err != nil {
		return api.Membership{}, orElse(gone(err), unknown)
	}
	organizations, err := tx.ActorOrganizations(ctx, store.ActorUser, u.ID)
	if err != nil {
		return api.Membership{}, err
	}
	if !slices.ContainsFunc(organizations, func(m store.OrganizationMembership) bool { return m.OrganizationID == r.OrganizationID }) {
		return api.Membership{}, unknown
	}
	if _, err := tx.Membership(ctx, r.ID, store.ActorUser, u.ID); !errors.Is(err, api.ErrNotFound) {
		return api.Membership{}, orElse(err, api.Errorf(api.ErrExists, "A person of the request is already a member of the project"))
	}
	now := c.now.UnixMicro()
	m := store.Membership{ID: store.NewID(), ProjectID: r.ID, ActorType: store.ActorUser, ActorID: u.ID, Roles: roles, CreatedAt: now, UpdatedAt: now}
	if err := tx.AddMembership(ctx, m); err != nil {
		return api.Membership{}, err
	}
	return wireMembership(ctx, tx, m)
}
