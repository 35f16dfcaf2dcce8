package sdk_test

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// proxy opens tunnels for those who know the password.
type proxy struct {
	t       *testing.T
	tunnels atomic.Int64
}

const proxyPassword = "canary:of@a/proxy"

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	known := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+proxyPassword))
	switch {
	case r.Header.Get("Proxy-Authorization") != known:
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method != http.MethodConnect || r.Header.Get("Authorization") != "":
		p.t.Errorf("the proxy saw %s with %q", r.Method, r.Header)
	default:
		p.tunnel(w, r.Host)
	}
}

func (p *proxy) tunnel(w http.ResponseWriter, target string) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	defer client.Close()
	p.tunnels.Add(1)
	io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	io.Copy(client, server)
}

func TestTheServerIsReachedThroughAProxy(t *testing.T) {
	tests := []struct {
		name     string
		tls      bool // between client and proxy
		password string
		want     error
	}{
		{"over HTTP", false, proxyPassword, nil},
		{"over HTTPS, where the proxy has another name than the server and speaks HTTP/2 too", true, proxyPassword, nil},
		{"with a wrong password", false, "canary-that-is-wrong", api.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			authority, cert := newCertificate(t, "kms.internal")
			server := httptest.NewUnstartedServer(newFake())
			server.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
			server.StartTLS()
			defer server.Close()
			p := &proxy{t: t}
			front := httptest.NewUnstartedServer(p)
			if test.tls {
				front.EnableHTTP2 = true
				front.StartTLS()
				authority = append(authority, authorityOf(front)...)
			} else {
				front.Start()
			}
			defer front.Close()
			address, err := url.Parse(front.URL)
			if err != nil {
				t.Fatal(err)
			}
			address.User = url.UserPassword("user", test.password)
			client := sdk.NewClient(sdk.Config{SiteURL: server.URL, ClientID: goodID, ClientSecret: goodSecret, MaxRetries: -1,
				CACertPEM: string(authority), TLSServerName: "kms.internal", Proxy: address.String()})
			tunnels := int64(1)
			if test.want != nil {
				tunnels = 0
			}
			for range 3 {
				_, err := client.ListSecrets(appDev)
				if !errors.Is(err, test.want) || strings.Contains(fmt.Sprint(err), "canary") {
					t.Errorf("got %v, want %v and no password", err, test.want)
				}
			}
			if n := p.tunnels.Load(); n != tunnels {
				t.Errorf("%d tunnels, want %d", n, tunnels)
			}
		})
	}
}

func TestAnAddressThatIsNoProxyIsNotQuoted(t *testing.T) {
	for _, address := range []string{
		"proxy:3128", "user:canary@proxy:3128", "socks5://user:canary@proxy", "http://user:canary@", "http://:3128",
		"http://user:can%ary@proxy", "http://user:canary@proxy:port", "http://proxy?password=canary", "http://proxy/canary", "http://canary\x7f", "canary",
	} {
		client := sdk.NewClient(sdk.Config{SiteURL: "http://127.0.0.1:1", AccessToken: "token", Proxy: address})
		_, err := client.ListSecrets(appDev)
		if !errors.Is(err, api.ErrInvalid) || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("Proxy %q: %v, want %v that does not quote it", address, err, api.ErrInvalid)
		}
	}
}
