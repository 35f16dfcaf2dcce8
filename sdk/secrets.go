package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hanzoai/kms/api"
)

// Scope says where secrets and folders lie: a folder of an environment of a
// project. One of ProjectSlug and ProjectID is needed.
type Scope struct {
	ProjectSlug string
	ProjectID   string
	Environment string // slug
	SecretPath  string // folder path; "" is "/"
}

// Secret is one version of a secret. Its fields are plain strings, as an
// application needs them; printed through fmt or slog it shows no value, but
// encoding/json writes what it holds.
type Secret struct {
	ID                string
	Workspace         string // project id
	Environment       string // slug
	SecretPath        string
	Type              string
	Version           int64
	SecretKey         string
	SecretValue       string
	SecretComment     string
	SecretMetadata    []Metadata
	SecretValueHidden bool // the value was withheld: SecretValue is not it
	Tags              []api.Tag
	Actor             *api.Actor // who made this version
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Format prints place, key and version, never the value, comment or metadata.
func (s Secret) Format(f fmt.State, verb rune) { fmt.Fprint(f, s.String()) }

// String is place, key and version, never the value, comment or metadata.
func (s Secret) String() string {
	return fmt.Sprintf("{%s:%s %s version %d [redacted]}", s.Environment, s.SecretPath, s.SecretKey, s.Version)
}

// LogValue is what slog shows of a Secret: no value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Metadata is one entry of a secret's metadata. It may be as secret as the
// value, so fmt and slog show its key only.
type Metadata struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Format prints the key, never the value.
func (m Metadata) Format(f fmt.State, verb rune) { fmt.Fprint(f, m.String()) }

// String is the key, never the value.
func (m Metadata) String() string { return fmt.Sprintf("{%s [redacted]}", m.Key) }

// LogValue is what slog shows of a Metadata: no value.
func (m Metadata) LogValue() slog.Value { return slog.StringValue(m.String()) }

// ListSecretsOptions says which secrets to list. One of ProjectSlug and
// ProjectID is needed.
type ListSecretsOptions struct {
	ProjectSlug string
	ProjectID   string
	Environment string // slug
	SecretPath  string // folder path; "" is "/"

	// Recursive lists the folders below too. A key may then occur several
	// times, with different SecretPaths.
	Recursive bool

	// ExpandReferences replaces references in values by what they refer to.
	// nil leaves it to the server, whose default is to expand.
	ExpandReferences *bool

	// IncludeImports adds the secrets that the folder imports, except those
	// whose key it has itself. Of imports with the same key the last wins.
	IncludeImports bool

	// Compact asks for what it takes to use the secrets: of each only
	// SecretPath, SecretKey, SecretValue, SecretValueHidden and Version are
	// sure to be set. Servers that do not know it send everything.
	Compact bool

	// IfNoneMatch is the ETag of an earlier Result: List then says NotModified
	// where nothing changed. ListSecrets does not look at it.
	IfNoneMatch string
}

// Result is the outcome of List and GetIfChanged.
type Result struct {
	Secrets     []Secret // sorted by path, then key; of GetIfChanged the one
	ETag        string   // for the IfNoneMatch of the next call
	NotModified bool     // nothing changed since IfNoneMatch: Secrets is empty
}

// ListSecrets lists the secrets of one folder, sorted by path and key.
func (c *Client) ListSecrets(options ListSecretsOptions) ([]Secret, error) {
	options.IfNoneMatch = ""
	result, err := c.List(context.Background(), options)
	return result.Secrets, err
}

// List lists the secrets of one folder, sorted by path and key. A folder that
// does not exist is api.ErrNotFound, not an empty list.
func (c *Client) List(ctx context.Context, options ListSecretsOptions) (Result, error) {
	scope := Scope{options.ProjectSlug, options.ProjectID, options.Environment, options.SecretPath}
	query := readQuery(scope, options.ExpandReferences, options.IncludeImports)
	if options.Recursive {
		query.Set("recursive", "true")
	}
	r := request{method: http.MethodGet, path: "/api/v3/secrets/raw", query: query, ifNoneMatch: options.IfNoneMatch}
	if options.Compact {
		query.Set("compact", "true")
		return readList(ctx, c, r, compactSecret.secret)
	}
	return readList(ctx, c, r, secretFromWire)
}

// readList reads a list whose secrets have the form S.
func readList[S any](ctx context.Context, c *Client, r request, secret func(S) Secret) (Result, error) {
	var list wireList[S]
	result, err := c.readIfChanged(ctx, r, &list)
	if err != nil || result.NotModified {
		return result, err
	}
	// Any JSON object decodes, a proxy's status page too: a list that is not
	// there must not look like a folder without secrets.
	if list.Secrets == nil {
		return Result{}, api.Errorf(api.ErrUnavailable, "%s: the answer holds no list of secrets: is SiteURL the address of a KMS?", r.name())
	}
	result.Secrets = mergeImports(list, secret)
	return result, nil
}

// readIfChanged makes a conditional read. Unless the Result says NotModified
// the answer is in out, and its secrets are still to be put in.
func (c *Client) readIfChanged(ctx context.Context, r request, out any) (Result, error) {
	a, err := c.send(ctx, r)
	if err != nil {
		return Result{}, err
	}
	if a.status == http.StatusNotModified {
		return Result{ETag: r.ifNoneMatch, NotModified: true}, nil
	}
	if err := a.decode(r, out); err != nil {
		return Result{}, err
	}
	return Result{ETag: a.etag}, nil
}

// mergeImports is a list's own secrets, followed by those of its imports whose
// keys it has not got.
func mergeImports[S any](list wireList[S], secret func(S) Secret) []Secret {
	secrets := fromWire(list.Secrets, secret)
	if len(list.Imports) == 0 {
		return secrets
	}
	have := make(map[string]bool, len(secrets))
	for _, s := range secrets {
		have[s.SecretKey] = true
	}
	for i := len(list.Imports) - 1; i >= 0; i-- {
		for _, s := range fromWire(list.Imports[i].Secrets, secret) {
			if !have[s.SecretKey] {
				have[s.SecretKey] = true
				secrets = append(secrets, s)
			}
		}
	}
	return secrets
}

// GetOptions refines Get and GetIfChanged.
type GetOptions struct {
	Version          int64 // 0: the current one
	ExpandReferences *bool // nil: the server's default
	IncludeImports   bool  // look into the folder's imports too

	// IfNoneMatch is the ETag of an earlier Result: GetIfChanged then says
	// NotModified where nothing changed. Get does not look at it.
	IfNoneMatch string
}

// Get reads one secret.
func (c *Client) Get(ctx context.Context, scope Scope, key string, options GetOptions) (Secret, error) {
	options.IfNoneMatch = ""
	result, err := c.GetIfChanged(ctx, scope, key, options)
	if err != nil {
		return Secret{}, err
	}
	return result.Secrets[0], nil
}

// GetIfChanged reads one secret, unless it is as it was at IfNoneMatch.
func (c *Client) GetIfChanged(ctx context.Context, scope Scope, key string, options GetOptions) (Result, error) {
	query := readQuery(scope, options.ExpandReferences, options.IncludeImports)
	query.Set("type", sharedType)
	if options.Version != 0 {
		query.Set("version", strconv.FormatInt(options.Version, 10))
	}
	r, err := secretRequest(http.MethodGet, key)
	if err != nil {
		return Result{}, err
	}
	r.query, r.ifNoneMatch = query, options.IfNoneMatch
	var out secretAnswer
	result, err := c.readIfChanged(ctx, r, &out)
	if err != nil || result.NotModified {
		return result, err
	}
	secret, err := out.secret(r)
	if err != nil {
		return Result{}, err
	}
	result.Secrets = []Secret{secret}
	return result, nil
}

// SecretInput is a secret to create, or a change of one: what is nil stays as
// it is, or empty in a new secret.
type SecretInput struct {
	Key                   string
	Value                 *string
	Comment               *string
	Metadata              []Metadata
	TagIDs                []string
	SkipMultilineEncoding *bool
	NewKey                string // in an Update: rename the secret
}

// Format prints the key, never the value, comment or metadata.
func (s SecretInput) Format(f fmt.State, verb rune) { fmt.Fprint(f, s.String()) }

// String is the key, never the value, comment or metadata.
func (s SecretInput) String() string { return fmt.Sprintf("{%s [redacted]}", s.Key) }

// LogValue is what slog shows of a SecretInput: no value.
func (s SecretInput) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Create makes a secret. api.ErrExists where the key is taken.
func (c *Client) Create(ctx context.Context, scope Scope, secret SecretInput) (Secret, error) {
	return c.writeSecret(ctx, http.MethodPost, secret.Key, writeBody(scope, secret))
}

// Update adds a version to the secret with the given Key.
func (c *Client) Update(ctx context.Context, scope Scope, secret SecretInput) (Secret, error) {
	return c.writeSecret(ctx, http.MethodPatch, secret.Key, writeBody(scope, secret))
}

// Delete deletes a secret and gives what it was.
func (c *Client) Delete(ctx context.Context, scope Scope, key string) (Secret, error) {
	return c.writeSecret(ctx, http.MethodDelete, key, writeBody(scope, SecretInput{}))
}

func (c *Client) writeSecret(ctx context.Context, method, key string, in any) (Secret, error) {
	r, err := secretRequest(method, key)
	if err != nil {
		return Secret{}, err
	}
	r.body = in
	var out secretAnswer
	if err := c.callRequest(ctx, r, &out); err != nil {
		return Secret{}, err
	}
	return out.secret(r)
}

// secretRequest is a call that concerns one secret.
func secretRequest(method, key string) (request, error) {
	if _, err := api.ParseKey(key); err != nil {
		return request{}, err
	}
	return request{method: method, path: "/api/v3/secrets/raw/" + url.PathEscape(key)}, nil
}

// secretAnswer is what such a call is answered with.
type secretAnswer struct {
	Secret *api.Secret `json:"secret"`
}

// secret gives the secret that must be there: as with lists, any JSON object
// decodes, and none may look like a secret with an empty value.
func (a secretAnswer) secret(r request) (Secret, error) {
	if a.Secret == nil {
		return Secret{}, api.Errorf(api.ErrUnavailable, "%s: the answer holds no secret: is SiteURL the address of a KMS?", r.name())
	}
	return secretFromWire(*a.Secret), nil
}
