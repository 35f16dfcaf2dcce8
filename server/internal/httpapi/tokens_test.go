package httpapi_test

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/httpapi"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

const (
	renewPath  = "/api/v1/auth/token/renew"
	revokePath = "/api/v1/auth/token/revoke"
	shopList   = "/api/v3/secrets/raw?workspaceSlug=shop&environment=prod"
	uaPath     = "/api/v1/auth/universal-auth/identities/"
)

// shop is a server with one project, one secret in prod and one viewer.
func shop(t *testing.T, options kmstest.Options, ua sdk.UniversalAuthInput) (*kmstest.Server, api.Project, kmstest.Credentials) {
	t.Helper()
	kms := kmstest.New(t, options)
	project := kms.Project("shop")
	kms.Put(project, "prod", "/", "DB_URL", kms.Value())
	return kms, project, member(t, kms, project, "viewer", ua)
}

// member is an identity with a role in a project and a Universal Auth of its own.
func member(t *testing.T, kms *kmstest.Server, project api.Project, role string, ua sdk.UniversalAuthInput) kmstest.Credentials {
	t.Helper()
	ctx, admin := context.Background(), kms.Admin()
	identity, err := admin.CreateIdentity(ctx, sdk.IdentityInput{Name: "iam-service", OrganizationID: kms.OrgID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AddIdentityToProject(ctx, project.ID, identity.ID, api.MembershipRole{Role: role}); err != nil {
		t.Fatal(err)
	}
	return kms.Attach(identity.ID, ua)
}

// replicas are two servers on one database.
func replicas(t *testing.T, ua sdk.UniversalAuthInput) (one, two *kmstest.Server, project api.Project, c kmstest.Credentials) {
	t.Helper()
	one, project, c = shop(t, kmstest.Options{Engine: kmstest.Postgres}, ua)
	return one, kmstest.New(t, kmstest.Options{Beside: one}), project, c
}

func seconds(n int64) *int64 { return &n }

func TestATokenIsRenewedByItsBodyUpToItsMaximum(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		var clock kmstest.Clock
		kms, _, c := shop(t, kmstest.Options{Engine: engine, Clock: &clock}, sdk.UniversalAuthInput{AccessTokenTTL: seconds(100), AccessTokenMaxTTL: seconds(150)})
		k, first := knock(t, kms, ""), token(t, kms, c)
		clock.Advance(60 * time.Second)
		got := k.want(200, "POST", renewPath, fields{"accessToken": first})
		if diff := cmp.Diff(loginFields, names(got.object(t))); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
		if left, err := strconv.Atoi(string(got.object(t)["expiresIn"])); err != nil || left < 85 || left > 90 {
			t.Errorf("renewed after 60 s of 150 for 100: expiresIn %s", got.object(t)["expiresIn"])
		}
		if string(got.object(t)["accessTokenMaxTTL"]) != "150" {
			t.Errorf("accessTokenMaxTTL %s", got.object(t)["accessTokenMaxTTL"])
		}
		second := got.text(t, "accessToken")
		kms.Plant(second)
		clock.Advance(50 * time.Second) // 110: the first is over
		k.as(first).want(401, "GET", shopList, nil)
		k.want(401, "POST", renewPath, fields{"accessToken": first})
		k.as(second).want(200, "GET", shopList, nil)
		k.as(second).want(200, "POST", renewPath, nil)                                  // by its header
		k.as("rubbish").want(200, "POST", renewPath+"/", fields{"accessToken": second}) // the body goes before
		clock.Advance(45 * time.Second)                                                 // 155: no renewal reaches here
		k.as(second).want(401, "GET", shopList, nil)
		k.want(401, "POST", renewPath, fields{"accessToken": second})
	})
}

func TestRenewingRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	kms, _, c := shop(t, kmstest.Options{}, sdk.UniversalAuthInput{})
	k, live := knock(t, kms, ""), token(t, kms, c)
	for _, row := range []struct {
		name, header string
		body         any
		status       int
	}{
		{"nothing at all", "", nil, 401},
		{"a null", "", fields{"accessToken": nil}, 401},
		{"an empty text", "", fields{"accessToken": ""}, 401},
		{"rubbish", "", fields{"accessToken": "rubbish-that-is-long"}, 401},
		{"a number", "", fields{"accessToken": 7}, 400},
		{"a token without expiry", "", fields{"accessToken": kms.Token.Reveal()}, 400},
		{"rubbish in the body, a token in the header", live, fields{"accessToken": "rubbish-that-is-long"}, 401},
		{"an empty body, a token in the header", live, fields{}, 200},
	} {
		t.Run(row.name, func(t *testing.T) { k.t = t; k.as(row.header).want(row.status, "POST", renewPath, row.body) })
	}
	k.as(live).want(200, "POST", revokePath, fields{"accessToken": live})
	k.want(401, "POST", renewPath, fields{"accessToken": live})
	k.as(live).want(401, "POST", revokePath, nil)
}

func TestWhatIsNoLiveTokenGets401(t *testing.T) {
	t.Parallel()
	kms, project, c := shop(t, kmstest.Options{}, sdk.UniversalAuthInput{})
	live := token(t, kms, c)
	parts := strings.Split(live, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	strange := kmstest.New(t, kmstest.Options{})
	foreign := token(t, strange, strange.Identity(strange.Project("shop"), "admin"))
	for name, bad := range map[string]string{
		"no token":                       "",
		"rubbish":                        "rubbish",
		"three parts of rubbish":         "a.b.c",
		"a token cut short":              live[:len(live)-1],
		"a token with one bit changed":   parts[0] + "." + parts[1] + "." + flip(parts[2]),
		"other claims":                   parts[0] + "." + flip(parts[1]) + "." + parts[2],
		"the algorithm none":             none + "." + parts[1] + ".",
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"a token of another server":      foreign,
		"a client secret":                c.ClientSecret,
		"an opaque token that is none":   "kms." + strings.Repeat("A", 43),
		"a token that is much too long":  strings.Repeat("a", 9000),
		"a service token of older kinds": "st.1.2.3",
	} {
		t.Run(name, func(t *testing.T) {
			k := knock(t, kms, bad)
			for _, path := range []string{shopList, "/api/v3/secrets/raw/DB_URL?workspaceSlug=shop&environment=prod", "/api/v1/folders?workspaceId=" + project.ID + "&environment=prod",
				"/api/v1/user", "/api/v1/identities", "/api/v1/audit-logs", "/v1/kms/secrets/DB_URL?env=prod"} {
				k.want(401, "GET", path, nil)
			}
			k.want(401, "POST", "/api/v3/secrets/raw/NEW", fields{"workspaceId": project.ID, "environment": "dev", "secretValue": "v"})
		})
	}
	// One's own project, another one of the organisation, one that is not there.
	kms.Project("stock")
	k := knock(t, kms, live)
	k.want(200, "GET", shopList, nil)
	k.want(403, "GET", "/api/v3/secrets/raw?workspaceSlug=stock&environment=prod", nil)
	k.want(404, "GET", "/api/v3/secrets/raw?workspaceSlug=nowhere&environment=prod", nil)
}

// flip changes one bit in the middle of a base64url text.
func flip(text string) string {
	middle := len(text) / 2
	other := byte('A')
	if text[middle] == 'A' {
		other = 'B'
	}
	return text[:middle] + string(other) + text[middle+1:]
}

// Each way to end a token, at once and on both replicas: no request that
// begins after the answer gets a value, or any answer but the refusal.
func TestATokenEndsAtOnceOnEveryReplica(t *testing.T) {
	t.Parallel()
	one, two, project, _ := replicas(t, sdk.UniversalAuthInput{})
	admin := knock(t, one, one.Token.Reveal())
	for _, row := range []struct {
		name   string
		status int
		end    func(c kmstest.Credentials, token string)
	}{
		{"it is revoked", 401, func(c kmstest.Credentials, token string) {
			admin.as(token).want(200, "POST", revokePath, fields{"accessToken": token})
		}},
		{"a renewed one is revoked", 401, func(c kmstest.Credentials, token string) {
			renewed := admin.want(200, "POST", renewPath, fields{"accessToken": token}).text(t, "accessToken")
			admin.as("").want(200, "POST", revokePath, fields{"accessToken": renewed})
		}},
		{"its identity is deleted", 401, func(c kmstest.Credentials, _ string) {
			admin.want(200, "DELETE", "/api/v1/identities/"+c.IdentityID, nil)
		}},
		{"universal auth is taken away", 401, func(c kmstest.Credentials, _ string) {
			admin.want(200, "DELETE", uaPath+c.IdentityID, nil)
		}},
		{"its client secret is revoked", 401, func(c kmstest.Credentials, _ string) {
			for _, secret := range clientSecrets(t, one, c.IdentityID) {
				admin.want(200, "POST", uaPath+c.IdentityID+"/client-secrets/"+secret.ID+"/revoke", nil)
			}
		}},
		{"its identity leaves the project", 403, func(c kmstest.Credentials, _ string) {
			admin.want(200, "DELETE", "/api/v2/workspace/"+project.ID+"/identity-memberships/"+c.IdentityID, nil)
		}},
		{"its role is taken away", 403, func(c kmstest.Credentials, _ string) {
			admin.want(200, "PATCH", "/api/v2/workspace/"+project.ID+"/identity-memberships/"+c.IdentityID, fields{"role": "no-access"})
		}},
		{"its network is not trusted any more", 403, func(c kmstest.Credentials, _ string) {
			admin.want(200, "PATCH", uaPath+c.IdentityID, fields{"accessTokenTrustedIps": []fields{{"ipAddress": "203.0.113.0/24"}}})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := member(t, one, project, "member", sdk.UniversalAuthInput{})
			live := token(t, one, c)
			k := knock(t, one, live)
			for range 2 { // warm caches on both
				k.want(200, "GET", shopList, nil)
				k.at(two).want(200, "GET", shopList, nil)
			}
			row.end(c, live)
			for _, replica := range []knocker{k.at(two), k} {
				replica.want(row.status, "GET", shopList, nil)
				replica.want(row.status, "POST", "/api/v3/secrets/raw/NEW", fields{"workspaceId": project.ID, "environment": "prod", "secretValue": "v"})
				replica.want(row.status, "GET", "/api/v1/workspace/"+project.ID+"/roles", nil)
				if row.status == 401 {
					replica.want(401, "POST", renewPath, fields{"accessToken": live})
					replica.want(401, "GET", "/api/v1/user", nil)
				}
			}
		})
	}
}

func clientSecrets(t *testing.T, kms *kmstest.Server, identityID string) []api.ClientSecret {
	t.Helper()
	all, err := kms.Admin().ListClientSecrets(context.Background(), identityID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A new identity, secret or right is there at once on the other replica, too:
// a refusal is no older than its request either.
func TestWhatIsGivenHoldsAtOnceOnEveryReplica(t *testing.T) {
	t.Parallel()
	one, two, project, c := replicas(t, sdk.UniversalAuthInput{ClientSecretTrustedIPs: []api.TrustedIP{{IPAddress: "203.0.113.0/24"}}})
	admin, k := knock(t, one, one.Token.Reveal()), knock(t, two, "")
	k.want(401, "POST", loginPath, loginBody(c)) // not from here; the replica knows it now
	admin.want(200, "PATCH", uaPath+c.IdentityID, fields{"clientSecretTrustedIps": []fields{{"ipAddress": "127.0.0.1"}}})
	live := k.want(200, "POST", loginPath, loginBody(c)).text(t, "accessToken")
	two.Plant(live)
	k.as(live).want(403, "POST", "/api/v3/secrets/raw/NEW", fields{"workspaceId": project.ID, "environment": "prod", "secretValue": "v"})
	admin.want(200, "PATCH", "/api/v2/workspace/"+project.ID+"/identity-memberships/"+c.IdentityID, fields{"role": "member"})
	k.as(live).want(200, "POST", "/api/v3/secrets/raw/NEW", fields{"workspaceId": project.ID, "environment": "prod", "secretValue": "v"})
	stock := one.Project("stock")
	k.as(live).want(403, "GET", "/api/v3/secrets/raw?workspaceSlug=stock&environment=prod", nil)
	admin.want(200, "POST", "/api/v2/workspace/"+stock.ID+"/identity-memberships/"+c.IdentityID, fields{"role": "viewer"})
	k.as(live).want(200, "GET", "/api/v3/secrets/raw?workspaceSlug=stock&environment=prod", nil)
}

func TestATokenIsWorthlessOnceItsTimeIsOver(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms, project, usual := shop(t, kmstest.Options{Clock: &clock}, sdk.UniversalAuthInput{})
	short := member(t, kms, project, "viewer", sdk.UniversalAuthInput{AccessTokenTTL: seconds(60), AccessTokenMaxTTL: seconds(60)})
	long := member(t, kms, project, "viewer", sdk.UniversalAuthInput{AccessTokenTTL: seconds(315_360_000), AccessTokenMaxTTL: seconds(315_360_000)})
	k := knock(t, kms, "")
	tokens := map[string]string{"usual": token(t, kms, usual), "short": token(t, kms, short), "long": token(t, kms, long)}
	alive := func(when string, want ...string) {
		t.Helper()
		for name, live := range tokens {
			status := 401
			for _, w := range want {
				if w == name {
					status = 200
				}
			}
			if got := k.as(live).send("GET", shopList, nil); got.status != status {
				t.Errorf("%s the %s token gets %d, want %d: %s", when, name, got.status, status, got.body)
			}
		}
	}
	alive("at once", "usual", "short", "long")
	clock.Advance(55 * time.Second)
	alive("after 55 s", "usual", "short", "long")
	clock.Advance(6 * time.Second)
	alive("after 61 s", "usual", "long")
	clock.Advance(7120 * time.Second)
	alive("after 7181 s", "usual", "long")
	clock.Advance(20 * time.Second)
	alive("after 7201 s", "long")
	clock.Advance(10 * 364 * 24 * time.Hour)
	alive("after nearly ten years", "long")
}

func TestAPeriodicTokenIsRenewedForEver(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms, _, c := shop(t, kmstest.Options{Clock: &clock}, sdk.UniversalAuthInput{AccessTokenPeriod: seconds(60)})
	k := knock(t, kms, "")
	got := k.want(200, "POST", loginPath, loginBody(c))
	if string(got.object(t)["expiresIn"]) != "60" {
		t.Errorf("expiresIn %s", got.object(t)["expiresIn"])
	}
	for range 140 { // 7700 s: longer than the usual maximum
		clock.Advance(55 * time.Second)
		got = k.want(200, "POST", renewPath, fields{"accessToken": got.text(t, "accessToken")})
	}
	last := got.text(t, "accessToken")
	k.as(last).want(200, "GET", shopList, nil)
	clock.Advance(61 * time.Second)
	k.as(last).want(401, "GET", shopList, nil)
}

// hammer sends the same request n times at once, to all replicas in turn, and
// counts the answers by status.
func hammer(t *testing.T, n int, send func(i int) reply) map[int]int {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	counts := map[int]int{}
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			got := send(i)
			mu.Lock()
			defer mu.Unlock()
			counts[got.status]++
		})
	}
	close(start)
	group.Wait()
	return counts
}

