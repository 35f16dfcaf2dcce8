package acceptance_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	infisical "github.com/infisical/go-sdk"
)

// setting is one of the variables that with-server sets.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv("KMS_ACCEPTANCE_" + name)
	if value == "" {
		t.Fatalf("KMS_ACCEPTANCE_%s is not set: run the tests with make acceptance", name)
	}
	return value
}

func authority(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(setting(t, "CA"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// object is a JSON object that was received or will be sent.
type object = map[string]any

// answer is what came back, as it came.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// object is the body, which must be a JSON object.
func (a answer) object(t *testing.T) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(a.body, &o); err != nil {
		t.Fatalf("the answer (status %d) is no JSON object: %v", a.status, err)
	}
	return o
}

// at is the part of a successful answer below some fields.
func (a answer) at(t *testing.T, fields ...string) any {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var part any = a.object(t)
	for _, field := range fields {
		o, ok := part.(object)
		if !ok || o[field] == nil {
			t.Fatalf("the answer has no %s: %s", strings.Join(fields, "."), a.body)
		}
		part = o[field]
	}
	return part
}

// send sends one request with nothing but the standard library, for the clients
// that cannot be run here.
func send(t *testing.T, request *http.Request) answer {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority(t)))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// call sends a JSON body as the bearer of a token; nil is no body.
func call(t *testing.T, token, method, path string, body any) answer {
	t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, setting(t, "URL")+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Content-Type", "application/json")
	return send(t, request)
}

func admin(t *testing.T, method, path string, body any) answer {
	t.Helper()
	return call(t, setting(t, "TOKEN"), method, path, body)
}

// project is a new project.
type project struct{ id, slug string }

func newProject(t *testing.T) project {
	t.Helper()
	slug := "shop-" + strings.ToLower(rand.Text()[:10])
	made := admin(t, "POST", "/api/v2/workspace", object{"projectName": "Shop", "slug": slug})
	return project{made.at(t, "project", "id").(string), slug}
}

// credentials are those of a new identity.
type credentials struct{ identity, id, secret string }

// newIdentity is an identity with a role in the project; none with "".
func newIdentity(t *testing.T, p project, role string, universalAuth object) credentials {
	t.Helper()
	identity := admin(t, "POST", "/api/v1/identities", object{"name": p.slug + "-service", "organizationId": setting(t, "ORG")}).at(t, "identity", "id").(string)
	if role != "" {
		admin(t, "POST", "/api/v2/workspace/"+p.id+"/identity-memberships/"+identity, object{"roles": []object{{"role": role}}}).at(t, "identityMembership")
	}
	attached := admin(t, "POST", "/api/v1/auth/universal-auth/identities/"+identity, universalAuth)
	secret := admin(t, "POST", "/api/v1/auth/universal-auth/identities/"+identity+"/client-secrets", object{})
	return credentials{identity, attached.at(t, "identityUniversalAuth", "clientId").(string), secret.at(t, "clientSecret").(string)}
}

// newClient is the SDK as its users make it.
func newClient(t *testing.T) infisical.InfisicalClientInterface {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return infisical.NewInfisicalClient(ctx, infisical.Config{SiteUrl: setting(t, "URL"), CaCertificate: authority(t), SilentMode: true})
}

// loggedIn is a client of a new identity with a role in the project.
func loggedIn(t *testing.T, p project, role string) infisical.InfisicalClientInterface {
	t.Helper()
	client, c := newClient(t), newIdentity(t, p, role, object{})
	if _, err := client.Auth().UniversalAuthLogin(c.id, c.secret); err != nil {
		t.Fatalf("log in: %v", err)
	}
	return client
}

// put sets a secret of the folder / of dev.
func put(t *testing.T, p project, key, value string) {
	t.Helper()
	admin(t, "PATCH", "/api/v3/secrets/batch/raw", object{"workspaceId": p.id, "environment": "dev", "mode": "upsert",
		"secrets": []object{{"secretKey": key, "secretValue": value}}}).at(t, "secrets")
}
