package workflow_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
)

// credentials are the two values that a repository stores.
type credentials struct{ id, secret string }

// viewer is an identity that may read the project my-service, which is the
// project that both workflows name.
var viewer = sync.OnceValues(func() (credentials, error) {
	var answer struct {
		Project, Identity     struct{ ID string }
		IdentityUniversalAuth struct{ ClientID string }
		ClientSecret          string
	}
	admin := func(path string, body any) error { return call("POST", path, body, &answer) }
	if err := admin("/api/v2/workspace", map[string]any{"projectName": "My service", "slug": "my-service"}); err != nil {
		return credentials{}, err
	}
	if err := admin("/api/v1/identities", map[string]any{"name": "my-service-service", "organizationId": os.Getenv("KMS_ACCEPTANCE_ORG")}); err != nil {
		return credentials{}, err
	}
	universalAuth := "/api/v1/auth/universal-auth/identities/" + answer.Identity.ID
	err := errors.Join(
		admin("/api/v2/workspace/"+answer.Project.ID+"/identity-memberships/"+answer.Identity.ID, map[string]any{"roles": []any{map[string]any{"role": "viewer"}}}),
		admin(universalAuth, map[string]any{}),
		admin(universalAuth+"/client-secrets", map[string]any{}))
	return credentials{answer.IdentityUniversalAuth.ClientID, answer.ClientSecret}, err
})

// repository is what a test begins with: the two stored values, and secrets of
// the root folder of prod, given as keys and values in turn.
func repository(t *testing.T, pairs ...string) credentials {
	t.Helper()
	c, err := viewer()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, map[string]any{"secretKey": pairs[i], "secretValue": pairs[i+1]})
	}
	body := map[string]any{"projectSlug": "my-service", "environment": "prod", "mode": "upsert", "secrets": all}
	if err := call("PATCH", "/api/v3/secrets/batch/raw", body, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// call is one request of the administrator.
func call(method, path string, body, answer any) error {
	if os.Getenv("KMS_ACCEPTANCE_URL") == "" {
		return errors.New("KMS_ACCEPTANCE_URL is not set: run the tests with make acceptance")
	}
	authority, err := os.ReadFile(os.Getenv("KMS_ACCEPTANCE_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, os.Getenv("KMS_ACCEPTANCE_URL")+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("KMS_ACCEPTANCE_TOKEN"))
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d", method, path, response.StatusCode)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
