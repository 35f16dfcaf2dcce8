package httpapi_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/httpapi"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	_ "modernc.org/sqlite"
)

// What a route is in the matrix.
const (
	routeGuarded  = iota // of one tenant: 403 to others of the organisation, 404 to other organisations
	routeOpen            // for everybody, without a token
	routeOwn             // answers what is the caller's own, and nothing else
	routeInstance        // 403 to whoever does not administer the instance
)

// matrixCall is how the matrix fills in one route. {name} in query and body, and the
// parameters of the path, are taken from the names of a tenant.
type matrixCall struct {
	kind  int
	query string
	body  string
}

const (
	inQuery    = "workspaceId={project}&environment=dev&secretPath=/app"
	inBody     = `"workspaceId":"{project}","environment":"dev","secretPath":"/app"`
	inFolders  = "workspaceId={project}&environment=dev&path=/app"
	folderBody = `"workspaceId":"{project}","environment":"dev","path":"/"`
)

// matrix has a row for each row of the table of routes, and none besides.
var matrix = map[string]matrixCall{
	"GET /api/status":                        {kind: routeOpen},
	"POST /api/v1/auth/universal-auth/login": {kind: routeOpen, body: `{"clientId":"{clientId}","clientSecret":"st.wrong"}`},
	"POST /v1/kms/auth/login":                {kind: routeOpen, body: `{"clientId":"{clientId}","clientSecret":"st.wrong"}`},
	"POST /api/v3/auth/login":                {kind: routeOpen, body: `{"email":"nobody@example.com","password":"wrong password"}`},
	"POST /api/v1/password/set":              {kind: routeOpen, body: `{"token":"wrong","password":"correct horse battery"}`},
	"POST /api/v1/admin/bootstrap":           {kind: routeOpen, body: `{"email":"eve@example.com","password":"correct horse battery","organization":"eve"}`},
	"POST /api/v1/auth/token/renew":          {kind: routeOwn},
	"POST /api/v1/auth/token/revoke":         {kind: routeOwn},

	"GET /api/v3/secrets/raw":                     {query: inQuery},
	"GET /api/v3/secrets/raw/{name}":              {query: inQuery},
	"POST /api/v3/secrets/raw/{name}":             {body: `{` + inBody + `,"secretValue":"eve"}`},
	"PATCH /api/v3/secrets/raw/{name}":            {body: `{` + inBody + `,"secretValue":"eve"}`},
	"DELETE /api/v3/secrets/raw/{name}":           {body: `{` + inBody + `}`},
	"GET /api/v3/secrets/raw/id/{secret}":         {},
	"POST /api/v3/secrets/batch/raw":              {body: `{` + inBody + `,"secrets":[{"secretKey":"EVE","secretValue":"eve"}]}`},
	"PATCH /api/v3/secrets/batch/raw":             {body: `{` + inBody + `,"mode":"upsert","secrets":[{"secretKey":"{name}","secretValue":"eve"}]}`},
	"DELETE /api/v3/secrets/batch/raw":            {body: `{` + inBody + `,"secrets":[{"secretKey":"{name}"}]}`},
	"GET /api/v4/secrets":                         {query: "projectId={project}&environment=dev&secretPath=/app"},
	"GET /api/v4/secrets/{name}":                  {query: "projectId={project}&environment=dev&secretPath=/app"},
	"POST /api/v4/secrets/{name}":                 {body: `{"projectId":"{project}","environment":"dev","secretPath":"/app","secretValue":"eve"}`},
	"PATCH /api/v4/secrets/{name}":                {body: `{"projectId":"{project}","environment":"dev","secretPath":"/app","secretValue":"eve"}`},
	"DELETE /api/v4/secrets/{name}":               {body: `{"projectId":"{project}","environment":"dev","secretPath":"/app"}`},
	"GET /api/v4/secrets/id/{secret}":             {},
	"POST /api/v4/secrets/batch":                  {body: `{` + inBody + `,"secrets":[{"secretKey":"EVE","secretValue":"eve"}]}`},
	"PATCH /api/v4/secrets/batch":                 {body: `{` + inBody + `,"secrets":[{"secretKey":"{name}","secretValue":"eve"}]}`},
	"DELETE /api/v4/secrets/batch":                {body: `{` + inBody + `,"secrets":[{"secretKey":"{name}"}]}`},
	"GET /api/v1/secret/{secret}/secret-versions": {},
	"GET /api/v3/secrets/list":                    {query: inQuery},
	"GET /api/v1/secrets":                         {query: inQuery},
	"GET /api/v1/secrets/raw":                     {query: inQuery},
	"GET /api/v1/secrets/raw/{name}":              {query: inQuery},

	"GET /api/v1/folders":             {query: inFolders},
	"POST /api/v1/folders":            {body: `{` + folderBody + `,"name":"eve"}`},
	"GET /api/v1/folders/{folder}":    {},
	"PATCH /api/v1/folders/{folder}":  {body: `{` + folderBody + `,"name":"eve"}`},
	"DELETE /api/v1/folders/{folder}": {body: `{` + folderBody + `}`},
	"GET /api/v2/folders":             {query: inFolders},
	"POST /api/v2/folders":            {body: `{` + folderBody + `,"name":"eve"}`},
	"GET /api/v2/folders/{folder}":    {},
	"PATCH /api/v2/folders/{folder}":  {body: `{` + folderBody + `,"name":"eve"}`},
	"DELETE /api/v2/folders/{folder}": {body: `{` + folderBody + `,"forceDelete":true}`},

	"GET /api/v1/projects":                 {kind: routeOwn},
	"POST /api/v1/projects":                {body: `{"projectName":"Eve","slug":"eve","organizationId":"{organization}"}`},
	"GET /api/v1/projects/{project}":       {},
	"PATCH /api/v1/projects/{project}":     {body: `{"name":"Eve"}`},
	"DELETE /api/v1/projects/{project}":    {},
	"GET /api/v1/projects/slug/{project}":  {},
	"GET /api/v1/workspace":                {kind: routeOwn},
	"GET /api/v1/workspace/{project}":      {},
	"GET /api/v1/workspace/slug/{project}": {},
	"POST /api/v2/workspace":               {body: `{"projectName":"Eve","slug":"eve","organizationId":"{organization}"}`},
	"GET /api/v2/workspace/{project}":      {},
	"PATCH /api/v2/workspace/{project}":    {body: `{"name":"Eve"}`},
	"DELETE /api/v2/workspace/{project}":   {},

	"GET /api/v1/workspace/{project}/environments":                  {},
	"POST /api/v1/workspace/{project}/environments":                 {body: `{"name":"Eve","slug":"eve"}`},
	"PATCH /api/v1/workspace/{project}/environments/{environment}":  {body: `{"name":"Eve"}`},
	"DELETE /api/v1/workspace/{project}/environments/{environment}": {},
	"GET /api/v1/workspace/environments/{environment}":              {},
	"GET /api/v1/projects/{project}/environments":                   {},
	"POST /api/v1/projects/{project}/environments":                  {body: `{"name":"Eve","slug":"eve"}`},
	"PATCH /api/v1/projects/{project}/environments/{environment}":   {body: `{"name":"Eve"}`},
	"DELETE /api/v1/projects/{project}/environments/{environment}":  {},
	"GET /api/v1/projects/{project}/environments/slug/{slug}":       {},

	"GET /api/v1/projects/{project}/tags":             {},
	"POST /api/v1/projects/{project}/tags":            {body: `{"slug":"eve"}`},
	"GET /api/v1/projects/{project}/tags/{tag}":       {},
	"GET /api/v1/projects/{project}/tags/slug/{tag}":  {},
	"PATCH /api/v1/projects/{project}/tags/{tag}":     {body: `{"slug":"eve"}`},
	"DELETE /api/v1/projects/{project}/tags/{tag}":    {},
	"GET /api/v1/workspace/{project}/tags":            {},
	"POST /api/v1/workspace/{project}/tags":           {body: `{"slug":"eve"}`},
	"GET /api/v1/workspace/{project}/tags/{tag}":      {},
	"GET /api/v1/workspace/{project}/tags/slug/{tag}": {},
	"PATCH /api/v1/workspace/{project}/tags/{tag}":    {body: `{"slug":"eve"}`},
	"DELETE /api/v1/workspace/{project}/tags/{tag}":   {},

	"GET /api/v2/workspace/{project}/identity-memberships":               {},
	"GET /api/v2/workspace/{project}/identity-memberships/{identity}":    {},
	"POST /api/v2/workspace/{project}/identity-memberships/{identity}":   {body: `{"role":"admin"}`},
	"PATCH /api/v2/workspace/{project}/identity-memberships/{identity}":  {body: `{"role":"admin"}`},
	"DELETE /api/v2/workspace/{project}/identity-memberships/{identity}": {},
	"GET /api/v1/workspace/{project}/memberships":                        {},
	"POST /api/v2/workspace/{project}/memberships":                       {body: `{"emails":["eve@example.com"]}`},
	"PATCH /api/v1/workspace/{project}/memberships/{user}":               {body: `{"role":"admin"}`},
	"DELETE /api/v1/workspace/{project}/memberships/{user}":              {},
	"GET /api/v1/workspace/{project}/roles":                              {},
	"POST /api/v1/workspace/{project}/roles":                             {body: `{"slug":"eve","name":"Eve","permissions":[]}`},
	"GET /api/v1/workspace/{project}/roles/slug/{role}":                  {},
	"PATCH /api/v1/workspace/{project}/roles/{role}":                     {body: `{"name":"Eve"}`},
	"DELETE /api/v1/workspace/{project}/roles/{role}":                    {},

	"GET /api/v1/identities":                                                                      {query: "orgId={organization}"},
	"POST /api/v1/identities":                                                                     {body: `{"name":"eve","organizationId":"{organization}","role":"admin"}`},
	"GET /api/v1/identities/{identity}":                                                           {},
	"PATCH /api/v1/identities/{identity}":                                                         {body: `{"name":"eve","role":"admin"}`},
	"DELETE /api/v1/identities/{identity}":                                                        {},
	"GET /api/v1/auth/universal-auth/identities/{identity}":                                       {},
	"POST /api/v1/auth/universal-auth/identities/{identity}":                                      {body: `{}`},
	"PATCH /api/v1/auth/universal-auth/identities/{identity}":                                     {body: `{"accessTokenTTL":60}`},
	"DELETE /api/v1/auth/universal-auth/identities/{identity}":                                    {},
	"GET /api/v1/auth/universal-auth/identities/{identity}/client-secrets":                        {},
	"POST /api/v1/auth/universal-auth/identities/{identity}/client-secrets":                       {body: `{}`},
	"POST /api/v1/auth/universal-auth/identities/{identity}/client-secrets/regenerate":            {body: `{"graceSeconds":0}`},
	"GET /api/v1/auth/universal-auth/identities/{identity}/client-secrets/{clientSecret}":         {},
	"POST /api/v1/auth/universal-auth/identities/{identity}/client-secrets/{clientSecret}/revoke": {},
	"POST /api/v1/auth/universal-auth/identities/{identity}/clear-lockouts":                       {},

	"GET /api/v1/organization":                                      {kind: routeOwn},
	"GET /api/v1/organization/{organization}/memberships":           {},
	"DELETE /api/v1/organization/{organization}/memberships/{user}": {},
	"POST /api/v1/invite-org/signup":                                {body: `{"inviteeEmails":["eve@example.com"],"organizationId":"{organization}","organizationRoleSlug":"admin"}`},
	"GET /api/v1/user":                                              {kind: routeOwn},
	"GET /api/v1/admin/organization-management/organizations":       {kind: routeInstance},
	"POST /api/v1/admin/organization-management/organizations":      {kind: routeInstance, body: `{"name":"eve"}`},

	"GET /api/v1/audit-logs":                     {query: "projectId={project}"},
	"GET /api/v1/organization/audit-logs":        {query: "projectId={project}"},
	"GET /api/v1/workspace/{project}/audit-logs": {},

	"GET /v1/kms/orgs/{organization}/secrets":              {query: "path={slugged}/app&env=dev"},
	"POST /v1/kms/orgs/{organization}/secrets":             {body: `{"path":"{slugged}/app","name":"EVE","env":"dev","value":"eve"}`},
	"GET /v1/kms/orgs/{organization}/secrets/{path...}":    {query: "env=dev"},
	"PATCH /v1/kms/orgs/{organization}/secrets/{path...}":  {body: `{"env":"dev","value":"eve"}`},
	"DELETE /v1/kms/orgs/{organization}/secrets/{path...}": {query: "env=dev"},
	"GET /v1/kms/secrets":                                  {query: "workspaceId={project}&env=dev&path=/app&name={name}"},
	"GET /v1/kms/secrets/{path...}":                        {query: "workspaceId={project}&env=dev"},
}

