package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// The routes under /v1/kms name a secret by one path: its folder and, last, its
// key. With an organisation in front the first segment is the project; without
// one the project is the only one of the identity.

// aliasPlace takes the path of an alias apart.
func (x *exchange) aliasPlace(path, environment string) (secrets.Place, error) {
	at := secrets.Place{Environment: environment, Path: path}
	if environment == "" {
		at.Environment = x.first("env", "environment")
	}
	organization := x.params["organization"]
	if organization == "" {
		at.Project = x.project()
		return at, nil
	}
	project, folder, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if project == "" {
		return at, api.Errorf(api.ErrInvalid, "The path must begin with the project: project/folder")
	}
	at.Project, at.Path = secrets.ProjectRef{Organization: organization, Slug: project}, "/"+folder
	return at, nil
}

// aliasName splits the path of a secret into its folder and its key.
func (x *exchange) aliasName() (folder, key string) {
	path := x.params["path"]
	cut := strings.LastIndexByte(path, '/')
	return path[:cut+1], path[cut+1:]
}

func (x *exchange) aliasSecret() (secrets.Place, string, error) {
	folder, key := x.aliasName()
	at, err := x.aliasPlace(folder, "")
	return at, key, err
}

// aliasList answers {"names":[...],"secrets":[{"name"}...]}: names, no values.
func aliasList(x *exchange) (any, error) {
	at, err := x.aliasPlace(x.first("path"), "")
	if err != nil {
		return nil, err
	}
	return x.aliasNames(at)
}

func (x *exchange) aliasNames(at secrets.Place) (any, error) {
	list, err := x.h.cfg.Service.List(x.r.Context(), x.caller, secrets.ListRequest{Place: at, HideValues: true})
	if err != nil {
		return nil, err
	}
	names, all := []string{}, []object{}
	for _, s := range list.Secrets {
		names = append(names, s.SecretKey)
		all = append(all, object{"name": s.SecretKey, "path": s.SecretPath, "version": s.Version})
	}
	return object{"names": names, "secrets": all}, nil
}

// aliasGet answers {"secret":{"value"},"version"}.
func aliasGet(x *exchange) (any, error) {
	at, key, err := x.aliasSecret()
	if err != nil {
		return nil, err
	}
	s, err := x.aliasRead(at, key)
	if err != nil {
		return nil, err
	}
	x.etag = `"` + strconv.FormatInt(s.Version, 10) + `"`
	return object{"secret": object{"value": s.SecretValue.Reveal()}, "version": s.Version}, nil
}

func (x *exchange) aliasRead(at secrets.Place, key string) (api.Secret, error) {
	list, err := x.h.cfg.Service.Get(x.r.Context(), x.caller, secrets.GetRequest{Place: at, Key: key, Expand: true})
	if err != nil {
		return api.Secret{}, err
	}
	return list.Secrets[0], nil
}

type aliasBody struct {
	Path    *string    `json:"path"`
	Name    *string    `json:"name"`
	Env     *string    `json:"env"`
	Value   *api.Value `json:"value"`
	Version *int64     `json:"version"`
}

// aliasCreate answers 201 {"ok":true}.
func aliasCreate(x *exchange) (any, error) {
	var body aliasBody
	if err := x.body(&body); err != nil {
		return nil, err
	}
	at, err := x.aliasPlace(text(body.Path), text(body.Env))
	if err != nil {
		return nil, err
	}
	_, err = x.h.cfg.Service.Create(x.r.Context(), x.caller, at, []secrets.Write{{Key: text(body.Name), Value: body.Value}})
	x.status = http.StatusCreated
	return object{"ok": true}, err
}

// aliasUpdate answers {"ok":true,"version"}; with If-Match or version it
// changes only that version, else 409.
func aliasUpdate(x *exchange) (any, error) {
	var body aliasBody
	if err := x.body(&body); err != nil {
		return nil, err
	}
	folder, key := x.aliasName()
	at, err := x.aliasPlace(folder, text(body.Env))
	if err != nil {
		return nil, err
	}
	w := secrets.Write{Key: key, Value: body.Value}
	if body.Version != nil {
		w.IfVersion = *body.Version
	}
	if match := strings.Trim(x.r.Header.Get("If-Match"), `"`); match != "" && match != "*" {
		if w.IfVersion, err = strconv.ParseInt(match, 10, 64); err != nil || w.IfVersion < 1 {
			return nil, api.Errorf(api.ErrInvalid, "The header If-Match must be the version of the secret")
		}
	}
	written, err := x.h.cfg.Service.Update(x.r.Context(), x.caller, at, []secrets.Write{w}, secrets.MissingRefuse)
	if err != nil {
		return nil, err
	}
	return object{"ok": true, "version": written[0].Version}, nil
}

// aliasDelete answers {"ok":true}.
func aliasDelete(x *exchange) (any, error) {
	at, key, err := x.aliasSecret()
	if err != nil {
		return nil, err
	}
	_, err = x.h.cfg.Service.Delete(x.r.Context(), x.caller, at, []string{key})
	return object{"ok": true}, err
}

// aliasFlat answers {"name","env","value"}, or the names of a folder where no
// secret is named.
func aliasFlat(x *exchange) (any, error) {
	folder, key := "", x.first("name")
	if x.params["path"] != "" {
		folder, key = x.aliasName()
	}
	if folder == "" {
		folder = x.first("path")
	}
	at, err := x.aliasPlace(folder, "")
	if err != nil {
		return nil, err
	}
	if key == "" {
		return x.aliasNames(at)
	}
	s, err := x.aliasRead(at, key)
	if err != nil {
		return nil, err
	}
	return object{"name": s.SecretKey, "env": at.Environment, "value": s.SecretValue.Reveal()}, nil
}
