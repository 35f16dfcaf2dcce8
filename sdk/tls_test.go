package sdk_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
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
