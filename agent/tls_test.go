package main_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hanzoai/kms/internal/pki"
)

const tlsName = "kms.internal"

// secure makes the server one with a certificate. certify gives it another,
// and gives the authority of it.
func (s *server) secure(t *testing.T) (certify func() (authority []byte)) {
	t.Helper()
	var serving atomic.Pointer[tls.Certificate]
	certify = func() []byte {
		authority, cert := newCertificate(t)
		serving.Store(cert)
		if s.URL != "" {
			s.CloseClientConnections()
		}
		return authority
	}
	s.Close()
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = discard
	s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serving.Load(), nil }}
	s.StartTLS()
	t.Cleanup(s.Close)
	return certify
}

// newCertificate makes a certificate that is its own authority.
func newCertificate(t *testing.T) (authority []byte, cert *tls.Certificate) {
	t.Helper()
	pair, err := pki.SelfSigned(0, tlsName)
	if err != nil {
		t.Fatal(err)
	}
	made, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return pair.Certificate, &made
}

func replace(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func TestAnAuthorityThatIsReplacedIsTrustedWithoutARestart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	certify := s.secure(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, file, certify())
	p := newPod(t, s.URL, "st.good").with(t, object{"caFile": file, "tlsServerName": tlsName})
	a := start(t, command(p, "run"))
	awaitContent(t, p.dir+"/A", "canary-1")

	authority := certify()
	s.version.Store(2)
	lists := s.lists.Load()
	a.says("refresh failed", "Unreachable", "certificate")
	if s.lists.Load() != lists {
		t.Error("a server that nobody vouches for was asked")
	}
	expectFile(t, p.dir+"/A", "canary-1")
	replace(t, file, authority)
	awaitContent(t, p.dir+"/A", "canary-2")
	a.terminate()
	a.expectCleanLog("canary", "st.good")
}

func TestAServerOfAnotherNameGetsNoCredential(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	certify := s.secure(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, file, certify())
	for _, name := range []any{nil, "other.internal"} {
		p := newPod(t, s.URL, "st.good").with(t, object{"caFile": file, "tlsServerName": name})
		a := start(t, command(p, "init", "-timeout", "1s"))
		a.Wait()
		a.says("kms-agent: Unreachable", "certificate")
		if code := a.ProcessState.ExitCode(); code != 4 || s.lists.Load()+s.logins.Load() != 0 {
			t.Errorf("%v: ended with %d, want 4 and a server that was asked nothing", name, code)
		}
	}
}

// tunnel is a proxy that connects with one address, whatever it is asked for,
// and counts who came.
type tunnel struct {
	to    string
	count atomic.Int64
	asked atomic.Value // the last address
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.count.Add(1)
	p.asked.Store(r.Host)
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	io.Copy(client, server)
}

// The name of the server leads somewhere only at the proxy.
func TestAServerBehindAProxyIsReachedThroughATunnel(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"the configuration", "the environment"} {
		t.Run("by "+from, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			certify := s.secure(t)
			file := filepath.Join(t.TempDir(), "ca.pem")
			replace(t, file, certify())
			way := &tunnel{to: s.Listener.Addr().String()}
			proxy := httptest.NewServer(way)
			t.Cleanup(proxy.Close)
			p := newPod(t, "https://"+tlsName, "st.good").with(t, object{"caFile": file})
			cmd := command(p, "run")
			if from == "the configuration" {
				cmd = command(p.with(t, object{"proxy": proxy.URL}), "run")
			} else {
				cmd.Env = append(cmd.Env, "HTTPS_PROXY="+strings.Replace(proxy.URL, "://", "://user:canary-password@", 1))
			}
			a := start(t, cmd)
			awaitContent(t, p.dir+"/A", "canary-1")
			s.version.Store(2)
			awaitContent(t, p.dir+"/A", "canary-2")
			if n, asked := way.count.Load(), way.asked.Load(); n != 1 || asked != tlsName+":443" {
				t.Errorf("%d tunnels, the last to %v, want 1 to %s:443", n, asked, tlsName)
			}

			// The proxy is away, and with it the server.
			proxy.Close()
			s.CloseClientConnections()
			a.says("refresh failed", "Unreachable", "proxyconnect")
			expectFile(t, p.dir+"/A", "canary-2")
			a.terminate()
			a.expectCleanLog("canary", "st.good")
		})
	}
}
