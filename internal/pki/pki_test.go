package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"

	"github.com/hanzoai/kms/internal/pki"
)

func TestAServerAndItsClientKnowEachOtherByTheirAuthority(t *testing.T) {
	authority := newAuthority(t)
	state, err := handshake(t, serverConfig(t, authority, "127.0.0.1", "node"), clientConfig(t, authority, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	user := state.PeerCertificates[0].Subject
	if user.CommonName != "alice" || len(user.Organization) != 1 || user.Organization[0] != "admins" {
		t.Errorf("the server saw %s, want alice of admins", user)
	}
}

func TestAServerUnderAnotherAddressIsRefused(t *testing.T) {
	authority := newAuthority(t)
	_, err := handshake(t, serverConfig(t, authority, "127.0.0.1"), clientConfig(t, authority, "127.0.0.2"))
	if refusal := (x509.HostnameError{}); !errors.As(err, &refusal) {
		t.Errorf("error = %v, want that the address is not in the certificate", err)
	}
}

func TestAServerOfAnotherAuthorityIsRefused(t *testing.T) {
	_, err := handshake(t, serverConfig(t, newAuthority(t), "127.0.0.1"), clientConfig(t, newAuthority(t), "127.0.0.1"))
	if refusal := (x509.UnknownAuthorityError{}); !errors.As(err, &refusal) {
		t.Errorf("error = %v, want that the authority is unknown", err)
	}
}

func newAuthority(t *testing.T) pki.Authority {
	t.Helper()
	authority, err := pki.NewAuthority("authority")
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func serverConfig(t *testing.T, authority pki.Authority, hosts ...string) *tls.Config {
	t.Helper()
	return &tls.Config{
		Certificates: issue(t, authority, "server", "", hosts...),
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool(t, authority),
	}
}

func clientConfig(t *testing.T, authority pki.Authority, server string) *tls.Config {
	t.Helper()
	return &tls.Config{
		Certificates: issue(t, authority, "alice", "admins"),
		RootCAs:      pool(t, authority),
		ServerName:   server,
	}
}

func issue(t *testing.T, authority pki.Authority, user, group string, hosts ...string) []tls.Certificate {
	t.Helper()
	pair, err := authority.Issue(user, group, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{certificate}
}

func pool(t *testing.T, authority pki.Authority) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority.Certificate) {
		t.Fatal("the authority's certificate is no PEM")
	}
	return pool
}

// handshake is what the server knows of its client, and the client's error.
func handshake(t *testing.T, serverConfig, clientConfig *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	left, right := net.Pipe()
	server, client := tls.Server(left, serverConfig), tls.Client(right, clientConfig)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Handshake() // the client's error says more
		_ = left.Close()
	}()
	err := client.Handshake()
	_ = right.Close()
	<-served
	return server.ConnectionState(), err
}

func TestASelfSignedCertificateVouchesForItselfUnderItsHosts(t *testing.T) {
	pair, err := pki.SelfSigned(7, "127.0.0.1", "node")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	if got := cert.Leaf.SerialNumber.Int64(); got != 7 {
		t.Errorf("serial %d, want 7", got)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pair.Certificate) {
		t.Fatal("it is no PEM")
	}
	for host, good := range map[string]bool{"127.0.0.1": true, "node": true, "other": false} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
}
