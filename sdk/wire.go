package sdk

import (
	"net/url"
	"strconv"

	"github.com/hanzoai/kms/api"
)

const sharedType = "shared"

// readQuery is the part of a query that all reads share. It names the project
// by one parameter, never by an empty second one.
func readQuery(scope Scope, expand *bool, imports bool) url.Values {
	query := url.Values{"environment": {scope.Environment}, "secretPath": {scope.path()}}
	if scope.ProjectID != "" {
		query.Set("workspaceId", scope.ProjectID)
	} else {
		query.Set("workspaceSlug", scope.ProjectSlug)
	}
	if expand != nil {
		query.Set("expandSecretReferences", strconv.FormatBool(*expand))
	}
	if imports {
		query.Set("include_imports", "true")
	}
	return query
}

func (s Scope) path() string {
	if s.SecretPath == "" {
		return "/"
	}
	return s.SecretPath
}

// project is the project as one word, for the calls that take an id only: this
// server takes a slug in its place.
func (s Scope) project() string {
	if s.ProjectID != "" {
		return s.ProjectID
	}
	return s.ProjectSlug
}

// scopeBody is a Scope as the bodies of writes carry it.
type scopeBody struct {
	WorkspaceID string `json:"workspaceId,omitempty"`
	ProjectSlug string `json:"projectSlug,omitempty"`
	Environment string `json:"environment"`
	SecretPath  string `json:"secretPath"`
}

func (s Scope) body() scopeBody {
	body := scopeBody{WorkspaceID: s.ProjectID, Environment: s.Environment, SecretPath: s.path()}
	if s.ProjectID == "" {
		body.ProjectSlug = s.ProjectSlug
	}
	return body
}

// secretBody is a SecretInput as the bodies of writes carry it.
type secretBody struct {
	SecretKey             string     `json:"secretKey,omitempty"`
	Type                  string     `json:"type"`
	SecretValue           *string    `json:"secretValue,omitempty"`
	SecretComment         *string    `json:"secretComment,omitempty"`
	SecretMetadata        []Metadata `json:"secretMetadata,omitzero"`
	TagIDs                []string   `json:"tagIds,omitzero"`
	SkipMultilineEncoding *bool      `json:"skipMultilineEncoding,omitempty"`
	NewSecretName         string     `json:"newSecretName,omitempty"`
}

func (s SecretInput) body() secretBody {
	return secretBody{
		Type:                  sharedType,
		SecretValue:           s.Value,
		SecretComment:         s.Comment,
		SecretMetadata:        s.Metadata,
		TagIDs:                s.TagIDs,
		SkipMultilineEncoding: s.SkipMultilineEncoding,
		NewSecretName:         s.NewKey,
	}
}

func writeBody(scope Scope, secret SecretInput) any {
	return struct {
		scopeBody
		secretBody
	}{scope.body(), secret.body()}
}

// wireList is api.SecretList for secrets of the form S.
type wireList[S any] struct {
	Secrets []S `json:"secrets"`
	Imports []struct {
		Secrets []S `json:"secrets"`
	} `json:"imports"`
}

// compactSecret is what a compact list is read for. Of a full answer the rest
// is passed over.
type compactSecret struct {
	SecretKey         string    `json:"secretKey"`
	SecretValue       api.Value `json:"secretValue"`
	SecretPath        string    `json:"secretPath"`
	SecretValueHidden bool      `json:"secretValueHidden"`
	Version           int64     `json:"version"`
}

func (s compactSecret) secret() Secret {
	return Secret{SecretPath: s.SecretPath, SecretKey: s.SecretKey, SecretValue: s.SecretValue.Reveal(), SecretValueHidden: s.SecretValueHidden, Version: s.Version}
}

func fromWire[S any](wire []S, secret func(S) Secret) []Secret {
	secrets := make([]Secret, len(wire))
	for i, s := range wire {
		secrets[i] = secret(s)
	}
	return secrets
}

func secretFromWire(s api.Secret) Secret {
	metadata := make([]Metadata, len(s.SecretMetadata))
	for i, m := range s.SecretMetadata {
		metadata[i] = Metadata{Key: m.Key.Reveal(), Value: m.Value.Reveal()}
	}
	return Secret{
		ID:                s.ID,
		Workspace:         s.Workspace,
		Environment:       s.Environment,
		SecretPath:        s.SecretPath,
		Type:              s.Type,
		Version:           s.Version,
		SecretKey:         s.SecretKey,
		SecretValue:       s.SecretValue.Reveal(),
		SecretComment:     s.SecretComment.Reveal(),
		SecretMetadata:    metadata,
		SecretValueHidden: s.SecretValueHidden,
		Tags:              s.Tags,
		Actor:             s.Actor,
		CreatedAt:         s.CreatedAt.Time,
		UpdatedAt:         s.UpdatedAt.Time,
	}
}
