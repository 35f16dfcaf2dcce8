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
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/store"
)

// ListRequest asks for the secrets of a folder.
type ListRequest struct {
	Place
	Recursive   bool
	Expand      bool     // replace references by what they name
	HideValues  bool     // names only
	Compact     bool     // no comments and metadata, unless Metadata chooses by it
	Tags        []string // slugs: only secrets with one of them
	Metadata    []api.Metadata
	IfNoneMatch string
}

// List is the answer to a ListRequest.
type List struct {
	Secrets   []api.Secret
	ETag      string
	Unchanged bool // the ETag was among IfNoneMatch: no secrets are given
}

// List gives the secrets of a folder, sorted by path and key.
func (s *Service) List(ctx context.Context, caller Caller, req ListRequest) (List, error) {
	var v *view
	var tag string
	err := s.read(ctx, caller, event{audit.Read, "get-secrets"}, func(ctx context.Context, c *call) (err error) {
		if v, err = c.list(ctx, req); err != nil {
			return err
		}
		if tag = v.etag(s.keys.newest(seal.PurposeETag)); matches(req.IfNoneMatch, tag) {
			return errUnchanged
		}
		c.entry.Items = v.disclosed()
		return nil
	})
	if errors.Is(err, errUnchanged) {
		s.Unchanged.Add(1)
		return List{ETag: tag, Unchanged: true}, nil
	}
	if err != nil {
		return List{}, err
	}
	all, err := s.open(ctx, v)
	if err == nil && len(req.Metadata) > 0 {
		all = withMetadata(all, req.Metadata)
	}
	return List{Secrets: all, ETag: tag}, err
}

