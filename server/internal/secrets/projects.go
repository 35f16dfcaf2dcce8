package secrets

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// NewProject is what a project is made of.
type NewProject struct {
	OrganizationID string // "": the caller's
	Name, Slug     string // a missing slug is made from the name
	Description    string
	Protected      bool // against deletion
}

// The environments that every project has. People need to be project admins,
// or have a custom role that names it, for what is in a restricted one.
var defaultEnvironments = []struct {
	name, slug, alias string
	restricted        bool
}{
	{"Development", "dev", "", false},
	{"Staging", "staging", "", false},
	{"Production", "prod", "production", true},
}

// twins are slugs that name the same environment, unless a project has both.
var twins = map[string]string{"prod": "production", "production": "prod"}

// CreateProject makes a project with its environments; the caller becomes its
// admin.
func (s *Service) CreateProject(ctx context.Context, caller Caller, req NewProject) (wire api.Project, err error) {
	if _, err := api.ParseName("projectName", req.Name, api.MaxName); err != nil {
		return wire, err
	}
	if _, err := api.ParseText("projectDescription", req.Description, api.MaxDescription); err != nil {
		return wire, err
	}
	if req.Slug == "" {
		req.Slug = slugify(req.Name)
	}
	if _, err := api.ParseSlug("slug", req.Slug); err != nil {
		return wire, err
	}
	err = s.change(ctx, caller, event{audit.Create, "create-project"}, func(ctx context.Context, c *call) (work, error) {
		organizationID, err := c.ownOrganization(req.OrganizationID)
		if err != nil {
			return work{}, err
		}
		o, err := c.organization(ctx, organizationID, policy.CreateProject)
		if err != nil {
			return work{}, err
		}
		if o.projects[req.Slug] != "" {
			return work{}, api.Errorf(api.ErrExists, "Project with slug '%s' already exists in the organization", req.Slug)
		}
		return work{
			lock: func(ctx context.Context, tx *store.Tx) error { return tx.LockOrganization(ctx, o.ID) },
			apply: func(ctx context.Context, tx *store.Tx) error {
				p, err := c.makeProject(ctx, tx, o.ID, req)
				if err == nil {
					wire = wireProject(p)
				}
				return err
			},
		}, nil
	})
	return wire, err
}

// slugify makes a slug of a name, with a random end so that it is free.
func slugify(name string) string {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, clip(name, 40))
	random := make([]byte, 2)
	rand.Read(random)
	if slug = strings.Trim(slug, "-"); slug == "" {
		slug = "project"
	}
	return slug + "-" + hex.EncodeToString(random)
}

func (c *call) makeProject(ctx context.Context, tx *store.Tx, organizationID string, req NewProject) (*project, error) {
	now := c.now.UnixMicro()
	row := store.Project{ID: store.NewID(), OrganizationID: organizationID, Name: req.Name, Slug: req.Slug, Description: req.Description,
		DeleteProtection: req.Protected, CreatedAt: now, UpdatedAt: now}
	c.entry.ProjectID, c.entry.ProjectSlug = row.ID, row.Slug
	if err := tx.AddProject(ctx, row); err != nil {
		return nil, err
	}
	for i, d := range defaultEnvironments {
		env := store.Environment{ID: store.NewID(), ProjectID: row.ID, Name: d.name, Slug: d.slug, Position: int64(i + 1), Restricted: d.restricted,
			Revision: 1, CreatedAt: now, UpdatedAt: now}
		if d.alias != "" {
			env.Aliases = []string{d.alias}
		}
		if err := tx.AddEnvironment(ctx, env, store.NewID()); err != nil {
			return nil, err
		}
	}
	admin := store.Membership{ID: store.NewID(), ProjectID: row.ID, ActorType: c.actor.kind, ActorID: c.actor.id,
		Roles: []store.MembershipRole{{Role: policy.RoleAdmin}}, CreatedAt: now, UpdatedAt: now}
	if err := tx.AddMembership(ctx, admin); err != nil {
		return nil, err
	}
	return projectOf(ctx, tx, row.ID)
}

func wireProject(p *project) api.Project {
	wire := api.Project{ID: p.ID, OldID: p.ID, Name: p.Name, Slug: p.Slug, Type: "secret-manager", OrgID: p.OrganizationID, HasDeleteProtection: p.DeleteProtection,
		PitVersionLimit: 10, AuditLogsRetentionDays: 365, Version: 3, CreatedAt: api.Micros(p.CreatedAt), UpdatedAt: api.Micros(p.UpdatedAt),
		Environments: []api.Environment{}}
	if p.Description != "" {
		wire.Description = &p.Description
	}
	for _, env := range p.environments {
		wire.Environments = append(wire.Environments, wireEnvironment(env.Environment))
	}
	return wire
}

