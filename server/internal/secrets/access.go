package secrets

import (
	"context"
	"errors"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// This file decides, in one place, between an answer, a refusal and an absence,
// in this order: a project of another organisation is as unknown as one that
// is not there (404); in one's own organisation without a membership is 403;
// then policy is asked about the place that was named, before it is looked up
// (403 whether it exists or not); then what is absent is 404. No unknown place
// is ever an empty answer.

// ProjectRef names a project: by id or slug, as the wire takes either in
// either field. An empty one stands for the only project of the caller.
// Organization, the slug or id of an organisation, narrows where a slug is looked for.
type ProjectRef struct{ ID, Slug, Organization string }

// text is what that names the project; the id goes before the slug.
func (r ProjectRef) text() string {
	if r.ID != "" {
		return r.ID
	}
	return r.Slug
}

func errNoProject(ref ProjectRef) error {
	return api.Errorf(api.ErrNotFound, "Project '%s' not found", named(ref.text()))
}

// named is a slug or id that a client sent, for an error or an audit row; what
// is neither is not repeated, since it may be anything, a secret too.
func named(text string) string {
	if _, err := api.ParseSlug("name", text); err == nil || api.IsID(text) {
		return text
	}
	return "?"
}

// reach is a project together with what the caller may do in it.
type reach struct {
	*project
	access policy.Access
}

// project finds the project that is named and what the caller holds there. The
// caller must be a member, or an admin of the organisation.
func (c *call) project(ctx context.Context, ref ProjectRef) (reach, error) {
	p, err := c.findProject(ctx, ref)
	if err != nil {
		return reach{}, err
	}
	c.entry.OrganizationID, c.entry.ProjectID, c.entry.ProjectSlug = p.OrganizationID, p.ID, p.Slug
	r := reach{p, c.access(c.actor, p)}
	if !r.access.AllowsProject(policy.ReadProject) {
		return reach{}, api.Errorf(api.ErrDenied, "You are not a member of this project")
	}
	return r, nil
}

func (c *call) findProject(ctx context.Context, ref ProjectRef) (*project, error) {
	switch {
	case ref.Organization == "" && api.IsID(ref.text()): // no slug is shaped like an id
		return c.projectByID(ctx, ProjectRef{ID: ref.text()})
	case ref.text() != "":
		return c.projectBySlug(ctx, ref)
	}
	return c.onlyProject(ctx)
}

func (c *call) projectByID(ctx context.Context, ref ProjectRef) (*project, error) {
	p, err := c.loadProject(ctx, ref.ID)
	if err != nil {
		return nil, orElse(gone(err), errNoProject(ref))
	}
	if _, own := c.actor.organizations[p.OrganizationID]; !own {
		return nil, errNoProject(ref)
	}
	return p, nil
}

func (c *call) projectBySlug(ctx context.Context, ref ProjectRef) (*project, error) {
	var found []string
	for id := range c.actor.organizations {
		o, err := c.loadOrganization(ctx, id)
		if err != nil {
			return nil, err
		}
		if projectID, ok := o.projects[ref.text()]; ok && (ref.Organization == "" || ref.Organization == o.Slug || ref.Organization == o.ID) {
			found = append(found, projectID)
		}
	}
	switch len(found) {
	case 0:
		return nil, errNoProject(ref)
	case 1:
		return c.projectByID(ctx, ProjectRef{ID: found[0]})
	}
	return nil, api.Errorf(api.ErrInvalid, "Several of your organizations have a project with the slug '%s': name it by its id", named(ref.text()))
}

// onlyProject serves callers that name no project: the token implies it.
func (c *call) onlyProject(ctx context.Context) (*project, error) {
	if len(c.actor.memberships) != 1 {
		return nil, api.Errorf(api.ErrInvalid, "Missing project id or environment: this identity has %d projects, so name one by workspaceId or workspaceSlug", len(c.actor.memberships))
	}
	for id := range c.actor.memberships {
		return c.projectByID(ctx, ProjectRef{ID: id})
	}
	return nil, nil
}

// access is what an actor holds in a project at this moment.
func (c *call) access(a *actor, p *project) policy.Access {
	held := policy.Access{Person: a.kind == store.ActorUser}
	if a.organizations[p.OrganizationID] == policy.RoleAdmin {
		held.Add(policy.RoleAdmin)
	}
	for _, m := range a.memberships[p.ID] {
		if live(m.ExpiresAt, c.now) {
			p.addRole(&held, m.Role)
		}
	}
	return held
}

// addRole adds what a built-in or custom role gives in the project; a custom
// role that was deleted gives nothing.
func (p *project) addRole(held *policy.Access, name string) {
	if custom := p.roles[name]; custom != nil {
		held.AddCustom(custom.rules)
		return
	}
	held.Add(name)
}

// errRefused is the refusal of an action on a subject.
func errRefused(action policy.Action, subject string) error {
	return api.Errorf(api.ErrDenied, "You are not allowed to %s on %s", action, subject)
}

// may refuses an action on the project as a whole that the caller does
// not hold.
func (r reach) may(action policy.Action) error {
	if r.access.AllowsProject(action) {
		return nil
	}
	return errRefused(action, "project "+r.Slug)
}

// covers refuses to give what the caller does not hold himself.
func (r reach) covers(given policy.Access, what string) error {
	if missing, covered := r.access.Covers(given, r.policyEnvironments()); !covered {
		return api.Errorf(api.ErrDenied, "You are not allowed to %s: it carries %s, which you do not hold everywhere it does", what, missing)
	}
	return nil
}

// Place names a folder of an environment of a project.
type Place struct {
	Project     ProjectRef
	Environment string // slug
	Path        string
}

// place is a folder that was found.
type place struct {
	reach
	env    *environment
	asked  string // the environment's slug as it was asked; answers echo it
	tree   *tree
	folder *folder
}

// environment finds an environment by what allowed says of it, asked before
// whether it exists.
func (c *call) environment(r reach, slug string, allowed func(policy.Environment) error) (*environment, error) {
	if slug == "" {
		return nil, api.Errorf(api.ErrInvalid, "Missing project id or environment: give environment, the slug of an environment of the project")
	}
	env := r.bySlug[slug]
	known := policy.Environment{Slugs: []string{slug}}
	if env != nil {
		known = env.policy
	}
	c.entry.Environment = named(slug)
	if env != nil {
		c.entry.Environment = env.Slug
	}
	if err := allowed(known); err != nil {
		return nil, err
	}
	if env == nil {
		return nil, api.Errorf(api.ErrNotFound, "Environment with slug '%s' not found in project '%s'", named(slug), r.Slug)
	}
	return env, nil
}

// place finds the folder of a request, by what allowed says of the place,
// asked before whether it exists.
func (c *call) place(ctx context.Context, at Place, allowed func(policy.Access, policy.Environment, string) error) (place, error) {
	path, err := api.ParsePath(at.Path)
	if err != nil {
		return place{}, err
	}
	r, err := c.project(ctx, at.Project)
	if err != nil {
		return place{}, err
	}
	c.entry.Path = path
	env, err := c.environment(r, at.Environment, func(e policy.Environment) error { return allowed(r.access, e, path) })
	if err != nil {
		return place{}, err
	}
	t, err := c.loadTree(ctx, env.ID)
	if err != nil {
		return place{}, err
	}
	found := place{r, env, at.Environment, t, t.byPath[path]}
	if found.folder == nil {
		return found, errNoFolder(path, at.Environment)
	}
	return found, nil
}

func errNoFolder(path, environment string) error {
	return api.Errorf(api.ErrNotFound, "Folder with path '%s' in environment with slug '%s' not found", path, environment)
}

// organization finds an organisation of the caller in which he may do an
// action; one of others is as unknown as one that is not there.
func (c *call) organization(ctx context.Context, id string, action policy.Action) (*organization, error) {
	role, own := c.actor.organizations[id]
	if !own {
		return nil, api.Errorf(api.ErrNotFound, "Organization not found")
	}
	c.entry.OrganizationID = id
	if !policy.OrgAllows(role, action) {
		return nil, errRefused(action, "the organization")
	}
	o, err := c.loadOrganization(ctx, id)
	if errors.Is(err, api.ErrNotFound) {
		return nil, api.Errorf(api.ErrNotFound, "Organization not found")
	}
	return o, err
}

// ownOrganization is the organisation that a request means which names none.
func (c *call) ownOrganization(id string) (string, error) {
	if id != "" {
		return id, nil
	}
	if c.actor.kind == store.ActorIdentity {
		return c.actor.identity.OrganizationID, nil
	}
	if len(c.actor.organizations) != 1 {
		return "", api.Errorf(api.ErrInvalid, "You are in %d organizations: give organizationId", len(c.actor.organizations))
	}
	for id := range c.actor.organizations {
		return id, nil
	}
	return "", nil
}

// mustBeSuperAdmin refuses whoever may not administer the instance.
func (c *call) mustBeSuperAdmin() error {
	if !c.actor.superAdmin {
		return errRefused("administer", "the instance")
	}
	return nil
}