func (c *call) list(ctx context.Context, req ListRequest) (*view, error) {
	at, err := c.place(ctx, req.Place, func(held policy.Access, env policy.Environment, path string) error {
		if req.Recursive && held.Any(policy.DescribeSecret, env) || held.AnyIn(policy.DescribeSecret, env, path) {
			return nil
		}
		return errRefused(policy.DescribeSecret, "secrets in "+path)
	})
	if err != nil {
		return nil, err
	}
	v := &view{reach: at.reach, asked: at.asked, options: viewOptions{values: !req.HideValues, expand: req.Expand, recursive: req.Recursive, kind: "list"}}
	if req.Compact {
		v.options.kind, v.options.bare = "compact list", len(req.Metadata) == 0
	}
	folders := []*folder{at.folder}
	if req.Recursive {
		folders = at.folder.below()
		slices.SortFunc(folders, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	}
	for _, f := range folders {
		if err := c.addFolder(ctx, v, at.env, f, req); err != nil {
			return nil, err
		}
	}
	if req.Expand {
		err = c.refer(ctx, v)
	}
	return v, err
}

func (c *call) addFolder(ctx context.Context, v *view, env *environment, f *folder, req ListRequest) error {
	all, err := c.loadContents(ctx, f.ID)
	if err != nil {
		return err
	}
	v.items = slices.Grow(v.items, len(all.rows))
	for n := range all.rows {
		row := &all.rows[n]
		if len(req.Tags) > 0 && !v.tagged(row.Version, req.Tags) {
			continue
		}
		if err := v.add(c, env, f, all, n); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) tagged(ver store.SecretVersion, slugs []string) bool {
	for _, slug := range slugs {
		if tag, ok := v.tagsBySlug[slug]; ok && slices.Contains(ver.Tags, tag.ID) {
			return true
		}
	}
	return false
}

// withMetadata keeps the secrets that have one of the wanted entries.
func withMetadata(all []api.Secret, wanted []api.Metadata) []api.Secret {
	return slices.DeleteFunc(all, func(secret api.Secret) bool {
		for _, has := range secret.SecretMetadata {
			for _, want := range wanted {
				if has.Key == want.Key && has.Value == want.Value {
					return false
				}
			}
		}
		return true
	})
}

// GetRequest asks for one secret: by place and key, or by id.
type GetRequest struct {
	Place
	Key         string
	ID          string // in place of the place and the key
	Version     int64  // 0: the current one
	Expand      bool
	HideValue   bool
	IfNoneMatch string
}

// Get gives one secret, as a List of one.
func (s *Service) Get(ctx context.Context, caller Caller, req GetRequest) (List, error) {
	var v *view
	var tag string
	resolve := func(ctx context.Context, c *call) (err error) {
		if v, err = c.get(ctx, req); err != nil {
			return err
		}
		if tag = v.etag(s.keys.newest(seal.PurposeETag)); matches(req.IfNoneMatch, tag) {
			return errUnchanged
		}
		c.entry.Items = v.disclosed()
		return nil
	}
	read := s.read
	if req.ID != "" || req.Version != 0 {
		read = s.look // ids and old versions are not in the cache
	}
	err := read(ctx, caller, event{audit.Read, "get-secret"}, resolve)
	if errors.Is(err, errUnchanged) {
		s.Unchanged.Add(1)
		return List{ETag: tag, Unchanged: true}, nil
	}
	if err != nil {
		return List{}, err
	}
	all, err := s.open(ctx, v)
	return List{Secrets: all, ETag: tag}, err
}

func (c *call) get(ctx context.Context, req GetRequest) (*view, error) {
	if req.ID != "" {
		return c.getByID(ctx, req)
	}
	key, err := api.ParseKey(req.Key)
	if err != nil {
		return nil, err
	}
	c.entry.SecretKey = key
	at, err := c.place(ctx, req.Place, func(held policy.Access, env policy.Environment, path string) error {
		return mayGet(held, policy.Target{Environment: env, Path: path, Key: key}, req.HideValue)
	})
	if err != nil {
		return nil, err
	}
	all, err := c.loadContents(ctx, at.folder.ID)
	if err != nil {
		return nil, err
	}
	n, ok := all.byKey[key]
	if !ok {
		return nil, api.Errorf(api.ErrNotFound, "Secret with name '%s' not found", key)
	}
	return c.viewOne(ctx, at, all.rows[n], req)
}

func mayGet(held policy.Access, at policy.Target, hideValue bool) error {
	action := policy.ReadSecret
	if hideValue {
		action = policy.DescribeSecret
	}
	if held.Allows(action, at) {
		return nil
	}
	return errRefused(action, "secret '"+at.Key+"' in "+at.Path)
}

// viewOne is the view of one secret, perhaps of an old version.
func (c *call) viewOne(ctx context.Context, at place, row store.SecretRow, req GetRequest) (*view, error) {
	v := &view{reach: at.reach, asked: at.asked, options: viewOptions{values: !req.HideValue, expand: req.Expand, kind: "one"}}
	one := &item{env: at.env, folder: at.folder, row: &row, hidden: req.HideValue}
	if req.Version != 0 && req.Version != row.Secret.Version {
		old, err := c.tx.SecretVersion(ctx, row.Secret.ID, req.Version)
		if err != nil {
			return nil, orElse(gone(err), api.Errorf(api.ErrNotFound, "Version %d of secret '%s' not found", req.Version, row.Secret.Key))
		}
		one.row.Version, one.old = old, true
	}
	v.items = []*item{one}
	if req.Expand && !one.hidden {
		return v, c.refer(ctx, v)
	}
	return v, nil
}

// getByID finds a secret whose id alone is known. What the caller cannot see
// is as unknown as what is not there.
func (c *call) getByID(ctx context.Context, req GetRequest) (*view, error) {
	at, row, err := c.locate(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	if err := mayGet(at.access, policy.Target{Environment: at.env.policy, Path: at.folder.path, Key: row.Secret.Key}, req.HideValue); err != nil {
		return nil, err
	}
	return c.viewOne(ctx, at, row, req)
}

// locate finds the place of a secret by its id, in the snapshot.
func (c *call) locate(ctx context.Context, id string) (place, store.SecretRow, error) {
	unknown := api.Errorf(api.ErrNotFound, "Secret with ID '%s' not found", named(id))
	folderID, err := c.tx.SecretFolder(ctx, id)
	if err != nil {
		return place{}, store.SecretRow{}, orElse(gone(err), unknown)
	}
	at, err := c.locateFolder(ctx, folderID, unknown)
	if err != nil {
		return at, store.SecretRow{}, err
	}
	all, err := c.loadContents(ctx, folderID)
	if err != nil {
		return at, store.SecretRow{}, err
	}
	for _, row := range all.rows {
		if row.Secret.ID == id {
			return at, row, nil
		}
	}
	return at, store.SecretRow{}, unknown
}

// locateFolder finds the place of a folder by its id, in the snapshot.
func (c *call) locateFolder(ctx context.Context, folderID string, unknown error) (place, error) {
	environmentID, err := c.tx.FolderEnvironment(ctx, folderID)
	if err != nil {
		return place{}, orElse(gone(err), unknown)
	}
	projectID, err := c.tx.EnvironmentProject(ctx, environmentID)
	if err != nil {
		return place{}, orElse(gone(err), unknown)
	}
	r, err := c.project(ctx, ProjectRef{ID: projectID})
	if errors.Is(err, api.ErrNotFound) {
		return place{}, unknown
	}
	if err != nil {
		return place{}, err
	}
	t, err := c.loadTree(ctx, environmentID)
	if err != nil {
		return place{}, err
	}
	found := place{reach: r, tree: t, folder: t.byID[folderID]}
	for _, env := range r.environments {
		if env.ID == environmentID {
			found.env = env
		}
	}
	c.entry.Environment, c.entry.Path = found.env.Slug, found.folder.path
	return found, nil
}

// Versions lists the versions of a secret by its id, newest first.
func (s *Service) Versions(ctx context.Context, caller Caller, id string, offset, limit int64) ([]api.Secret, error) {
	var v *view
	err := s.look(ctx, caller, event{audit.Read, "get-secret-versions"}, func(ctx context.Context, c *call) error {
		at, row, err := c.locate(ctx, id)
		if err != nil {
			return err
		}
		if err := mayGet(at.access, policy.Target{Environment: at.env.policy, Path: at.folder.path, Key: row.Secret.Key}, false); err != nil {
			return err
		}
		versions, err := c.tx.SecretVersions(ctx, id, offset, limit)
		if err != nil {
			return err
		}
		v = &view{reach: at.reach, options: viewOptions{values: true, kind: "versions"}}
		for _, version := range versions {
			v.items = append(v.items, &item{env: at.env, folder: at.folder, row: &store.SecretRow{Secret: row.Secret, Version: version}, old: version.Version != row.Secret.Version})
		}
		c.entry.Items = v.disclosed()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.open(ctx, v)
}

// metadataEntry is the stored form of a secret's metadata, sealed as JSON.
type metadataEntry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func encodeMetadata(all []api.Metadata) ([]byte, error) {
	if len(all) == 0 {
		return nil, nil
	}
	entries := make([]metadataEntry, len(all))
	for i, m := range all {
		entries[i] = metadataEntry{m.Key.Reveal(), m.Value.Reveal()}
	}
	return json.Marshal(entries)
}

func decodeMetadata(data []byte) ([]api.Metadata, error) {
	var entries []metadataEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, errors.New("the metadata of a secret does not parse")
	}
	all := make([]api.Metadata, len(entries))
	for i, e := range entries {
		all[i] = api.Metadata{Key: api.NewValue(e.Key), Value: api.NewValue(e.Value)}
	}
	return all, nil
}
