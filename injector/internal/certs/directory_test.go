package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/certs"
	"github.com/hanzoai/kms/internal/pki"
)

// volume is a mounted Secret: the names in it lead through a link that is
// exchanged.
type volume struct {
	testing.TB
	dir string
	n   int
}

func newVolume(t testing.TB) *volume { return &volume{TB: t, dir: t.TempDir()} }

func (v *volume) put(files map[string][]byte) {
	v.Helper()
	v.n++
	generation := fmt.Sprintf("..generation%d", v.n)
	v.must(os.Mkdir(filepath.Join(v.dir, generation), 0o700))
	for name, content := range files {
		v.must(os.WriteFile(filepath.Join(v.dir, generation, name), content, 0o600))
		if err := os.Symlink("..data/"+name, filepath.Join(v.dir, name)); !errors.Is(err, os.ErrExist) {
			v.must(err)
		}
	}
	v.must(os.Symlink(generation, filepath.Join(v.dir, "..next")))
	v.must(os.Rename(filepath.Join(v.dir, "..next"), filepath.Join(v.dir, "..data")))
	v.must(os.RemoveAll(filepath.Join(v.dir, fmt.Sprintf("..generation%d", v.n-1))))
}

func (v *volume) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

// issuer is somebody else who makes certificates.
type issuer struct {
	testing.TB
	pki.Authority
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	authority, err := pki.NewAuthority("issuer")
	if err != nil {
		t.Fatal(err)
	}
	return issuer{t, authority}
}

func (i issuer) files(name string) map[string][]byte {
	i.Helper()
	pair, err := i.Issue("issued", "", name)
	if err != nil {
		i.Fatal(err)
	}
	return map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key, "ca.crt": i.Certificate}
}

// startAlone starts a Keeper that needs no cluster, and has none.
func startAlone(t *testing.T, directory string) *certs.Keeper {
	t.Helper()
	keeper, err := certs.New(&rest.Config{Host: "127.0.0.1:1"}, certs.Config{
		Leaves: []certs.Leaf{{Name: "reports", DNSName: reports.DNSName, Directory: directory}},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, keeper.Start)
	run(t, keeper.Rotator().Start)
	return keeper
}

// served is the certificate that the next handshake gets, as PEM would hold it.
func served(keeper *certs.Keeper) string {
	certificate, err := keeper.TLS("reports").GetCertificate(nil)
	if err != nil {
		return err.Error()
	}
	return string(certificate.Leaf.Raw)
}

func serves(keeper *certs.Keeper, files map[string][]byte) func() error {
	return func() error {
		pair, err := tls.X509KeyPair(files["tls.crt"], files["tls.key"])
		if err != nil {
			return err
		}
		if served(keeper) != string(pair.Leaf.Raw) || string(keeper.CA("reports")) != string(files["ca.crt"]) {
			return errors.New("another is served")
		}
		return nil
	}
}

func TestACertificateInADirectoryIsFollowed(t *testing.T) {
	v, one, two := newVolume(t), newIssuer(t), newIssuer(t)
	keeper := startAlone(t, v.dir)
	until(t, "the directory is empty", func() error {
		if metric(t, keeper, "kms_injector_certificate_reload_failures_total", "") == 0 {
			return errors.New("no failure is counted")
		}
		return nil
	})
	if got := served(keeper); got != "there is no certificate reports yet" {
		t.Errorf("got %q", got)
	}
	first, second := one.files(reports.DNSName), one.files(reports.DNSName)
	v.put(first)
	until(t, "the first", serves(keeper, first))

	failures := metric(t, keeper, "kms_injector_certificate_reload_failures_total", "")
	v.put(map[string][]byte{"tls.crt": second["tls.crt"], "tls.key": first["tls.key"], "ca.crt": first["ca.crt"]})
	until(t, "a certificate with another's key", func() error {
		if metric(t, keeper, "kms_injector_certificate_reload_failures_total", "") == failures {
			return errors.New("no failure is counted")
		}
		return nil
	})
	if err := serves(keeper, first)(); err != nil {
		t.Errorf("a broken one was taken up: %v", err)
	}
	other := two.files(reports.DNSName)
	v.put(other)
	until(t, "another issuer's", serves(keeper, other))
}

func TestWebhooksMayBeServedByACertificateOfSomebodyElse(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	v, issuer := newVolume(t), newIssuer(t)
	leaf := certs.Leaf{Name: "webhooks", DNSName: webhooks.DNSName, Directory: v.dir, Webhooks: true}
	replica := c.start(true, leaf)
	says := func(what string) func() error {
		return func() error {
			if err := replica.Ready(); err == nil || !strings.Contains(err.Error(), what) {
				return fmt.Errorf("got %v, want %q", err, what)
			}
			return nil
		}
	}
	until(t, "no certificate yet", says("read the certificate in "+v.dir))
	v.put(issuer.files(leaf.DNSName))
	until(t, "API servers know the issuer by themselves", replica.Ready)
	for _, bundle := range c.bundles() {
		if bundle != "" {
			t.Error("a caBundle was touched")
		}
	}
	c.trust(issuer.Certificate)
	if _, err := c.connect(replica.address, leaf.DNSName); err != nil {
		t.Error(err)
	}
	c.trust(newIssuer(t).Certificate)
	until(t, "another authority in the caBundles", says("unknown authority"))
	c.trust(issuer.Certificate)
	until(t, "the right one", replica.Ready)
	c.clock.advance(8 * day)
	until(t, "the certificate ends", says("expired"))
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(c.secret()), c.secret()); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a Secret was made: %v", err)
	}
}

