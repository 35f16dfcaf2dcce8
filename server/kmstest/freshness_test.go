package kmstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

// replicas is where changes are made and where they are looked for. On SQLite,
// which has one replica, both are the same.
type replicas struct{ written, read *kmstest.Server }

func onReplicas(t *testing.T, test func(t *testing.T, r replicas)) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		one := kmstest.New(t, kmstest.Options{Engine: engine})
		r := replicas{one, one}
		if engine == kmstest.Postgres {
			r.read = kmstest.New(t, kmstest.Options{Beside: one})
		}
		test(t, r)
	})
}

// reader is an identity that has read a project on the other replica, whose
// cache therefore knows all that its answer was made from.
type reader struct {
	replicas
	project api.Project
	who     kmstest.Credentials
	token   string
	etag    string // of its last list
}

func (r replicas) reader(t *testing.T, slug, role string) *reader {
	t.Helper()
	admin := r.written.Admin()
	project := r.written.Project(slug)
	r.written.Put(project, "dev", "/", "TARGET", "target", "KEY", "value")
	if _, err := admin.CreateFolder(t.Context(), sdk.Scope{ProjectID: project.ID, Environment: "dev"}, "folder", ""); err != nil {
		t.Fatal(err)
	}
	r.written.Put(project, "dev", "/folder", "FOLDED", "see ${dev.TARGET}")
	if role == "custom" {
		rules := []api.Rule{{Actions: []string{"secrets:read", "folders:read"}}}
		if _, err := admin.CreateRole(t.Context(), project.ID, sdk.RoleInput{Slug: role, Name: role, Rules: rules}); err != nil {
			t.Fatal(err)
		}
	}
	a := &reader{replicas: r, project: project, who: r.written.Identity(project, role)}
	a.token = login(t, r.written, a.who)
	for range 2 { // the second comes from the cache
		_, _ = a.list("/folder")
		_, _ = a.list("/")
	}
	return a
}

// list reads a folder on the other replica: the keys and values, or the error.
func (a *reader) list(path string) (string, error) { return a.listOn(a.read, path, "") }

func (a *reader) listOn(s *kmstest.Server, path, etag string) (string, error) {
	result, err := s.WithToken(a.token).List(context.Background(), sdk.ListSecretsOptions{ProjectID: a.project.ID, Environment: "dev", SecretPath: path, IfNoneMatch: etag})
	if err != nil {
		return "", err
	}
	if result.NotModified {
		return "not modified", nil
	}
	a.etag = result.ETag
	var all []string
	for _, secret := range result.Secrets {
		all = append(all, secret.SecretKey+"="+secret.SecretValue)
	}
	return strings.Join(all, " "), nil
}

// login gives an access token, which no client renews.
func login(t *testing.T, s *kmstest.Server, who kmstest.Credentials) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"clientId": who.ClientID, "clientSecret": who.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.URL+"/api/v1/auth/universal-auth/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("log in: status %d, %v", resp.StatusCode, err)
	}
	s.Plant(answer.AccessToken)
	return answer.AccessToken
}

