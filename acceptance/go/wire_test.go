package acceptance_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The clients of this file are not run: they are in other languages, or no
// longer to be had. Their requests are sent as they send them.

// login posts credentials as some client does and gives the token.
func login(t *testing.T, path string, c credentials) string {
	t.Helper()
	got := call(t, "", "POST", path, object{"clientId": c.id, "clientSecret": c.secret})
	for _, field := range []string{"accessToken", "expiresIn", "accessTokenMaxTTL", "tokenType"} {
		got.at(t, field)
	}
	return got.at(t, "accessToken").(string)
}

// The Python SDK sends null for what is not set, names a project by id or slug
// in writes, and raises KeyError where one of its fields is missing.
func TestRequestsOfThePythonSDKAreUnderstood(t *testing.T) {
	p := newProject(t)
	token := login(t, "/api/v1/auth/universal-auth/login", newIdentity(t, p, "member", object{}))

	created := call(t, token, "POST", "/api/v3/secrets/raw/KEY", object{
		"workspaceId": nil, "projectSlug": p.slug, "environment": "dev", "secretPath": "/", "secretValue": "one", "secretComment": nil,
		"tagIds": nil, "skipMultilineEncoding": false, "type": "shared", "secretReminderRepeatDays": nil, "secretReminderNote": nil, "secretMetadata": nil})
	expectFields(t, created.at(t, "secret"))
	updated := call(t, token, "PATCH", "/api/v3/secrets/raw/KEY", object{
		"workspaceId": p.id, "projectSlug": nil, "environment": "dev", "secretPath": "/", "secretValue": "two", "newSecretName": nil, "secretComment": nil,
		"tagIds": nil, "skipMultilineEncoding": nil, "type": "shared", "secretReminderRepeatDays": nil, "secretReminderNote": nil, "metadata": nil, "secretMetadata": nil})
	expectFields(t, updated.at(t, "secret"))

	query := url.Values{"workspaceSlug": {p.slug}, "environment": {"dev"}, "secretPath": {"/"}, "viewSecretValue": {"true"},
		"expandSecretReferences": {"true"}, "recursive": {"false"}, "include_imports": {"true"}, "tagSlugs": {""}}
	listed := call(t, token, "GET", "/api/v3/secrets/raw?"+query.Encode(), nil)
	if all := listed.at(t, "secrets").([]any); len(all) != 1 {
		t.Errorf("%d secrets are listed, want 1", len(all))
	} else {
		expectFields(t, all[0])
	}
	query.Set("version", "1")
	got := call(t, token, "GET", "/api/v3/secrets/raw/KEY?"+query.Encode(), nil)
	expectFields(t, got.at(t, "secret"))
	if value := got.at(t, "secret", "secretValue"); value != "one" {
		t.Errorf("version 1 is %q", value)
	}

	folder := call(t, token, "POST", "/api/v1/folders", object{"workspaceId": p.id, "environment": "dev", "name": "deploy", "path": "/", "description": nil})
	for _, field := range []string{"id", "name", "createdAt", "updatedAt", "envId", "path"} {
		folder.at(t, "folder", field)
	}
	deleted := call(t, token, "DELETE", "/api/v3/secrets/raw/KEY", object{"workspaceId": p.id, "projectSlug": nil, "environment": "dev", "secretPath": "/", "type": "shared"})
	expectFields(t, deleted.at(t, "secret"))
}

// expectFields wants what the Python SDK requires of a secret.
func expectFields(t *testing.T, secret any) {
	t.Helper()
	var missing []string
	for _, field := range []string{"id", "_id", "workspace", "environment", "version", "type", "secretKey", "secretValue", "secretComment"} {
		if secret.(object)[field] == nil {
			missing = append(missing, field)
		}
	}
	if len(missing) > 0 {
		t.Errorf("the secret has no %s", strings.Join(missing, ", "))
	}
}

