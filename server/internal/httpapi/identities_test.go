package httpapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

const identitiesPath = "/api/v1/identities"

// newIdentity makes an identity over the wire and gives its id.
func newIdentity(t *testing.T, kms *kmstest.Server, name string) string {
	t.Helper()
	return knock(t, kms, kms.Token.Reveal()).want(200, "POST", identitiesPath, fields{"name": name, "organizationId": kms.OrgID}).text(t, "identity", "id")
}

func TestAnIdentityIsMadeFoundChangedAndDeleted(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		k := knock(t, kms, kms.Token.Reveal())
		made := k.want(200, "POST", identitiesPath, fields{"name": "iam-service", "organizationId": kms.OrgID, "role": "member", "metadata": nil})
		id := made.text(t, "identity", "id")
		want := []string{"authMethods", "createdAt", "hasDeleteProtection", "id", "name", "orgId", "role", "updatedAt"}
		if diff := cmp.Diff(want, names(made.object(t, "identity"))); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
		newIdentity(t, kms, "gateway-service")
		found := k.want(200, "GET", identitiesPath+"/"+id, nil)
		if found.text(t, "identity", "identity", "name") != "iam-service" || found.text(t, "identity", "role") != "member" || found.text(t, "identity", "orgId") != kms.OrgID {
			t.Errorf("found %s", found.body)
		}
		list := k.want(200, "GET", identitiesPath+"?orgId="+kms.OrgID, nil)
		if string(list.object(t)["totalCount"]) != "3" { // with the one that administers the instance
			t.Errorf("listed %s", list.body)
		}
		k.want(200, "PATCH", identitiesPath+"/"+id, fields{"name": "iam", "hasDeleteProtection": true, "role": nil})
		if got := k.want(400, "DELETE", identitiesPath+"/"+id, nil).message(t); !strings.Contains(got, "delete protection") {
			t.Errorf("a protected identity: %s", got)
		}
		k.want(200, "PATCH", identitiesPath+"/"+id, fields{"hasDeleteProtection": false})
		k.want(200, "DELETE", identitiesPath+"/"+id, nil)
		k.want(404, "GET", identitiesPath+"/"+id, nil)
		for name, bad := range map[string]fields{"no name": {}, "an empty name": {"name": ""}, "a name of control bytes": {"name": "a\x00b"}, "a role that is none": {"name": "x", "role": "owner"}, "a long name": {"name": strings.Repeat("x", 300)}} {
			if got := k.send("POST", identitiesPath, bad); got.status != 400 {
				t.Errorf("%s: status %d: %s", name, got.status, got.body)
			}
		}
	})
}

func TestUniversalAuthHasTheDefaultsOfTheStandard(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	k, id := knock(t, kms, kms.Token.Reveal()), newIdentity(t, kms, "iam-service")
	k.want(404, "GET", uaPath+id, nil)
	k.want(404, "POST", uaPath+id+"/client-secrets", fields{})
	made := k.want(200, "POST", uaPath+id, nil)
	var ua api.UniversalAuth
	if err := json.Unmarshal([]byte(made.body)[len(`{"identityUniversalAuth":`):len(made.body)-1], &ua); err != nil {
		t.Fatal(err)
	}
	if !api.IsID(ua.ClientID) || ua.ClientID == id {
		t.Errorf("the client id %s is no UUID of its own", ua.ClientID)
	}
	zero := 0
	all := []api.TrustedIP{{IPAddress: "0.0.0.0", Type: "ipv4", Prefix: &zero}, {IPAddress: "::", Type: "ipv6", Prefix: &zero}}
	want := api.UniversalAuth{ID: ua.ID, IdentityID: id, ClientID: ua.ClientID, AccessTokenTTL: 7200, AccessTokenMaxTTL: 7200, ClientSecretTrustedIPs: all, AccessTokenTrustedIPs: all,
		LockoutEnabled: true, LockoutThreshold: 3, LockoutDuration: 300, LockoutCounterReset: 30, CreatedAt: ua.CreatedAt, UpdatedAt: ua.UpdatedAt}
	if diff := cmp.Diff(want, ua); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	k.want(400, "POST", uaPath+id, nil) // it has one
	changed := k.want(200, "PATCH", uaPath+id, fields{"accessTokenTTL": 60, "accessTokenMaxTTL": nil})
	if changed.text(t, "identityUniversalAuth", "clientId") != ua.ClientID || string(changed.object(t, "identityUniversalAuth")["accessTokenTTL"]) != "60" {
		t.Errorf("changed to %s", changed.body)
	}
}

