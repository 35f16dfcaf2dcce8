package app

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hanzoai/kms/api"
	flags "github.com/hanzoai/kms/internal/app"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/seal"
)

// Config is what a server can be told. Each field that is a flag has an
// environment variable too; the secrets have one alone, or a file.
type Config struct {
	Listen      string // address of the API
	AdminListen string // address of metrics and health; "" for none
	Data        string // data directory of SQLite, in place of DatabaseURI
	Dev         bool   // a throw-away instance on loopback
	Check       bool   // validate the configuration and exit

	TLSCert, TLSKey string // files; reloaded when they change
	TrustedProxies  []string
	SiteURL         string // where people reach the server, for links
	PProf           bool   // on the admin listener
	LogLevel        slog.Level
	MaxConns        int
	TokenTTL        time.Duration // default life of access tokens
	AuditDays       int           // how long audit rows are kept
	CacheMiB        int
	Grace           time.Duration // for requests under way when the server stops

	RootKey     api.Value // ROOT_ENCRYPTION_KEY
	AuthSecret  api.Value // AUTH_SECRET
	DatabaseURI api.Value // DB_CONNECTION_URI
	RedisURL    api.Value // REDIS_URL

	// What follows is made of the above by Validate.
	root        *seal.Ring
	authSecrets []api.Value
	proxies     []netip.Prefix
}

// Flags defines the flags of the server on fs.
func (c *Config) Flags(fs *flags.Flags) {
	fs.String(&c.Listen, "listen", ":8080", "`address` of the API")
	fs.String(&c.AdminListen, "admin-listen", "127.0.0.1:9090", "`address` of /metrics, /healthz and /readyz; empty for none")
	fs.String(&c.Data, "data", "", "`directory` for the embedded database (SQLite), in place of DB_CONNECTION_URI")
	fs.Bool(&c.Dev, "dev", false, "run a throw-away instance on loopback, with generated keys and a login to paste")
	fs.Bool(&c.Check, "check", false, "validate the configuration, the keys and the database, and exit")
	fs.String(&c.TLSCert, "tls-cert", "", "certificate `file` (PEM); the API then speaks TLS 1.3 only")
	fs.String(&c.TLSKey, "tls-key", "", "private key `file` (PEM) of -tls-cert")
	fs.StringList(&c.TrustedProxies, "trusted-proxies", nil, "`networks` (CIDR) of proxies whose X-Forwarded-For is believed; nobody by default")
	fs.String(&c.SiteURL, "site-url", "", "`URL` under which people reach the server, for links in invitations")
	fs.Bool(&c.PProf, "pprof", false, "serve /debug/pprof on the admin listener; profiles may hold secrets")
	fs.Level(&c.LogLevel, "log-level", slog.LevelInfo, "least `level` of log lines: debug, info, warn or error")
	fs.Int(&c.MaxConns, "db-max-conns", 16, "`connections` to the database at most")
	fs.Duration(&c.TokenTTL, "token-ttl", 7200*time.Second, "`life` of an access token, where its identity does not say otherwise")
	fs.Int(&c.AuditDays, "audit-days", 365, "`days` that audit rows are kept")
	fs.Int(&c.CacheMiB, "cache-mib", 64, "`MiB` of sealed secrets kept in memory")
	fs.Duration(&c.Grace, "grace", 25*time.Second, "`time` that requests under way get when the server stops")
	fs.Secret(&c.RootKey, "ROOT_ENCRYPTION_KEY", flags.Optional, "the root key: base64 of 32 bytes (kms-server keygen makes one); several, newest first, while it is rotated")
	fs.Secret(&c.AuthSecret, "AUTH_SECRET", flags.Optional, "signs access tokens: any 32 bytes or more; several, newest first, while it is rotated")
	fs.Secret(&c.DatabaseURI, "DB_CONNECTION_URI", flags.Optional, "PostgreSQL: postgres://user:password@host:5432/kms")
	fs.Secret(&c.RedisURL, "REDIS_URL", flags.Optional, "Redis, which is optional: redis://host:6379")
}

// Validate finds all that is wrong with the configuration, and parses it.
func (c *Config) Validate() error {
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, api.Errorf(api.ErrInvalid, format, args...)) }
	if c.Dev {
		errs = append(errs, c.validateDev())
	} else {
		errs = append(errs, c.validateDatabase(), c.parseKeys())
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		problem("-tls-cert and -tls-key belong together: give both or neither")
	}
	if len(c.TrustedProxies) > 0 {
		var err error
		if c.proxies, err = auth.ParseNetworks("-trusted-proxies", c.TrustedProxies); err != nil {
			errs = append(errs, err)
		}
	}
	for _, n := range []struct {
		name     string
		value    int
		min, max int
	}{{"-db-max-conns", c.MaxConns, 4, 1000}, {"-audit-days", c.AuditDays, 1, 3650}, {"-cache-mib", c.CacheMiB, 1, 65536}} {
		if n.value < n.min || n.value > n.max {
			problem("%s is %d: give %d to %d", n.name, n.value, n.min, n.max)
		}
	}
	if c.TokenTTL < time.Second || c.TokenTTL > 10*365*24*time.Hour {
		problem("-token-ttl is %s: give 1s to ten years", c.TokenTTL)
	}
	if c.Grace < 0 {
		problem("-grace is %s: give 0s or more", c.Grace)
	}
	return errors.Join(errs...)
}

// validateDatabase: a pod that has lost its URI must not serve an empty
// database, so SQLite is asked for by name.
func (c *Config) validateDatabase() error {
	switch {
	case c.DatabaseURI.Len() == 0 && c.Data == "":
		return api.Errorf(api.ErrInvalid, "no database is given: set DB_CONNECTION_URI (PostgreSQL), or give -data DIR for the embedded one (SQLite), or -dev to try things out")
	case c.DatabaseURI.Len() > 0 && c.Data != "":
		return api.Errorf(api.ErrInvalid, "two databases are given: DB_CONNECTION_URI and -data: take one away")
	}
	return nil
}

func (c *Config) validateDev() error {
	for name, given := range map[string]bool{"-data": c.Data != "", "DB_CONNECTION_URI": c.DatabaseURI.Len() > 0, "ROOT_ENCRYPTION_KEY": c.RootKey.Len() > 0,
		"AUTH_SECRET": c.AuthSecret.Len() > 0} {
		if given {
			return api.Errorf(api.ErrInvalid, "-dev makes its own database and keys, which are gone afterwards: take away %s, or -dev", name)
		}
	}
	return nil
}

func (c *Config) parseKeys() error {
	var errs []error
	if c.RootKey.Len() == 0 {
		errs = append(errs, api.Errorf(api.ErrInvalid, "ROOT_ENCRYPTION_KEY is not set: make one with kms-server keygen, keep a copy where the database is not, and set it (or ROOT_ENCRYPTION_KEY_FILE)"))
	} else if ring, err := seal.ParseRing(c.RootKey.Reveal()); err != nil {
		errs = append(errs, api.Errorf(api.ErrInvalid, "ROOT_ENCRYPTION_KEY: %w", err))
	} else {
		c.root = ring
	}
	if c.AuthSecret.Len() == 0 {
		errs = append(errs, api.Errorf(api.ErrInvalid, "AUTH_SECRET is not set: set it (or AUTH_SECRET_FILE) to any random text of 32 bytes or more; kms-server keygen makes one"))
	} else if secrets, err := auth.ParseAuthSecrets(c.AuthSecret.Reveal()); err != nil {
		errs = append(errs, err) // it names AUTH_SECRET itself
	} else {
		c.authSecrets = secrets
	}
	return errors.Join(errs...)
}
