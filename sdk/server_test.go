package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
	"github.com/jackc/pgx/v5"
)

// newTarget starts a server with one project, whose members may read and
// write.
func newTarget(t *testing.T, engine string) target {
	t.Helper()
	kms := kmstest.New(t, kmstest.Options{Engine: engine})
	project := kms.Project("app")
	who := kms.Identity(project, "member")
	return target{kms.URL, who.ClientID, who.ClientSecret, "app"}
}

// recorder counts the requests that a client makes. Connections are not kept,
// so that a synctest bubble has no goroutine that waits for the network.
type recorder struct {
	under http.RoundTripper

	mu    sync.Mutex // guards what follows
	calls map[string]int
}

func newRecorder() *recorder {
	return &recorder{under: &http.Transport{DisableKeepAlives: true}, calls: map[string]int{}}
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.calls[req.Method+" "+req.URL.Path]++
	r.mu.Unlock()
	return r.under.RoundTrip(req)
}

func (r *recorder) count(call string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[call]
}

func (r *recorder) client(kms *kmstest.Server, who kmstest.Credentials) *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: kms.URL, ClientID: who.ClientID, ClientSecret: who.ClientSecret, MaxRetries: -1, Transport: r})
}

// TestEveryCallWorksOnARealServer makes each call of the client once, and
// fails for one that it does not make.
func TestEveryCallWorksOnARealServer(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		run := &everyCall{t: t, ctx: t.Context(), made: map[string]bool{"Format": true, "LogValue": true}}
		run.instance(engine)
		run.projects()
		run.secrets()
		run.folders()
		run.identities()
		run.members()
		run.audit()
		run.ends()
		for method := range reflect.TypeFor[*sdk.Client]().Methods() {
			if !run.made[method.Name] {
				t.Errorf("the call %s is not made here", method.Name)
			}
		}
	})
}

// everyCall is what the calls hand on to each other.
type everyCall struct {
	t     *testing.T
	ctx   context.Context
	made  map[string]bool
	admin *sdk.Client
	kms   *kmstest.Server

	password string
	org      string
	project  api.Project
	identity api.Identity
	clientID string
}

// check notes the call, and that it succeeded and gave what was wanted.
func (r *everyCall) check(call string, err error, got, want any) {
	r.t.Helper()
	r.made[call] = true
	if err != nil {
		r.t.Fatalf("%s: %v", call, err)
	}
	if !reflect.DeepEqual(got, want) {
		r.t.Errorf("%s gave %v, want %v", call, got, want)
	}
}

func (r *everyCall) scope() sdk.Scope {
	return sdk.Scope{ProjectID: r.project.ID, Environment: "dev", SecretPath: "/"}
}

func (r *everyCall) instance(engine string) {
	r.kms = kmstest.New(r.t, kmstest.Options{Engine: engine, Empty: true})
	anonymous := r.kms.Anonymous()
	status, err := anonymous.Status(r.ctx)
	r.check("Status", err, status.Message, "Ok")
	r.password = r.kms.Value()
	done, err := anonymous.Bootstrap(r.ctx, sdk.BootstrapInput{Email: "me@example.com", Password: r.password, Organization: "first"})
	r.check("Bootstrap", err, done.Organization.Name, "first")
	r.kms.Plant(done.Token.Reveal())
	r.admin, r.org = r.kms.WithToken(done.Token.Reveal()), done.Organization.ID
	token, err := anonymous.UserLogin(r.ctx, "me@example.com", r.password)
	r.check("UserLogin", err, token.Len() > 0, true)
	r.kms.Plant(token.Reveal())
	org, err := r.admin.CreateOrganization(r.ctx, "second")
	r.check("CreateOrganization", err, org.Name, "second")
	all, err := r.admin.ListOrganizations(r.ctx)
	r.check("ListOrganizations", err, len(all), 2)
}

