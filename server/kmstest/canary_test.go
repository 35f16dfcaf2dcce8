package kmstest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// canaries are the secrets of one run, by what they are. Errors and metrics
// are looked through as they come, all else at the end.
type canaries struct {
	*kmstest.Server
	t *testing.T

	mu      sync.Mutex
	planted map[string]string // secret -> what it is
}

// plant notes a secret.
func (c *canaries) plant(what, secret string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.planted[secret] = what
	c.Plant(secret)
	return secret
}

// value makes a secret.
func (c *canaries) value(what string) string { return c.plant(what, c.Value()) }

// search looks for the canaries in a text.
func (c *canaries) search(where, text string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for secret, what := range c.planted {
		if form, found := kmstest.Leak(text, secret); found {
			c.t.Errorf("%s: a %s is there, %s", where, what, form)
		}
	}
}

// RoundTrip looks through the errors that the server answers.
func (c *canaries) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.StatusCode < 400 {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.search(fmt.Sprintf("the answer %d to %s %s", resp.StatusCode, r.Method, r.URL.Path), fmt.Sprint(string(body), resp.Header))
	return resp, err
}

func (c *canaries) client(config sdk.Config) *sdk.Client {
	config.SiteURL, config.Transport, config.MaxRetries = c.URL, c, -1
	return sdk.NewClient(config)
}

// call sends a request by hand and gives its status and body.
func (c *canaries) call(method, target, token, contentType, body string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.URL+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, data
}

// Secrets of every kind are planted, a broad traffic goes over the server,
// and then they are looked for wherever they must not be.
func TestNoSecretIsFoundAnywhereItShouldNotBe(t *testing.T) {
	pgtest.URI(t) // starts the shared PostgreSQL, whose files are its own
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		c := &canaries{Server: kmstest.New(t, kmstest.Options{Engine: engine, Empty: true}), t: t, planted: map[string]string{}}
		c.plant("root key", c.Config.RootKey.Reveal())
		raw, err := base64.StdEncoding.DecodeString(c.Config.RootKey.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		c.plant("root key", string(raw))
		c.plant("auth secret", c.Config.AuthSecret.Reveal())
		if uri, err := url.Parse(c.Config.DatabaseURI.Reveal()); err == nil && uri.User != nil {
			password, _ := uri.User.Password()
			c.plant("database password", password)
		}
		c.traffic()
		c.search("the log", c.Logs())
		c.admin()
		c.trail()
		c.database(engine)
		c.files(temp)
	})
}

