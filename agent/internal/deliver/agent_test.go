package deliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// kms is a server that can fail: the transport of an agent's client.
type kms struct {
	mu      sync.Mutex // guards what follows
	secrets map[string]string
	version int
	status  int // answer every list with it; -1: no answer at all
	hidden  bool
	header  func() http.Header                            // of each answer
	fault   func(r *http.Request) (*http.Response, error) // answers every list instead
	script  []int                                         // status of the lists to come, 0 for none; then status holds
	life    int64                                         // of a token, in seconds
	refused bool                                          // no login is accepted
	logins  []time.Time
	lists   []time.Time
	full    int // lists that were answered in full
}

func (k *kms) set(words ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version++
	k.secrets = map[string]string{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		k.secrets[key] = value
	}
}

func (k *kms) fail(status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = status
}

func (k *kms) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := httptest.NewRecorder()
	if k.header != nil {
		maps.Copy(w.Header(), k.header())
	}
	if strings.HasSuffix(r.URL.Path, "/login") {
		k.logins = append(k.logins, time.Now())
		life := k.life
		if life == 0 {
			life = 7200
		}
		if k.refused {
			refuse(w, http.StatusUnauthorized)
		} else {
			json.NewEncoder(w).Encode(api.Login{AccessToken: "token", ExpiresIn: life, AccessTokenMaxTTL: life})
		}
		return w.Result(), nil
	}
	k.lists = append(k.lists, time.Now())
	status := k.status
	if len(k.script) > 0 {
		status, k.script = k.script[0], k.script[1:]
	}
	tag := fmt.Sprintf(`"%d"`, k.version)
	w.Header().Set("ETag", tag)
	switch {
	case k.fault != nil:
		return k.fault(r)
	case status < 0:
		return nil, errors.New("connection refused")
	case status > 0:
		refuse(w, status)
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		k.full++
		list := []map[string]any{}
		for key, value := range k.secrets {
			list = append(list, map[string]any{"secretKey": key, "secretValue": value, "secretPath": "/", "version": 1, "secretValueHidden": k.hidden,
				"createdAt": "2026-01-02T03:04:05.000Z", "updatedAt": "2026-01-02T03:04:05.000Z"})
		}
		json.NewEncoder(w).Encode(map[string]any{"secrets": list, "imports": []any{}})
	}
	return w.Result(), nil
}

func refuse(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Error{Message: "as the test asked", StatusCode: status, Name: http.StatusText(status)})
}

// agent makes an agent of that server, and the log that it writes.
func (k *kms) agent(t *testing.T, dir string, notify ...config.Target) (*deliver.Agent, *bytes.Buffer) {
	t.Helper()
	return k.configured(t, dir, `, "sources": [{"project": "app", "environment": "prod"}]`, notify...)
}

// configured makes one with more fields of its configuration.
func (k *kms) configured(t *testing.T, dir, more string, notify ...config.Target) (*deliver.Agent, *bytes.Buffer) {
	t.Helper()
	c, err := config.Parse(fmt.Appendf(nil, `{"version": 1, "directory": %q, "credentials": {"clientIdFile": "/unused", "clientSecretFile": "/unused"}%s}`, dir, more))
	if err != nil {
		t.Fatal(err)
	}
	c.Notify = notify
	var log bytes.Buffer
	client := sdk.NewClient(sdk.Config{ClientID: "id", ClientSecret: "secret", Transport: k, MaxRetries: -1})
	return deliver.New(c, client, slog.New(slog.NewJSONHandler(&log, nil))), &log
}

