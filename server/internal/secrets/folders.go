package secrets

import (
	"context"
	"slices"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// Folders lists the folders in a folder, by name; with recursive, all below it.
func (s *Service) Folders(ctx context.Context, caller Caller, at Place, recursive bool) ([]api.Folder, error) {
	all := []api.Folder{}
	err := s.look(ctx, caller, event{audit.Read, "get-folders"}, func(ctx context.Context, c *call) error {
		all = []api.Folder{}
		found, err := c.place(ctx, at, mayListFolders)
		if err != nil {
			return err
		}
		below := found.folder.children
		if recursive {
			below = found.folder.below()[1:]
			slices.SortFunc(below, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
		}
		for _, f := range below {
			if !found.access.AnyIn(policy.ReadFolder, found.env.policy, f.path) {
				continue
			}
			wire := wireFolder(f)
			if recursive {
				wire.RelativePath = strings.TrimPrefix(f.path, strings.TrimSuffix(found.folder.path, "/"))
			}
			all = append(all, wire)
		}
		return nil
	})
	return all, err
}

func mayListFolders(held policy.Access, env policy.Environment, path string) error {
	if held.Any(policy.ReadFolder, env) {
		return nil
	}
	return errRefused(policy.ReadFolder, "folders in "+path)
}

func wireFolder(f *folder) api.Folder {
	wire := api.Folder{ID: f.ID, Name: f.Name, EnvID: f.EnvironmentID, Version: f.Version, Path: f.path,
		CreatedAt: api.Micros(f.CreatedAt), UpdatedAt: api.Micros(f.UpdatedAt)}
	if f.ParentID != "" {
		wire.ParentID = &f.ParentID
	} else {
		wire.Name = "root"
	}
	if f.Description != "" {
		wire.Description = &f.Description
	}
	return wire
}

// Folder gives one folder by its id.
func (s *Service) Folder(ctx context.Context, caller Caller, id string) (wire api.Folder, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-folder"}, func(ctx context.Context, c *call) error {
		at, err := c.locateFolder(ctx, id, errNoFolderID(id))
		if err != nil {
			return err
		}
		if !at.access.AnyIn(policy.ReadFolder, at.env.policy, at.folder.path) {
			return errRefused(policy.ReadFolder, "folder "+at.folder.path)
		}
		wire = wireFolder(at.folder)
		wire.Environment = &api.FolderEnvironment{EnvID: at.env.ID, EnvName: at.env.Name, EnvSlug: at.env.Slug}
		wire.ProjectID = at.ID
		return nil
	})
	return wire, err
}

func errNoFolderID(id string) error {
	return api.Errorf(api.ErrNotFound, "Folder with id '%s' not found", named(id))
}

// CreateFolder makes a folder, and those above it that are not there.
func (s *Service) CreateFolder(ctx context.Context, caller Caller, at Place, name, description string) (wire api.Folder, err error) {
	path, err := folderPath(at.Path, name)
	if err != nil {
		return wire, err
	}
	if _, err := api.ParseText("description", description, api.MaxDescription); err != nil {
		return wire, err
	}
	err = s.change(ctx, caller, event{audit.Create, "create-folder"}, func(ctx context.Context, c *call) (work, error) {
		r, env, err := c.environmentAt(ctx, at, path, policy.CreateFolder)
		if err != nil {
			return work{}, err
		}
		t, err := c.loadTree(ctx, env.ID)
		if err != nil {
			return work{}, err
		}
		if t.byPath[path] != nil {
			return work{}, api.Errorf(api.ErrExists, "Folder already exists: '%s' in environment '%s'", path, env.Slug)
		}
		missing, err := missingFolders(r, env, t, path)
		if err != nil {
			return work{}, err
		}
		return work{lock: lockEnvironment(env.ID), apply: func(ctx context.Context, tx *store.Tx) error {
			wire, err = c.plantFolders(ctx, tx, t, env, missing, description)
			return err
		}}, nil
	})
	return wire, err
}

func folderPath(parent, name string) (string, error) {
	if _, err := api.ParseFolderName(name); err != nil {
		return "", err
	}
	parent, err := api.ParsePath(parent)
	if err != nil {
		return "", err
	}
	return api.ParsePath(api.JoinPath(parent, name))
}

