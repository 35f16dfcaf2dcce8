package sdk

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hanzoai/kms/api"
)

// folderBody is what the bodies of the folder calls carry.
type folderBody struct {
	WorkspaceID string  `json:"workspaceId"`
	Environment string  `json:"environment"`
	Path        string  `json:"path"`
	Name        string  `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
}

func (s Scope) folderBody(name string) folderBody {
	return folderBody{WorkspaceID: s.project(), Environment: s.Environment, Path: s.path(), Name: name}
}

// ListFolders lists the folders in the folder that scope names, with recursive
// those below them too.
func (c *Client) ListFolders(ctx context.Context, scope Scope, recursive bool) ([]api.Folder, error) {
	query := url.Values{"workspaceId": {scope.project()}, "environment": {scope.Environment}, "path": {scope.path()}}
	if recursive {
		query.Set("recursive", "true")
	}
	var out struct {
		Folders []api.Folder `json:"folders"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/folders", query, nil, &out)
	return out.Folders, err
}

// CreateFolder makes a folder in the folder that scope names, and the ones
// above it where they are missing. description may be empty.
func (c *Client) CreateFolder(ctx context.Context, scope Scope, name, description string) (api.Folder, error) {
	in := scope.folderBody(name)
	if description != "" {
		in.Description = &description
	}
	return c.folderCall(ctx, http.MethodPost, "/api/v1/folders", in)
}

// RenameFolder gives a new name to the folder with the given id, which lies in
// the folder that scope names.
func (c *Client) RenameFolder(ctx context.Context, scope Scope, id, name string) (api.Folder, error) {
	return c.folderCall(ctx, http.MethodPatch, "/api/v1/folders/"+url.PathEscape(id), scope.folderBody(name))
}

// DeleteFolder deletes a folder, given by id or name, and all that is in it.
func (c *Client) DeleteFolder(ctx context.Context, scope Scope, idOrName string) (api.Folder, error) {
	return c.folderCall(ctx, http.MethodDelete, "/api/v1/folders/"+url.PathEscape(idOrName), scope.folderBody(""))
}

func (c *Client) folderCall(ctx context.Context, method, path string, in folderBody) (api.Folder, error) {
	var out struct {
		Folder api.Folder `json:"folder"`
	}
	err := c.call(ctx, method, path, nil, in, &out)
	return out.Folder, err
}
