// Package kmstest gives a test a real server on a real database in one line,
// and a client to talk to it:
//
//	kms := kmstest.New(t, kmstest.Options{})
//	project := kms.Project("shop")
//	client := kms.Client(kms.Identity(project, "viewer"))
//
// It holds the server's log, and fails a test in whose log a value turns up
// that the test made with Value, however it is encoded. It is for tests only.
package kmstest

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	flags "github.com/hanzoai/kms/internal/app"
	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/internal/transcript"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/app"
	"github.com/hanzoai/kms/server/internal/store"
)

// The engines that a server can run on.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// OnBoth runs a test on both engines.
func OnBoth(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range []string{SQLite, Postgres} {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}

// Options says what server a test wants. The zero value is one on SQLite with
// an organisation "test", set up over the API.
type Options struct {
	Engine string // SQLite (default) or Postgres

	// Empty leaves the instance without an organisation.
	Empty bool
	// Beside makes the server a further replica of another one: the same
	// database and keys. It needs Postgres.
	Beside *Server
	// Clock is the time of the server; nil is the real one.
	Clock *Clock
	// Configure changes the configuration before the server starts.
	Configure func(*Config)
}

// Config is the part of a server's configuration that tests change.
type Config = app.Config

// Server is a running server.
type Server struct {
	URL      string
	AdminURL string    // metrics and health
	Token    api.Value // of the identity that administers the instance
	OrgID    string
	Config   Config

	tb    testing.TB
	clock *Clock
	logs  *transcript.Transcript
	stop  func() // ends the server that runs now
	app   *app.App

	mu      sync.Mutex
	planted []string // guarded by mu
}

// New starts a server, and stops it when the test is over.
func New(tb testing.TB, options Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, clock: options.Clock, logs: &transcript.Transcript{}}
	if s.clock == nil {
		s.clock = &Clock{}
	}
	s.configure(options)
	s.Start()
	tb.Cleanup(s.finish)
	switch {
	case options.Beside != nil:
		s.Token, s.OrgID = options.Beside.Token, options.Beside.OrgID
	case !options.Empty:
		s.bootstrap()
	}
	return s
}

func (s *Server) configure(options Options) {
	rootKey, authSecret := app.Generate()
	s.Config = Config{Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", MaxConns: 8, TokenTTL: 2 * time.Hour, AuditDays: 365, CacheMiB: 64,
		Grace: 5 * time.Second, RootKey: api.NewValue(rootKey), AuthSecret: api.NewValue(authSecret), LogLevel: -8}
	switch {
	case options.Beside != nil:
		s.Config = options.Beside.Config
	case options.Engine == Postgres:
		s.Config.DatabaseURI = api.NewValue(database(s.tb))
	default:
		s.Config.Data = s.tb.TempDir()
	}
	if options.Configure != nil {
		options.Configure(&s.Config)
	}
}

// database is a PostgreSQL database of the test's own, with the schema in it.
func database(tb testing.TB) string {
	tb.Helper()
	hash, err := store.SchemaHash()
	if err != nil {
		tb.Fatal(err)
	}
	return pgtest.Template(tb, "kms_"+hash, func(uri string) error {
		db, err := store.Open(context.Background(), store.Config{URI: uri})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Migrate(context.Background())
	})
}

// Start starts the server again after Stop, on the same database.
func (s *Server) Start() {
	s.tb.Helper()
	if err := s.Config.Validate(); err != nil {
		s.tb.Fatalf("configure the server: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, s.Config, flags.NewLogger(s.logs, s.Config.LogLevel), s.clock.Now)
	if err != nil {
		cancel()
		s.tb.Fatalf("start the server: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s.app = a
	scheme := "http://"
	if s.Config.TLSCert != "" {
		scheme = "https://"
	}
	s.URL = scheme + a.Addr().String()
	if a.AdminAddr() != nil {
		s.AdminURL = "http://" + a.AdminAddr().String()
	}
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.tb.Errorf("stop the server: %v", err)
		}
	}
}

// Stop stops the server as SIGTERM does. Start starts it again; its address
// changes then.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Store is the database behind the server, for tests that look at it or do
// damage to it.
func (s *Server) Store() *store.Store { return s.app.Store() }

// App is the running server.
func (s *Server) App() *app.App { return s.app }

func (s *Server) bootstrap() {
	s.tb.Helper()
	password, _ := app.Generate()
	done, err := s.Anonymous().Bootstrap(context.Background(), sdk.BootstrapInput{Email: "admin@example.com", Password: password, Organization: "test"})
	if err != nil {
		s.tb.Fatalf("bootstrap: %v", err)
	}
	s.Token, s.OrgID = done.Token, done.Organization.ID
	s.Plant(password)
	s.Plant(done.Token.Reveal())
}

func (s *Server) finish() {
	s.Stop()
	for _, value := range s.planted {
		if form, found := Leak(s.logs.String(), value); found {
			s.tb.Errorf("the server's log holds a planted value, %s", form)
		}
	}
}

// Logs is the server's log so far.
func (s *Server) Logs() string { return s.logs.String() }

// Value is a random value that must not turn up in the log.
func (s *Server) Value() string {
	random := make([]byte, 24)
	rand.Read(random)
	value := "canary+/ " + base64.StdEncoding.EncodeToString(random)
	s.Plant(value)
	return value
}

// Plant makes a value one that must not turn up in the log.
func (s *Server) Plant(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planted = append(s.planted, value)
}

// Leak reports whether text holds a value in the clear or in a usual encoding,
// and in which.
func Leak(text, value string) (form string, found bool) {
	for _, f := range []struct{ name, text string }{
		{"as it is", value},
		{"in base64", base64.StdEncoding.EncodeToString([]byte(value))},
		{"in unpadded base64", base64.RawStdEncoding.EncodeToString([]byte(value))},
		{"in base64url", base64.RawURLEncoding.EncodeToString([]byte(value))},
		{"in hex", hex.EncodeToString([]byte(value))},
		{"in capital hex", strings.ToUpper(hex.EncodeToString([]byte(value)))},
		{"escaped for a query", url.QueryEscape(value)},
		{"escaped for a path", url.PathEscape(value)},
	} {
		if strings.Contains(text, f.text) {
			return f.name, true
		}
	}
	return "", false
}

// Clock is a time that tests move.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now is the real time, moved.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Advance moves the time.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}
