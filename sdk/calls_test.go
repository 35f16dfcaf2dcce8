package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// TestEachCallIsOneRequest holds what every call puts on the wire, and that it
// finds its answer there.
func TestEachCallIsOneRequest(t *testing.T) {
	scope := sdk.Scope{ProjectID: "p-id", Environment: "dev", SecretPath: "/a"}
	bySlug := sdk.Scope{ProjectSlug: "app", Environment: "dev"}
	viewer := api.MembershipRole{Role: "viewer"}
	const universal = "/api/v1/auth/universal-auth/identities/i-id"
	tests := []struct {
		call   func(context.Context, *sdk.Client) (any, error)
		want   string // method, path and query
		body   string
		answer string
		gives  string // the answer as the caller sees it
	}{
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			r, err := c.List(ctx, sdk.ListSecretsOptions{ProjectID: "p-id", Environment: "dev", Recursive: true, ExpandReferences: new(false), IncludeImports: true})
			return keys(r.Secrets), err
		}, "GET /api/v3/secrets/raw?environment=dev&expandSecretReferences=false&include_imports=true&recursive=true&secretPath=%2F&workspaceId=p-id", ``,
			`{"secrets":[{"secretKey":"A","secretValue":"own"}],"imports":[
				{"secrets":[{"secretKey":"B","secretValue":"first"},{"secretKey":"C","secretValue":"c"}]},
				{"secrets":[{"secretKey":"A","secretValue":"imported"},{"secretKey":"B","secretValue":"last"}]}]}`,
			"A=own B=last C=c"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.Get(ctx, bySlug, "A%B?", sdk.GetOptions{Version: 2, ExpandReferences: new(true)})
			return s.SecretKey, err
		}, "GET /api/v3/secrets/raw/A%25B%3F?environment=dev&expandSecretReferences=true&secretPath=%2F&type=shared&version=2&workspaceSlug=app", ``,
			`{"secret":{"secretKey":"A%B?"}}`, "A%B?"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			r, err := c.GetIfChanged(ctx, scope, "A", sdk.GetOptions{IncludeImports: true})
			return keys(r.Secrets), err
		}, "GET /api/v3/secrets/raw/A?environment=dev&include_imports=true&secretPath=%2Fa&type=shared&workspaceId=p-id", ``,
			`{"secret":{"secretKey":"A","secretValue":"v"}}`, "A=v"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.Create(ctx, scope, sdk.SecretInput{Key: "K", Value: new("v"), Comment: new("c"), Metadata: []sdk.Metadata{{Key: "m", Value: "n"}}, TagIDs: []string{"t"}})
			return s.Version, err
		}, "POST /api/v3/secrets/raw/K",
			`{"workspaceId":"p-id","environment":"dev","secretPath":"/a","type":"shared","secretValue":"v","secretComment":"c","secretMetadata":[{"key":"m","value":"n"}],"tagIds":["t"]}`,
			`{"secret":{"version":1}}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.Update(ctx, bySlug, sdk.SecretInput{Key: "K", NewKey: "L"})
			return s.Version, err
		}, "PATCH /api/v3/secrets/raw/K", `{"projectSlug":"app","environment":"dev","secretPath":"/","type":"shared","newSecretName":"L"}`,
			`{"secret":{"version":2}}`, "2"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.CreateBatch(ctx, scope, []sdk.SecretInput{{Key: "K", Value: new("")}})
			return keys(s), err
		}, "POST /api/v3/secrets/batch/raw", `{"workspaceId":"p-id","environment":"dev","secretPath":"/a","secrets":[{"secretKey":"K","type":"shared","secretValue":""}]}`,
			`{"secrets":[{"secretKey":"K","secretValue":""}]}`, "K="},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.UpdateBatch(ctx, scope, sdk.Upsert, []sdk.SecretInput{{Key: "K", Value: new("v")}})
			return keys(s), err
		}, "PATCH /api/v3/secrets/batch/raw", `{"workspaceId":"p-id","environment":"dev","secretPath":"/a","mode":"upsert","secrets":[{"secretKey":"K","type":"shared","secretValue":"v"}]}`,
			`{"secrets":[{"secretKey":"K","secretValue":"v"}]}`, "K=v"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.DeleteBatch(ctx, scope, []string{"K"})
			return keys(s), err
		}, "DELETE /api/v3/secrets/batch/raw", `{"workspaceId":"p-id","environment":"dev","secretPath":"/a","secrets":[{"secretKey":"K","type":"shared"}]}`,
			`{"secrets":[{"secretKey":"K"}]}`, "K="},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			f, err := c.ListFolders(ctx, bySlug, true)
			return len(f), err
		}, "GET /api/v1/folders?environment=dev&path=%2F&recursive=true&workspaceId=app", ``, `{"folders":[{"name":"a"}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			f, err := c.CreateFolder(ctx, scope, "b", "what it is for")
			return f.Name, err
		}, "POST /api/v1/folders", `{"workspaceId":"p-id","environment":"dev","path":"/a","name":"b","description":"what it is for"}`, `{"folder":{"name":"b"}}`, "b"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			f, err := c.RenameFolder(ctx, scope, "f-id", "b")
			return f.Name, err
		}, "PATCH /api/v1/folders/f-id", `{"workspaceId":"p-id","environment":"dev","path":"/a","name":"b"}`, `{"folder":{"name":"b"}}`, "b"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			f, err := c.DeleteFolder(ctx, scope, "b")
			return f.Name, err
		}, "DELETE /api/v1/folders/b", `{"workspaceId":"p-id","environment":"dev","path":"/a"}`, `{"folder":{"name":"b"}}`, "b"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			p, err := c.CreateProject(ctx, sdk.ProjectInput{Name: "App", Slug: "app"})
			return p.Slug, err
		}, "POST /api/v1/projects", `{"projectName":"App","slug":"app"}`, `{"project":{"slug":"app"}}`, "app"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			p, err := c.GetProject(ctx, "app")
			return p.ID, err
		}, "GET /api/v1/projects/slug/app", ``, `{"id":"p-id"}`, "p-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			p, err := c.GetProject(ctx, goodID)
			return p.Slug, err
		}, "GET /api/v1/projects/" + goodID, ``, `{"project":{"slug":"app"}}`, "app"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			p, err := c.ListProjects(ctx)
			return len(p), err
		}, "GET /api/v1/projects", ``, `{"projects":[{},{}]}`, "2"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			p, err := c.DeleteProject(ctx, "p-id")
			return p.Slug, err
		}, "DELETE /api/v1/projects/p-id", ``, `{"project":{"slug":"app"}}`, "app"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			e, err := c.CreateEnvironment(ctx, "p-id", sdk.EnvironmentInput{Name: "QA", Slug: "qa"})
			return e.Slug, err
		}, "POST /api/v1/workspace/p-id/environments", `{"name":"QA","slug":"qa"}`, `{"environment":{"slug":"qa"}}`, "qa"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			l, err := c.ListEnvironments(ctx, "p-id")
			return len(l), err
		}, "GET /api/v1/workspace/p-id/environments", ``, `{"environments":[{},{},{}]}`, "3"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			e, err := c.UpdateEnvironment(ctx, "p-id", "e-id", sdk.EnvironmentInput{AccessLevel: api.AccessOpen})
			return e.AccessLevel, err
		}, "PATCH /api/v1/workspace/p-id/environments/e-id", `{"accessLevel":"open"}`, `{"environment":{"accessLevel":"open"}}`, "open"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			e, err := c.DeleteEnvironment(ctx, "p-id", "e-id")
			return e.Slug, err
		}, "DELETE /api/v1/workspace/p-id/environments/e-id", ``, `{"environment":{"slug":"qa"}}`, "qa"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			i, err := c.CreateIdentity(ctx, sdk.IdentityInput{Name: "ci", OrganizationID: "o-id", Role: "no-access"})
			return i.ID, err
		}, "POST /api/v1/identities", `{"name":"ci","organizationId":"o-id","role":"no-access"}`, `{"identity":{"id":"i-id"}}`, "i-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			i, err := c.GetIdentity(ctx, "i-id")
			return i.Name + " " + i.Role, err
		}, "GET /api/v1/identities/i-id", ``, `{"identity":{"id":"m-id","role":"member","orgId":"o-id","identity":{"id":"i-id","name":"ci"}}}`, "ci member"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			l, err := c.ListIdentities(ctx, "o-id")
			return len(l), err
		}, "GET /api/v1/identities?orgId=o-id", ``, `{"identities":[{"id":"i-id"}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			i, err := c.DeleteIdentity(ctx, "i-id")
			return i.ID, err
		}, "DELETE /api/v1/identities/i-id", ``, `{"identity":{"id":"i-id"}}`, "i-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			a, err := c.AttachUniversalAuth(ctx, "i-id", sdk.UniversalAuthInput{AccessTokenTTL: new(int64(600)), AccessTokenTrustedIPs: []api.TrustedIP{{IPAddress: "10.0.0.0/8"}}})
			return a.ClientID, err
		}, "POST " + universal, `{"accessTokenTTL":600,"accessTokenTrustedIps":[{"ipAddress":"10.0.0.0/8"}]}`, `{"identityUniversalAuth":{"clientId":"c-id"}}`, "c-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			a, err := c.GetUniversalAuth(ctx, "i-id")
			return a.ClientID, err
		}, "GET " + universal, ``, `{"identityUniversalAuth":{"clientId":"c-id"}}`, "c-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			a, err := c.UpdateUniversalAuth(ctx, "i-id", sdk.UniversalAuthInput{LockoutEnabled: new(false)})
			return a.ClientID, err
		}, "PATCH " + universal, `{"lockoutEnabled":false}`, `{"identityUniversalAuth":{"clientId":"c-id"}}`, "c-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			a, err := c.DetachUniversalAuth(ctx, "i-id")
			return a.ClientID, err
		}, "DELETE " + universal, ``, `{"identityUniversalAuth":{"clientId":"c-id"}}`, "c-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.CreateClientSecret(ctx, "i-id", sdk.ClientSecretInput{Description: "ci", TTL: 60})
			return s.Secret.Reveal() + " " + s.Data.ID, err
		}, "POST " + universal + "/client-secrets", `{"description":"ci","numUsesLimit":0,"ttl":60}`, `{"clientSecret":"st.x","clientSecretData":{"id":"s-id"}}`, "st.x s-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.RegenerateClientSecret(ctx, "i-id", sdk.ClientSecretInput{Description: "new"}, new(int64(60)))
			return s.Secret.Reveal(), err
		}, "POST " + universal + "/client-secrets/regenerate", `{"description":"new","numUsesLimit":0,"ttl":0,"graceSeconds":60}`, `{"clientSecret":"st.y"}`, "st.y"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			l, err := c.ListClientSecrets(ctx, "i-id")
			return len(l), err
		}, "GET " + universal + "/client-secrets", ``, `{"clientSecretData":[{}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.RevokeClientSecret(ctx, "i-id", "s-id")
			return s.IsRevoked, err
		}, "POST " + universal + "/client-secrets/s-id/revoke", ``, `{"clientSecretData":{"isClientSecretRevoked":true}}`, "true"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			m, err := c.AddIdentityToProject(ctx, "p-id", "i-id", viewer)
			return m.ID, err
		}, "POST /api/v2/workspace/p-id/identity-memberships/i-id", `{"roles":[{"role":"viewer","isTemporary":false}]}`, `{"identityMembership":{"id":"m-id"}}`, "m-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			m, err := c.UpdateIdentityInProject(ctx, "p-id", "i-id", viewer)
			return m.ID, err
		}, "PATCH /api/v2/workspace/p-id/identity-memberships/i-id", `{"roles":[{"role":"viewer","isTemporary":false}]}`, `{"identityMembership":{"id":"m-id"}}`, "m-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			m, err := c.RemoveIdentityFromProject(ctx, "p-id", "i-id")
			return m.ID, err
		}, "DELETE /api/v2/workspace/p-id/identity-memberships/i-id", ``, `{"identityMembership":{"id":"m-id"}}`, "m-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			l, err := c.ListIdentitiesOfProject(ctx, "p-id")
			return len(l), err
		}, "GET /api/v2/workspace/p-id/identity-memberships", ``, `{"identityMemberships":[{}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			r, err := c.CreateRole(ctx, "p-id", sdk.RoleInput{Slug: "ops", Name: "Ops", Rules: []api.Rule{{Actions: []string{"read"}, Keys: []string{"DB_*"}}}})
			return r.ID, err
		}, "POST /api/v1/workspace/p-id/roles", `{"slug":"ops","name":"Ops","permissions":[{"actions":["read"],"keys":["DB_*"]}]}`, `{"role":{"id":"r-id"}}`, "r-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			r, err := c.UpdateRole(ctx, "p-id", "r-id", sdk.RoleInput{Rules: []api.Rule{}})
			return r.ID, err
		}, "PATCH /api/v1/workspace/p-id/roles/r-id", `{"permissions":[]}`, `{"role":{"id":"r-id"}}`, "r-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			r, err := c.DeleteRole(ctx, "p-id", "r-id")
			return r.ID, err
		}, "DELETE /api/v1/workspace/p-id/roles/r-id", ``, `{"role":{"id":"r-id"}}`, "r-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			l, err := c.ListRoles(ctx, "p-id")
			return len(l), err
		}, "GET /api/v1/workspace/p-id/roles", ``, `{"roles":[{}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			b, err := c.Bootstrap(ctx, sdk.BootstrapInput{Email: "a@b", Password: "pw", Organization: "o"})
			return b.Token.Reveal() + " " + b.IdentityID + " " + b.Organization.ID + " " + b.User.ID, err
		}, "POST /api/v1/admin/bootstrap", `{"email":"a@b","password":"pw","organization":"o"}`,
			`{"identity":{"id":"i-id","credentials":{"token":"tok"}},"organization":{"id":"o-id"},"user":{"id":"u-id"}}`, "tok i-id o-id u-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			l, err := c.ListOrganizations(ctx)
			return len(l), err
		}, "GET /api/v1/admin/organization-management/organizations", ``, `{"organizations":[{}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			o, err := c.CreateOrganization(ctx, "Acme")
			return o.ID, err
		}, "POST /api/v1/admin/organization-management/organizations", `{"name":"Acme"}`, `{"organization":{"id":"o-id"}}`, "o-id"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			p, err := c.AuditLogs(ctx, sdk.AuditQuery{Project: "app", SecretKey: "K", ActorID: "i-id", From: time.Unix(0, 0), Limit: 5})
			return len(p.Logs), err
		}, "GET /api/v1/audit-logs?actor=i-id&limit=5&projectId=app&secretKey=K&startDate=1970-01-01T00%3A00%3A00Z", ``, `{"auditLogs":[{}]}`, "1"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			s, err := c.Status(ctx)
			return s.Message, err
		}, "GET /api/status", ``, `{"message":"Ok"}`, "Ok"},
		{func(ctx context.Context, c *sdk.Client) (any, error) {
			token, err := c.UserLogin(ctx, "a@b", "pw")
			return token.Reveal(), err
		}, "POST /api/v3/auth/login", `{"email":"a@b","password":"pw"}`, `{"accessToken":"tok"}`, "tok"},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			var got, body string
			var agent string
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				got, agent = r.Method+" "+r.URL.RequestURI(), r.UserAgent()
				data, _ := io.ReadAll(r.Body)
				body = string(data)
				w := httptest.NewRecorder()
				io.WriteString(w, test.answer)
				return w.Result(), nil
			})
			client := sdk.NewClient(sdk.Config{AccessToken: "token", Transport: transport, UserAgent: "test/1"})
			gives, err := test.call(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(compact(test.body), compact(body)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.gives, fmt.Sprint(gives)); diff != "" {
				t.Error(diff)
			}
			if agent != "test/1 hanzo-kms-go/"+sdk.Version {
				t.Errorf("User-Agent %q", agent)
			}
		})
	}
}

func TestTheAuditTrailIsWalkedPageByPage(t *testing.T) {
	pages := map[string]string{"": `{"auditLogs":[{"id":"3"},{"id":"2"}],"nextCursor":"x"}`, "x": `{"auditLogs":[{"id":"1"}]}`}
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		io.WriteString(w, pages[r.URL.Query().Get("cursor")])
		return w.Result(), nil
	})
	client := sdk.NewClient(sdk.Config{AccessToken: "token", Transport: transport})
	var ids string
	for log, err := range client.AllAuditLogs(t.Context(), sdk.AuditQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids += log.ID
	}
	if ids != "321" {
		t.Errorf("walked %q, want 321", ids)
	}
}

func keys(secrets []sdk.Secret) (list string) {
	for i, s := range secrets {
		if i > 0 {
			list += " "
		}
		list += s.SecretKey + "=" + s.SecretValue
	}
	return list
}

// compact is JSON in one form, for comparing.
func compact(s string) any {
	var v any
	if json.Unmarshal([]byte(s), &v) != nil {
		return s
	}
	return v
}
