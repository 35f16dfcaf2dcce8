package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// entityOf gives an entity and notes that the request was resolved from it.
// What is not there is not remembered: it is looked up each time.
func entityOf[T any](ctx context.Context, c *call, kind, id string, load func(ctx context.Context, tx *store.Tx) (*T, int64, error)) (*T, error) {
	e := entity{kind, id}
	if c.tx != nil {
		if got, ok := c.loaded[e]; ok { // the snapshot does not change
			return got.(*T), nil
		}
		c.notes = append(c.notes, note{e, c.tick})
		value, _, err := load(ctx, c.tx)
		if err == nil {
			c.loaded[e] = value
		}
		return value, err
	}
	got, tick, found := c.s.cache.get(e)
	c.notes = append(c.notes, note{e, tick})
	if found {
		return got.(*T), nil
	}
	var value *T
	var bytes int64
	err := c.s.store.View(ctx, func(tx *store.Tx) (err error) {
		value, bytes, err = load(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.s.cache.put(e, value, bytes, tick)
	return value, nil
}

// actor is an identity or a person, with all that decides what he may do.
type actor struct {
	kind          string // store.ActorIdentity or store.ActorUser
	id, name      string
	superAdmin    bool              // may administer the instance
	organizations map[string]string // id -> role
	memberships   map[string][]store.MembershipRole
	identity      store.Identity // of an identity
	universalAuth *store.UniversalAuth
	secretIPs     []netip.Prefix
	tokenIPs      []netip.Prefix
	user          store.User // of a person
}

func (c *call) loadActor(ctx context.Context, kind, id string) (*actor, error) {
	return entityOf(ctx, c, store.KindActor, id, func(ctx context.Context, tx *store.Tx) (*actor, int64, error) {
		a := &actor{kind: kind, id: id, organizations: map[string]string{}, memberships: map[string][]store.MembershipRole{}}
		err := a.loadSelf(ctx, tx)
		if err != nil {
			return nil, 0, err
		}
		organizations, err := tx.ActorOrganizations(ctx, kind, id)
		if err != nil {
			return nil, 0, err
		}
		for _, m := range organizations {
			a.organizations[m.OrganizationID] = m.Role
		}
		memberships, err := tx.ActorMemberships(ctx, kind, id)
		if err != nil {
			return nil, 0, err
		}
		for _, m := range memberships {
			a.memberships[m.ProjectID] = m.Roles
		}
		return a, 1024 + 256*int64(len(memberships)), nil
	})
}

func (a *actor) loadSelf(ctx context.Context, tx *store.Tx) (err error) {
	if a.kind == store.ActorUser {
		a.user, err = tx.User(ctx, a.id)
		a.name, a.superAdmin = a.user.Email, a.user.SuperAdmin
		return err
	}
	if a.identity, err = tx.Identity(ctx, a.id); err != nil {
		return err
	}
	a.name, a.superAdmin = a.identity.Name, a.identity.InstanceAdmin
	ua, err := tx.UniversalAuth(ctx, a.id)
	if errors.Is(err, api.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a.universalAuth = &ua
	if a.secretIPs, err = auth.ParseNetworks("clientSecretTrustedIps", ua.SecretTrustedIPs); err != nil {
		return err
	}
	a.tokenIPs, err = auth.ParseNetworks("accessTokenTrustedIps", ua.TokenTrustedIPs)
	return err
}

// organization is an organisation with the names of its projects.
type organization struct {
	store.Organization
	projects map[string]string // slug -> id
}

func (c *call) loadOrganization(ctx context.Context, id string) (*organization, error) {
	return entityOf(ctx, c, store.KindOrganization, id, func(ctx context.Context, tx *store.Tx) (*organization, int64, error) {
		o := &organization{projects: map[string]string{}}
		var err error
		if o.Organization, err = tx.Organization(ctx, id); err != nil {
			return nil, 0, err
		}
		projects, err := tx.Projects(ctx, id)
		for _, p := range projects {
			o.projects[p.Slug] = p.ID
		}
		return o, 512 + 256*int64(len(projects)), err
	})
}

// project is a project with its environments, roles and tags.
type project struct {
	store.Project
	environments []*environment
	bySlug       map[string]*environment
	roles        map[string]*role // by slug
	tags         map[string]store.Tag
	tagsBySlug   map[string]store.Tag
}

// environment is an environment as policy sees it, too.
type environment struct {
	store.Environment
	policy policy.Environment
}

// role is a custom role with its rules ready to decide.
type role struct {
	store.Role
	wire  []api.Rule
	rules []policy.Rule
}

func (c *call) loadProject(ctx context.Context, id string) (*project, error) {
	return entityOf(ctx, c, store.KindProject, id, func(ctx context.Context, tx *store.Tx) (*project, int64, error) {
		p, err := projectOf(ctx, tx, id)
		if err != nil {
			return nil, 0, err
		}
		return p, 4096 + 512*int64(len(p.environments)+len(p.roles)+len(p.tags)), nil
	})
}

func projectOf(ctx context.Context, tx *store.Tx, id string) (*project, error) {
	p := &project{bySlug: map[string]*environment{}, roles: map[string]*role{}, tags: map[string]store.Tag{}, tagsBySlug: map[string]store.Tag{}}
	var err error
	if p.Project, err = tx.Project(ctx, id); err != nil {
		return nil, err
	}
	environments, err := tx.Environments(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, e := range environments {
		env := &environment{e, policy.Environment{Slugs: e.Slugs(), Restricted: e.Restricted}}
		p.environments = append(p.environments, env)
		for _, slug := range e.Slugs() {
			p.bySlug[slug] = env
		}
	}
	roles, err := tx.Roles(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		if p.roles[r.Slug], err = parseRole(r); err != nil {
			return nil, err
		}
	}
	tags, err := tx.Tags(ctx, id)
	for _, tag := range tags {
		p.tags[tag.ID], p.tagsBySlug[tag.Slug] = tag, tag
	}
	return p, err
}

func parseRole(r store.Role) (*role, error) {
	parsed := &role{Role: r}
	if err := json.Unmarshal([]byte(r.Rules), &parsed.wire); err != nil {
		return nil, err
	}
	var err error
	parsed.rules, err = policy.ParseRules(parsed.wire)
	return parsed, err
}

func (p *project) policyEnvironments() []policy.Environment {
	var all []policy.Environment
	for _, e := range p.environments {
		all = append(all, e.policy)
	}
	return all
}

// tree is the folders of an environment.
type tree struct {
	root   *folder
	byPath map[string]*folder
	byID   map[string]*folder
}

type folder struct {
	store.Folder
	path     string
	children []*folder // by name
}

func (c *call) loadTree(ctx context.Context, environmentID string) (*tree, error) {
	return entityOf(ctx, c, store.KindEnvironment, environmentID, func(ctx context.Context, tx *store.Tx) (*tree, int64, error) {
		folders, err := tx.Folders(ctx, environmentID)
		if err != nil {
			return nil, 0, err
		}
		t, err := plant(folders)
		return t, 256 * int64(len(folders)), err
	})
}

// plant makes the tree of folders, in whatever order they come.
func plant(folders []store.Folder) (*tree, error) {
	t := &tree{byPath: map[string]*folder{}, byID: map[string]*folder{}}
	for _, f := range folders {
		t.byID[f.ID] = &folder{Folder: f}
	}
	for _, f := range folders { // sorted by parent, then name
		node := t.byID[f.ID]
		if f.ParentID == "" {
			t.root = node
		} else if parent := t.byID[f.ParentID]; parent != nil {
			parent.children = append(parent.children, node)
		}
	}
	if t.root == nil {
		return nil, api.Errorf(api.ErrNotFound, "environment: not found")
	}
	t.name(t.root, "/")
	return t, nil
}

func (t *tree) name(f *folder, path string) {
	f.path = path
	t.byPath[path] = f
	for _, child := range f.children {
		t.name(child, api.JoinPath(path, child.Name))
	}
}

// below lists a folder and all folders in it, by path.
func (f *folder) below() []*folder {
	all := []*folder{f}
	for _, child := range f.children {
		all = append(all, child.below()...)
	}
	return all
}

// contents is the secrets of a folder, sealed, by key.
type contents struct {
	rows     []store.SecretRow
	byKey    map[string]int
	verified []atomic.Bool // of each row: its head was seen to be authentic
}

func (c *call) loadContents(ctx context.Context, folderID string) (*contents, error) {
	return entityOf(ctx, c, store.KindFolder, folderID, func(ctx context.Context, tx *store.Tx) (*contents, int64, error) {
		rows, err := tx.FolderSecrets(ctx, folderID)
		if err != nil {
			return nil, 0, err
		}
		all := &contents{rows: rows, byKey: make(map[string]int, len(rows)), verified: make([]atomic.Bool, len(rows))}
		bytes := int64(512)
		for i, row := range rows {
			all.byKey[row.Secret.Key] = i
			bytes += 768 + int64(len(row.Version.Value)+len(row.Version.Comment)+len(row.Version.Metadata))
		}
		return all, bytes, nil
	})
}

// clientSecret is a client secret by its id.
func (c *call) loadClientSecret(ctx context.Context, id string) (*store.ClientSecret, error) {
	return entityOf(ctx, c, store.KindClientSecret, id, func(ctx context.Context, tx *store.Tx) (*store.ClientSecret, int64, error) {
		secret, err := tx.ClientSecret(ctx, id)
		return &secret, 512, err
	})
}