func lockEnvironment(id string) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.LockEnvironments(ctx, id) }
}

// environmentAt finds an environment in which the caller may do a folder
// action at a path, whether or not anything is there.
func (c *call) environmentAt(ctx context.Context, at Place, path string, action policy.Action) (reach, *environment, error) {
	r, err := c.project(ctx, at.Project)
	if err != nil {
		return r, nil, err
	}
	c.entry.Path = path
	env, err := c.environment(r, at.Environment, func(e policy.Environment) error {
		if r.access.Allows(action, policy.Target{Environment: e, Path: path}) {
			return nil
		}
		return errRefused(action, "folder "+path)
	})
	return r, env, err
}

// missingFolders are the paths to make, from the top; each is asked for.
func missingFolders(r reach, env *environment, t *tree, path string) (missing []string, err error) {
	for path != "/" && t.byPath[path] == nil {
		if !r.access.Allows(policy.CreateFolder, policy.Target{Environment: env.policy, Path: path}) {
			return nil, errRefused(policy.CreateFolder, "folder "+path)
		}
		missing = append([]string{path}, missing...)
		path = parentOf(path)
	}
	return missing, nil
}

func parentOf(path string) string {
	if cut := strings.LastIndexByte(path, '/'); cut > 0 {
		return path[:cut]
	}
	return "/"
}

func (c *call) plantFolders(ctx context.Context, tx *store.Tx, t *tree, env *environment, missing []string, description string) (wire api.Folder, err error) {
	now := c.now.UnixMicro()
	parentID := t.byPath[parentOf(missing[0])].ID
	for i, path := range missing {
		f := store.Folder{ID: store.NewID(), EnvironmentID: env.ID, ParentID: parentID, Name: path[strings.LastIndexByte(path, '/')+1:], Version: 1, CreatedAt: now, UpdatedAt: now}
		if i == len(missing)-1 {
			f.Description = description
		}
		if err := tx.AddFolder(ctx, f); err != nil {
			return wire, err
		}
		parentID = f.ID
		wire = wireFolder(&folder{Folder: f, path: path})
	}
	return wire, nil
}

// FolderRef names a folder by its id, or by its name in a folder.
type FolderRef struct {
	Place
	IDOrName string
}

// child finds the folder of a ref in which the caller may do an action.
func (c *call) child(ctx context.Context, ref FolderRef, action policy.Action) (place, error) {
	r, err := c.project(ctx, ref.Project)
	if err != nil {
		return place{}, err
	}
	parent, err := api.ParsePath(ref.Path)
	if err != nil {
		return place{}, err
	}
	env, err := c.environment(r, ref.Environment, func(e policy.Environment) error {
		if r.access.Any(action, e) {
			return nil
		}
		return errRefused(action, "folders in "+parent)
	})
	if err != nil {
		return place{}, err
	}
	t, err := c.loadTree(ctx, env.ID)
	if err != nil {
		return place{}, err
	}
	f := t.byID[ref.IDOrName]
	if f == nil {
		f = t.byPath[api.JoinPath(parent, ref.IDOrName)]
	}
	if f == nil {
		return place{}, errNoFolderID(ref.IDOrName)
	}
	c.entry.Path = f.path
	if f == t.root {
		return place{}, api.Errorf(api.ErrInvalid, "the root folder of an environment cannot be changed")
	}
	if !r.access.Allows(action, policy.Target{Environment: env.policy, Path: f.path}) {
		return place{}, errRefused(action, "folder "+f.path)
	}
	return place{r, env, ref.Environment, t, f}, nil
}

// UpdateFolder renames a folder, or describes it anew.
func (s *Service) UpdateFolder(ctx context.Context, caller Caller, ref FolderRef, name string, description *string) (wire api.Folder, err error) {
	if _, err := api.ParseFolderName(name); err != nil {
		return wire, err
	}
	if description != nil {
		if _, err := api.ParseText("description", *description, api.MaxDescription); err != nil {
			return wire, err
		}
	}
	err = s.change(ctx, caller, event{audit.Update, "update-folder"}, func(ctx context.Context, c *call) (work, error) {
		at, err := c.child(ctx, ref, policy.EditFolder)
		if err != nil {
			return work{}, err
		}
		path := api.JoinPath(parentOf(at.folder.path), name)
		if err := at.mayMove(path); err != nil {
			return work{}, err
		}
		return work{lock: lockEnvironment(at.env.ID), apply: func(ctx context.Context, tx *store.Tx) error {
			f := at.folder.Folder
			f.Name, f.UpdatedAt, f.Version = name, c.now.UnixMicro(), f.Version+1
			if description != nil {
				f.Description = *description
			}
			wire = wireFolder(&folder{Folder: f, path: path})
			return tx.UpdateFolder(ctx, f)
		}}, nil
	})
	return wire, err
}

