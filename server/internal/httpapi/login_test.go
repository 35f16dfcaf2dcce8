package httpapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

// knocker sends raw requests as one caller and looks at raw answers. Whatever
// it sends in confidence must not come back in a refusal.
type knocker struct {
	t     *testing.T
	url   string
	token string
	from  string // X-Forwarded-For
	form  bool   // send bodies as a form
}

// reply is a raw answer.
type reply struct {
	status int
	header http.Header
	body   string
}

func knock(t *testing.T, kms *kmstest.Server, token string) knocker {
	return knocker{t: t, url: kms.URL, token: token}
}

// as is the same knocker with another token.
func (k knocker) as(token string) knocker { k.token = token; return k }

// at is the same knocker at another replica.
func (k knocker) at(kms *kmstest.Server) knocker { k.url = kms.URL; return k }

type fields map[string]any

// send sends body: a string as it is, anything else as JSON, nil as none.
func (k knocker) send(method, path string, body any) reply {
	k.t.Helper()
	var content []byte
	switch b := body.(type) {
	case nil:
	case string:
		content = []byte(b)
	default:
		var err error
		if content, err = json.Marshal(b); err != nil {
			k.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, k.url+path, bytes.NewReader(content))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if k.form {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	if k.token != "" {
		req.Header.Set("Authorization", "Bearer "+k.token)
	}
	if k.from != "" {
		req.Header.Set("X-Forwarded-For", k.from)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	got := reply{resp.StatusCode, resp.Header, string(text)}
	if got.status >= 400 {
		k.checkRefusal(method+" "+path, got, body)
	}
	return got
}

// checkRefusal: a refusal has the one shape, and holds nothing that was sent
// in confidence.
func (k knocker) checkRefusal(what string, got reply, body any) {
	k.t.Helper()
	var parsed api.Error
	if err := json.Unmarshal([]byte(got.body), &parsed); err != nil || parsed.StatusCode != got.status || parsed.Message == "" || parsed.ReqID == "" || parsed.Name == "" {
		k.t.Errorf("%s: the refusal is not an error body: %s", what, got.body)
	}
	credentials := []string{k.token}
	if sent, ok := body.(fields); ok {
		for _, name := range []string{"clientSecret", "password", "token", "accessToken"} {
			if text, ok := sent[name].(string); ok {
				credentials = append(credentials, text)
			}
		}
	}
	for _, credential := range credentials {
		if form, found := kmstest.Leak(got.body, credential); found && len(credential) > 8 {
			k.t.Errorf("%s: the refusal holds a credential %s: %s", what, form, got.body)
		}
	}
}

// want sends and fails the test unless the answer has the status.
func (k knocker) want(status int, method, path string, body any) reply {
	k.t.Helper()
	got := k.send(method, path, body)
	if got.status != status {
		k.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got.status, status, got.body)
	}
	return got
}

// object is the answer, or what is under some names in it, as raw fields.
func (r reply) object(t *testing.T, names ...string) map[string]json.RawMessage {
	t.Helper()
	raw := json.RawMessage(r.body)
	for i := 0; ; i++ {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(raw, &object); err != nil {
			t.Fatalf("not an object: %v: %s", err, r.body)
		}
		if i == len(names) {
			return object
		}
		raw = object[names[i]]
	}
}

// text is the text at the end of some names.
func (r reply) text(t *testing.T, names ...string) string {
	t.Helper()
	last := len(names) - 1
	var text string
	if err := json.Unmarshal(r.object(t, names[:last]...)[names[last]], &text); err != nil {
		t.Fatalf("no text at %v: %s", names, r.body)
	}
	return text
}

func (r reply) message(t *testing.T) string { t.Helper(); return r.text(t, "message") }

// names are the names of an object's fields, sorted.
func names(object map[string]json.RawMessage) []string {
	var all []string
	for name := range object {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func decode(t *testing.T, raw json.RawMessage, out any) {
	t.Helper()
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
}

const loginPath = "/api/v1/auth/universal-auth/login"

func loginBody(c kmstest.Credentials) fields {
	return fields{"clientId": c.ClientID, "clientSecret": c.ClientSecret}
}

// token logs in and gives the access token, which must not turn up in the log.
func token(t *testing.T, kms *kmstest.Server, c kmstest.Credentials) string {
	t.Helper()
	got := knock(t, kms, "").want(200, "POST", loginPath, loginBody(c)).text(t, "accessToken")
	kms.Plant(got)
	return got
}

var loginFields = []string{"accessToken", "accessTokenMaxTTL", "expiresIn", "tokenType"}

func TestALoginAnswersExactlyFourFields(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		credentials := kms.Identity(kms.Project("shop"), "viewer")
		got := knock(t, kms, "").want(200, "POST", loginPath, loginBody(credentials))
		object := got.object(t)
		if diff := cmp.Diff(loginFields, names(object)); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
		for name, want := range map[string]string{"expiresIn": "7200", "accessTokenMaxTTL": "7200", "tokenType": `"Bearer"`} {
			if string(object[name]) != want {
				t.Errorf("%s is %s, want %s", name, object[name], want)
			}
		}
		if kind, store := got.header.Get("Content-Type"), got.header.Get("Cache-Control"); !strings.HasPrefix(kind, "application/json") || store != "no-store" {
			t.Errorf("Content-Type %q, Cache-Control %q", kind, store)
		}
		checkJWT(t, got.text(t, "accessToken"), credentials)
	})
}

// checkJWT: three parts, HS256, and nothing in it that one could log in with.
func checkJWT(t *testing.T, token string, c kmstest.Credentials) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 || strings.HasPrefix(token, "st.") {
		t.Fatalf("the token has %d parts", len(parts))
	}
	var decoded [2]map[string]any
	for i := range decoded {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &decoded[i]); err != nil {
			t.Fatal(err)
		}
		if form, found := kmstest.Leak(string(text), c.ClientSecret); found {
			t.Errorf("part %d of the token holds the client secret %s", i+1, form)
		}
	}
	header, claims := decoded[0], decoded[1]
	if header["alg"] != "HS256" || header["typ"] != "JWT" || claims["identityId"] != c.IdentityID {
		t.Errorf("header %v, claims %v", header, claims)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life != 7200 {
		t.Errorf("the token lives %v s by its claims", life)
	}
}

func TestALoginTakesEverySpellingThatClientsSend(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	c := kms.Identity(kms.Project("shop"), "viewer")
	form := url.Values{"clientId": {c.ClientID}, "clientSecret": {c.ClientSecret}}.Encode()
	for _, row := range []struct {
		name, path string
		form       bool
		body       any
	}{
		{"JSON", loginPath, false, loginBody(c)},
		{"JSON with a slash at the end", loginPath + "/", false, loginBody(c)},
		{"JSON without /api", "/v1/auth/universal-auth/login", false, loginBody(c)},
		{"JSON without /api, with a slash", "/v1/auth/universal-auth/login/", false, loginBody(c)},
		{"a form", loginPath, true, form},
		{"a form with a slash at the end", loginPath + "/", true, form},
		{"a form without /api", "/v1/auth/universal-auth/login", true, form},
		{"the path of earlier servers", "/v1/kms/auth/login", false, loginBody(c)},
		{"the path of earlier servers, a form", "/v1/kms/auth/login", true, form},
		{"nulls and fields that we do not know", loginPath, false,
			fields{"clientId": c.ClientID, "clientSecret": c.ClientSecret, "organizationSlug": nil, "subOrganizationName": nil, "what": []int{1}}},
		{"an empty query parameter", loginPath + "?organizationSlug=", false, loginBody(c)},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := knock(t, kms, "")
			k.form = row.form
			got := k.want(200, "POST", row.path, row.body)
			if diff := cmp.Diff(loginFields, names(got.object(t))); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			k.as(got.text(t, "accessToken")).want(200, "GET", "/api/v3/secrets/raw?workspaceSlug=shop&environment=dev", nil)
		})
	}
}

func TestABodyThatIsNoLoginIsRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	secret := kms.Value()
	for _, row := range []struct {
		name string
		form bool
		body any
		say  string
	}{
		{"nothing", false, nil, "clientId"},
		{"an empty object", false, fields{}, "clientId"},
		{"nulls", false, fields{"clientId": nil, "clientSecret": nil}, "clientId"},
		{"no client id", false, fields{"clientSecret": secret}, "clientId"},
		{"no client secret", false, fields{"clientId": "x"}, "clientSecret"},
		{"an empty client secret", false, fields{"clientId": "x", "clientSecret": ""}, "clientSecret"},
		{"a number for a client id", false, fields{"clientId": 7, "clientSecret": secret}, "a string"},
		{"a list for a client secret", false, fields{"clientId": "x", "clientSecret": []string{secret}}, ""},
		{"a list", false, []string{secret}, "object"},
		{"half an object", false, `{"clientId":"x","clientSecret":"` + secret, "JSON"},
		{"the same field twice", false, `{"clientId":"x","clientid":"y","clientSecret":"` + secret + `"}`, "twice"},
		{"a form without a secret", true, "clientId=x", "clientSecret"},
		{"a form that cannot be parsed", true, "clientId=%zz&clientSecret=" + url.QueryEscape(secret), "form"},
		{"JSON sent as a form", true, fields{"clientId": "x", "clientSecret": secret}, "clientId"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := knock(t, kms, "")
			k.form = row.form
			got := k.want(400, "POST", loginPath, row.body)
			if !strings.Contains(got.message(t), row.say) {
				t.Errorf("the message %q does not say %q", got.message(t), row.say)
			}
			if _, found := kmstest.Leak(got.body, secret); found {
				t.Errorf("the refusal holds what was sent: %s", got.body)
			}
		})
	}
}

