package sdk_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// target is a server that the tests of the contract run against, with one
// project whose environment "dev" is empty.
type target struct {
	URL, ClientID, ClientSecret, ProjectSlug string
}

func (t target) client() *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: t.URL, ClientID: t.ClientID, ClientSecret: t.ClientSecret})
}

func (t target) scope() sdk.Scope {
	return sdk.Scope{ProjectSlug: t.ProjectSlug, Environment: "dev", SecretPath: "/"}
}

const (
	goodID     = "5f0e3c1a-0000-4000-8000-000000000001"
	goodSecret = "st.canary-client-secret"
)

// fake is an in-memory server of one project. before, where set, may answer a
// request in its place.
type fake struct {
	before func(w http.ResponseWriter, r *http.Request) (answered bool)

	mu       sync.Mutex // guards what follows
	requests []string   // "METHOD path"
	tokens   map[string]bool
	logins   int
	renewals int
	life     int64 // of a token, in seconds
	maxLife  int64
	secrets  map[string][]api.Secret // versions by key
}

func newFake() *fake {
	return &fake{tokens: map[string]bool{}, life: 7200, maxLife: 7200, secrets: map[string][]api.Secret{}}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	if f.before != nil && f.before(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var body map[string]any
	if r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&body) != nil {
		fail(w, 400, "the body is not JSON")
		return
	}
	text := func(name string) string { s, _ := body[name].(string); return s }
	switch {
	case r.URL.Path == "/api/v1/auth/universal-auth/login":
		f.login(w, text("clientId"), text("clientSecret"))
	case r.URL.Path == "/api/v1/auth/token/renew":
		f.renew(w, text("accessToken"))
	case !f.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]:
		fail(w, 401, "the token is unknown")
	case r.URL.Path == "/api/v1/auth/token/revoke":
		delete(f.tokens, text("accessToken"))
		answer(w, map[string]string{"message": "Successfully revoked access token"})
	case r.URL.Path == "/api/v3/secrets/raw":
		f.list(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/v3/secrets/raw/"):
		key, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3/secrets/raw/"))
		f.one(w, r, key, body)
	default:
		fail(w, 404, "there is no such route")
	}
}

func (f *fake) login(w http.ResponseWriter, id, secret string) {
	f.logins++
	if id != goodID || secret != goodSecret {
		fail(w, 401, "Invalid credentials")
		return
	}
	token := fmt.Sprintf("token-%d", f.logins)
	f.tokens[token] = true
	answer(w, api.Login{AccessToken: token, ExpiresIn: f.life, AccessTokenMaxTTL: f.maxLife, TokenType: "Bearer"})
}

func (f *fake) renew(w http.ResponseWriter, token string) {
	f.renewals++
	if !f.tokens[token] {
		fail(w, 401, "the token is unknown")
		return
	}
	renewed := fmt.Sprintf("%s-renewed-%d", token, f.renewals)
	f.tokens[renewed] = true
	answer(w, api.Login{AccessToken: renewed, ExpiresIn: f.life, AccessTokenMaxTTL: f.maxLife, TokenType: "Bearer"})
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("workspaceSlug") != "app" {
		fail(w, 404, "there is no such project")
		return
	}
	list := []map[string]any{}
	for key, versions := range f.secrets {
		list = append(list, wire(key, versions[len(versions)-1]))
	}
	slices.SortFunc(list, func(a, b map[string]any) int {
		return strings.Compare(a["secretKey"].(string), b["secretKey"].(string))
	})
	body, _ := json.Marshal(map[string]any{"secrets": list, "imports": []any{}})
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(body)
}

func (f *fake) one(w http.ResponseWriter, r *http.Request, key string, body map[string]any) {
	versions := f.secrets[key]
	if len(versions) == 0 && r.Method != http.MethodPost {
		fail(w, 404, "Secret with name '"+key+"' not found")
		return
	}
	value, _ := body["secretValue"].(string)
	switch r.Method {
	case http.MethodPost:
		if len(versions) > 0 {
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(api.Error{Message: "Secret already exists", Name: "BadRequest", Kind: "exists"})
			return
		}
		versions = []api.Secret{{Version: 1, SecretValue: api.NewValue(value)}}
	case http.MethodPatch:
		versions = append(versions, api.Secret{Version: int64(len(versions) + 1), SecretValue: api.NewValue(value)})
	case http.MethodDelete:
		delete(f.secrets, key)
		answer(w, map[string]any{"secret": wire(key, versions[len(versions)-1])})
		return
	}
	f.secrets[key] = versions
	shown := versions[len(versions)-1]
	if r.URL.Query().Get("version") == "1" {
		shown = versions[0]
	}
	answer(w, map[string]any{"secret": wire(key, shown)})
}

// wire is a secret as the server's encoder reveals it.
func wire(key string, s api.Secret) map[string]any {
	return map[string]any{
		"id": "id-" + key, "_id": "id-" + key, "workspace": "app-id", "environment": "dev", "secretPath": "/",
		"type": "shared", "version": s.Version, "secretKey": key, "secretValue": s.SecretValue.Reveal(),
		"secretComment": "", "tags": []any{}, "secretMetadata": []any{},
		"createdAt": "2026-01-02T03:04:05.000Z", "updatedAt": "2026-01-02T03:04:05.000Z",
	}
}

func answer(w http.ResponseWriter, body any) { json.NewEncoder(w).Encode(body) }

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Error{ReqID: "req-test", StatusCode: status, Message: message})
}

// RoundTrip lets a fake be the transport of a client, without a network, so
// that time may be a synctest bubble's.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result(), nil
}

func (f *fake) client(config sdk.Config) *sdk.Client {
	config.ClientID, config.ClientSecret, config.Transport = goodID, goodSecret, f
	return sdk.NewClient(config)
}

// count is how often a request was made, such as "GET /api/v3/secrets/raw".
func (f *fake) count(request string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if r == request {
			n++
		}
	}
	return n
}

const (
	loginCall = "POST /api/v1/auth/universal-auth/login"
	renewCall = "POST /api/v1/auth/token/renew"
	listCall  = "GET /api/v3/secrets/raw"
)

var appDev = sdk.ListSecretsOptions{ProjectSlug: "app", Environment: "dev", SecretPath: "/"}
