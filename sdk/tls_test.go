package sdk_test

import (
	"crypto/tls"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanzoai/kms/internal/pki"
	"github.com/hanzoai/kms/sdk"
)

func TestTheAuthoritiesFileIsReadAgainWhenItChanges(t *testing.T) {
	oldPEM, oldCert := newCertificate(t, "kms.internal")
	newPEM, newCert := newCertificate(t, "kms.internal")
	var serving *tls.Certificate
	server := httptest.NewUnstartedServer(newFake())
	server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serving, nil }}
	serving = oldCert
	server.StartTLS()
	defer server.Close()

	file := filepath.Join(t.TempDir(), "ca.pem")
	client := sdk.NewClient(sdk.Config{SiteURL: server.URL, ClientID: goodID, ClientSecret: goodSecret,
		CACertFile: file, TLSServerName: "kms.internal", MaxRetries: -1})
	list := func() error { _, err := client.ListSecrets(appDev); return err }
	if err := list(); err == nil {
		t.Error("a call without the file succeeded")
	}
	mustReplace(t, file, oldPEM)
	if err := list(); err != nil {
		t.Errorf("with the old authority: %v", err)
	}
	mustReplace(t, file, []byte("not a certificate"))
	if err := list(); err != nil {
		t.Errorf("with a spoilt file: %v, want the last good authority to serve", err)
	}
	server.CloseClientConnections()
	serving = newCert
	if err := list(); err == nil {
		t.Error("a server that the authority did not vouch for was trusted")
	}
	mustReplace(t, file, newPEM)
	if err := list(); err != nil {
		t.Errorf("with the new authority: %v", err)
	}
}

func TestTheServerMustHaveTheNameThatIsAsked(t *testing.T) {
	authority, cert := newCertificate(t, "kms.internal")
	server := httptest.NewUnstartedServer(newFake())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	server.StartTLS()
	defer server.Close()
	for name, good := range map[string]bool{"kms.internal": true, "other.internal": false, "": false} {
		client := sdk.NewClient(sdk.Config{SiteURL: server.URL, ClientID: goodID, ClientSecret: goodSecret,
			CACertPEM: string(authority), TLSServerName: name})
		if err := client.Login(t.Context()); (err == nil) != good {
			t.Errorf("TLSServerName %q: %v", name, err)
		}
	}
}

// newCertificate makes a certificate that is its own authority.
func newCertificate(t *testing.T, name string) ([]byte, *tls.Certificate) {
	t.Helper()
	pair, err := pki.SelfSigned(0, name)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return pair.Certificate, &cert
}

// mustReplace puts a new file in the place of name, as a mounted volume does.
func mustReplace(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}
