package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"
)

func TestReadsThatComeTogetherShareACommit(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		s := newShop(t, kmstest.Options{Engine: engine})
		stats := &log(s.Server).Stats
		rowsBefore, batchesBefore := stats.Rows.Load(), stats.Batches.Load()
		var readers sync.WaitGroup
		for range 64 {
			readers.Go(func() {
				for range 4 {
					if _, err := s.client.Get(context.Background(), s.scope, "A", sdk.GetOptions{}); err != nil {
						t.Errorf("read: %v", err)
					}
				}
			})
		}
		readers.Wait()
		written, batches := stats.Rows.Load()-rowsBefore, stats.Batches.Load()-batchesBefore
		if written != 256 || batches*2 > written {
			t.Errorf("256 reads wrote %d rows in %d commits, want 256 in far fewer", written, batches)
		}
	})
}

// A database that is gone is an audit trail that cannot be written: nothing is
// served, cached or not, until it is back; then everything is, by itself.
func TestNothingIsServedWhileTheTrailCannotBeWritten(t *testing.T) {
	t.Parallel()
	postgres := pgtest.New(t)
	s := newShop(t, kmstest.Options{Configure: func(c *kmstest.Config) { c.Data, c.DatabaseURI = "", api.NewValue(postgres.URI()) }})
	value := s.Value()
	s.Put(s.project, "prod", "/", "A", value)
	token, err := s.token(t)
	if err != nil {
		t.Fatal(err)
	}
	served := int64(0)
	list := "/api/v3/secrets/raw?workspaceSlug=shop&environment=prod"
	read := func() (int, string) {
		status, body, header := s.get(t, token, list)
		switch {
		case status == http.StatusOK && strings.Contains(body, mustJSON(value)):
			served++
		case status != http.StatusServiceUnavailable || strings.Contains(body, value) || header.Get("Retry-After") == "":
			t.Errorf("%d %s, want 200 with the value or 503 without", status, body)
		}
		return status, body
	}
	if status, _ := read(); status != http.StatusOK {
		t.Fatalf("before the crash: %d", status)
	}
	postgres.Crash()
	for range 3 {
		if status, _ := read(); status != http.StatusServiceUnavailable {
			t.Errorf("a read without a database: %d, want 503", status)
		}
	}
	for what, target := range map[string]string{"who has no token": "/api/v1/projects", "the status": "/api/status"} {
		if status, body, _ := s.get(t, "", target); status != http.StatusServiceUnavailable {
			t.Errorf("%s without a database: %d %s, want 503", what, status, body)
		}
	}
	if _, err := s.Admin().Update(t.Context(), s.scope, sdk.SecretInput{Key: "A", Value: &value}); api.Status(err) != http.StatusServiceUnavailable {
		t.Errorf("a write without a database: %v, want 503", err)
	}
	if log(s.Server).Stats.Failures.Load() == 0 {
		t.Error("the metric of failed commits is 0")
	}
	if err := postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for status, body := read(); status != http.StatusOK; status, body = read() {
		if ctx.Err() != nil {
			t.Fatalf("a minute after the database came back: %d %s", status, body)
		}
	}
	recorded := int64(0)
	for _, row := range rows(t, s.Server) {
		if row.Event == "get-secrets" && row.Outcome == audit.Success {
			recorded++
		}
	}
	if recorded < served {
		t.Errorf("%d lists were served, %d are on record", served, recorded)
	}
	wantIntact(t, s.Server)
}