// traffic is all that a client can do, and much that it cannot.
func (c *canaries) traffic() {
	ctx, t := context.Background(), c.t
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	password := c.value("password")
	done, err := c.client(sdk.Config{}).Bootstrap(ctx, sdk.BootstrapInput{Email: "admin@example.com", Password: password, Organization: "test"})
	must(err)
	c.Token, c.OrgID = done.Token, done.Organization.ID
	c.plant("bootstrap token", done.Token.Reveal())
	admin := c.client(sdk.Config{AccessToken: done.Token.Reveal()})
	session, err := c.client(sdk.Config{}).UserLogin(ctx, "admin@example.com", password)
	must(err)
	c.plant("session token", session.Reveal())
	_, err = c.client(sdk.Config{AccessToken: session.Reveal()}).ListProjects(ctx)
	must(err)
	_, err = c.client(sdk.Config{}).UserLogin(ctx, "admin@example.com", c.value("wrong password"))
	wantError(t, err)

	project, err := admin.CreateProject(ctx, sdk.ProjectInput{Name: "shop", Slug: "shop"})
	must(err)
	identity, err := admin.CreateIdentity(ctx, sdk.IdentityInput{Name: "shop-service", OrganizationID: c.OrgID})
	must(err)
	attached, err := admin.AttachUniversalAuth(ctx, identity.ID, sdk.UniversalAuthInput{})
	must(err)
	secret, err := admin.CreateClientSecret(ctx, identity.ID, sdk.ClientSecretInput{Description: "first"})
	must(err)
	c.plant("client secret", secret.Secret.Reveal())
	again, err := admin.RegenerateClientSecret(ctx, identity.ID, sdk.ClientSecretInput{}, nil)
	must(err)
	c.plant("client secret", again.Secret.Reveal())
	_, err = admin.AddIdentityToProject(ctx, project.ID, identity.ID, api.MembershipRole{Role: "viewer"})
	must(err)

	// Secrets, one and many, with references, old versions, tags, renames.
	scope := sdk.Scope{ProjectID: project.ID, Environment: "prod", SecretPath: "/app"}
	_, err = admin.CreateFolder(ctx, sdk.Scope{ProjectID: project.ID, Environment: "prod"}, "app", "")
	must(err)
	input := func(key string) sdk.SecretInput {
		value, comment := c.value("value"), c.value("comment")
		return sdk.SecretInput{Key: key, Value: &value, Comment: &comment, Metadata: []sdk.Metadata{{Key: c.value("metadata key"), Value: c.value("metadata value")}}}
	}
	_, err = admin.Create(ctx, scope, input("A"))
	must(err)
	_, err = admin.Update(ctx, scope, input("A"))
	must(err)
	_, err = admin.CreateBatch(ctx, scope, []sdk.SecretInput{input("B"), input("C")})
	must(err)
	_, err = admin.UpdateBatch(ctx, scope, sdk.Upsert, []sdk.SecretInput{input("C"), input("D")})
	must(err)
	referring := input("REFERRING")
	text := *referring.Value + " ${A} ${prod.app.B}"
	referring.Value = &text
	_, err = admin.Create(ctx, scope, referring)
	must(err)

	viewer := c.client(sdk.Config{ClientID: attached.ClientID, ClientSecret: again.Secret.Reveal()})
	list := sdk.ListSecretsOptions{ProjectID: project.ID, Environment: "prod", SecretPath: "/app"}
	result, err := viewer.List(ctx, list)
	must(err)
	if len(result.Secrets) != 5 || !strings.Contains(result.Secrets[4].SecretValue, result.Secrets[0].SecretValue) {
		t.Errorf("the list: %v", result.Secrets)
	}
	list.IfNoneMatch, list.Recursive = result.ETag, true
	_, err = viewer.List(ctx, list)
	must(err)
	for version := range int64(2) {
		_, err = viewer.Get(ctx, scope, "A", sdk.GetOptions{Version: version + 1})
		must(err)
	}
	must(viewer.Renew(ctx))
	status, body := c.call("POST", "/api/v1/auth/universal-auth/login", "", "application/x-www-form-urlencoded",
		url.Values{"clientId": {attached.ClientID}, "clientSecret": {secret.Secret.Reveal()}}.Encode())
	var login struct{ AccessToken string }
	if err := json.Unmarshal(body, &login); err != nil || status != 200 {
		t.Fatalf("log in by form: %d, %v", status, err)
	}
	token := c.plant("access token", login.AccessToken)

	// What is refused, with secrets where they belong and where they do not.
	_, err = viewer.Create(ctx, scope, input("X"))
	wantError(t, err)
	_, err = admin.Create(ctx, scope, input("A"))
	wantError(t, err)
	_, err = admin.Update(ctx, sdk.Scope{ProjectID: project.ID, Environment: "prod", SecretPath: "/none"}, input("A"))
	wantError(t, err)
	_, err = admin.Create(ctx, sdk.Scope{ProjectID: project.ID, Environment: "prod"}, input("bad/name"))
	wantError(t, err)
	wantError(t, c.client(sdk.Config{ClientID: attached.ClientID, ClientSecret: c.plant("wrong client secret", "st."+strings.Repeat("canary", 7)+"1")}).Login(ctx))
	wantError(t, c.client(sdk.Config{ClientID: c.value("value sent as client id"), ClientSecret: secret.Secret.Reveal()}).Login(ctx))
	_, err = c.client(sdk.Config{AccessToken: c.plant("cut token", token[:len(token)-5]+"aaaaa")}).List(ctx, list)
	wantError(t, err)
	value := func() string { return c.value("misplaced value") }
	inPath := func() string {
		return url.PathEscape(c.plant("value in a path", strings.ReplaceAll(c.Value(), "/", "-")))
	}
	quoted := func(text string) string {
		data, err := json.Marshal(text)
		must(err)
		return string(data)
	}
	base := "/api/v3/secrets/raw"
	for _, bad := range []struct{ method, target, contentType, body string }{
		{"POST", base + "/Y", "application/json", `{"workspaceId":"` + project.ID + `","environment":"prod","secretPath":"/app","secretValue":` + quoted(value())},
		{"POST", base + "/Y", "application/json", `{"secretValue":` + quoted(value()) + `,"secretValue":"twice"}`},
		{"POST", base + "/Y", "application/json", `{"workspaceId":{"a":` + quoted(value()) + `}}`},
		{"POST", base + "/Y", "application/json", `{"secretValue":[` + quoted(value()) + `]}`},
		{"POST", base + "/Y", "application/json", `[` + quoted(value()) + `]`},
		{"POST", base + "/Y", "text/plain", value()},
		{"POST", base + "/Y", "application/json", `{"environment":` + quoted(value()) + `,"workspaceId":"` + project.ID + `","secretValue":"x"}`},
		{"POST", base + "/Y", "application/json", `{"environment":"prod","workspaceId":` + quoted(value()) + `,"secretValue":"x"}`},
		{"POST", base + "/Y", "application/json", `{"environment":"prod","workspaceId":"` + project.ID + `","secretPath":` + quoted(value()) + `,"secretValue":"x"}`},
		{"POST", base + "/Y", "application/json", `{"environment":"prod","workspaceId":"` + project.ID + `","type":` + quoted(value()) + `}`},
		{"POST", base + "/" + inPath(), "application/json", `{"environment":"prod","workspaceId":"` + project.ID + `","secretValue":"x"}`},
		{"PATCH", "/api/v3/secrets/batch/raw", "application/json", `{"environment":"prod","workspaceId":"` + project.ID + `","mode":` + quoted(value()) + `,"secrets":[{"secretKey":"Q"}]}`},
		{"GET", base + "?workspaceId=" + url.QueryEscape(value()), "", ""},
		{"GET", base + "?workspaceSlug=shop&environment=" + url.QueryEscape(value()), "", ""},
		{"GET", base + "?workspaceSlug=shop&environment=prod&secretPath=" + url.QueryEscape(value()), "", ""},
		{"GET", base + "?workspaceSlug=shop&environment=prod&recursive=" + url.QueryEscape(value()), "", ""},
		{"GET", base + "?workspaceSlug=shop&environment=prod&metadataFilter=" + url.QueryEscape(value()), "", ""},
		{"GET", base + "/A?workspaceSlug=shop&environment=prod&version=" + url.QueryEscape(value()), "", ""},
		{"GET", base + "?%zz=" + url.QueryEscape(value()), "", ""},
		{"GET", "/" + inPath(), "", ""},
		{"GET", "/api/v1/projects/" + inPath(), "", ""},
		{"GET", "/api/v1/identities/" + inPath(), "", ""},
		{"GET", "/api/v1/audit-logs?startDate=" + url.QueryEscape(value()), "", ""},
		{"GET", "/api/v1/audit-logs?cursor=" + url.QueryEscape(value()), "", ""},
		{"POST", "/api/v1/auth/universal-auth/login", "application/json", `{"clientId":` + quoted(value()) + `,"clientSecret":` + quoted(value()) + `}`},
		{"POST", "/api/v1/auth/universal-auth/login", "application/x-www-form-urlencoded", "clientId=%zz&clientSecret=" + url.QueryEscape(value())},
		{"POST", "/api/v1/auth/token/renew", "application/json", `{"accessToken":` + quoted(value()) + `}`},
		{"POST", "/api/v3/auth/login", "application/json", `{"email":` + quoted(value()) + `,"password":` + quoted(value()) + `}`},
		{"POST", "/api/v1/password/set", "application/json", `{"token":` + quoted(value()) + `,"password":` + quoted(value()) + `}`},
		{"POST", "/api/v1/admin/bootstrap", "application/json", `{"email":"eve@example.com","password":` + quoted(value()) + `,"organization":"eve"}`},
		{"POST", "/api/v1/projects", "application/json", `{"projectName":"x","slug":` + quoted(value()) + `}`},
		{"PATCH", "/v1/kms/orgs/test/secrets/shop/app/A", "application/json", `{"env":"prod","version":` + quoted(value()) + `}`},
	} {
		callers := []string{"", token, done.Token.Reveal(), value()}
		if strings.Contains(bad.body, `"password"`) {
			callers = callers[:1] // who asks does not matter, and hashing is slow
		}
		for _, with := range callers {
			if status, _ := c.call(bad.method, bad.target, with, bad.contentType, bad.body); status < 400 || status >= 500 {
				t.Errorf("%s %s: %d, want a refusal", bad.method, bad.target, status)
			}
		}
	}

	// An invitation, with the password that is set by its link.
	status, body = c.call("POST", "/api/v1/invite-org/signup", done.Token.Reveal(), "application/json",
		`{"inviteeEmails":["ada@example.com"],"organizationId":"`+c.OrgID+`","organizationRoleSlug":"admin"}`)
	var invited struct {
		Links []struct{ Link string } `json:"completeInviteLinks"`
	}
	if err := json.Unmarshal(body, &invited); err != nil || status != 200 || len(invited.Links) != 1 {
		t.Fatalf("invite: %d, %v", status, err)
	}
	_, link, _ := strings.Cut(invited.Links[0].Link, "token=")
	c.plant("link", link)
	if status, _ := c.call("POST", "/api/v1/password/set", "", "application/json", `{"token":"`+link+`","password":`+quoted(c.value("password"))+`}`); status != 200 {
		t.Errorf("set a password: %d", status)
	}

	_, err = admin.DeleteBatch(ctx, scope, []string{"B", "C"})
	must(err)
	_, err = admin.Delete(ctx, scope, "D")
	must(err)
	_, err = admin.RevokeClientSecret(ctx, identity.ID, secret.Data.ID)
	must(err)
	_, err = c.client(sdk.Config{AccessToken: token}).List(ctx, list)
	wantError(t, err)
	must(viewer.Revoke(ctx))
}