// mayMove refuses a new path that is taken, or one at which the caller would
// get rights on the folder's secrets that he does not hold where it is now.
func (at place) mayMove(path string) error {
	if path == at.folder.path {
		return nil
	}
	if at.tree.byPath[path] != nil {
		return api.Errorf(api.ErrExists, "Folder already exists: '%s' in environment '%s'", path, at.env.Slug)
	}
	for _, f := range at.folder.below() {
		if len(f.path)-len(at.folder.path)+len(path) > api.MaxPath {
			return api.Errorf(api.ErrInvalid, "the path of a folder below would have more than %d bytes, with which nobody could reach it: give a shorter name", api.MaxPath)
		}
	}
	if !at.access.Allows(policy.CreateFolder, policy.Target{Environment: at.env.policy, Path: path}) {
		return errRefused(policy.CreateFolder, "folder "+path)
	}
	if at.access.Admin {
		return nil
	}
	// Rules go by path, so a rename moves secrets from under some rules to
	// others: whoever does it must hold all there is to hold on both sides.
	for _, action := range []policy.Action{policy.ReadSecret, policy.EditSecret, policy.CreateSecret, policy.DeleteSecret} {
		for _, p := range []string{at.folder.path, path} {
			if !at.access.Allows(action, policy.Target{Environment: at.env.policy, Path: p}) {
				return errRefused(action, "all secrets in "+p+", which renaming its folder needs")
			}
		}
	}
	return nil
}

// DeleteFolder deletes a folder with all in it; one that is not empty only
// with force.
func (s *Service) DeleteFolder(ctx context.Context, caller Caller, ref FolderRef, force bool) (wire api.Folder, err error) {
	err = s.change(ctx, caller, event{audit.Delete, "delete-folder"}, func(ctx context.Context, c *call) (work, error) {
		at, err := c.child(ctx, ref, policy.DeleteFolder)
		if err != nil {
			return work{}, err
		}
		folders := at.folder.below()
		for _, f := range folders {
			if !at.access.Allows(policy.DeleteFolder, policy.Target{Environment: at.env.policy, Path: f.path}) {
				return work{}, errRefused(policy.DeleteFolder, "folder "+f.path)
			}
		}
		wire = wireFolder(at.folder)
		return work{lock: lockEnvironment(at.env.ID), apply: func(ctx context.Context, tx *store.Tx) error {
			return c.deleteFolders(ctx, tx, at, folders, force)
		}}, nil
	})
	return wire, err
}

func (c *call) deleteFolders(ctx context.Context, tx *store.Tx, at place, folders []*folder, force bool) error {
	var ids []string
	for _, f := range slices.Backward(folders) { // from the bottom
		rows, err := tx.FolderSecrets(ctx, f.ID)
		if err != nil {
			return err
		}
		if !force && (len(rows) > 0 || f != at.folder) {
			return api.Errorf(api.ErrInvalid, "Folder '%s' is not empty: delete what is in it first, or give forceDelete", at.folder.path)
		}
		for _, row := range rows {
			if !at.access.Allows(policy.DeleteSecret, policy.Target{Environment: at.env.policy, Path: f.path, Key: row.Secret.Key}) {
				return errRefused(policy.DeleteSecret, "secret '"+row.Secret.Key+"' in "+f.path)
			}
			c.entry.Items = append(c.entry.Items, store.ManifestItem{Environment: at.env.Slug, Path: f.path, Key: row.Secret.Key, Version: row.Secret.Version})
		}
		ids = append(ids, f.ID)
	}
	return tx.DeleteFolders(ctx, at.env.ID, ids, c.now.UnixMicro())
}