// Numbers of 9, 10 and 11 digits: what 32 bits hold, and what they do not.
func TestLimitsAndTimesOfManyDigits(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	k, id := knock(t, kms, kms.Token.Reveal()), newIdentity(t, kms, "iam-service")
	k.want(200, "POST", uaPath+id, nil)
	for _, row := range []struct {
		name   string
		body   string
		status int
	}{
		{"9 digits, the longest time", `{"accessTokenMaxTTL":315360000,"accessTokenTTL":315360000}`, 200},
		{"9 digits, too long", `{"accessTokenMaxTTL":315360001}`, 400},
		{"10 digits of time", `{"accessTokenMaxTTL":2147483648}`, 400},
		{"11 digits of time", `{"accessTokenMaxTTL":31536000000}`, 400},
		{"9 digits of uses", `{"accessTokenNumUsesLimit":999999999}`, 200},
		{"10 digits of uses", `{"accessTokenNumUsesLimit":4294967296}`, 200},
		{"11 digits of uses", `{"accessTokenNumUsesLimit":99999999999}`, 200},
		{"more than any number", `{"accessTokenNumUsesLimit":99999999999999999999}`, 400},
		{"less than none", `{"accessTokenNumUsesLimit":-1}`, 400},
		{"no time at all", `{"accessTokenTTL":0}`, 400},
		{"a text", `{"accessTokenTTL":"7200"}`, 400},
		{"a fraction", `{"accessTokenTTL":7200.5}`, 400},
		{"longer than its maximum", `{"accessTokenTTL":7200,"accessTokenMaxTTL":7199}`, 400},
	} {
		if got := k.send("PATCH", uaPath+id, row.body); got.status != row.status {
			t.Errorf("%s: status %d, want %d: %s", row.name, got.status, row.status, got.body)
		}
	}
	for _, row := range []struct {
		body   string
		status int
	}{
		{`{"numUsesLimit":999999999,"ttl":315360000}`, 200}, {`{"numUsesLimit":4294967296}`, 200}, {`{"numUsesLimit":99999999999}`, 200}, {`{"ttl":4294967296}`, 400},
		{`{"ttl":-1}`, 400}, {`{"numUsesLimit":-1}`, 400}, {`{"numUsesLimit":"3"}`, 400}, {`{"graceSeconds":0}`, 400}, {`{"description":null,"ttl":null,"numUsesLimit":null}`, 200},
	} {
		if got := k.send("POST", uaPath+id+"/client-secrets", row.body); got.status != row.status {
			t.Errorf("client secret %s: status %d, want %d: %s", row.body, got.status, row.status, got.body)
		}
	}
	for _, grace := range []string{"-1", "4294967296", `"1"`} {
		k.want(400, "POST", uaPath+id+"/client-secrets/regenerate", `{"graceSeconds":`+grace+`}`)
	}
	secret := k.want(200, "POST", uaPath+id+"/client-secrets", `{"numUsesLimit":99999999999,"ttl":315360000}`).text(t, "clientSecret")
	kms.Plant(secret)
	clientID := k.want(200, "GET", uaPath+id, nil).text(t, "identityUniversalAuth", "clientId")
	k.want(200, "POST", loginPath, fields{"clientId": clientID, "clientSecret": secret})
}

func TestTrustedNetworksInEveryForm(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	k, id := knock(t, kms, kms.Token.Reveal()), newIdentity(t, kms, "iam-service")
	k.want(200, "POST", uaPath+id, nil)
	for _, row := range []struct{ name, sent, got string }{ // got "" is refused
		{"a network", `[{"ipAddress":"10.0.0.0/8"}]`, `[{"ipAddress":"10.0.0.0","type":"ipv4","prefix":8}]`},
		{"one address", `[{"ipAddress":"10.1.2.3"}]`, `[{"ipAddress":"10.1.2.3","type":"ipv4","prefix":32}]`},
		{"the prefix apart, as answers have it", `[{"ipAddress":"10.0.0.0","type":"ipv4","prefix":8}]`, `[{"ipAddress":"10.0.0.0","type":"ipv4","prefix":8}]`},
		{"everywhere, the prefix apart", `[{"ipAddress":"::","prefix":0}]`, `[{"ipAddress":"::","type":"ipv6","prefix":0}]`},
		{"a null prefix", `[{"ipAddress":"10.1.2.3","prefix":null}]`, `[{"ipAddress":"10.1.2.3","type":"ipv4","prefix":32}]`},
		{"IPv6", `[{"ipAddress":"2001:db8::/32"}]`, `[{"ipAddress":"2001:db8::","type":"ipv6","prefix":32}]`},
		{"IPv4 in IPv6 form", `[{"ipAddress":"::ffff:10.0.0.0/104"}]`, `[{"ipAddress":"10.0.0.0","type":"ipv4","prefix":8}]`},
		{"bits behind the mask", `[{"ipAddress":"10.0.0.5/8"}]`, ""},
		{"bits behind the mask, apart", `[{"ipAddress":"10.0.0.5","prefix":8}]`, ""},
		{"a mask that is too long", `[{"ipAddress":"10.0.0.0","prefix":33}]`, ""},
		{"a mask below none", `[{"ipAddress":"10.0.0.0","prefix":-1}]`, ""},
		{"an empty list", `[]`, ""},
		{"no address", `[{}]`, ""},
		{"a name", `[{"ipAddress":"example.com"}]`, ""},
		{"a zone", `[{"ipAddress":"fe80::1%eth0"}]`, ""},
		{"a list of texts", `["10.0.0.0/8"]`, ""},
	} {
		for _, field := range []string{"clientSecretTrustedIps", "accessTokenTrustedIps"} {
			got := k.send("PATCH", uaPath+id, `{"`+field+`":`+row.sent+`}`)
			switch {
			case row.got == "" && (got.status != 400 || !strings.Contains(got.message(t), field)):
				t.Errorf("%s: status %d, want a 400 that names %s: %s", row.name, got.status, field, got.body)
			case row.got != "" && (got.status != 200 || string(got.object(t, "identityUniversalAuth")[field]) != row.got):
				t.Errorf("%s: status %d, want %s in %s", row.name, got.status, row.got, got.body)
			}
		}
	}
}