func TestAServerSpeaksHTTP2AndNoOldTLS(t *testing.T) {
	v, issuer := newVolume(t), newIssuer(t)
	files := issuer.files(reports.DNSName)
	v.put(files)
	keeper := startAlone(t, v.dir)
	until(t, "the certificate", serves(keeper, files))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	v.must(err)
	server := &http.Server{TLSConfig: keeper.TLS("reports"), Handler: http.NotFoundHandler()}
	go server.ServeTLS(listener, "", "")
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(keeper.CA("reports"))
	known := &tls.Config{RootCAs: roots, ServerName: reports.DNSName}
	transport := &http.Transport{TLSClientConfig: known, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get("https://" + listener.Addr().String())
	v.must(err)
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("got %s", resp.Proto)
	}
	for _, test := range []struct {
		version uint16
		spoken  bool
	}{{tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		config := known.Clone()
		config.MinVersion, config.MaxVersion = test.version, test.version
		conn, err := tls.Dial("tcp", listener.Addr().String(), config)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != test.spoken {
			t.Errorf("%s: %v", tls.VersionName(test.version), err)
		}
	}
}

func TestAWrongConfigurationIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		config certs.Config
		want   string
	}{
		{"no name", certs.Config{Leaves: []certs.Leaf{{DNSName: "a.b.svc", Directory: "/certs"}}}, "a name of its own"},
		{"no DNS name", certs.Config{Leaves: []certs.Leaf{{Name: "a", Directory: "/certs"}}}, "a DNS name"},
		{"the authority's name", certs.Config{Leaves: []certs.Leaf{{Name: "ca", DNSName: "a.b.svc", Directory: "/certs"}}}, "which is not ca"},
		{"twice the same", certs.Config{Namespace: "kms", Secret: "s", Leaves: []certs.Leaf{reports, reports}}, "a name of its own"},
		{"no Secret", certs.Config{Namespace: "kms", Leaves: []certs.Leaf{reports}}, "a namespace and a Secret"},
		{"no webhooks", certs.Config{Namespace: "kms", Secret: "s", Leaves: []certs.Leaf{webhooks}}, "the name of the webhook configurations"},
	} {
		if _, err := certs.New(&rest.Config{}, test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}
