package store_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/server/internal/store"
)

const password = "correct-horse-battery-staple"

func TestOpenRefusesAConfigurationThatNamesNotOneDatabase(t *testing.T) {
	t.Parallel()
	tests := map[string]store.Config{
		"both a server and a directory": {URI: "postgres://kms:" + password + "@127.0.0.1/kms", Dir: t.TempDir()},
		"neither":                       {},
		"a URI with a broken port":      {URI: "postgres://kms:" + password + "@127.0.0.1:port/kms"},
		"a URI with an unescaped %":     {URI: "postgres://kms:" + password + "%@127.0.0.1/kms"},
		"a URI of something else":       {URI: "mysql://kms:" + password + "@127.0.0.1/kms"},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), cfg)
			wantError(t, err, api.ErrInvalid)
			wantNoPassword(t, err, password)
		})
	}
}

func wantNoPassword(tb testing.TB, err error, password string) {
	tb.Helper()
	if err != nil && strings.Contains(err.Error(), password) {
		tb.Errorf("the error tells the password: %v", err)
	}
}

func TestADatabaseThatCannotBeReachedIsAnOutage(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, uri *url.URL){
		"a wrong password": func(_ *testing.T, uri *url.URL) { uri.User = url.UserPassword(uri.User.Username(), password) },
		"no such database": func(_ *testing.T, uri *url.URL) { uri.Path = "/no_such_database" },
		"nobody listens":   func(t *testing.T, uri *url.URL) { uri.Host = closedPort(t) },
		"it never answers": func(t *testing.T, uri *url.URL) { uri.Host = silentServer(t) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uri, err := url.Parse(pgtest.URI(t))
			if err != nil {
				t.Fatal(err)
			}
			uri.User = url.UserPassword(uri.User.Username(), passwordOf(uri))
			spoil(t, uri)
			ctx, cancel := context.WithCancel(t.Context())
			if name == "it never answers" {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			}
			defer cancel()
			_, err = store.Open(ctx, store.Config{URI: uri.String()})
			wantError(t, err, api.ErrUnavailable)
			wantNoPassword(t, err, passwordOf(uri))
		})
	}
}

func passwordOf(uri *url.URL) string {
	if password, ok := uri.User.Password(); ok {
		return password
	}
	return password
}

// closedPort is an address at which nobody listens any more.
func closedPort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// silentServer accepts connections, into its backlog, and says nothing.
func silentServer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

func TestAServerThatDiesIsAnOutageUntilItIsBack(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	uri, err := url.Parse(server.URI())
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, store.Config{URI: server.URI()})
	w, feed := seed(t, s), follow(t, s)
	dead := func(context.Context, *store.Tx) error {
		server.Crash()
		return nil
	}
	ctx := t.Context()
	calls := []struct {
		name string
		call func() error
	}{
		{"Update when it dies before the commit", func() error {
			return try(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddOrganization(ctx, organization("lost")) }, dead)
		}},
		{"Update", func() error { return try(t, s) }},
		{"View", func() error { return s.View(ctx, func(*store.Tx) error { return nil }) }},
		{"Ping", func() error { return s.Ping(ctx) }},
		{"AppendAudit", func() error { return s.AppendAudit(ctx, batch("run", 1), nil, nil) }},
		{"PartitionAudit", func() error { return s.PartitionAudit(ctx, now, now) }},
		{"DropAudit", func() error { return s.DropAudit(ctx, now) }},
		{"TryLock", func() error { _, err := s.TryLock(ctx, "seal", func(context.Context) error { return nil }); return err }},
		{"Follow", func() error { _, err := s.Follow(ctx); return err }},
		{"Read", func() error { _, err := feed.Read(ctx); return err }},
	}
	for _, c := range calls {
		err := c.call()
		if err == nil {
			t.Errorf("%s: no error of a dead server", c.name)
			continue
		}
		wantError(t, err, api.ErrUnavailable)
		wantNoPassword(t, err, passwordOf(uri))
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	diff(t, "organisations after the restart", read(t, s, slugs), []string{w.organization.Slug})
	update(t, s, func(ctx context.Context, tx *store.Tx) error {
		return tx.FolderChanged(ctx, w.environment.ID, w.root.ID, now)
	})
	if got := kinds(readFeed(t, feed)); len(got) != 1 || got[0] != store.KindFolder {
		t.Errorf("the feed after the restart: %v, want the one change made since", got)
	}
}