func TestTheLastGoodFilesSurviveWhateverTheServerSays(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*kms)
		want  deliver.Reason
	}{
		{"away", func(k *kms) { k.fail(-1) }, deliver.Unreachable},
		{"overloaded", func(k *kms) { k.fail(503) }, deliver.Unreachable},
		{"too many requests", func(k *kms) { k.fail(429) }, deliver.Unreachable},
		{"broken", func(k *kms) { k.fail(500) }, deliver.Unreachable},
		{"no longer knows us", func(k *kms) { k.fail(401) }, deliver.AuthFailed},
		{"revoked", func(k *kms) { k.fail(403) }, deliver.Forbidden},
		{"the folder is gone", func(k *kms) { k.fail(404) }, deliver.NotFound},
		{"everything is gone", func(k *kms) { k.set() }, deliver.NotFound},
		{"the values are hidden", func(k *kms) { k.set("A=<hidden-by-infisical>"); k.hidden = true }, deliver.Forbidden},
		{"a key that is no file", func(k *kms) { k.set("A=1", "..=2") }, deliver.BadConfig},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := &kms{}
			k.set("A=1", "B=1")
			dir := memoryDir(t)
			agent, _ := k.agent(t, dir)
			if _, err := agent.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := states(t, dir)
			test.spoil(k)
			_, err := agent.Once(t.Context())
			if got := deliver.ReasonOf(err); got != test.want {
				t.Errorf("Once: %s (%v), want %s", got, err, test.want)
			}
			if diff := cmp.Diff(before, states(t, dir)); diff != "" {
				t.Error(diff)
			}
			k.fail(0)
			k.hidden = false
			k.set("A=2")
			if _, err := agent.Once(t.Context()); err != nil {
				t.Errorf("when it is back: %v", err)
			}
			if diff := cmp.Diff([]string{"A=2"}, visible(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARunningAgentPollsWritesChangesAndSignals(t *testing.T) {
	a := startApp(t)
	synctest.Test(t, func(t *testing.T) {
		k := &kms{}
		k.set("A=1")
		dir := memoryDir(t)
		agent, log := k.agent(t, dir, a.target())
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- agent.Keep(ctx, nil) }()

		synctest.Wait()
		before, lines := states(t, dir), log.String()
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff(before, states(t, dir)); diff != "" {
			t.Errorf("an hour without a change: %s", diff)
		}
		if log.String() != lines {
			t.Errorf("an hour without a change logs %s", strings.TrimPrefix(log.String(), lines))
		}
		if polls := len(k.lists); polls < 55 || polls > 68 || k.full != 1 {
			t.Errorf("an hour has %d polls, %d in full, want about 60 and 1", polls, k.full)
		}
		for i := 1; i < len(k.lists); i++ {
			if gap := k.lists[i].Sub(k.lists[i-1]); gap < 54*time.Second || gap > 66*time.Second {
				t.Errorf("%v between two polls, want 60s give or take a tenth", gap)
			}
		}

		k.set("A=2", "B=canary")
		time.Sleep(67 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"A=2", "B=canary"}, visible(t, dir)); diff != "" {
			t.Error(diff)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := log.String(); strings.Contains(got, "canary") || !strings.Contains(got, `"msg":"secrets written","files":2,"generation":"..2"`) ||
			strings.Count(got, "application notified") != 1 {
			t.Errorf("the log is %s", got)
		}
	})
	a.expect(t, "HUP")
	a.expectSilence(t)
}

func TestAnApplicationThatIsNotThereYetDelaysNoRefresh(t *testing.T) {
	a := startApp(t)
	late := filepath.Join(t.TempDir(), "late.pid")
	synctest.Test(t, func(t *testing.T) {
		k := &kms{}
		k.set("A=1")
		dir := memoryDir(t)
		agent, log := k.agent(t, dir, config.Target{PIDFile: late, Signal: "SIGHUP", Timeout: "10s"})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- agent.Keep(ctx, nil) }()
		synctest.Wait()
		for n := 2; n < 5; n++ {
			k.set(fmt.Sprint("A=", n))
			time.Sleep(67 * time.Second)
			synctest.Wait()
			if diff := cmp.Diff([]string{fmt.Sprint("A=", n)}, visible(t, dir)); diff != "" {
				t.Error(diff)
			}
		}
		if err := os.Link(a.pidFile, late); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		stop()
		<-ended
		if got := log.String(); strings.Count(got, "notification failed") != 1 || strings.Count(got, "application notified") != 1 {
			t.Errorf("the log is %s", got)
		}
	})
	a.expect(t, "HUP")
	a.expectSilence(t)
}

func TestAnAgentThatStartsAgainNotifiesOnlyOfAChange(t *testing.T) {
	a := startApp(t)
	run := func(k *kms, dir string) {
		synctest.Test(t, func(t *testing.T) {
			agent, _ := k.agent(t, dir, a.target())
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- agent.Keep(ctx, nil) }()
			time.Sleep(time.Second)
			synctest.Wait()
			stop()
			<-ended
		})
	}
	k := &kms{}
	k.set("A=1")
	dir := memoryDir(t)
	run(k, dir)
	run(k, dir)
	a.expectSilence(t)
	k.set("A=2") // while no agent runs
	run(k, dir)
	a.expect(t, "HUP")
	run(k, dir)
	a.expectSilence(t)
}

func TestInitWaitsForAServerThatIsAwayAndForNothingElse(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		outage  time.Duration
		want    deliver.Reason // "" for success
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"a server that is there", 0, 0, "", 0, 0},
		{"a server that comes up", 503, 20 * time.Second, "", 20 * time.Second, 30 * time.Second},
		{"a server that stays away", -1, time.Hour, deliver.Unreachable, 2 * time.Minute, 2 * time.Minute},
		{"a refusal", 403, time.Hour, deliver.Forbidden, 0, 0},
		{"a folder that is not there", 404, time.Hour, deliver.NotFound, 0, 0},
		{"credentials that are wrong", 401, time.Hour, deliver.AuthFailed, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kms{status: test.status}
				k.set("A=1")
				agent, _ := k.agent(t, memoryDir(t))
				recovery := time.AfterFunc(test.outage, func() { k.fail(0) })
				defer recovery.Stop()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				synctest.Wait()
				start := time.Now()
				err := agent.Init(ctx)
				if took := time.Since(start); took < test.atLeast || took > test.atMost {
					t.Errorf("took %v, want %v to %v", took, test.atLeast, test.atMost)
				}
				if err == nil != (test.want == "") || err != nil && deliver.ReasonOf(err) != test.want {
					t.Errorf("Init: %v, want %q", err, test.want)
				}
			})
		})
	}
}
