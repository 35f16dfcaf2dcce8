package httpapi

import (
	"github.com/hanzoai/kms/server/internal/secrets"
)

// object is an answer of one field or a few.
type object map[string]any

// listFolders answers {"folders":[...]}.
func listFolders(x *exchange) (any, error) {
	recursive, err := x.flag(false, "recursive")
	if err != nil {
		return nil, err
	}
	all, err := x.h.cfg.Service.Folders(x.r.Context(), x.caller, x.folderPlace(), recursive)
	return object{"folders": all}, err
}

// folderPlace: of folders, "path" goes before the parameters of secrets.
func (x *exchange) folderPlace() secrets.Place {
	at := x.place()
	at.Path = x.first("path", "directory", "foldersPath", "secretPath")
	return at
}

type folderBody struct {
	scope
	Name        *string `json:"name"`
	FolderName  *string `json:"folderName"`
	Description *string `json:"description"`
	Force       *bool   `json:"forceDelete"`
}

func (x *exchange) folderBody() (folderBody, secrets.Place, error) {
	var body folderBody
	err := x.body(&body)
	at := x.bodyPlace(body.scope)
	if path := text(body.Path, body.Directory, body.SecretPath); path != "" {
		at.Path = path
	} else if path := x.folderPlace().Path; path != "" {
		at.Path = path
	}
	return body, at, err
}

// createFolder and those below answer {"folder":{...}}.
func createFolder(x *exchange) (any, error) {
	body, at, err := x.folderBody()
	if err != nil {
		return nil, err
	}
	folder, err := x.h.cfg.Service.CreateFolder(x.r.Context(), x.caller, at, text(body.Name, body.FolderName), text(body.Description))
	return object{"folder": folder}, err
}

func getFolder(x *exchange) (any, error) {
	folder, err := x.h.cfg.Service.Folder(x.r.Context(), x.caller, x.params["folder"])
	return object{"folder": folder}, err
}

func updateFolder(x *exchange) (any, error) {
	body, at, err := x.folderBody()
	if err != nil {
		return nil, err
	}
	folder, err := x.h.cfg.Service.UpdateFolder(x.r.Context(), x.caller, secrets.FolderRef{Place: at, IDOrName: x.params["folder"]}, text(body.Name), body.Description)
	return object{"folder": folder}, err
}

// deleteFolder refuses a folder that is not empty unless forceDelete is sent.
func deleteFolder(x *exchange) (any, error) {
	body, at, err := x.folderBody()
	if err != nil {
		return nil, err
	}
	return x.deleteFolder(at, body.Force != nil && *body.Force)
}

// deleteFolderWithContents is the first version of the route, which never
// looked whether the folder is empty.
func deleteFolderWithContents(x *exchange) (any, error) {
	_, at, err := x.folderBody()
	if err != nil {
		return nil, err
	}
	return x.deleteFolder(at, true)
}

func (x *exchange) deleteFolder(at secrets.Place, force bool) (any, error) {
	folder, err := x.h.cfg.Service.DeleteFolder(x.r.Context(), x.caller, secrets.FolderRef{Place: at, IDOrName: x.params["folder"]}, force)
	return object{"folder": folder}, err
}