// changes is every kind of change that can alter what a reader is answered.
var changes = []struct {
	name   string
	role   string // of the reader before
	change func(ctx context.Context, a *reader, admin *sdk.Client) error
	path   string // what is read then; "" is "/"
	want   string
	err    error
}{
	{name: "a new value", want: "KEY=new TARGET=target", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		value := "new"
		_, err := admin.Update(ctx, a.scope("/"), sdk.SecretInput{Key: "KEY", Value: &value})
		return err
	}},
	{name: "a new secret", want: "A=a KEY=value TARGET=target", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		value := "a"
		_, err := admin.Create(ctx, a.scope("/"), sdk.SecretInput{Key: "A", Value: &value})
		return err
	}},
	{name: "a new name of a secret", want: "RENAMED=value TARGET=target", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.Update(ctx, a.scope("/"), sdk.SecretInput{Key: "KEY", NewKey: "RENAMED"})
		return err
	}},
	{name: "a deleted secret", want: "TARGET=target", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.Delete(ctx, a.scope("/"), "KEY")
		return err
	}},
	{name: "a new value of what a value refers to", path: "/folder", want: "FOLDED=see new", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		value := "new"
		_, err := admin.Update(ctx, a.scope("/"), sdk.SecretInput{Key: "TARGET", Value: &value})
		return err
	}},
	{name: "what a value refers to deleted", path: "/folder", want: "FOLDED=see ${dev.TARGET}", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.Delete(ctx, a.scope("/"), "TARGET")
		return err
	}},
	{name: "a renamed folder at its old path", path: "/folder", err: api.ErrNotFound, change: renameFolder},
	{name: "a renamed folder at its new path", path: "/renamed", want: "FOLDED=see target", change: renameFolder},
	{name: "a deleted folder", path: "/folder", err: api.ErrNotFound, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.DeleteFolder(ctx, a.scope("/"), "folder")
		return err
	}},
	{name: "another role", err: api.ErrDenied, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.UpdateIdentityInProject(ctx, a.project.ID, a.who.IdentityID, api.MembershipRole{Role: "no-access"})
		return err
	}},
	{name: "a role given", role: "no-access", want: "KEY=value TARGET=target", change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.UpdateIdentityInProject(ctx, a.project.ID, a.who.IdentityID, api.MembershipRole{Role: "viewer"})
		return err
	}},
	{name: "other rules of a custom role", role: "custom", err: api.ErrDenied, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		roles, err := admin.ListRoles(ctx, a.project.ID)
		if err != nil {
			return err
		}
		custom := roles[slices.IndexFunc(roles, func(r api.Role) bool { return r.Slug == "custom" })]
		_, err = admin.UpdateRole(ctx, a.project.ID, custom.ID, sdk.RoleInput{Rules: []api.Rule{{Actions: []string{"secrets:read"}, Environments: []string{"staging"}}}})
		return err
	}},
	{name: "a membership removed", err: api.ErrDenied, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.RemoveIdentityFromProject(ctx, a.project.ID, a.who.IdentityID)
		return err
	}},
	{name: "a token revoked", err: api.ErrUnauthenticated, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		return a.written.WithToken(a.token).Revoke(ctx)
	}},
	{name: "a client secret revoked", err: api.ErrUnauthenticated, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		secrets, err := admin.ListClientSecrets(ctx, a.who.IdentityID)
		if err != nil {
			return err
		}
		_, err = admin.RevokeClientSecret(ctx, a.who.IdentityID, secrets[0].ID)
		return err
	}},
	{name: "Universal Auth taken away", err: api.ErrUnauthenticated, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.DetachUniversalAuth(ctx, a.who.IdentityID)
		return err
	}},
	{name: "other trusted networks", err: api.ErrDenied, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.UpdateUniversalAuth(ctx, a.who.IdentityID, sdk.UniversalAuthInput{AccessTokenTrustedIPs: []api.TrustedIP{{IPAddress: "192.0.2.0/24"}}})
		return err
	}},
	{name: "an identity deleted", err: api.ErrUnauthenticated, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.DeleteIdentity(ctx, a.who.IdentityID)
		return err
	}},
	{name: "a project deleted", err: api.ErrNotFound, change: func(ctx context.Context, a *reader, admin *sdk.Client) error {
		_, err := admin.DeleteProject(ctx, a.project.ID)
		return err
	}},
}

func (a *reader) scope(path string) sdk.Scope {
	return sdk.Scope{ProjectID: a.project.ID, Environment: "dev", SecretPath: path}
}

func renameFolder(ctx context.Context, a *reader, admin *sdk.Client) error {
	folders, err := admin.ListFolders(ctx, a.scope("/"), false)
	if err != nil {
		return err
	}
	_, err = admin.RenameFolder(ctx, a.scope("/"), folders[0].ID, "renamed")
	return err
}

func TestTheNextReadOnAnyReplicaReflectsEveryChange(t *testing.T) {
	onReplicas(t, func(t *testing.T, r replicas) {
		for i, test := range changes {
			t.Run(test.name, func(t *testing.T) {
				role := test.role
				if role == "" {
					role = "viewer"
				}
				a := r.reader(t, fmt.Sprintf("project-%d", i), role)
				if err := test.change(t.Context(), a, r.written.Admin()); err != nil {
					t.Fatalf("make the change: %v", err)
				}
				path := test.path
				if path == "" {
					path = "/"
				}
				got, err := a.list(path)
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("the very next read gives %q, %v; want the error %v", got, err, test.err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("the very next read (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// A replica that has changed something itself must not answer "not modified"
// from before, though it may have looked at the feed a moment ago.
func TestAConditionalReadSeesTheChangesOfItsReplicaAtOnce(t *testing.T) {
	onReplicas(t, func(t *testing.T, r replicas) {
		a := r.reader(t, "shop", "viewer")
		for i := range 20 {
			if _, err := a.listOn(r.written, "/", ""); err != nil { // looks at the feed
				t.Fatal(err)
			}
			if got, err := a.listOn(r.written, "/", a.etag); err != nil || got != "not modified" {
				t.Fatalf("nothing changed: %q, %v", got, err)
			}
			value := fmt.Sprint("value ", i)
			r.written.Put(a.project, "dev", "/", "KEY", value)
			if got, err := a.listOn(r.written, "/", a.etag); err != nil || got != "KEY="+value+" TARGET=target" {
				t.Fatalf("after a change: %q, %v", got, err)
			}
		}
	})
}
