package apps_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/internal/pki"
)

// certificate is a self-signed one for 127.0.0.1, with its key.
type certificate struct {
	serial    string
	cert, key string // PEM
}

func newCertificate(t *testing.T, serial int64) certificate {
	t.Helper()
	pair, err := pki.SelfSigned(serial, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return certificate{fmt.Sprint(serial), string(pair.Certificate), string(pair.Key)}
}

// front is the nginx of the example, and a client that trusts some
// certificates. Its upstream answers with the Authorization that it saw.
type front struct {
	*process
	url   string
	roots *x509.CertPool
}

func (s *site) startNginx(trusted ...certificate) *front {
	s.t.Helper()
	nginx := installed(s.t, "nginx", "nginx")
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	s.t.Cleanup(upstream.Close)
	prefix := s.t.TempDir()
	address := freeAddress(s.t)
	// For whoever is not root: nginx's own folders for bodies are root's.
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, prefix, kind)
	}
	config := s.adapted("nginx/nginx.conf", "/kms/secrets", s.dir, "/run/nginx.pid", s.pidFile,
		"listen 8443", "listen "+address, "http://127.0.0.1:9000", upstream.URL, "http {", "http {\n"+temporary)
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	f := &front{start(s.t, nil, nginx, "-p", prefix, "-e", "stderr", "-c", file), "https://" + address + "/", x509.NewCertPool()}
	for _, c := range trusted {
		f.roots.AppendCertsFromPEM([]byte(c.cert))
	}
	f.awaitAddress(address)
	return f
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (f *front) awaitAddress(address string) {
	f.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			f.t.Fatal(err)
		}
	}
}

// seen is what a new client finds: the certificate's serial number, and the
// header that reached the upstream.
type seen struct{ serial, authorization string }

func (f *front) request() (seen, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: f.roots}}}
	resp, err := client.Get(f.url)
	if err != nil {
		return seen{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return seen{}, fmt.Errorf("the status is %d: %w", resp.StatusCode, err)
	}
	return seen{resp.TLS.PeerCertificates[0].SerialNumber.String(), string(body)}, nil
}

func (f *front) expect(want seen) {
	f.t.Helper()
	if got, err := f.request(); err != nil || got != want {
		f.t.Errorf("a client finds %v, %v, want %v", got, err, want)
	}
}

// awaitRequests makes requests until one finds what is wanted. None of them
// may fail.
func (f *front) awaitRequests(want seen) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for n := 0; ; n++ {
		got, err := f.request()
		if err != nil {
			f.t.Fatalf("request %d: %v", n, err)
		}
		if got == want {
			return
		}
		if ctx.Err() != nil {
			f.t.Fatalf("after %d requests a client still finds %v, want %v", n, got, want)
		}
	}
}

func TestNginxTakesUpACertificateAndATokenWithoutLosingARequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one, two := newCertificate(t, 1), newCertificate(t, 2)
	tokens := []string{s.Value(), s.Value()}
	s.put("TLS_CERT", one.cert, "TLS_KEY", one.key, "API_TOKEN", tokens[0])
	agent := s.startAgent("nginx/agent.json")
	nginx := s.startNginx(one, two)
	nginx.expect(seen{"1", "Bearer " + tokens[0]})

	s.put("TLS_CERT", two.cert, "TLS_KEY", two.key, "API_TOKEN", tokens[1])
	nginx.awaitRequests(seen{"2", "Bearer " + tokens[1]})

	// Half of a pair is refused as a whole, and nginx goes on with what it has.
	s.put("TLS_CERT", one.cert, "API_TOKEN", tokens[0])
	nginx.await("key values mismatch")
	nginx.expect(seen{"2", "Bearer " + tokens[1]})
	s.put("TLS_KEY", one.key)
	nginx.awaitRequests(seen{"1", "Bearer " + tokens[0]})

	nginx.terminate()
	agent.terminate()
	lines := append(strings.Split(one.key, "\n")[1:3], strings.Split(two.key, "\n")[1:3]...)
	nginx.expectNoTraceOf(append(lines, tokens...)...)
	agent.expectNoTraceOf(append(lines, tokens...)...)
}