func mustJSON(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// refusals sums up the rows of those who proved no identity.
func refusals(t *testing.T, kms *kmstest.Server, reason string) (rowCount, repeats int64) {
	t.Helper()
	if err := log(kms).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows(t, kms) {
		if row.Outcome == audit.Denied && row.Event == reason {
			rowCount++
			repeats += row.Repeats
		}
	}
	return rowCount, repeats
}

func TestTheFirstRefusalsOfASourceAreRowsAndTheRestIsCounted(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		s := newShop(t, kmstest.Options{Engine: engine, Configure: func(c *kmstest.Config) { c.TrustedProxies = []string{"127.0.0.1/32"} }})
		for n := range 27 {
			if status, body, _ := s.get(t, "garbage", "/api/v1/user", "X-Forwarded-For", fmt.Sprintf("2001:db8:1:2::%x", n+1)); status != http.StatusUnauthorized {
				t.Fatalf("%d %s", status, body)
			}
		}
		s.get(t, "garbage", "/api/v1/user", "X-Forwarded-For", "2001:db8:1:3::1") // another network
		if n, repeats := refusals(t, s.Server, "get-self"); n != 20+1+1 || repeats != 28 {
			t.Errorf("28 refusals of two sources are %d rows that stand for %d, want 22 and 28", n, repeats)
		}
		// A client id that exists is counted apart from those that do not.
		for range 22 {
			for _, id := range []string{s.viewer.ClientID, "nobody"} {
				post(t, s.URL+"/api/v1/auth/universal-auth/login", `{"clientId":"`+id+`","clientSecret":"st.wrong"}`)
			}
		}
		if n, repeats := refusals(t, s.Server, "login-identity-universal-auth-failed"); n != 2*(20+1) || repeats != 44 {
			t.Errorf("44 wrong logins of two kinds are %d rows that stand for %d, want 42 and 44", n, repeats)
		}
		wantIntact(t, s.Server)
	})
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// More sources than can be told apart are a flood: it is shed, and it costs
// those who have proved who they are nothing.
func TestAFloodOfStrangersIsShedAndDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	s := newShop(t, kmstest.Options{})
	var flood sync.WaitGroup
	var shed, next atomic.Int64
	for range 64 {
		flood.Go(func() {
			for n := next.Add(1); n <= 8300; n = next.Add(1) {
				source := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()
				err := log(s.Server).Refused(context.Background(), audit.Entry{AuditRow: store.AuditRow{Action: audit.Read, Event: "flood", Outcome: audit.Denied, Reason: "unauthenticated"}}, source, false)
				if api.Status(err) == http.StatusTooManyRequests {
					shed.Add(1)
				} else if err != nil && api.Status(err) != http.StatusServiceUnavailable {
					t.Errorf("a refusal: %v", err)
				}
			}
		})
	}
	for range 20 { // meanwhile
		if _, err := s.client.Get(t.Context(), s.scope, "A", sdk.GetOptions{}); err != nil {
			t.Errorf("a read during the flood: %v", err)
		}
	}
	flood.Wait()
	if shed.Load() < 100 || log(s.Server).Stats.Shed.Load() != shed.Load() {
		t.Errorf("%d of 8300 sources were shed, the metric says %d", shed.Load(), log(s.Server).Stats.Shed.Load())
	}
	status, body, header := s.get(t, "garbage", "/api/v1/projects")
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("a stranger: %d %s, want 429 with Retry-After", status, body)
	}
	if _, err := s.client.Get(t.Context(), s.scope, "A", sdk.GetOptions{}); err != nil {
		t.Errorf("who is known: %v", err)
	}
	if status := post(t, s.URL+"/api/v1/auth/universal-auth/login", `{"clientId":"`+s.viewer.ClientID+`","clientSecret":"`+s.viewer.ClientSecret+`"}`); status != http.StatusOK {
		t.Errorf("a login with the right secret: %d, want 200", status)
	}
}

func TestTheHeadOfTheChainIsInTheLog(t *testing.T) {
	t.Parallel()
	s := newShop(t, kmstest.Options{})
	seal(t, s.Server)
	if err := log(s.Server).PrintHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	head := verify(t, s.Server).Head
	var printed struct {
		Msg, Digest, MAC string
		Number           int64
	}
	for line := range strings.Lines(s.Logs()) {
		if strings.Contains(line, `"audit head"`) {
			if err := json.Unmarshal([]byte(line), &printed); err != nil {
				t.Fatal(err)
			}
		}
	}
	if printed.Number != head.Number || printed.Digest != head.Digest || len(printed.MAC) != 2*36 {
		t.Errorf("printed %+v, want the head %+v", printed, head)
	}
	wantIntact(t, s.Server, audit.Head{Number: printed.Number, Digest: printed.Digest})
}
