package store

import "context"

// Folder is one folder of an environment. The root has no parent and no name.
type Folder struct {
	ID, EnvironmentID, ParentID, Name, Description string
	Version                                        int64
	CreatedAt, UpdatedAt                           int64
}

const folderColumns = "id, environment_id, parent_id, name, description, version, created_at, updated_at"

func scanFolder(s scanner, f *Folder) error {
	return s.Scan(&f.ID, &f.EnvironmentID, &f.ParentID, &f.Name, &f.Description, &f.Version, &f.CreatedAt, &f.UpdatedAt)
}

// AddFolder stores a folder; a name that its parent has is ErrExists.
func (tx *Tx) AddFolder(ctx context.Context, f Folder) error {
	if err := tx.insertFolder(ctx, f); err != nil {
		return err
	}
	return tx.treeChanged(ctx, f.EnvironmentID, f.CreatedAt)
}

func (tx *Tx) insertFolder(ctx context.Context, f Folder) error {
	_, err := tx.exec(ctx, "folder "+f.Name, "INSERT INTO folders ("+folderColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		f.ID, f.EnvironmentID, f.ParentID, f.Name, f.Description, f.Version, f.CreatedAt, f.UpdatedAt)
	return err
}

// UpdateFolder stores the name and description of a folder.
func (tx *Tx) UpdateFolder(ctx context.Context, f Folder) error {
	if err := tx.must(ctx, "folder "+f.Name, "UPDATE folders SET name = $1, description = $2, version = version + 1, updated_at = $3 WHERE id = $4",
		f.Name, f.Description, f.UpdatedAt, f.ID); err != nil {
		return err
	}
	return tx.treeChanged(ctx, f.EnvironmentID, f.UpdatedAt)
}

// DeleteFolders deletes folders with their secrets.
func (tx *Tx) DeleteFolders(ctx context.Context, environmentID string, ids []string, now int64) error {
	for _, id := range ids {
		if err := tx.must(ctx, "folder "+id, "DELETE FROM folders WHERE id = $1 AND environment_id = $2", id, environmentID); err != nil {
			return err
		}
		if err := tx.Changed(ctx, Change{Kind: KindFolder, EntityID: id, EnvironmentID: environmentID, CreatedAt: now}); err != nil {
			return err
		}
	}
	return tx.treeChanged(ctx, environmentID, now)
}

// Folders lists all folders of an environment, the root first.
func (tx *Tx) Folders(ctx context.Context, environmentID string) ([]Folder, error) {
	return list(ctx, tx, "list the folders", scanFolder,
		"SELECT "+folderColumns+" FROM folders WHERE environment_id = $1 ORDER BY parent_id, name", environmentID)
}

// FolderEnvironment is the environment of a folder.
func (tx *Tx) FolderEnvironment(ctx context.Context, folderID string) (environmentID string, err error) {
	return one(ctx, tx, "folder "+folderID, scanText, "SELECT environment_id FROM folders WHERE id = $1", folderID)
}

// FolderChanged increases the version of a folder and the revision of its
// environment, and tells the feed.
func (tx *Tx) FolderChanged(ctx context.Context, environmentID, folderID string, now int64) error {
	if err := tx.must(ctx, "folder "+folderID, "UPDATE folders SET version = version + 1, updated_at = $1 WHERE id = $2", now, folderID); err != nil {
		return err
	}
	revision, err := tx.bumpRevision(ctx, environmentID, now)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindFolder, EntityID: folderID, EnvironmentID: environmentID, Revision: revision, CreatedAt: now})
}

// treeChanged tells that the folders of an environment are not what they were.
func (tx *Tx) treeChanged(ctx context.Context, environmentID string, now int64) error {
	revision, err := tx.bumpRevision(ctx, environmentID, now)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindEnvironment, EntityID: environmentID, EnvironmentID: environmentID, Revision: revision, CreatedAt: now})
}

func (tx *Tx) bumpRevision(ctx context.Context, environmentID string, now int64) (int64, error) {
	return one(ctx, tx, "environment "+environmentID, scanInt,
		"UPDATE environments SET revision = revision + 1, updated_at = $1 WHERE id = $2 RETURNING revision", now, environmentID)
}