func wireEnvironment(e store.Environment) api.Environment {
	level := api.AccessOpen
	if e.Restricted {
		level = api.AccessRestricted
	}
	return api.Environment{ID: e.ID, Name: e.Name, Slug: e.Slug, Position: e.Position, ProjectID: e.ProjectID, AccessLevel: level}
}

// Project gives one project, by id or slug.
func (s *Service) Project(ctx context.Context, caller Caller, ref ProjectRef) (wire api.Project, err error) {
	if ref.text() == "" {
		return wire, api.Errorf(api.ErrInvalid, "Missing project id: name the project by its id or slug")
	}
	err = s.read(ctx, caller, event{audit.Read, "get-project"}, func(ctx context.Context, c *call) error {
		r, err := c.project(ctx, ref)
		if err == nil {
			wire = wireProject(r.project)
		}
		return err
	})
	return wire, err
}

// Projects lists the projects that the caller is a member of, by slug.
func (s *Service) Projects(ctx context.Context, caller Caller) (all []api.Project, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-projects"}, func(ctx context.Context, c *call) error {
		all = []api.Project{}
		for _, organizationID := range sortedKeys(c.actor.organizations) {
			o, err := c.loadOrganization(ctx, organizationID)
			if err != nil {
				return err
			}
			for _, slug := range sortedKeys(o.projects) {
				p, err := c.loadProject(ctx, o.projects[slug])
				if err != nil {
					return err
				}
				if held := c.access(c.actor, p); held.AllowsProject(policy.ReadProject) {
					all = append(all, wireProject(p))
				}
			}
		}
		return nil
	})
	return all, err
}

// changeProject is the frame of a change of a project as a whole.
func (s *Service) changeProject(ctx context.Context, caller Caller, ev event, ref ProjectRef, action policy.Action, apply func(ctx context.Context, c *call, tx *store.Tx, r reach) error) error {
	return s.change(ctx, caller, ev, func(ctx context.Context, c *call) (work, error) {
		r, err := c.project(ctx, ref)
		if err == nil {
			err = r.may(action)
		}
		if err != nil {
			return work{}, err
		}
		return work{
			lock:  func(ctx context.Context, tx *store.Tx) error { return tx.LockProject(ctx, r.ID) },
			apply: func(ctx context.Context, tx *store.Tx) error { return apply(ctx, c, tx, r) },
		}, nil
	})
}

// ProjectUpdate is what to change of a project; nil keeps.
type ProjectUpdate struct {
	Name, Slug, Description *string
	Protected               *bool
}

// UpdateProject changes a project.
func (s *Service) UpdateProject(ctx context.Context, caller Caller, ref ProjectRef, u ProjectUpdate) (wire api.Project, err error) {
	if err := u.check(); err != nil {
		return wire, err
	}
	err = s.changeProject(ctx, caller, event{audit.Update, "update-project"}, ref, policy.EditProject, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		row := r.Project
		row.UpdatedAt = c.now.UnixMicro()
		if u.Name != nil {
			row.Name = *u.Name
		}
		if u.Slug != nil {
			row.Slug = *u.Slug
		}
		if u.Description != nil {
			row.Description = *u.Description
		}
		if u.Protected != nil {
			row.DeleteProtection = *u.Protected
		}
		if err := tx.UpdateProject(ctx, row); err != nil {
			return err
		}
		changed, err := projectOf(ctx, tx, row.ID)
		if err == nil {
			wire = wireProject(changed)
		}
		return err
	})
	return wire, err
}

func (u ProjectUpdate) check() error {
	if u.Name != nil {
		if _, err := api.ParseName("name", *u.Name, api.MaxName); err != nil {
			return err
		}
	}
	if u.Slug != nil {
		if _, err := api.ParseSlug("slug", *u.Slug); err != nil {
			return err
		}
	}
	if u.Description != nil {
		_, err := api.ParseText("description", *u.Description, api.MaxDescription)
		return err
	}
	return nil
}