func TestALimitOfUsesHoldsOverReplicas(t *testing.T) {
	t.Parallel()
	// Fewer connections than requests: counting a use must not wait for one
	// while it holds another.
	few := func(c *kmstest.Config) { c.MaxConns = 4 }
	one, project, _ := shop(t, kmstest.Options{Engine: kmstest.Postgres, Configure: few}, sdk.UniversalAuthInput{})
	two := kmstest.New(t, kmstest.Options{Beside: one})
	both := func(i int) *kmstest.Server { return []*kmstest.Server{one, two}[i%2] }
	for name, request := range map[string]struct {
		method, path string
		body         fields
	}{
		"reads":         {"GET", shopList, nil},
		"looks":         {"GET", "/api/v1/user", nil},
		"writes":        {"PATCH", "/api/v3/secrets/raw/DB_URL", fields{"workspaceId": project.ID, "environment": "prod", "secretValue": "v"}},
		"failed writes": {"PATCH", "/api/v3/secrets/raw/NOT_THERE", fields{"workspaceId": project.ID, "environment": "prod", "secretValue": "v"}},
		"renewals":      {"POST", renewPath, nil},
	} {
		t.Run("token, "+name, func(t *testing.T) {
			c := member(t, one, project, "member", sdk.UniversalAuthInput{AccessTokenNumUsesLimit: seconds(7)})
			live := token(t, one, c)
			counts := hammer(t, 20, func(i int) reply {
				var body any
				if request.body != nil {
					body = request.body
				}
				return knock(t, both(i), live).send(request.method, request.path, body)
			})
			success := 200
			if name == "failed writes" {
				success = 404
			}
			if diff := cmp.Diff(map[int]int{success: 7, 401: 13}, counts); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("client secret", func(t *testing.T) {
		c := member(t, one, project, "viewer", sdk.UniversalAuthInput{})
		made, err := one.Admin().CreateClientSecret(context.Background(), c.IdentityID, sdk.ClientSecretInput{NumUsesLimit: 3})
		if err != nil {
			t.Fatal(err)
		}
		one.Plant(made.Secret.Reveal())
		counts := hammer(t, 20, func(i int) reply {
			return knock(t, both(i), "").send("POST", loginPath, fields{"clientId": c.ClientID, "clientSecret": made.Secret.Reveal()})
		})
		if diff := cmp.Diff(map[int]int{200: 3, 401: 17}, counts); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		for _, secret := range clientSecrets(t, one, c.IdentityID) {
			if secret.ID == made.Data.ID && (secret.NumUses != 3 || secret.NumUsesLimit != 3 || secret.LastUsedAt == nil) {
				t.Errorf("the secret says it was used %d times of %d", secret.NumUses, secret.NumUsesLimit)
			}
		}
		knock(t, two, "").want(200, "POST", loginPath, loginBody(c)) // its other secret
	})
}

func TestATokenWorksFromTrustedNetworksOnly(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms, _, c := shop(t, behindProxy(engine, nil), sdk.UniversalAuthInput{AccessTokenTrustedIPs: []api.TrustedIP{{IPAddress: "203.0.113.0/24"}}})
		k := knock(t, kms, token(t, kms, c)) // a login may come from anywhere
		for from, status := range map[string]int{"203.0.113.9": 200, "203.0.114.1": 403, "198.51.100.1, 203.0.113.9": 200, "203.0.113.9, 198.51.100.1": 403, "": 403, "2001:db8::1": 403} {
			k.from = from
			for _, path := range []string{shopList, "/api/v1/user"} {
				if got := k.send("GET", path, nil); got.status != status {
					t.Errorf("from %q: status %d, want %d: %s", from, got.status, status, got.body)
				}
			}
			if got := k.send("POST", renewPath, nil); got.status != status {
				t.Errorf("renewed from %q: status %d, want %d", from, got.status, status)
			}
		}
		page, err := kms.Admin().AuditLogs(context.Background(), sdk.AuditQuery{ActorID: c.IdentityID, Outcome: "denied", IPAddress: "203.0.114.1"})
		if err != nil || len(page.Logs) != 3 {
			t.Errorf("the refusals are not all on record: %d, %v", len(page.Logs), err)
		}
	})
}

// None of what a server is started with leaves it: not by a route that an
// administrator can read, not by metrics, not by the log.
func TestNoRouteShowsWhatTheServerWasStartedWith(t *testing.T) {
	t.Parallel()
	kms, project, c := shop(t, kmstest.Options{Engine: kmstest.Postgres}, sdk.UniversalAuthInput{})
	secrets := []string{kms.Config.RootKey.Reveal(), kms.Config.AuthSecret.Reveal(), kms.Config.DatabaseURI.Reveal(), c.ClientSecret, kms.Token.Reveal()}
	for _, secret := range secrets {
		kms.Plant(secret)
	}
	k := knock(t, kms, kms.Token.Reveal())
	for _, route := range httpapi.Routes() {
		if route.Method != "GET" {
			continue
		}
		path := strings.NewReplacer("{project}", project.ID, "{identity}", c.IdentityID, "{organization}", kms.OrgID, "{name}", "DB_URL", "{path...}", "shop/DB_URL",
			"{environment}", project.Environments[0].ID, "{slug}", "dev").Replace(route.Pattern) + "?workspaceId=" + project.ID + "&projectId=" + project.ID + "&environment=prod&env=prod"
		got := k.send("GET", path, nil)
		for i, secret := range secrets {
			if form, found := kmstest.Leak(got.body, secret); found {
				t.Errorf("%s shows secret %d %s", route.Pattern, i, form)
			}
		}
	}
	admin := knock(t, kms, "")
	admin.url = kms.AdminURL
	for i, secret := range secrets {
		if form, found := kmstest.Leak(admin.want(200, "GET", "/metrics", nil).body, secret); found {
			t.Errorf("/metrics shows secret %d %s", i, form)
		}
	}
}
