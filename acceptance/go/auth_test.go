package acceptance_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	infisical "github.com/infisical/go-sdk"
)

// expectAPIError wants the SDK's own error, with the message and the request
// id of the server in it.
func expectAPIError(t *testing.T, err error, status int) {
	t.Helper()
	var failed *infisical.APIError
	if !errors.As(err, &failed) {
		t.Errorf("got the error %v, want an APIError of status %d", err, status)
		return
	}
	if failed.StatusCode != status || failed.ErrorMessage == "" || !strings.HasPrefix(failed.ReqId, "req-") {
		t.Errorf("got status %d, message %q, request %q; want status %d and both", failed.StatusCode, failed.ErrorMessage, failed.ReqId, status)
	}
}

func TestGoSDKLogsIn(t *testing.T) {
	p := newProject(t)
	put(t, p, "KEY", "value")
	c := newIdentity(t, p, "viewer", object{})
	client := newClient(t)
	login, err := client.Auth().UniversalAuthLogin(c.id, c.secret)
	if err != nil {
		t.Fatal(err)
	}
	if login.AccessToken == "" || login.ExpiresIn != 7200 || login.AccessTokenMaxTTL != 7200 || login.TokenType != "Bearer" {
		t.Errorf("a token of type %q for %d of %d seconds; want Bearer, 7200 of 7200", login.TokenType, login.ExpiresIn, login.AccessTokenMaxTTL)
	}
	got, err := client.Secrets().Retrieve(infisical.RetrieveSecretOptions{SecretKey: "KEY", ProjectSlug: p.slug, Environment: "dev"})
	if err != nil || got.SecretValue != "value" {
		t.Errorf("retrieve: %q, %v", got.SecretValue, err)
	}
}

func TestGoSDKGetsTypedErrors(t *testing.T) {
	p := newProject(t)
	put(t, p, "KEY", "value")
	list := func(client infisical.InfisicalClientInterface, options infisical.ListSecretsOptions) error {
		_, err := client.Secrets().List(options)
		return err
	}
	viewer, stranger := loggedIn(t, p, "viewer"), loggedIn(t, p, "")
	forged := newClient(t)
	forged.Auth().SetAccessToken("eyJhbGciOiJub25lIn0.e30.")
	for _, test := range []struct {
		name   string
		err    func() error
		status int
	}{
		{"no environment", func() error { return list(viewer, infisical.ListSecretsOptions{ProjectID: p.id}) }, 400},
		{"no project", func() error {
			return list(viewer, infisical.ListSecretsOptions{ProjectSlug: "no-such-project", Environment: "dev"})
		}, 404},
		{"a key that is there", func() error {
			_, err := loggedIn(t, p, "member").Secrets().Create(infisical.CreateSecretOptions{SecretKey: "KEY", ProjectID: p.id, Environment: "dev", SecretValue: "x"})
			return err
		}, 400},
		{"a personal secret", func() error {
			_, err := viewer.Secrets().Retrieve(infisical.RetrieveSecretOptions{SecretKey: "KEY", ProjectID: p.id, Environment: "dev", Type: "personal"})
			return err
		}, 400},
		{"no token", func() error {
			return list(newClient(t), infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev"})
		}, 401},
		{"a forged token", func() error { return list(forged, infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev"}) }, 401},
		{"a wrong client secret", func() error {
			_, err := newClient(t).Auth().UniversalAuthLogin(newIdentity(t, p, "viewer", object{}).id, "st.wrong")
			return err
		}, 401},
		{"no member of the project", func() error { return list(stranger, infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev"}) }, 403},
		{"a viewer who writes", func() error {
			_, err := viewer.Secrets().Update(infisical.UpdateSecretOptions{SecretKey: "KEY", ProjectID: p.id, Environment: "dev", NewSecretValue: "x"})
			return err
		}, 403},
		{"an unknown environment", func() error { return list(viewer, infisical.ListSecretsOptions{ProjectID: p.id, Environment: "qa"}) }, 404},
		{"an unknown folder", func() error {
			return list(viewer, infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev", SecretPath: "/nowhere"})
		}, 404},
		{"an unknown key", func() error {
			_, err := viewer.Secrets().Retrieve(infisical.RetrieveSecretOptions{SecretKey: "NONE", ProjectSlug: p.slug, Environment: "dev"})
			return err
		}, 404},
		{"an unknown version", func() error {
			_, err := viewer.Secrets().Retrieve(infisical.RetrieveSecretOptions{SecretKey: "KEY", ProjectSlug: p.slug, Environment: "dev", Version: 7})
			return err
		}, 404},
	} {
		t.Run(test.name, func(t *testing.T) { expectAPIError(t, test.err(), test.status) })
	}
}

func TestGoSDKRevokesItsToken(t *testing.T) {
	p := newProject(t)
	client := loggedIn(t, p, "viewer")
	token := client.Auth().GetAccessToken()
	if err := client.Auth().RevokeAccessToken(); err != nil {
		t.Fatal(err)
	}
	other := newClient(t)
	other.Auth().SetAccessToken(token)
	_, err := other.Secrets().List(infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev"})
	expectAPIError(t, err, 401)
}

// The SDK refreshes in the background from 5 seconds before the end of a
// token: by renewing while that helps, by a new login when the token is near
// its maximum. The audit trail tells which it was.
func TestGoSDKRefreshesItsToken(t *testing.T) {
	for _, test := range []struct {
		name   string
		maxTTL int
		event  string
	}{
		{"by renewing", 3600, "renew-identity-access-token"},
		{"by logging in again", 7, "login-identity-universal-auth"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t)
			put(t, p, "KEY", "value")
			c := newIdentity(t, p, "viewer", object{"accessTokenTTL": 7, "accessTokenMaxTTL": test.maxTTL})
			client := newClient(t)
			if _, err := client.Auth().UniversalAuthLogin(c.id, c.secret); err != nil {
				t.Fatal(err)
			}
			first := client.Auth().GetAccessToken()
			awaitChange(t, first, client.Auth().GetAccessToken)
			if _, err := client.Secrets().List(infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev"}); err != nil {
				t.Errorf("list with the new token: %v", err)
			}
			expectNewestToken(t, c.identity, test.event)
		})
	}
}

// awaitChange waits for the SDK, which tells nobody when it has refreshed.
func awaitChange(t *testing.T, old string, now func() string) {
	t.Helper()
	tick, end := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for now() == old {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("the SDK has not refreshed its token for a minute")
		}
	}
}

// expectNewestToken wants the audit trail to say how the identity got its
// newest token.
func expectNewestToken(t *testing.T, identity, event string) {
	t.Helper()
	trail := admin(t, "GET", "/api/v1/audit-logs?actor="+identity, nil)
	for _, row := range trail.at(t, "auditLogs").([]any) { // newest first
		switch got := row.(object)["event"].(object)["type"]; got {
		case "get-secrets":
		default:
			if got != event {
				t.Errorf("the identity got its newest token by %v, want %s", got, event)
			}
			return
		}
	}
	t.Errorf("the audit trail has no event %s of the identity", event)
}
