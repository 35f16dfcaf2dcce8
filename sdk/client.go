package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Version is the version of this client, as its User-Agent tells it.
const Version = "0.1.0"

// DefaultSiteURL is the server of a Config that names none.
const DefaultSiteURL = "https://kms.hanzo.ai"

// Config says which server a Client talks to, and as whom. The zero value of
// each field means its default. A Config holds secrets: printed through fmt or
// slog it shows none.
type Config struct {
	// SiteURL is the server's address, https or http, with or without a
	// trailing slash or "/api". Default: DefaultSiteURL.
	SiteURL string

	// ClientID and ClientSecret are the Universal Auth credentials of a
	// machine identity.
	ClientID     string
	ClientSecret string

	// Credentials gives the client id and the client secret instead, and is
	// asked at each login, so that rotated ones are taken up.
	Credentials func(ctx context.Context) (clientID, clientSecret string, err error)

	// AccessToken is used as it is, instead of a login: it is neither renewed
	// nor replaced.
	AccessToken string

	// CACertPEM and CACertFile name the authorities that may vouch for the
	// server, instead of the system's: PEM text, a PEM file, or both. The file
	// is read again when it changes; while a changed file is unreadable or
	// holds no certificate, the last good one stays in use.
	CACertPEM  string
	CACertFile string

	// TLSServerName is the name that the server's certificate must have, where
	// it is not the host of SiteURL.
	TLSServerName string

	// Proxy is the address of an HTTP or HTTPS proxy to reach the server
	// through, such as "http://user:password@proxy:3128". CACertPEM and
	// CACertFile vouch for an HTTPS proxy too. Default: what HTTPS_PROXY,
	// HTTP_PROXY and NO_PROXY in the environment say.
	Proxy string

	// MaxRetries is how often a call is tried again after a network error, 429
	// or 503. Default: 4. Negative: never.
	MaxRetries int

	// Timeout bounds each try of a call. Default: 30 s.
	Timeout time.Duration

	// MaxResponse bounds the bytes of one answer. Default: 64 MiB.
	MaxResponse int64

	// UserAgent is put before the client's own in the User-Agent header, such
	// as "kms-agent/1.2.3".
	UserAgent string

	// Transport replaces the client's own, and with it the CA, TLS name and
	// proxy settings above.
	Transport http.RoundTripper
}

const (
	defaultMaxRetries  = 4
	defaultTimeout     = 30 * time.Second
	defaultMaxResponse = 64 << 20
)

// Format prints the server and the client id, never a secret.
func (c Config) Format(f fmt.State, verb rune) { fmt.Fprint(f, c.String()) }

// String is the server and the client id, never a secret.
func (c Config) String() string {
	return fmt.Sprintf("kms client of %q at %s", c.ClientID, siteName(c.SiteURL))
}

// LogValue is what slog shows of a Config: no secret.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Client talks to one server as one identity. Make one with NewClient and
// share it: it may be used concurrently, and each Client logs in for itself.
type Client struct {
	config Config
	site   site
	trust  transport

	mu      sync.Mutex // guards what follows
	session session
	login   *flight // the login that runs now, nil when none does
}

// NewClient makes a client. It reads no file and sends nothing: a problem with
// the configuration is the error of the first call.
func NewClient(config Config) *Client {
	if config.MaxRetries == 0 {
		config.MaxRetries = defaultMaxRetries
	}
	if config.Timeout <= 0 {
		config.Timeout = defaultTimeout
	}
	if config.MaxResponse <= 0 {
		config.MaxResponse = defaultMaxResponse
	}
	return &Client{config: config, site: parseSite(config.SiteURL)}
}

// Format prints the server and the client id, never a secret: fmt would
// otherwise walk into the fields, where no method of theirs is asked.
func (c *Client) Format(f fmt.State, verb rune) { c.config.Format(f, verb) }

// LogValue is what slog shows of a Client: no secret.
func (c *Client) LogValue() slog.Value { return c.config.LogValue() }