func wantError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("what should be refused is not")
	}
}

// admin looks through what operators see; profiles, which hold memory, are off.
func (c *canaries) admin() {
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine", "/debug/vars"} {
		resp, err := http.Get(c.AdminURL + path)
		if err != nil {
			c.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.HasPrefix(path, "/debug/") && resp.StatusCode != http.StatusNotFound {
			c.t.Errorf("%s: %d, want 404", path, resp.StatusCode)
		}
		if path == "/metrics" && !strings.Contains(string(body), "kms_audit_rows_total") {
			c.t.Errorf("the metrics are not there: %s", body)
		}
		c.search(path, string(body))
	}
}

// trail looks through the audit trail as it is exported.
func (c *canaries) trail() {
	n, people := 0, 0
	for l, err := range c.Admin().AllAuditLogs(context.Background(), sdk.AuditQuery{}) {
		if err != nil {
			c.t.Fatal(err)
		}
		data, err := json.Marshal(l)
		if err != nil {
			c.t.Fatal(err)
		}
		n++
		if l.Actor.Type == "user" && l.Actor.Metadata["email"] == "admin@example.com" && l.Event.Type == "get-projects" {
			people++
		}
		c.search("the audit trail", string(data))
	}
	if n < 50 || people != 1 {
		c.t.Errorf("the audit trail has %d rows, %d of them of what a person read", n, people)
	}
}

// database looks through all that the database keeps: while it is open, the
// log files of SQLite included, and once more when it was closed.
func (c *canaries) database(engine string) {
	if engine == kmstest.Postgres {
		cmd := exec.Command(pgtest.Program(c.t, "pg_dump"), "--dbname", c.Config.DatabaseURI.Reveal())
		dump, err := cmd.Output()
		if err != nil || !bytes.Contains(dump, []byte("secret_versions")) {
			c.t.Fatalf("pg_dump: %v", err)
		}
		c.search("the dump", string(dump))
		return
	}
	c.files(c.Config.Data)
	c.Stop()
	c.files(c.Config.Data)
}

// files looks through the files of a folder.
func (c *canaries) files(dir string) {
	seen := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			c.search(path, string(data))
			seen++
		}
		return err
	})
	if err != nil || dir == c.Config.Data && seen == 0 {
		c.t.Fatalf("look through %s: %d files, %v", dir, seen, err)
	}
}