// DeleteProject deletes a project with everything in it.
func (s *Service) DeleteProject(ctx context.Context, caller Caller, ref ProjectRef) (wire api.Project, err error) {
	err = s.changeProject(ctx, caller, event{audit.Delete, "delete-project"}, ref, policy.DeleteProject, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		if r.DeleteProtection {
			return api.Errorf(api.ErrInvalid, "Project '%s' has delete protection: switch it off first", r.Slug)
		}
		wire = wireProject(r.project)
		var ids []string
		for _, env := range r.environments {
			ids = append(ids, env.ID)
		}
		if err := tx.LockEnvironments(ctx, ids...); err != nil {
			return err
		}
		return tx.DeleteProject(ctx, r.Project, c.now.UnixMicro())
	})
	return wire, err
}

// EnvironmentUpdate is what to make or change of an environment; nil keeps.
type EnvironmentUpdate struct {
	Name, Slug *string
	Position   *int64
	Restricted *bool
	Distinct   bool // make "production" beside "prod", or the other way round
}

func (u EnvironmentUpdate) check() error {
	if u.Name != nil {
		if _, err := api.ParseName("name", *u.Name, api.MaxName); err != nil {
			return err
		}
	}
	if u.Slug != nil {
		if _, err := api.ParseSlug("slug", *u.Slug); err != nil {
			return err
		}
	}
	if u.Position != nil && (*u.Position < 1 || *u.Position > maxEnvironments) {
		return api.Errorf(api.ErrInvalid, "position is %d: give 1 to %d", *u.Position, maxEnvironments)
	}
	return nil
}

const maxEnvironments = 100

// CreateEnvironment makes an environment. The slug that is the other name of
// one that is there (prod and production) gives that one, unless it is to be
// distinct.
func (s *Service) CreateEnvironment(ctx context.Context, caller Caller, ref ProjectRef, u EnvironmentUpdate) (wire api.Environment, err error) {
	if u.Slug == nil || u.Name == nil {
		return wire, api.Errorf(api.ErrInvalid, "an environment needs a name and a slug")
	}
	if err := u.check(); err != nil {
		return wire, err
	}
	err = s.changeProject(ctx, caller, event{audit.Create, "create-environment"}, ref, policy.ManageEnvironments, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		c.entry.Environment = *u.Slug
		if taken := r.bySlug[*u.Slug]; taken != nil {
			if taken.Slug == *u.Slug {
				return api.Errorf(api.ErrExists, "Environment with slug '%s' already exists", *u.Slug)
			}
			if !u.Distinct {
				wire = wireEnvironment(taken.Environment)
				wire.Slug = *u.Slug
				return nil
			}
			if err := c.dropAlias(ctx, tx, taken.Environment, *u.Slug); err != nil {
				return err
			}
		}
		if len(r.environments) >= maxEnvironments {
			return api.Errorf(api.ErrInvalid, "the project has %d environments: one project has at most %d", len(r.environments), maxEnvironments)
		}
		env := newEnvironment(r, u, c.now.UnixMicro())
		wire = wireEnvironment(env)
		return tx.AddEnvironment(ctx, env, store.NewID())
	})
	return wire, err
}

func newEnvironment(r reach, u EnvironmentUpdate, now int64) store.Environment {
	env := store.Environment{ID: store.NewID(), ProjectID: r.ID, Name: *u.Name, Slug: *u.Slug, Position: int64(len(r.environments) + 1), Revision: 1, CreatedAt: now, UpdatedAt: now}
	if u.Position != nil {
		env.Position = *u.Position
	}
	if twin := twins[env.Slug]; twin != "" && r.bySlug[twin] == nil {
		env.Aliases = []string{twin}
	}
	if u.Restricted != nil {
		env.Restricted = *u.Restricted
	}
	return env
}

func (c *call) dropAlias(ctx context.Context, tx *store.Tx, env store.Environment, alias string) error {
	env.Aliases = slices.DeleteFunc(slices.Clone(env.Aliases), func(a string) bool { return a == alias })
	env.UpdatedAt = c.now.UnixMicro()
	return tx.UpdateEnvironment(ctx, env)
}

// environmentByID finds an environment of a project by its id.
func (r reach) environmentByID(id string) (*environment, error) {
	for _, env := range r.environments {
		if env.ID == id {
			return env, nil
		}
	}
	return nil, api.Errorf(api.ErrNotFound, "Environment with id '%s' not found", named(id))
}

