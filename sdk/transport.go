package sdk

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hanzoai/kms/api"
)

// transport is the client's HTTP transport, made anew when the file of the
// authorities changes. The zero value is ready.
type transport struct {
	mu   sync.Mutex // guards what follows
	http *http.Transport
	file fs.FileInfo // the CACertFile that http trusts
}

// roundTripper gives the transport to use now.
func (t *transport) roundTripper(config Config) (http.RoundTripper, error) {
	if config.Transport != nil {
		return config.Transport, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	file, changed, err := t.changed(config.CACertFile)
	if !changed {
		return t.http, nil
	}
	var fresh *http.Transport
	if err == nil {
		fresh, err = newHTTPTransport(config)
	}
	switch {
	case err != nil && t.http == nil:
		return nil, err
	case err != nil:
		return t.http, nil // the last good authorities stay in use
	}
	if t.http != nil {
		t.http.CloseIdleConnections() // nobody uses them any more
	}
	t.http, t.file = fresh, file
	return t.http, nil
}

// changed reports whether there is no transport yet, or one that was made from
// another state of the file. It follows links, so that the swap of a mounted
// volume counts.
func (t *transport) changed(name string) (file fs.FileInfo, changed bool, err error) {
	if name == "" {
		return nil, t.http == nil, nil
	}
	file, err = os.Stat(name)
	switch {
	case err != nil:
		return nil, true, api.Errorf(api.ErrInvalid, "read CACertFile: %w", err)
	case t.file == nil:
		return file, true, nil
	}
	same := os.SameFile(file, t.file) && file.ModTime().Equal(t.file.ModTime()) && file.Size() == t.file.Size()
	return file, !same, nil
}

// readRoots is the pool of the configured authorities; nil means the system's.
func readRoots(config Config) (*x509.CertPool, error) {
	if config.CACertPEM == "" && config.CACertFile == "" {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if config.CACertPEM != "" && !roots.AppendCertsFromPEM([]byte(config.CACertPEM)) {
		return nil, api.Errorf(api.ErrInvalid, "CACertPEM holds no PEM certificate")
	}
	if config.CACertFile == "" {
		return roots, nil
	}
	pem, err := os.ReadFile(config.CACertFile)
	if err != nil {
		return nil, api.Errorf(api.ErrInvalid, "read CACertFile: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, api.Errorf(api.ErrInvalid, "CACertFile %s holds no PEM certificate", config.CACertFile)
	}
	return roots, nil
}

func newHTTPTransport(config Config) (*http.Transport, error) {
	roots, err := readRoots(config)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, // an ingress in between may not speak 1.3 yet
			RootCAs:    roots,
			ServerName: config.TLSServerName,
		},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // it would hide the length, and the ingresses that do it spoil the ETag
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        90 * time.Second, // outlives the usual poll of 60 s
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if config.Proxy != "" {
		err = useProxy(t, dialer, config.Proxy)
	}
	return t, err
}

// useProxy sends everything through the proxy at address. To an HTTPS proxy it
// makes the connection itself: made with the settings for the server, the
// proxy would need the server's name, and might choose HTTP/2, which offers no
// tunnel here.
func useProxy(t *http.Transport, dialer *net.Dialer, address string) error {
	proxy, err := parseProxy(address)
	if err != nil {
		return err
	}
	t.Proxy = http.ProxyURL(proxy)
	if proxy.Scheme == "https" {
		settings := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.TLSClientConfig.RootCAs}
		t.DialTLSContext = (&tls.Dialer{NetDialer: dialer, Config: settings}).DialContext
	}
	return nil
}

// parseProxy never quotes its input in an error: it may hold a password.
func parseProxy(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, api.Errorf(api.ErrInvalid, "Proxy is not of the form http://[user:password@]host[:port]")
	}
	return u, nil
}

// refuseRedirect keeps credentials from travelling to another address.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