func TestAClientSecretIsShownOnceAndKeptAsAKeyedHash(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		k, id := knock(t, kms, kms.Token.Reveal()), newIdentity(t, kms, "iam-service")
		k.want(200, "POST", uaPath+id, nil)
		made := k.want(200, "POST", uaPath+id+"/client-secrets", fields{"description": "for the cluster"})
		secret, secretID := made.text(t, "clientSecret"), made.text(t, "clientSecretData", "id")
		kms.Plant(secret)
		if !strings.HasPrefix(secret, "st.") || len(secret) != 46 || made.text(t, "clientSecretData", "clientSecretPrefix") != secret[:8] {
			t.Errorf("the client secret has %d characters, its data is %s", len(secret), made.object(t)["clientSecretData"])
		}
		for _, path := range []string{"", "/" + secretID} {
			got := k.want(200, "GET", uaPath+id+"/client-secrets"+path, nil)
			if strings.Contains(got.body, secret[8:]) || !strings.Contains(got.body, `"clientSecretPrefix":"`+secret[:8]+`"`) {
				t.Errorf("shown afterwards: %s", got.body)
			}
		}
		sum := sha256.Sum256([]byte(secret))
		tail := sha256.Sum256([]byte(secret[3:]))
		var rows []store.ClientSecret
		err := kms.Store().View(context.Background(), func(tx *store.Tx) (err error) {
			rows, err = tx.ClientSecrets(context.Background(), id)
			return err
		})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if lookup := string(rows[0].Lookup); lookup == string(sum[:]) || lookup == string(tail[:]) || len(lookup) < 32 || strings.Contains(lookup, secret) {
			t.Error("the row holds the secret or its plain hash")
		}
		if engine == kmstest.SQLite {
			kms.Stop()
			searchFiles(t, kms.Config.Data, secret, kms.Token.Reveal(), string(sum[:]), string(tail[:]), hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]))
		}
	})
}

// searchFiles fails the test if a file of a directory holds a text in any form.
func searchFiles(t *testing.T, dir string, texts ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in the data directory: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			if form, found := kmstest.Leak(string(content), text); found {
				t.Errorf("%s holds text %d %s", filepath.Base(file), i, form)
			}
		}
	}
}

func TestARegeneratedSecretLeavesTheOldOneItsGrace(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		var clock kmstest.Clock
		kms, project, _ := shop(t, kmstest.Options{Engine: engine, Clock: &clock}, sdk.UniversalAuthInput{})
		for _, row := range []struct {
			name  string
			body  fields
			grace time.Duration
		}{
			{"a day by default", nil, 24 * time.Hour},
			{"an hour", fields{"graceSeconds": 3600}, time.Hour},
			{"null is the default", fields{"graceSeconds": nil, "description": "second"}, 24 * time.Hour},
			{"none", fields{"graceSeconds": 0}, 0},
		} {
			t.Run(row.name, func(t *testing.T) {
				old := member(t, kms, project, "viewer", sdk.UniversalAuthInput{})
				k := knock(t, kms, kms.Token.Reveal())
				live := token(t, kms, old)
				var body any
				if row.body != nil {
					body = row.body
				}
				fresh := old
				fresh.ClientSecret = k.want(200, "POST", uaPath+old.IdentityID+"/client-secrets/regenerate", body).text(t, "clientSecret")
				kms.Plant(fresh.ClientSecret)
				k.want(200, "POST", loginPath, loginBody(fresh)) // under the same client id
				if row.grace > 0 {
					clock.Advance(row.grace - 5*time.Second)
					k.want(200, "POST", loginPath, loginBody(old))
					clock.Advance(6 * time.Second)
				} else {
					k.as(live).want(200, "GET", shopList, nil) // a session that had begun goes on
				}
				sameStatuses(t, "after the grace", k.attempts(4, old.ClientID, old.ClientSecret), 401, 401, 401, 401)
				k.want(200, "POST", loginPath, loginBody(fresh))
			})
		}
	})
}