// behindProxy is a server that believes the X-Forwarded-For of this machine.
func behindProxy(engine string, clock *kmstest.Clock) kmstest.Options {
	return kmstest.Options{Engine: engine, Clock: clock, Configure: func(c *kmstest.Config) { c.TrustedProxies = []string{"127.0.0.0/8", "10.0.0.0/8"} }}
}

const invalid = "Invalid credentials"

func TestAWrongIDAndAWrongSecretGetOneAnswerAndAreAudited(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, behindProxy(engine, nil))
		project := kms.Project("shop")
		c, other := kms.Identity(project, "viewer"), kms.Identity(project, "viewer")
		unknown := "0198f3a2-0000-4000-8000-000000000000"
		for i, row := range []struct {
			name, id, secret string
			known            bool // whose login failed is on record
		}{
			{"a wrong id", unknown, c.ClientSecret, false},
			{"an id that is none", "me", c.ClientSecret, false},
			{"a wrong secret", c.ClientID, c.ClientSecret[:len(c.ClientSecret)-1] + "!", true},
			{"a secret of no form", c.ClientID, "guess", true},
			{"both wrong", unknown, "guess", false},
			{"the secret of another identity", c.ClientID, other.ClientSecret, true},
			{"the identity's id in place of its client id", c.IdentityID, c.ClientSecret, false},
		} {
			k := knock(t, kms, "")
			k.from = "203.0.113." + string(rune('1'+i))
			got := k.want(401, "POST", loginPath, fields{"clientId": row.id, "clientSecret": row.secret})
			want := api.Error{ReqID: got.text(t, "reqId"), StatusCode: 401, Message: invalid, Name: "UnauthorizedError", Kind: "unauthenticated"}
			var body api.Error
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, body); diff != "" {
				t.Errorf("%s (-want +got):\n%s", row.name, diff)
			}
			page, err := kms.Admin().AuditLogs(context.Background(), sdk.AuditQuery{EventType: "login-identity-universal-auth-failed", IPAddress: k.from})
			if err != nil || len(page.Logs) != 1 {
				t.Fatalf("%s: %d rows of audit, %v", row.name, len(page.Logs), err)
			}
			log := page.Logs[0]
			if log.Outcome != "denied" || log.Action != "login" || log.RequestID != want.ReqID {
				t.Errorf("%s: audit row %+v", row.name, log)
			}
			if row.known && (log.Actor.Metadata["identityId"] != c.IdentityID || log.OrgID != kms.OrgID) {
				t.Errorf("%s: the audit row does not say whose login failed: %+v", row.name, log)
			}
		}
	})
}

