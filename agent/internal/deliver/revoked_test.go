package deliver_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/sdk"
)

func TestOnlyASecondRefusalByTheServerItselfIsARevocation(t *testing.T) {
	tests := []struct {
		name    string
		spoil   func(k *kms, secretFile string)
		revoked bool
	}{
		{"one refusal", func(k *kms, _ string) { k.script = []int{403} }, false},
		{"refusals that are not in a row", func(k *kms, _ string) { k.script = []int{403, 503, 403, -1, 403, 0, 403} }, false},
		{"two refusals", func(k *kms, _ string) { k.script = []int{403, 403} }, true},
		{"a refusal for good", func(k *kms, _ string) { k.status = 403 }, true},
		{"logins that are refused", func(k *kms, _ string) { k.status, k.refused = 401, true }, true},
		{"values that are hidden", func(k *kms, _ string) { k.version, k.hidden = 2, true }, true},
		{"an outage", func(k *kms, _ string) { k.status = 503 }, false},
		{"no connection", func(k *kms, _ string) { k.status = -1 }, false},
		{"too many requests", func(k *kms, _ string) { k.status = 429 }, false},
		{"a folder that is gone", func(k *kms, _ string) { k.status = 404 }, false},
		{"a page that refuses", func(k *kms, _ string) { k.fault = answerWith(http.StatusForbidden, "<html>") }, false},
		{"a page that wants a login", func(k *kms, _ string) { k.fault = answerWith(http.StatusUnauthorized, "<html>") }, false},
		{"a refusal by another program", func(k *kms, _ string) { k.fault = answerWith(http.StatusForbidden, `{"message":"Forbidden"}`) }, false},
		{"a file of credentials that is empty", func(k *kms, file string) { k.status = 401; os.Truncate(file, 0) }, false},
		{"a file of credentials that is gone", func(k *kms, file string) { k.status = 401; os.Remove(file) }, false},
	}
	for _, test := range tests {
		for _, policy := range []string{"keep", "delete", "exit"} {
			t.Run(test.name+" under "+policy, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := &kms{}
					k.set("A=1")
					dir := memoryDir(t)
					agent, log, secretFile := k.strict(t, dir, policy, nil)
					end := keep(t, agent)
					k.mu.Lock()
					test.spoil(k, secretFile)
					k.mu.Unlock()
					time.Sleep(time.Hour)
					k.mu.Lock()
					k.status, k.fault, k.refused, k.hidden, k.version = 0, nil, false, false, 3
					k.mu.Unlock()
					if err := os.WriteFile(secretFile, []byte("canary"), 0o600); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					// However it went, the files are there again.
					if diff := cmp.Diff([]string{"A=1"}, visible(t, dir)); diff != "" {
						t.Error(diff)
					}
					deleted := strings.Contains(log.String(), "files deleted")
					if deleted != (policy == "delete" && test.revoked) {
						t.Errorf("deleted: %v, log %s", deleted, log)
					}
					if err := end(); (err != nil) != (policy == "exit" && test.revoked) {
						t.Errorf("Run: %v", err)
					}
					if strings.Contains(log.String(), "canary") {
						t.Errorf("the log holds a credential: %s", log)
					}
				})
			})
		}
	}
}

func TestFilesThatAreDeletedLeaveNoValueBehind(t *testing.T) {
	a := startApp(t)
	synctest.Test(t, func(t *testing.T) {
		k := &kms{}
		k.set("A=1", "B=1")
		dir := memoryDir(t)
		agent, _, _ := k.strict(t, dir, "delete", func(c *config.Config) {
			c.Notify, c.Previous = []config.Target{a.target()}, true
		})
		end := keep(t, agent)
		k.set("A=2", "B=2")
		time.Sleep(67 * time.Second)
		synctest.Wait()
		a.expect(t, "HUP") // of the change; two that are not taken yet are one
		k.fail(http.StatusForbidden)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"..3", "..data -> ..3", "..notified -> ..3", "..state"}, layout(t, dir)); diff != "" {
			t.Error(diff)
		}
		if err := end(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	a.expect(t, "HUP") // of the end
	a.expectSilence(t)
}

// strict is an agent with files of credentials and a policy.
func (k *kms) strict(t *testing.T, dir, policy string, change func(*config.Config)) (agent *deliver.Agent, log *bytes.Buffer, secretFile string) {
	t.Helper()
	v := volume{t.TempDir()}
	for _, name := range []string{"/id", "/secret"} {
		if err := os.WriteFile(v.dir+name, []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse(fmt.Appendf(nil, `{"version": 1, "directory": %q, "sources": [{"project": "app", "environment": "prod"}],
		"credentials": {"clientIdFile": "%s/id", "clientSecretFile": "%[2]s/secret"}, "onRevoked": %[3]q}`, dir, v.dir, policy))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	log = &bytes.Buffer{}
	client := sdk.NewClient(sdk.Config{Credentials: deliver.Credentials(v.files()), Transport: k, MaxRetries: -1})
	return deliver.New(c, client, slog.New(slog.NewJSONHandler(log, nil))), log, v.dir + "/secret"
}