func (r *everyCall) projects() {
	var err error
	r.project, err = r.admin.CreateProject(r.ctx, sdk.ProjectInput{Name: "Shop", Slug: "shop", OrganizationID: r.org})
	r.check("CreateProject", err, r.project.Slug, "shop")
	bySlug, err := r.admin.GetProject(r.ctx, "shop")
	r.check("GetProject", err, bySlug.ID, r.project.ID)
	byID, err := r.admin.GetProject(r.ctx, r.project.ID)
	r.check("GetProject", err, byID.Slug, "shop")
	all, err := r.admin.ListProjects(r.ctx)
	r.check("ListProjects", err, len(all), 1)
	qa, err := r.admin.CreateEnvironment(r.ctx, r.project.ID, sdk.EnvironmentInput{Name: "QA", Slug: "qa"})
	r.check("CreateEnvironment", err, qa.Slug, "qa")
	changed, err := r.admin.UpdateEnvironment(r.ctx, r.project.ID, qa.ID, sdk.EnvironmentInput{AccessLevel: api.AccessRestricted})
	r.check("UpdateEnvironment", err, changed.AccessLevel, api.AccessRestricted)
	list, err := r.admin.ListEnvironments(r.ctx, r.project.ID)
	r.check("ListEnvironments", err, len(list), 4)
	_, err = r.admin.DeleteEnvironment(r.ctx, r.project.ID, qa.ID)
	r.check("DeleteEnvironment", err, nil, nil)
}

func (r *everyCall) secrets() {
	value, other := r.kms.Value(), r.kms.Value()
	made, err := r.admin.Create(r.ctx, r.scope(), sdk.SecretInput{Key: "A", Value: &value, Comment: new("why"), Metadata: []sdk.Metadata{{Key: "owner", Value: "us"}}})
	r.check("Create", err, made.Version, int64(1))
	changed, err := r.admin.Update(r.ctx, r.scope(), sdk.SecretInput{Key: "A", Value: &other})
	r.check("Update", err, changed.Version, int64(2))
	first, err := r.admin.Get(r.ctx, r.scope(), "A", sdk.GetOptions{Version: 1})
	r.check("Get", err, first.SecretValue, value)
	now, err := r.admin.Get(r.ctx, r.scope(), "A", sdk.GetOptions{})
	r.check("Get", err, []any{now.SecretValue, now.SecretComment, now.SecretMetadata}, []any{other, "why", []sdk.Metadata{{Key: "owner", Value: "us"}}})
	one, err := r.admin.GetIfChanged(r.ctx, r.scope(), "A", sdk.GetOptions{})
	r.check("GetIfChanged", err, keys(one.Secrets), "A="+other)
	renamed, err := r.admin.Update(r.ctx, r.scope(), sdk.SecretInput{Key: "A", NewKey: "Z"})
	r.check("Update", err, renamed.SecretKey, "Z")
	batch, err := r.admin.CreateBatch(r.ctx, r.scope(), []sdk.SecretInput{{Key: "B", Value: &value}, {Key: "C", Value: &value}})
	r.check("CreateBatch", err, len(batch), 2)
	batch, err = r.admin.UpdateBatch(r.ctx, r.scope(), sdk.Upsert, []sdk.SecretInput{{Key: "C", Value: &other}, {Key: "D", Value: &other}})
	r.check("UpdateBatch", err, len(batch), 2)
	options := sdk.ListSecretsOptions{ProjectSlug: "shop", Environment: "dev", SecretPath: "/"}
	list, err := r.admin.ListSecrets(options)
	r.check("ListSecrets", err, keys(list), "B="+value+" C="+other+" D="+other+" Z="+other)
	result, err := r.admin.List(r.ctx, options)
	r.check("List", err, keys(result.Secrets), keys(list))
	gone, err := r.admin.Delete(r.ctx, r.scope(), "Z")
	r.check("Delete", err, gone.SecretKey, "Z")
	batch, err = r.admin.DeleteBatch(r.ctx, r.scope(), []string{"B", "C"})
	r.check("DeleteBatch", err, len(batch), 2)
	list, err = r.admin.ListSecrets(options)
	r.check("ListSecrets", err, keys(list), "D="+other)
}

func (r *everyCall) folders() {
	folder, err := r.admin.CreateFolder(r.ctx, r.scope(), "database", "of the shop")
	r.check("CreateFolder", err, folder.Name, "database")
	renamed, err := r.admin.RenameFolder(r.ctx, r.scope(), folder.ID, "db")
	r.check("RenameFolder", err, renamed.Name, "db")
	list, err := r.admin.ListFolders(r.ctx, r.scope(), false)
	r.check("ListFolders", err, len(list), 1)
	_, err = r.admin.DeleteFolder(r.ctx, r.scope(), "db")
	r.check("DeleteFolder", err, nil, nil)
}

