package kmstest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/jackc/pgx/v5"
)

const (
	faultWrites  = 10_000 // secrets written by all writers together
	faultWriters = 8
	faultBatch   = 25 // secrets of one request
)

// writer writes its own folder again and again, and remembers what it was
// answered. No other client writes there.
type writer struct {
	token, project, path string
	written              int64    // requests sent, acknowledged or not
	acked                int64    // the last write that was acknowledged
	answered             []string // ids of all requests that were answered 200
}

func (w *writer) value(key int, n int64) string {
	return fmt.Sprintf("%s key %d write %d", w.path, key, n)
}

// write sends the next write; an error is that no whole answer came.
func (w *writer) write(ctx context.Context, url string) error {
	w.written++
	var all []map[string]string
	for key := range faultBatch {
		all = append(all, map[string]string{"secretKey": fmt.Sprintf("KEY_%02d", key), "secretValue": w.value(key, w.written)})
	}
	r, err := call(ctx, http.MethodPatch, url+"/api/v3/secrets/batch/raw", w.token,
		map[string]any{"workspaceId": w.project, "environment": "dev", "secretPath": w.path, "mode": "upsert", "secrets": all})
	switch {
	case err != nil:
		return err
	case r.status == http.StatusServiceUnavailable:
		return fmt.Errorf("status %d", r.status)
	case r.status != http.StatusOK:
		return fatal{fmt.Errorf("write: status %d: %s", r.status, r.body)}
	}
	w.acked = w.written
	w.answered = append(w.answered, r.requestID)
	return nil
}

// fatal is an answer that must never be.
type fatal struct{ error }

// read checks that what was acknowledged is there: all keys of one write, the
// last acknowledged one or one sent after it whose answer was lost.
func (w *writer) read(ctx context.Context, url string) error {
	r, err := call(ctx, http.MethodGet, url+"/api/v3/secrets/raw?workspaceId="+w.project+"&environment=dev&secretPath="+w.path, w.token, nil)
	if err != nil {
		return err
	}
	if r.status == http.StatusServiceUnavailable {
		return fmt.Errorf("status %d", r.status)
	}
	var list struct {
		Secrets []struct {
			SecretValue string
			Version     int64
		}
	}
	if err := json.Unmarshal(r.body, &list); r.status != http.StatusOK || err != nil {
		return fatal{fmt.Errorf("read: status %d: %s", r.status, r.body)}
	}
	w.answered = append(w.answered, r.requestID)
	return w.check(list.Secrets)
}

func (w *writer) check(secrets []struct {
	SecretValue string
	Version     int64
}) error {
	if len(secrets) != faultBatch && w.acked > 0 {
		return fatal{fmt.Errorf("%s has %d secrets, not %d", w.path, len(secrets), faultBatch)}
	}
	for n := w.acked; n <= w.written && len(secrets) > 0; n++ {
		if secrets[0].SecretValue != w.value(0, n) {
			continue
		}
		for key, secret := range secrets {
			if secret.SecretValue != w.value(key, n) || secret.Version != secrets[0].Version || secret.Version > n {
				return fatal{fmt.Errorf("%s: key %d has version %d of another write than key 0 with version %d", w.path, key, secret.Version, secrets[0].Version)}
			}
		}
		return nil
	}
	if w.acked > 0 {
		return fatal{fmt.Errorf("%s: write %d was acknowledged and is not there", w.path, w.acked)}
	}
	return nil
}

// siege is writers at work, until they have written enough.
type siege struct {
	t       *testing.T
	fleet   fleet
	writers []*writer
	total   int64         // writes of faultBatch secrets to be acknowledged
	batches atomic.Int64  // those that were
	half    chan struct{} // closed in the middle
	again   chan struct{} // closed once the servers are up again
}

func newSiege(t *testing.T, admin *sdk.Client, token, project string) *siege {
	t.Helper()
	s := &siege{t: t, total: faultWrites / faultBatch, half: make(chan struct{}), again: make(chan struct{})}
	for n := range faultWriters {
		name := fmt.Sprint("writer-", n)
		if _, err := admin.CreateFolder(t.Context(), sdk.Scope{ProjectID: project, Environment: "dev"}, name, ""); err != nil {
			t.Fatal(err)
		}
		s.writers = append(s.writers, &writer{token: token, project: project, path: "/" + name})
	}
	return s
}

// run lets the writers write while in the middle of it fault happens.
func (s *siege) run(fault func()) {
	var writers sync.WaitGroup
	for n, w := range s.writers {
		writers.Go(func() { s.work(n, w) })
	}
	<-s.half
	fault()
	close(s.again)
	writers.Wait()
}

func (s *siege) work(n int, w *writer) {
	for i := n; s.batches.Load() < s.total && !s.t.Failed(); i++ {
		url := s.fleet.url(i)
		err := w.write(s.t.Context(), url)
		if err == nil {
			if s.batches.Add(1) == s.total/2 {
				close(s.half)
			}
			if i%4 == 0 {
				err = w.read(s.t.Context(), url)
			}
		}
		if broken, ok := err.(fatal); ok {
			s.t.Error(broken)
			if s.batches.Swap(s.total) < s.total/2 {
				close(s.half)
			}
			return
		}
		if err != nil && s.batches.Load() >= s.total/2 {
			<-s.again
		}
	}
}