// attempts logs in again and again and gives the statuses.
func (k knocker) attempts(n int, id, secret string) []int {
	k.t.Helper()
	var all []int
	for range n {
		got := k.send("POST", loginPath, fields{"clientId": id, "clientSecret": secret})
		if got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") == "" {
			k.t.Errorf("a lockout without Retry-After: %s", got.body)
		}
		all = append(all, got.status)
	}
	return all
}

func sameStatuses(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: statuses (-want +got):\n%s", what, diff)
	}
}

func TestWrongSecretsLockTheirSourceAndNeverARightSecret(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms := kmstest.New(t, behindProxy(kmstest.SQLite, &clock))
	c := kms.Identity(kms.Project("shop"), "viewer")
	here, there := knock(t, kms, ""), knock(t, kms, "")
	here.from, there.from = "203.0.113.1", "203.0.113.2"

	sameStatuses(t, "wrong secrets", here.attempts(4, c.ClientID, "guess"), 401, 401, 429, 429)
	here.want(200, "POST", loginPath, loginBody(c)) // the right one, while locked
	sameStatuses(t, "from elsewhere", there.attempts(2, c.ClientID, "guess"), 401, 401)
	sameStatuses(t, "another id from there", here.attempts(1, "0198f3a2-0000-4000-8000-000000000000", "guess"), 401)

	clock.Advance(299 * time.Second)
	sameStatuses(t, "shortly before the lock ends", here.attempts(1, c.ClientID, "guess"), 429)
	clock.Advance(2 * time.Second)
	sameStatuses(t, "after the lock", here.attempts(2, c.ClientID, "guess"), 401, 401)

	cleared := here.as(kms.Token.Reveal()).want(200, "POST", "/api/v1/auth/universal-auth/identities/"+c.IdentityID+"/clear-lockouts", fields{})
	if cleared.body != `{"deleted":2}` {
		t.Errorf("clear-lockouts answers %s", cleared.body)
	}
	sameStatuses(t, "after clear-lockouts", here.attempts(3, c.ClientID, "guess"), 401, 401, 429)
}

func TestUnknownIDsAreLockedLikeKnownOnes(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, behindProxy(kmstest.SQLite, nil))
	c := kms.Identity(kms.Project("shop"), "viewer")
	k := knock(t, kms, "")
	k.from = "2001:db8:0:1::1"
	known := k.attempts(4, c.ClientID, "guess")
	k.from = "2001:db8:0:2::1"
	sameStatuses(t, "an unknown id", k.attempts(4, "0198f3a2-0000-4000-8000-000000000000", "guess"), known...)
	k.from = "2001:db8:0:1:ffff::2" // another address of the same host
	sameStatuses(t, "the same /64", k.attempts(1, c.ClientID, "guess"), 429)
}

func TestALockoutIsAsTheIdentitySays(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("shop")
	off := kms.Identity(project, "viewer")
	admin, id := knock(t, kms, kms.Token.Reveal()), "/api/v1/auth/universal-auth/identities/"
	admin.want(200, "PATCH", id+off.IdentityID, fields{"lockoutEnabled": false})
	sameStatuses(t, "switched off", admin.as("").attempts(5, off.ClientID, "guess"), 401, 401, 401, 401, 401)
	five := kms.Identity(project, "viewer")
	admin.want(200, "PATCH", id+five.IdentityID, fields{"lockoutThreshold": 5})
	sameStatuses(t, "five", admin.as("").attempts(6, five.ClientID, "guess"), 401, 401, 401, 401, 429, 429)
	for name, bad := range map[string]any{"lockoutThreshold": 31, "lockoutDurationSeconds": 29, "lockoutCounterResetSeconds": 3601} {
		if got := admin.want(400, "PATCH", id+five.IdentityID, fields{name: bad}); !strings.Contains(got.message(t), name) {
			t.Errorf("the refusal does not name %s: %s", name, got.body)
		}
	}
}