func (r *everyCall) identities() {
	var err error
	r.identity, err = r.admin.CreateIdentity(r.ctx, sdk.IdentityInput{Name: "shop-service", OrganizationID: r.org})
	r.check("CreateIdentity", err, r.identity.Name, "shop-service")
	got, err := r.admin.GetIdentity(r.ctx, r.identity.ID)
	r.check("GetIdentity", err, got.ID, r.identity.ID)
	all, err := r.admin.ListIdentities(r.ctx, r.org)
	r.check("ListIdentities", err, len(all), 2) // and the admin's
	attached, err := r.admin.AttachUniversalAuth(r.ctx, r.identity.ID, sdk.UniversalAuthInput{})
	r.check("AttachUniversalAuth", err, []int64{attached.AccessTokenTTL, attached.AccessTokenMaxTTL}, []int64{7200, 7200})
	r.clientID = attached.ClientID
	auth, err := r.admin.UpdateUniversalAuth(r.ctx, r.identity.ID, sdk.UniversalAuthInput{AccessTokenTTL: new(int64(600))})
	r.check("UpdateUniversalAuth", err, auth.AccessTokenTTL, int64(600))
	auth, err = r.admin.GetUniversalAuth(r.ctx, r.identity.ID)
	r.check("GetUniversalAuth", err, []any{auth.ClientID, auth.AccessTokenTTL}, []any{r.clientID, int64(600)})
	old, err := r.admin.CreateClientSecret(r.ctx, r.identity.ID, sdk.ClientSecretInput{Description: "first"})
	r.check("CreateClientSecret", err, old.Data.Description, "first")
	fresh, err := r.admin.RegenerateClientSecret(r.ctx, r.identity.ID, sdk.ClientSecretInput{Description: "second"}, new(int64(60)))
	r.check("RegenerateClientSecret", err, fresh.Data.Description, "second")
	r.kms.Plant(old.Secret.Reveal())
	r.kms.Plant(fresh.Secret.Reveal())
	list, err := r.admin.ListClientSecrets(r.ctx, r.identity.ID)
	r.check("ListClientSecrets", err, len(list), 2)
	revoked, err := r.admin.RevokeClientSecret(r.ctx, r.identity.ID, old.Data.ID)
	r.check("RevokeClientSecret", err, revoked.IsRevoked, true)

	client := r.kms.Client(kmstest.Credentials{ClientID: r.clientID, ClientSecret: fresh.Secret.Reveal()})
	r.check("Login", client.Login(r.ctx), nil, nil)
	r.check("Relogin", client.Relogin(r.ctx), nil, nil)
	r.check("Renew", client.Renew(r.ctx), nil, nil)
	r.check("Revoke", client.Revoke(r.ctx), nil, nil)
}

func (r *everyCall) members() {
	added, err := r.admin.AddIdentityToProject(r.ctx, r.project.ID, r.identity.ID, api.MembershipRole{Role: "viewer"})
	r.check("AddIdentityToProject", err, added.Roles[0].Role, "viewer")
	role, err := r.admin.CreateRole(r.ctx, r.project.ID, sdk.RoleInput{Slug: "ops", Name: "Ops", Rules: []api.Rule{{Actions: []string{"secrets:read"}, Keys: []string{"DB_*"}}}})
	r.check("CreateRole", err, role.Slug, "ops")
	role, err = r.admin.UpdateRole(r.ctx, r.project.ID, role.ID, sdk.RoleInput{Name: "Operators"})
	r.check("UpdateRole", err, role.Name, "Operators")
	_, err = r.admin.UpdateIdentityInProject(r.ctx, r.project.ID, r.identity.ID, api.MembershipRole{Role: "ops"})
	r.check("UpdateIdentityInProject", err, nil, nil)
	list, err := r.admin.ListIdentitiesOfProject(r.ctx, r.project.ID)
	r.check("ListIdentitiesOfProject", err, len(list) > 0, true)
	_, err = r.admin.RemoveIdentityFromProject(r.ctx, r.project.ID, r.identity.ID)
	r.check("RemoveIdentityFromProject", err, nil, nil)
	roles, err := r.admin.ListRoles(r.ctx, r.project.ID)
	r.check("ListRoles", err, len(roles) > 0, true)
	_, err = r.admin.DeleteRole(r.ctx, r.project.ID, role.ID)
	r.check("DeleteRole", err, nil, nil)
}

func (r *everyCall) audit() {
	page, err := r.admin.AuditLogs(r.ctx, sdk.AuditQuery{Project: "shop", SecretKey: "D", Limit: 1})
	r.check("AuditLogs", err, []any{len(page.Logs), page.Next != ""}, []any{1, true})
	rows := 0
	for _, err = range r.admin.AllAuditLogs(r.ctx, sdk.AuditQuery{Project: "shop", Limit: 3}) {
		if rows++; err != nil {
			break
		}
	}
	r.check("AllAuditLogs", err, rows > 6, true)
}