// kms-go is a renamed Go SDK of an earlier time. It logs in with the name it
// has, sends both parameters of a project, and renews without a header.
func TestRequestsOfKMSGoAreUnderstood(t *testing.T) {
	p := newProject(t)
	put(t, p, "KEY", "value")
	token := login(t, "/api/v1/auth/universal-auth/login", newIdentity(t, p, "member", object{"accessTokenTTL": 600, "accessTokenMaxTTL": 7200}))

	for name, query := range map[string]string{
		"by slug": "workspaceId=&workspaceSlug=" + p.slug,
		"by id":   "workspaceId=" + p.id + "&workspaceSlug=",
	} {
		listed := call(t, token, "GET", "/api/v3/secrets/raw?environment=dev&expandSecretReferences=false&include_imports=false&recursive=false&secretPath=%2F&"+query, nil)
		if all := listed.at(t, "secrets").([]any); len(all) != 1 || all[0].(object)["secretValue"] != "value" {
			t.Errorf("%s: listed %s", name, listed.body)
		}
		got := call(t, token, "GET", "/api/v3/secrets/raw/KEY?environment=dev&secretPath=%2F&type=shared&expandSecretReferences=false&include_imports=false&"+query, nil)
		if value := got.at(t, "secret", "secretValue"); value != "value" {
			t.Errorf("%s: got %q", name, value)
		}
	}
	write := object{"workspaceId": p.id, "environment": "dev", "secretPath": "/", "type": "shared", "secretValue": "x", "secretComment": "", "skipMultilineEncoding": false}
	call(t, token, "POST", "/api/v3/secrets/raw/NEW", write).at(t, "secret")
	if again := call(t, token, "POST", "/api/v3/secrets/raw/NEW", write); again.status != 400 || !strings.Contains(string(again.body), "already exists") {
		t.Errorf("creating it again: status %d, %s", again.status, again.body)
	}
	call(t, token, "PATCH", "/api/v3/secrets/raw/NEW", object{"workspaceId": p.id, "environment": "dev", "secretPath": "/", "secretValue": "y"}).at(t, "secret")
	call(t, token, "DELETE", "/api/v3/secrets/raw/NEW", object{"workspaceId": p.id, "environment": "dev", "secretPath": "/", "type": "shared"}).at(t, "secret")

	renewed := call(t, "", "POST", "/api/v1/auth/token/renew", object{"accessToken": token}).at(t, "accessToken").(string)
	call(t, renewed, "GET", "/api/v3/secrets/raw?environment=dev&workspaceSlug="+p.slug, nil).at(t, "secrets")
	call(t, renewed, "POST", "/api/v1/auth/token/revoke", object{"accessToken": renewed}).at(t, "message")
	if after := call(t, renewed, "GET", "/api/v3/secrets/raw?environment=dev&workspaceSlug="+p.slug, nil); after.status != 401 {
		t.Errorf("the revoked token: status %d, want 401", after.status)
	}
}

// Actions and small scripts post the login as a form; some clients append a
// slash, others leave /api away. None of them follows a redirect with a body.
func TestLoginsOfOtherClientsAreUnderstood(t *testing.T) {
	p := newProject(t)
	c := newIdentity(t, p, "viewer", object{})
	login(t, "/api/v1/auth/universal-auth/login/", c)
	login(t, "/v1/auth/universal-auth/login", c)

	form := url.Values{"clientId": {c.id}, "clientSecret": {c.secret}}.Encode()
	request, err := http.NewRequestWithContext(t.Context(), "POST", setting(t, "URL")+"/api/v1/auth/universal-auth/login", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got := send(t, request)
	types := []any{got.at(t, "tokenType"), got.at(t, "expiresIn"), got.at(t, "accessTokenMaxTTL")}
	if diff := cmp.Diff([]any{"Bearer", 7200.0, 7200.0}, types); diff != "" {
		t.Errorf("the answer to a form (-want +got):\n%s", diff)
	}
}