func TestEndedSecretsDoNotStandInTheWayOfNewOnes(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	c := kms.Identity(kms.Project("shop"), "")
	k, secrets := knock(t, kms, kms.Token.Reveal()), uaPath+c.IdentityID+"/client-secrets"
	last := ""
	for range 99 { // a hundred with its first one
		last = k.want(200, "POST", secrets, fields{}).text(t, "clientSecretData", "id")
	}
	if got := k.want(400, "POST", secrets, fields{}).message(t); !strings.Contains(got, "100 client secrets") {
		t.Errorf("one more: %s", got)
	}
	k.want(200, "POST", secrets+"/"+last+"/revoke", nil)
	for range 3 {
		c.ClientSecret = k.want(200, "POST", secrets+"/regenerate", fields{"graceSeconds": 0}).text(t, "clientSecret")
		kms.Plant(c.ClientSecret)
	}
	k.want(200, "POST", loginPath, loginBody(c))
}

// What belongs to another organisation is as unknown as what is not there.
func TestAnotherOrganizationsIdentityIsUnknown(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	theirs := newIdentity(t, kms, "iam-service")
	root := knock(t, kms, kms.Token.Reveal())
	root.want(200, "POST", uaPath+theirs, nil)
	secretID := root.want(200, "POST", uaPath+theirs+"/client-secrets", fields{}).text(t, "clientSecretData", "id")
	project := kms.Project("shop")
	other := person(t, kms, root.want(200, "POST", organizationsPath, fields{"name": "lux", "inviteAdminEmails": []string{"lux@example.com"}}))
	k := knock(t, kms, other)
	const unknown = "0198f3a2-0000-7000-8000-000000000000"
	for _, row := range []struct {
		method, path string
		body         any
	}{
		{"GET", identitiesPath + "/{id}", nil},
		{"PATCH", identitiesPath + "/{id}", fields{"name": "mine"}},
		{"DELETE", identitiesPath + "/{id}", nil},
		{"GET", uaPath + "{id}", nil},
		{"POST", uaPath + "{id}", fields{}},
		{"PATCH", uaPath + "{id}", fields{"accessTokenTTL": 60}},
		{"DELETE", uaPath + "{id}", nil},
		{"GET", uaPath + "{id}/client-secrets", nil},
		{"POST", uaPath + "{id}/client-secrets", fields{}},
		{"POST", uaPath + "{id}/client-secrets/regenerate", fields{}},
		{"GET", uaPath + "{id}/client-secrets/" + secretID, nil},
		{"POST", uaPath + "{id}/client-secrets/" + secretID + "/revoke", nil},
		{"POST", uaPath + "{id}/clear-lockouts", nil},
	} {
		there := k.want(404, row.method, strings.ReplaceAll(row.path, "{id}", theirs), row.body).message(t)
		nowhere := k.want(404, row.method, strings.ReplaceAll(row.path, "{id}", unknown), row.body).message(t)
		if strings.ReplaceAll(there, theirs, unknown) != nowhere {
			t.Errorf("%s %s: %q there, %q nowhere", row.method, row.path, there, nowhere)
		}
	}
	k.want(404, "GET", identitiesPath+"?orgId="+kms.OrgID, nil)
	k.want(404, "POST", identitiesPath, fields{"name": "spy", "organizationId": kms.OrgID})
	k.want(404, "GET", "/api/v2/workspace/"+project.ID+"/identity-memberships", nil)
	k.want(404, "GET", "/api/v2/workspace/shop", nil)
	// Nor does its own identity become a member over there, or theirs here.
	own := k.want(200, "POST", identitiesPath, fields{"name": "lux-service"}).text(t, "identity", "id")
	root.want(404, "POST", "/api/v2/workspace/"+project.ID+"/identity-memberships/"+own, fields{"role": "viewer"})
	k.want(200, "POST", "/api/v2/workspace", fields{"projectName": "Lux", "slug": "lux-shop"})
	k.want(404, "POST", "/api/v2/workspace/lux-shop/identity-memberships/"+theirs, fields{"role": "viewer"})
}