// An expired secret is known to whoever sends it: that is no guess, and a
// deployment that was not told of the new one goes on getting 401.
func TestAnEndedSecretIsRefusedButNotCountedAsAGuess(t *testing.T) {
	t.Parallel()
	var clock kmstest.Clock
	kms := kmstest.New(t, kmstest.Options{Clock: &clock})
	c := kms.Identity(kms.Project("shop"), "")
	admin, k := kms.Admin(), knock(t, kms, "")
	for name, input := range map[string]sdk.ClientSecretInput{"expired": {TTL: 60}, "used up": {NumUsesLimit: 1}} {
		made, err := admin.CreateClientSecret(context.Background(), c.IdentityID, input)
		if err != nil {
			t.Fatal(err)
		}
		secret := made.Secret.Reveal()
		kms.Plant(secret)
		k.want(200, "POST", loginPath, fields{"clientId": c.ClientID, "clientSecret": secret})
		clock.Advance(61 * time.Second)
		sameStatuses(t, name, k.attempts(5, c.ClientID, secret), 401, 401, 401, 401, 401)
	}
	k.want(200, "POST", loginPath, loginBody(c))
}

func TestForwardedAddressesCountFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	proxied, direct := kmstest.New(t, behindProxy(kmstest.SQLite, nil)), kmstest.New(t, kmstest.Options{})
	const good, bad = "203.0.113.7", "198.51.100.9"
	trusted := sdk.UniversalAuthInput{ClientSecretTrustedIPs: []api.TrustedIP{{IPAddress: good}, {IPAddress: "2001:db8:7::/48"}}}
	credentials := map[*kmstest.Server]kmstest.Credentials{}
	for _, kms := range []*kmstest.Server{proxied, direct} {
		identity, err := kms.Admin().CreateIdentity(context.Background(), sdk.IdentityInput{Name: "gateway-service", OrganizationID: kms.OrgID})
		if err != nil {
			t.Fatal(err)
		}
		credentials[kms] = kms.Attach(identity.ID, trusted)
	}
	for _, row := range []struct {
		name   string
		kms    *kmstest.Server
		from   string
		status int
	}{
		{"the trusted network", proxied, good, 200},
		{"a trusted network of IPv6", proxied, "2001:db8:7:1::5", 200},
		{"the address in brackets with a port", proxied, "[2001:db8:7:1::5]:443", 200},
		{"IPv4 in IPv6 form", proxied, "::ffff:" + good, 200},
		{"through two trusted proxies", proxied, good + ", 10.1.2.3", 200},
		{"another network", proxied, bad, 401},
		{"no header: the proxy itself", proxied, "", 401},
		{"a spoofed entry in front of the true one", proxied, good + ", " + bad, 401},
		{"a spoofed entry in front of rubbish", proxied, good + ", unknown", 401},
		{"spoofed proxies in front of the true one", proxied, good + ", 10.1.2.3, " + bad, 401},
		{"an empty entry", proxied, good + ",", 401},
		{"a zone", proxied, "2001:db8:7::1%eth0", 401},
		{"nobody is trusted: a spoofed header", direct, good, 401},
		{"nobody is trusted: no header", direct, "", 401},
	} {
		k := knock(t, row.kms, "")
		k.from = row.from
		c := credentials[row.kms]
		// A fresh count for each row, so that no lockout hides the answer.
		k.as(row.kms.Token.Reveal()).want(200, "POST", "/api/v1/auth/universal-auth/identities/"+c.IdentityID+"/clear-lockouts", nil)
		got := k.send("POST", loginPath, loginBody(c))
		if got.status != row.status {
			t.Errorf("%s: status %d, want %d: %s", row.name, got.status, row.status, got.body)
		} else if got.status == 401 && got.message(t) != invalid {
			t.Errorf("%s: the answer differs from that to a wrong secret: %s", row.name, got.body)
		}
	}
}
