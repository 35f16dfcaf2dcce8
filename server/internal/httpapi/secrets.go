package httpapi

import (
	"net/http"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// project is the project of a query or a path: an id or a slug in any of the
// parameters that clients use.
func (x *exchange) project() secrets.ProjectRef {
	if named := x.params["project"]; named != "" {
		return secrets.ProjectRef{ID: named}
	}
	return secrets.ProjectRef{ID: x.first("workspaceId", "projectId"), Slug: x.first("workspaceSlug", "projectSlug")}
}

func (x *exchange) place() secrets.Place {
	return secrets.Place{Project: x.project(), Environment: x.first("environment", "environmentSlug", "envSlug"), Path: x.first("secretPath", "path", "directory", "foldersPath")}
}

// listSecrets answers {"secrets":[...],"imports":[]}. With compact=true, which
// is of this server alone, the secrets have the fields that it takes to use
// them and no more: a fifth of the bytes to send and to parse.
func listSecrets(x *exchange) (any, error) {
	req := secrets.ListRequest{Place: x.place(), Tags: x.list("tagSlugs"), IfNoneMatch: x.r.Header.Get("If-None-Match")}
	recursive, err := x.flag(false, "recursive")
	expand, err2 := x.flag(true, "expandSecretReferences")
	show, err3 := x.flag(true, "viewSecretValue")
	compact, err4 := x.flag(false, "compact")
	metadata, err5 := metadataFilter(x.first("metadataFilter"))
	if err := firstError(err, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	req.Recursive, req.Expand, req.HideValues, req.Compact, req.Metadata = recursive, expand, !show, compact, metadata
	if len(metadata) > 0 {
		req.IfNoneMatch = "" // a tag does not know the filter, which looks at sealed text
	}
	list, err := x.h.cfg.Service.List(x.r.Context(), x.caller, req)
	if err != nil {
		return nil, err
	}
	if len(metadata) == 0 {
		x.etag = list.ETag
	}
	if list.Unchanged {
		x.status = http.StatusNotModified
	}
	if compact {
		return compactList(list.Secrets), nil
	}
	return secretList(list.Secrets), nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// metadataFilter parses "key=k,value=v|key=...".
func metadataFilter(text string) ([]api.Metadata, error) {
	if text == "" {
		return nil, nil
	}
	terms := strings.Split(text, "|")
	if len(terms) > 10 {
		return nil, api.Errorf(api.ErrInvalid, "metadataFilter has %d terms: give at most 10", len(terms))
	}
	var all []api.Metadata
	for _, term := range terms {
		key, value, ok := strings.Cut(strings.TrimPrefix(term, "key="), ",value=")
		if !ok || !strings.HasPrefix(term, "key=") {
			return nil, api.Errorf(api.ErrInvalid, "metadataFilter has not the form key=k,value=v|key=k,value=v")
		}
		all = append(all, api.Metadata{Key: api.NewValue(key), Value: api.NewValue(value)})
	}
	return all, nil
}

// getSecret answers {"secret":{...}}.
func getSecret(x *exchange) (any, error) {
	req := secrets.GetRequest{Place: x.place(), Key: x.params["name"]}
	if err := shared(x.first("type")); err != nil {
		return nil, err
	}
	return x.get(req)
}

func getSecretByID(x *exchange) (any, error) {
	return x.get(secrets.GetRequest{ID: x.params["secret"]})
}

func (x *exchange) get(req secrets.GetRequest) (any, error) {
	version, err := x.number("version", 0)
	expand, err2 := x.flag(true, "expandSecretReferences")
	show, err3 := x.flag(true, "viewSecretValue")
	if err := firstError(err, err2, err3); err != nil {
		return nil, err
	}
	req.Version, req.Expand, req.HideValue, req.IfNoneMatch = version, expand, !show, x.r.Header.Get("If-None-Match")
	list, err := x.h.cfg.Service.Get(x.r.Context(), x.caller, req)
	if err != nil {
		return nil, err
	}
	x.etag = list.ETag
	if list.Unchanged {
		x.status = http.StatusNotModified
		return nil, nil
	}
	return oneSecret(list.Secrets[0]), nil
}

// shared refuses personal secrets, which a caller must not take for shared ones.
func shared(kind string) error {
	switch kind {
	case "", "shared":
		return nil
	case "personal":
		return api.Errorf(api.ErrInvalid, "Personal secrets are not supported: send type shared")
	}
	return api.Errorf(api.ErrInvalid, "The type of a secret must be shared")
}

// scope is the part of a body that says where a write goes.
type scope struct {
	WorkspaceID   *string `json:"workspaceId"`
	WorkspaceSlug *string `json:"workspaceSlug"`
	ProjectID     *string `json:"projectId"`
	ProjectSlug   *string `json:"projectSlug"`
	Environment   *string `json:"environment"`
	SecretPath    *string `json:"secretPath"`
	Path          *string `json:"path"`
	Directory     *string `json:"directory"`
}

func (s scope) place() secrets.Place {
	return secrets.Place{
		Project:     secrets.ProjectRef{ID: text(s.WorkspaceID, s.ProjectID), Slug: text(s.WorkspaceSlug, s.ProjectSlug)},
		Environment: text(s.Environment), Path: text(s.SecretPath, s.Path, s.Directory),
	}
}

// text is the first of some optional texts that is not empty.
func text(all ...*string) string {
	for _, one := range all {
		if one != nil && *one != "" {
			return *one
		}
	}
	return ""
}

// secretBody is one secret of a body.
type secretBody struct {
	SecretKey      *string    `json:"secretKey"`
	SecretName     *string    `json:"secretName"`
	Type           *string    `json:"type"`
	NewSecretName  *string    `json:"newSecretName"`
	SecretValue    *api.Value `json:"secretValue"`
	SecretComment  *api.Value `json:"secretComment"`
	SecretMetadata *[]entry   `json:"secretMetadata"`
	TagIDs         *[]string  `json:"tagIds"`
	SkipMultiline  *bool      `json:"skipMultilineEncoding"`
	ReminderNote   *string    `json:"secretReminderNote"`
	ReminderDays   *int64     `json:"secretReminderRepeatDays"`
	Version        *int64     `json:"version"` // refuse unless it is the current one
}

type entry struct {
	Key   *api.Value `json:"key"`
	Value *api.Value `json:"value"`
}

func (s secretBody) write(key string) secrets.Write {
	w := secrets.Write{Key: key, NewKey: s.NewSecretName, Value: s.SecretValue, Comment: s.SecretComment, SkipMultiline: s.SkipMultiline,
		ReminderNote: s.ReminderNote, ReminderDays: s.ReminderDays}
	if s.TagIDs != nil {
		w.TagIDs = append([]string{}, *s.TagIDs...)
	}
	if s.Version != nil {
		w.IfVersion = *s.Version
	}
	if s.SecretMetadata != nil {
		w.Metadata = []api.Metadata{}
		for _, e := range *s.SecretMetadata {
			var m api.Metadata
			if e.Key != nil {
				m.Key = *e.Key
			}
			if e.Value != nil {
				m.Value = *e.Value
			}
			w.Metadata = append(w.Metadata, m)
		}
	}
	return w
}

// createSecret, updateSecret and deleteSecret answer {"secret":{...}}.
func createSecret(x *exchange) (any, error) {
	return x.writeOne(func(at secrets.Place, w secrets.Write) ([]api.Secret, error) {
		return x.h.cfg.Service.Create(x.r.Context(), x.caller, at, []secrets.Write{w})
	})
}

func updateSecret(x *exchange) (any, error) {
	return x.writeOne(func(at secrets.Place, w secrets.Write) ([]api.Secret, error) {
		return x.h.cfg.Service.Update(x.r.Context(), x.caller, at, []secrets.Write{w}, secrets.MissingRefuse)
	})
}

func deleteSecret(x *exchange) (any, error) {
	return x.writeOne(func(at secrets.Place, w secrets.Write) ([]api.Secret, error) {
		return x.h.cfg.Service.Delete(x.r.Context(), x.caller, at, []string{w.Key})
	})
}

func (x *exchange) writeOne(do func(secrets.Place, secrets.Write) ([]api.Secret, error)) (any, error) {
	var body struct {
		scope
		secretBody
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	if err := firstError(shared(text(body.Type)), shared(x.first("type"))); err != nil {
		return nil, err
	}
	written, err := do(x.bodyPlace(body.scope), body.write(x.params["name"]))
	if err != nil {
		return nil, err
	}
	return oneSecret(written[0]), nil
}

// bodyPlace is where a write goes: as its body says, else as its query does.
func (x *exchange) bodyPlace(s scope) secrets.Place {
	at, query := s.place(), x.place()
	if at.Project == (secrets.ProjectRef{}) {
		at.Project = query.Project
	}
	if at.Environment == "" {
		at.Environment = query.Environment
	}
	if at.Path == "" {
		at.Path = query.Path
	}
	return at
}

type batchBody struct {
	scope
	Mode    *string      `json:"mode"`
	Type    *string      `json:"type"`
	Secrets []secretBody `json:"secrets"`
}

// createSecrets, updateSecrets and deleteSecrets answer {"secrets":[...]}.
func createSecrets(x *exchange) (any, error) {
	return x.writeAll(func(body batchBody, at secrets.Place, writes []secrets.Write) ([]api.Secret, error) {
		return x.h.cfg.Service.Create(x.r.Context(), x.caller, at, writes)
	})
}

func updateSecrets(x *exchange) (any, error) {
	return x.writeAll(func(body batchBody, at secrets.Place, writes []secrets.Write) ([]api.Secret, error) {
		missing, ok := map[string]secrets.Missing{"": secrets.MissingRefuse, "failOnNotFound": secrets.MissingRefuse, "upsert": secrets.MissingCreate, "ignore": secrets.MissingIgnore}[text(body.Mode)]
		if !ok {
			return nil, api.Errorf(api.ErrInvalid, "The field mode must be failOnNotFound, upsert or ignore")
		}
		return x.h.cfg.Service.Update(x.r.Context(), x.caller, at, writes, missing)
	})
}

func deleteSecrets(x *exchange) (any, error) {
	return x.writeAll(func(body batchBody, at secrets.Place, writes []secrets.Write) ([]api.Secret, error) {
		keys := make([]string, len(writes))
		for i, w := range writes {
			keys[i] = w.Key
		}
		return x.h.cfg.Service.Delete(x.r.Context(), x.caller, at, keys)
	})
}

func (x *exchange) writeAll(do func(batchBody, secrets.Place, []secrets.Write) ([]api.Secret, error)) (any, error) {
	var body batchBody
	if err := x.bodyUpTo(api.MaxBatchBody, &body); err != nil {
		return nil, err
	}
	if err := firstError(shared(text(body.Type)), shared(x.first("type"))); err != nil {
		return nil, err
	}
	writes := make([]secrets.Write, len(body.Secrets))
	for i, s := range body.Secrets {
		if err := shared(text(s.Type)); err != nil {
			return nil, err
		}
		writes[i] = s.write(text(s.SecretKey, s.SecretName))
	}
	written, err := do(body, x.bodyPlace(body.scope), writes)
	return batch(written), err
}

// secretVersions answers {"secretVersions":[...]}.
func secretVersions(x *exchange) (any, error) {
	offset, err := x.number("offset", 0)
	limit, err2 := x.number("limit", 20)
	if err := firstError(err, err2); err != nil {
		return nil, err
	}
	if offset < 0 || limit < 1 || limit > 100 {
		return nil, api.Errorf(api.ErrInvalid, "Give an offset of 0 or more and a limit of 1 to 100")
	}
	all, err := x.h.cfg.Service.Versions(x.r.Context(), x.caller, x.params["secret"], offset, limit)
	return versions(all), err
}