// verify checks on a server that everything which was answered is there.
func (s *siege) verify(admin *sdk.Client, url string) {
	s.t.Helper()
	for _, w := range s.writers {
		if err := w.read(s.t.Context(), url); err != nil {
			s.t.Error(err)
		}
	}
	recorded := map[string]bool{}
	for log, err := range admin.AllAuditLogs(s.t.Context(), sdk.AuditQuery{Project: s.writers[0].project}) {
		if err != nil {
			s.t.Fatal(err)
		}
		if log.Outcome == "success" {
			recorded[log.RequestID] = true
		}
	}
	answered := 0
	for _, w := range s.writers {
		for _, id := range w.answered {
			answered++
			if !recorded[id] {
				s.t.Errorf("%s was answered and is not in the audit trail", id)
			}
		}
	}
	if int64(answered) < s.total {
		s.t.Errorf("only %d requests were answered", answered)
	}
}

// intact checks the audit trail with the program itself.
func (p *program) intact() {
	p.t.Helper()
	out, err := p.command("audit", "verify", "-admin-listen", "")
	if err != nil || !strings.Contains(out, "the audit trail is intact") {
		p.t.Errorf("audit verify: %v\n%s", err, out)
	}
}

func TestAServerKilledInTheMiddleOfTenThousandWritesLosesNothing(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		p := newProgram(t, engine)
		c := p.start()
		admin, token, project := c.setUp(t)
		s := newSiege(t, admin, token, project)
		s.fleet.set(c.url)
		s.run(func() {
			c.kill()
			c = p.start() // with no step in between
			s.fleet.set(c.url)
		})
		s.verify(c.client(token), c.url)
		c.kill()
		p.intact()
	})
}

// outcomes counts what one client was answered.
type outcomes struct{ good, away atomic.Int64 }

func TestACrashOfPostgreSQLIsAnOutageAndNeverAWrongAnswer(t *testing.T) {
	postgres := pgtest.New(t)
	kms := kmstest.New(t, kmstest.Options{Configure: func(c *kmstest.Config) {
		c.Data, c.DatabaseURI = "", api.NewValue(postgres.URI())
	}})
	project := kms.Project("shop")
	s := newSiege(t, kms.Admin(), login(t, kms, kms.Identity(project, "member")), project.ID)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	all := make([]outcomes, len(s.writers))
	for n, w := range s.writers {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := w.either(kms.URL, &all[n]); err != nil {
					t.Error(err)
					stop()
				}
			}
		})
	}
	each := func(count func(*outcomes) int64) {
		for n := range all {
			for before := count(&all[n]); count(&all[n]) < before+2 && ctx.Err() == nil; {
				_, _ = call(ctx, http.MethodGet, kms.URL+"/api/status", "", nil) // something to wait for
			}
		}
	}
	each(func(o *outcomes) int64 { return o.good.Load() })
	postgres.Crash()
	each(func(o *outcomes) int64 { return o.away.Load() })
	if err := postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	each(func(o *outcomes) int64 { return o.good.Load() })
	stop()
	clients.Wait()
	for _, w := range s.writers {
		if err := w.read(t.Context(), kms.URL); err != nil {
			t.Error(err)
		}
	}
}

// either writes and reads; the answer is right, or 503 with Retry-After.
func (w *writer) either(url string, o *outcomes) error {
	err := w.write(context.Background(), url)
	if err == nil {
		err = w.read(context.Background(), url)
	}
	if _, wrong := err.(fatal); wrong {
		return err
	}
	if err == nil {
		o.good.Add(1)
		return nil
	}
	o.away.Add(1)
	r, err := call(context.Background(), http.MethodGet, url+"/api/v3/secrets/raw?workspaceId="+w.project+"&environment=dev&secretPath="+w.path, w.token, nil)
	if err == nil && r.status != http.StatusOK && (r.status != http.StatusServiceUnavailable || r.retryAfter == "") {
		err = fmt.Errorf("status %d, Retry-After %q: %s", r.status, r.retryAfter, r.body)
	}
	return err
}

func TestAServerThatStopsFinishesWhatItBegan(t *testing.T) {
	p := newProgram(t, kmstest.Postgres)
	c := p.start()
	_, token, project := c.setUp(t)
	var uri string
	for _, setting := range p.env {
		if text, ok := strings.CutPrefix(setting, "DB_CONNECTION_URI="); ok {
			uri = text
		}
	}
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT id FROM environments FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	w := &writer{token: token, project: project, path: "/"}
	done := make(chan error, 1)
	go func() { done <- w.write(t.Context(), c.url) }()
	for waiting := 0; waiting == 0; { // until the request is under way
		if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // until it stopped listening
		probe, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			break
		}
		probe.Close()
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if <-c.done; c.err != nil {
		t.Errorf("the server's end: %v", c.err)
	}
	c = p.start()
	if err := w.read(t.Context(), c.url); err != nil {
		t.Error(err)
	}
}