func (r *everyCall) ends() {
	detached, err := r.admin.DetachUniversalAuth(r.ctx, r.identity.ID)
	r.check("DetachUniversalAuth", err, detached.ClientID, r.clientID)
	_, err = r.admin.DeleteIdentity(r.ctx, r.identity.ID)
	r.check("DeleteIdentity", err, nil, nil)
	_, err = r.admin.DeleteProject(r.ctx, r.project.ID)
	r.check("DeleteProject", err, nil, nil)
}

// TestAProcessOutlivesItsTokens runs hours of a client's and a server's time:
// the client's in a bubble, the server's by its clock.
func TestAProcessOutlivesItsTokens(t *testing.T) {
	type step struct {
		name             string
		client, server   time.Duration // that pass before the call
		logins, renewals int           // so far, with it
	}
	tests := []struct {
		name  string
		auth  sdk.UniversalAuthInput
		steps []step
	}{
		{"tokens of 7200 s that cannot be renewed beyond", sdk.UniversalAuthInput{}, []step{
			{"the first call", 0, 0, 1, 0},
			{"before two thirds of the life", 73 * time.Minute, 73 * time.Minute, 1, 0},
			{"after two thirds", 14 * time.Minute, 14 * time.Minute, 2, 0},
			{"long after the end", 5 * time.Hour, 5 * time.Hour, 3, 0},
			{"when only the server's clock went on", 0, 3 * time.Hour, 4, 0},
		}},
		{"tokens of 600 s that renewal prolongs to 1500 s", sdk.UniversalAuthInput{AccessTokenTTL: new(int64(600)), AccessTokenMaxTTL: new(int64(1500))}, []step{
			{"the first call", 0, 0, 1, 0},
			{"before two thirds of the life", 369 * time.Second, 369 * time.Second, 1, 0},
			{"after two thirds", 62 * time.Second, 62 * time.Second, 1, 1},
			{"after two thirds of the renewed life", 431 * time.Second, 431 * time.Second, 1, 2},
			{"near the maximum", 431 * time.Second, 431 * time.Second, 1, 3},
			{"past the maximum", 500 * time.Second, 500 * time.Second, 2, 3},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clock := &kmstest.Clock{}
			kms := kmstest.New(t, kmstest.Options{Clock: clock})
			project := kms.Project("shop")
			value := kms.Value()
			kms.Put(project, "prod", "/", "A", value)
			identity, err := kms.Admin().CreateIdentity(t.Context(), sdk.IdentityInput{Name: "shop-service", OrganizationID: kms.OrgID})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kms.Admin().AddIdentityToProject(t.Context(), project.ID, identity.ID, api.MembershipRole{Role: "viewer"}); err != nil {
				t.Fatal(err)
			}
			who := kms.Attach(identity.ID, test.auth)
			synctest.Test(t, func(t *testing.T) {
				calls := newRecorder()
				client := calls.client(kms, who)
				for _, step := range test.steps {
					time.Sleep(step.client)
					clock.Advance(step.server)
					secrets, err := client.ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "shop", Environment: "prod"})
					if err != nil || len(secrets) != 1 || secrets[0].SecretValue != value {
						t.Fatalf("%s: %v, %v", step.name, secrets, err)
					}
					if logins, renewals := calls.count(loginCall), calls.count(renewCall); logins != step.logins || renewals != step.renewals {
						t.Errorf("%s: %d logins and %d renewals so far, want %d and %d", step.name, logins, renewals, step.logins, step.renewals)
					}
				}
			})
		})
	}
}