func TestEveryRouteHasItsRowInTheMatrix(t *testing.T) {
	known := map[string]bool{}
	for _, r := range httpapi.Routes() {
		known[r.Method+" "+r.Pattern] = true
		if _, ok := matrix[r.Method+" "+r.Pattern]; !ok {
			t.Errorf("%s %s has no row: say how the matrix calls it", r.Method, r.Pattern)
		}
	}
	for name := range matrix {
		if !known[name] {
			t.Errorf("%s is in the matrix, but is no route", name)
		}
	}
}

// names are the ids and slugs of one tenant.
type tenantNames map[string]string

func (n tenantNames) fill(text string) string {
	for name, value := range n {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// blank takes the names out of an answer, so that answers about different
// tenants can be compared.
func (n tenantNames) blank(text string) string {
	for _, value := range n {
		if len(value) > 8 { // not the slug of an environment
			text = strings.ReplaceAll(text, value, "*")
		}
	}
	return text
}

// newTenant makes a project with one of everything in it.
func newTenant(t *testing.T, kms *kmstest.Server) tenantNames {
	t.Helper()
	ctx, admin, project := t.Context(), kms.Admin(), kms.Project("victim-project")
	scope := sdk.Scope{ProjectID: project.ID, Environment: "dev", SecretPath: "/app"}
	folder, err := admin.CreateFolder(ctx, sdk.Scope{ProjectID: project.ID, Environment: "dev"}, "app", "")
	if err != nil {
		t.Fatal(err)
	}
	value := kms.Value()
	secret, err := admin.Create(ctx, scope, sdk.SecretInput{Key: "DATABASE_URL", Value: &value})
	if err != nil {
		t.Fatal(err)
	}
	identity := kms.Identity(project, "viewer")
	clientSecrets, err := admin.ListClientSecrets(ctx, identity.IdentityID)
	if err != nil {
		t.Fatal(err)
	}
	role, err := admin.CreateRole(ctx, project.ID, sdk.RoleInput{Slug: "reader-role", Name: "reader", Rules: []api.Rule{{Actions: []string{"secrets:read"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var user struct{ Users []struct{ ID string } }
	matrixFetch(t, kms, kms.Token.Reveal(), "GET", "/api/v1/organization/"+kms.OrgID+"/memberships", "", &user)
	var tag struct{ Tag struct{ ID string } }
	matrixFetch(t, kms, kms.Token.Reveal(), "POST", "/api/v1/projects/"+project.ID+"/tags", `{"slug":"victim-tag"}`, &tag)
	return tenantNames{"project": project.ID, "slugged": project.Slug, "environment": project.Environments[0].ID, "slug": "dev", "name": "DATABASE_URL",
		"path...": project.Slug + "/app/DATABASE_URL", "folder": folder.ID, "secret": secret.ID, "identity": identity.IdentityID, "clientId": identity.ClientID,
		"clientSecret": clientSecrets[0].ID, "role": role.Slug, "organization": kms.OrgID, "organization slug": "test", "user": user.Users[0].ID, "tag": tag.Tag.ID}
}

// unknownTenant gives names of the same form that nothing has.
func unknownTenant(victim tenantNames) tenantNames {
	n := tenantNames{}
	for name, value := range victim {
		if n[name] = value; api.IsID(value) {
			n[name] = uuid.Must(uuid.NewV7()).String()
		}
	}
	n["organization slug"], n["slugged"], n["role"], n["path..."] = "unknown-org", "unknown-project", "unknown-role", "unknown-project/app/DATABASE_URL"
	return n
}

// projectBySlug names the project by its slug where an id belongs.
func projectBySlug(n tenantNames) tenantNames {
	copied := tenantNames{}
	for name, value := range n {
		copied[name] = value
	}
	copied["project"] = n["slugged"]
	return copied
}

// matrixAnswer is what came back of a call.
type matrixAnswer struct {
	status int
	body   string
	id     string // of the request
}

func (n tenantNames) call(t *testing.T, kms *kmstest.Server, token string, r httpapi.Route) matrixAnswer {
	t.Helper()
	c := matrix[r.Method+" "+r.Pattern]
	pattern := r.Pattern
	if strings.HasPrefix(pattern, "/v1/kms/") {
		pattern = strings.Replace(pattern, "{organization}", "{organization slug}", 1)
	}
	target := n.fill(pattern)
	if c.query != "" {
		query, err := url.ParseQuery(n.fill(c.query))
		if err != nil {
			t.Fatal(err)
		}
		target += "?" + query.Encode()
	}
	return matrixSend(t, kms, token, r.Method, target, n.fill(c.body))
}

func matrixSend(t *testing.T, kms *kmstest.Server, token, method, target, body string) matrixAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, kms.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return matrixAnswer{resp.StatusCode, string(data), resp.Header.Get("X-Request-Id")}
}

func matrixFetch(t *testing.T, kms *kmstest.Server, token, method, target, body string, out any) {
	t.Helper()
	got := matrixSend(t, kms, token, method, target, body)
	if err := json.Unmarshal([]byte(got.body), out); err != nil || got.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, target, got.status, got.body)
	}
}

// withoutRequest is the body of an answer but for the id of its request.
func (a matrixAnswer) withoutRequest() string { return strings.ReplaceAll(a.body, a.id, "*") }

// otherOrganization makes an organisation with an identity that administers it,
// by the way that people go, and gives that identity's token.
func otherOrganization(t *testing.T, kms *kmstest.Server) string {
	t.Helper()
	const email, password = "mallory@example.com", "correct horse battery staple"
	var made struct {
		Organization api.Organization
		Links        []struct{ Link string } `json:"completeInviteLinks"`
	}
	matrixFetch(t, kms, kms.Token.Reveal(), "POST", "/api/v1/admin/organization-management/organizations", `{"name":"other","inviteAdminEmails":["`+email+`"]}`, &made)
	link, err := url.Parse(made.Links[0].Link)
	if err != nil {
		t.Fatal(err)
	}
	var ok, login struct{ AccessToken string }
	matrixFetch(t, kms, "", "POST", "/api/v1/password/set", fmt.Sprintf(`{"token":%q,"password":%q}`, link.Query().Get("token"), password), &ok)
	matrixFetch(t, kms, "", "POST", "/api/v3/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), &login)
	person := kms.WithToken(login.AccessToken)
	identity, err := person.CreateIdentity(t.Context(), sdk.IdentityInput{Name: "mallory", OrganizationID: made.Organization.ID, Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := person.AttachUniversalAuth(t.Context(), identity.ID, sdk.UniversalAuthInput{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := person.CreateClientSecret(t.Context(), identity.ID, sdk.ClientSecretInput{})
	if err != nil {
		t.Fatal(err)
	}
	return matrixLogin(t, kms, attached.ClientID, secret.Secret.Reveal())
}

func matrixLogin(t *testing.T, kms *kmstest.Server, clientID, clientSecret string) string {
	t.Helper()
	var login struct{ AccessToken string }
	matrixFetch(t, kms, "", "POST", "/api/v1/auth/universal-auth/login", fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, clientID, clientSecret), &login)
	return login.AccessToken
}

// badTokens are tokens that are none, or none any more.
func badTokens(t *testing.T, kms *kmstest.Server, clock *kmstest.Clock, c kmstest.Credentials) map[string]string {
	t.Helper()
	good := matrixLogin(t, kms, c.ClientID, c.ClientSecret)
	clock.Advance(3 * time.Hour)
	fresh := matrixLogin(t, kms, c.ClientID, c.ClientSecret)
	head, sig := fresh[:strings.LastIndexByte(fresh, '.')+1], fresh[strings.LastIndexByte(fresh, '.')+1:]
	flipped := []byte(sig)
	flipped[3] ^= 1
	opaque, _ := auth.NewOpaqueToken()
	return map[string]string{"no token": "", "garbage": "garbage", "an expired token": good, "a forged signature": head + string(flipped),
		"no signature": head, "an unknown opaque token": opaque.Reveal()}
}

// tenantTables are those in which a tenant is.
var tenantTables = []string{"organizations", "users", "identities", "organization_memberships", "universal_auths", "projects", "project_memberships", "roles",
	"tags", "environments", "environment_slugs", "folders", "secrets", "secret_versions", "keys", "opaque_tokens", "password_links"}

// listTenants is everything in the database that belongs to tenants.
func listTenants(t *testing.T, kms *kmstest.Server) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+kms.Config.Data+"/kms.db?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]string{}
	for _, table := range tenantTables {
		all[table] = dumpRows(t, db, "SELECT * FROM "+table)
	}
	// Not its uses: logins are counted.
	all["client_secrets"] = dumpRows(t, db, "SELECT id, identity_id, lookup, prefix, description, uses_limit, ttl, expires_at, revoked FROM client_secrets")
	return all
}

func dumpRows(t *testing.T, db *sql.DB, query string) (lines []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%q", values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// trailByRequest is all rows of the audit trail, by the request that they are of.
func trailByRequest(t *testing.T, kms *kmstest.Server) map[string][]store.AuditRow {
	t.Helper()
	if err := kms.App().Service().Audit().Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	byRequest := map[string][]store.AuditRow{}
	err := kms.Store().View(t.Context(), func(tx *store.Tx) error {
		organizations, err := tx.Organizations(t.Context())
		if err != nil {
			return err
		}
		ids := []string{""}
		for _, o := range organizations {
			ids = append(ids, o.ID)
		}
		rows, err := tx.Audit(t.Context(), store.AuditQuery{OrganizationIDs: ids, Limit: 1_000_000})
		for _, row := range rows {
			byRequest[row.RequestID] = append(byRequest[row.RequestID], row)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return byRequest
}

func TestWithoutAGoodTokenEveryRouteButTheOpenOnesIs401(t *testing.T) {
	t.Parallel()
	clock := &kmstest.Clock{}
	kms := kmstest.New(t, kmstest.Options{Clock: clock})
	victim := newTenant(t, kms)
	tokens := badTokens(t, kms, clock, kms.Identity(api.Project{Slug: "nobody"}, ""))
	before := listTenants(t, kms)
	refused := int64(0)
	for name, token := range tokens {
		for _, r := range httpapi.Routes() {
			c := matrix[r.Method+" "+r.Pattern]
			if c.kind == routeOpen {
				continue
			}
			got := victim.call(t, kms, token, r)
			refused++
			if got.status != http.StatusUnauthorized || !strings.Contains(got.body, `"kind":"unauthenticated"`) {
				t.Errorf("%s, %s %s: %d %s, want 401", name, r.Method, r.Pattern, got.status, got.body)
			}
		}
	}
	if diff := cmp.Diff(before, listTenants(t, kms)); diff != "" {
		t.Errorf("the calls changed something (-before +after):\n%s", diff)
	}
	recorded := int64(0)
	for _, rows := range trailByRequest(t, kms) {
		for _, row := range rows {
			if row.ActorType == "unknownUser" && row.Outcome == audit.Denied && row.Reason == "unauthenticated" {
				recorded += row.Repeats
			}
		}
	}
	if recorded != refused {
		t.Errorf("the audit trail counts %d refused requests, want %d", recorded, refused)
	}
}

// The open routes are open to be asked, not to be let in.
func TestTheOpenRoutesLetNobodyInWithoutProof(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	victim := newTenant(t, kms)
	before := listTenants(t, kms)
	want := map[string]int{"GET /api/status": 200, "POST /api/v1/auth/universal-auth/login": 401, "POST /v1/kms/auth/login": 401, "POST /api/v3/auth/login": 401,
		"POST /api/v1/password/set": 401, "POST /api/v1/admin/bootstrap": 400}
	for _, r := range httpapi.Routes() {
		if matrix[r.Method+" "+r.Pattern].kind != routeOpen {
			continue
		}
		if got := victim.call(t, kms, "", r); got.status != want[r.Method+" "+r.Pattern] {
			t.Errorf("%s %s: %d %s, want %d", r.Method, r.Pattern, got.status, got.body, want[r.Method+" "+r.Pattern])
		}
	}
	if diff := cmp.Diff(before, listTenants(t, kms)); diff != "" {
		t.Errorf("the calls changed something (-before +after):\n%s", diff)
	}
}

// An admin of another project, and of nothing else, meets a closed door at
// every route, whether what he names is there or not.
func TestOtherProjectsAre403OnEveryRoute(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	victim := newTenant(t, kms)
	neighbour := kms.Identity(kms.Project("neighbour"), "admin")
	token := matrixLogin(t, kms, neighbour.ClientID, neighbour.ClientSecret)
	before := listTenants(t, kms)
	var refused []matrixAnswer
	for _, r := range httpapi.Routes() {
		for _, n := range []tenantNames{victim, projectBySlug(victim)} {
			got, ok := callFromOutside(t, kms, token, r, n, http.StatusForbidden)
			if ok {
				refused = append(refused, got)
			}
		}
	}
	wantUntouched(t, kms, before, refused, neighbour.IdentityID, audit.Denied)
}

// An admin of another organisation learns nothing: the answers about the
// victim are those about what does not exist, to the byte.
func TestOtherOrganizationsAre404OnEveryRoute(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	victim := newTenant(t, kms)
	nothing := unknownTenant(victim)
	token := otherOrganization(t, kms)
	var self struct{ Identity struct{ ID string } }
	matrixFetch(t, kms, token, "GET", "/api/v1/user", "", &self)
	before := listTenants(t, kms)
	var refused []matrixAnswer
	for _, r := range httpapi.Routes() {
		for _, pair := range [][2]tenantNames{{victim, nothing}, {projectBySlug(victim), projectBySlug(nothing)}} {
			got, ok := callFromOutside(t, kms, token, r, pair[0], http.StatusNotFound)
			if !ok {
				continue
			}
			refused = append(refused, got)
			absent := pair[1].call(t, kms, token, r)
			refused = append(refused, absent)
			real, none := pair[0].blank(got.withoutRequest()), pair[1].blank(absent.withoutRequest())
			if got.status != absent.status || real != none {
				t.Errorf("%s %s tells the victim's from what is not there:\n%d %s\n%d %s", r.Method, r.Pattern, got.status, real, absent.status, none)
			}
		}
	}
	wantUntouched(t, kms, before, refused, self.Identity.ID, "")
}

// callFromOutside calls a route as somebody from outside the tenant; ok reports that
// it was a call to be refused.
func callFromOutside(t *testing.T, kms *kmstest.Server, token string, r httpapi.Route, n tenantNames, want int) (got matrixAnswer, ok bool) {
	t.Helper()
	name := r.Method + " " + r.Pattern
	switch c := matrix[name]; {
	case c.kind == routeOpen || name == "POST /api/v1/auth/token/revoke": // it would end the caller's own token
		return got, false
	case c.kind == routeOwn:
		got = n.call(t, kms, token, r)
		for what, value := range n {
			if what != "organization" && what != "user" && len(value) > 8 && strings.Contains(got.body, value) {
				t.Errorf("%s: %d, and the answer names the %s of the victim", name, got.status, what)
			}
		}
		return got, false
	case c.kind == routeInstance:
		want = http.StatusForbidden
	}
	got = n.call(t, kms, token, r)
	if got.status != want {
		t.Errorf("%s: %d %s, want %d", name, got.status, got.body, want)
	}
	return got, true
}

// wantUntouched checks that nothing of any tenant has changed, and that each
// refusal has its one row.
func wantUntouched(t *testing.T, kms *kmstest.Server, before map[string][]string, refused []matrixAnswer, actorID, outcome string) {
	t.Helper()
	if diff := cmp.Diff(before, listTenants(t, kms)); diff != "" {
		t.Errorf("the calls changed something (-before +after):\n%s", diff)
	}
	rows := trailByRequest(t, kms)
	for _, a := range refused {
		if len(rows[a.id]) != 1 {
			t.Errorf("request %s (%d %s) has %d audit rows, want 1", a.id, a.status, a.body, len(rows[a.id]))
			continue
		}
		row := rows[a.id][0]
		if row.ActorID != actorID || row.Outcome == audit.Success || outcome != "" && row.Outcome != outcome || row.Reason == "" {
			t.Errorf("request %s (%d): the row has actor %s, outcome %s, reason %q", a.id, a.status, row.ActorID, row.Outcome, row.Reason)
		}
	}
}

// S123 of the standard: the ten production services share nothing.
func TestTenServicesReadTheirOwnProjectAndNoneOfTheOthers(t *testing.T) {
	t.Parallel()
	slugs := []string{"hanzo-iam", "gateway", "chat", "cloud", "console", "commerce", "platform", "bootnode", "flow", "zen"}
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		values, clients := map[string]string{}, map[string]*sdk.Client{}
		for _, slug := range slugs {
			project := kms.Project(slug)
			values[slug] = kms.Value()
			kms.Put(project, "prod", "/", "PASSWORD", values[slug])
			clients[slug] = kms.Client(kms.Identity(project, "viewer"))
		}
		for _, caller := range slugs {
			for _, slug := range slugs {
				all, err := clients[caller].ListSecrets(sdk.ListSecretsOptions{ProjectSlug: slug, Environment: "prod"})
				switch {
				case caller == slug && (err != nil || len(all) != 1 || all[0].SecretValue != values[slug]):
					t.Errorf("%s reads its own project: %v, %v", caller, all, err)
				case caller != slug && (!errors.Is(err, api.ErrDenied) || all != nil):
					t.Errorf("%s reads %s: %v, %v, want 403", caller, slug, all, err)
				}
			}
		}
	})
}