// Environment gives one environment by its id.
func (s *Service) Environment(ctx context.Context, caller Caller, id string) (wire api.Environment, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-environment"}, func(ctx context.Context, c *call) error {
		env, err := c.locateEnvironment(ctx, id)
		if err == nil {
			wire = wireEnvironment(env.Environment)
		}
		return err
	})
	return wire, err
}

func (c *call) locateEnvironment(ctx context.Context, id string) (*environment, error) {
	unknown := api.Errorf(api.ErrNotFound, "Environment with id '%s' not found", named(id))
	projectID, err := c.tx.EnvironmentProject(ctx, id)
	if err != nil {
		return nil, orElse(gone(err), unknown)
	}
	r, err := c.project(ctx, ProjectRef{ID: projectID})
	if errors.Is(err, api.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	return r.environmentByID(id)
}

// EnvironmentBySlug gives one environment of a project by its slug.
func (s *Service) EnvironmentBySlug(ctx context.Context, caller Caller, ref ProjectRef, slug string) (wire api.Environment, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-environment"}, func(ctx context.Context, c *call) error {
		r, err := c.project(ctx, ref)
		if err != nil {
			return err
		}
		env, err := c.environment(r, slug, func(policy.Environment) error { return nil })
		if err == nil {
			wire = wireEnvironment(env.Environment)
		}
		return err
	})
	return wire, err
}

// UpdateEnvironment changes an environment of a project. A new slug also
// changes which rules of custom roles name it.
func (s *Service) UpdateEnvironment(ctx context.Context, caller Caller, ref ProjectRef, id string, u EnvironmentUpdate) (wire api.Environment, err error) {
	if err := u.check(); err != nil {
		return wire, err
	}
	err = s.changeProject(ctx, caller, event{audit.Update, "update-environment"}, ref, policy.ManageEnvironments, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		found, err := r.environmentByID(id)
		if err != nil {
			return err
		}
		env := found.Environment
		c.entry.Environment = env.Slug
		if (u.Slug != nil && *u.Slug != env.Slug || u.Restricted != nil && *u.Restricted != env.Restricted) && !r.access.Admin {
			return errRefused(policy.ManageEnvironments, "the slug and access level of an environment, which decide who may read it: a project admin may")
		}
		if err := rename(&env, r, u); err != nil {
			return err
		}
		env.UpdatedAt = c.now.UnixMicro()
		wire = wireEnvironment(env)
		return tx.UpdateEnvironment(ctx, env)
	})
	return wire, err
}

// rename puts the update into the environment; the default ones keep their slugs.
func rename(env *store.Environment, r reach, u EnvironmentUpdate) error {
	if u.Name != nil {
		env.Name = *u.Name
	}
	if u.Position != nil {
		env.Position = *u.Position
	}
	if u.Restricted != nil {
		env.Restricted = *u.Restricted
	}
	if u.Slug == nil || *u.Slug == env.Slug {
		return nil
	}
	if isDefault(env.Slug) {
		return api.Errorf(api.ErrInvalid, "every project has the environment '%s': its slug stays", env.Slug)
	}
	if taken := r.bySlug[*u.Slug]; taken != nil {
		return api.Errorf(api.ErrExists, "Environment with slug '%s' already exists", *u.Slug)
	}
	env.Slug, env.Aliases = *u.Slug, nil
	return nil
}

func isDefault(slug string) bool {
	for _, d := range defaultEnvironments {
		if d.slug == slug {
			return true
		}
	}
	return false
}

// DeleteEnvironment deletes an environment with everything in it. The default
// ones stay.
func (s *Service) DeleteEnvironment(ctx context.Context, caller Caller, ref ProjectRef, id string) (wire api.Environment, err error) {
	err = s.changeProject(ctx, caller, event{audit.Delete, "delete-environment"}, ref, policy.ManageEnvironments, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		env, err := r.environmentByID(id)
		if err != nil {
			return err
		}
		c.entry.Environment = env.Slug
		if isDefault(env.Slug) {
			return api.Errorf(api.ErrInvalid, "every project has the environment '%s': it cannot be deleted", env.Slug)
		}
		if !r.access.Allows(policy.DeleteSecret, policy.Target{Environment: env.policy, Path: "/"}) {
			return errRefused(policy.DeleteSecret, "all secrets in "+env.Slug)
		}
		wire = wireEnvironment(env.Environment)
		if err := tx.LockEnvironments(ctx, env.ID); err != nil {
			return err
		}
		return tx.DeleteEnvironment(ctx, env.Environment, c.now.UnixMicro())
	})
	return wire, err
}