func TestGoroutinesThatShareAClientLogInOnceAndOnceAgainWhenTheirTokenIsRevoked(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		project := kms.Project("shop")
		kms.Put(project, "dev", "/", "A", kms.Value())
		who := kms.Identity(project, "member")
		calls, secret := newRecorder(), who.ClientSecret
		client := sdk.NewClient(sdk.Config{SiteURL: kms.URL, MaxRetries: -1, Transport: calls,
			Credentials: func(context.Context) (string, string, error) { return who.ClientID, secret, nil }})
		work := func() {
			var group sync.WaitGroup
			for i := range 16 {
				group.Go(func() {
					scope, input := sdk.Scope{ProjectSlug: "shop", Environment: "dev"}, sdk.SecretInput{Key: fmt.Sprintf("K%d", i), Value: new("v")}
					if _, err := client.UpdateBatch(t.Context(), scope, sdk.Upsert, []sdk.SecretInput{input}); err != nil {
						t.Error(err)
					}
					if _, err := client.ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "shop", Environment: "dev"}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		}
		work()
		if err := client.Renew(t.Context()); err != nil { // the token keeps its id
			t.Fatal(err)
		}
		if n := calls.count(loginCall); n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
		// The client secret is revoked, and with it the token that the client
		// believes in; the new one is known to Credentials.
		admin := kms.Admin()
		old, err := admin.ListClientSecrets(t.Context(), who.IdentityID)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := admin.CreateClientSecret(t.Context(), who.IdentityID, sdk.ClientSecretInput{})
		if err != nil {
			t.Fatal(err)
		}
		secret = fresh.Secret.Reveal()
		kms.Plant(secret)
		if _, err := admin.RevokeClientSecret(t.Context(), who.IdentityID, old[0].ID); err != nil {
			t.Fatal(err)
		}
		work()
		if n := calls.count(loginCall); n != 2 {
			t.Errorf("%d logins with the one after the revocation, want 2", n)
		}
		if err := kms.Client(who).Login(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
			t.Errorf("a login with the revoked client secret: %v, want %v", err, api.ErrUnauthenticated)
		}
	})
}

func TestEveryKindOfErrorCrossesTheWire(t *testing.T) {
	kms := kmstest.New(t, kmstest.Options{Engine: kmstest.Postgres})
	project := kms.Project("shop")
	value := kms.Value()
	kms.Put(project, "dev", "/", "A", value)
	admin, viewer := kms.Admin(), kms.Client(kms.Identity(project, "viewer"))
	scope := sdk.Scope{ProjectSlug: "shop", Environment: "dev"}
	stranger := kmstest.Credentials{ClientID: kms.Identity(project, "").ClientID, ClientSecret: "st.wrong"}
	create := func(client *sdk.Client, key, value string) error {
		_, err := client.Create(t.Context(), scope, sdk.SecretInput{Key: key, Value: &value})
		return err
	}
	tests := []struct {
		name string
		call func() error
		want error
	}{
		{"an environment without a name", func() error {
			_, err := admin.CreateEnvironment(t.Context(), project.ID, sdk.EnvironmentInput{Slug: "Not A Slug"})
			return err
		}, api.ErrInvalid},
		{"a wrong client secret", func() error { return kms.Client(stranger).Login(t.Context()) }, api.ErrUnauthenticated},
		{"a viewer that writes", func() error { return create(viewer, "B", value) }, api.ErrDenied},
		{"a secret that is not there", func() error {
			_, err := admin.Get(t.Context(), scope, "NONE", sdk.GetOptions{})
			return err
		}, api.ErrNotFound},
		{"a key that is taken", func() error { return create(admin, "A", value) }, api.ErrExists},
		{"a value beyond the limit", func() error { return create(admin, "B", string(make([]byte, api.MaxValue+1))) }, api.ErrTooLarge},
		{"too many wrong attempts", func() error {
			for range 100 {
				if err := kms.Client(stranger).Login(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
					return err
				}
			}
			return nil
		}, api.ErrRateLimited},
		{"a database that is away", func() error {
			takeDatabaseAway(t, kms)
			_, err := admin.ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "shop", Environment: "dev"})
			return err
		}, api.ErrUnavailable},
	}
	kinds := []error{api.ErrInvalid, api.ErrUnauthenticated, api.ErrDenied, api.ErrNotFound, api.ErrExists, api.ErrConflict,
		api.ErrTooLarge, api.ErrRateLimited, api.ErrUnavailable, api.ErrInternal}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			for _, kind := range kinds {
				if is := errors.Is(err, kind); is != (kind == test.want) {
					t.Errorf("%v: errors.Is(err, %q) is %v", err, kind, is)
				}
			}
			if form, found := kmstest.Leak(fmt.Sprint(err), value); found {
				t.Errorf("the error holds the value %s", form)
			}
		})
	}
}

// takeDatabaseAway ends the server's connections and lets it make no new ones.
func takeDatabaseAway(t *testing.T, kms *kmstest.Server) {
	t.Helper()
	config, err := pgx.ParseConfig(kms.Config.DatabaseURI.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
		t.Fatal(err)
	}
}
