package deliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/sdk"
)

// run is an agent from its start to its end, with more fields of its
// configuration. It gives what it logged.
func (k *kms) run(t *testing.T, dir, more string) (log string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := config.Parse(fmt.Appendf(nil, `{"version": 1, "directory": %q, "sources": [{"project": "app", "environment": "prod"}],
			"credentials": {"clientIdFile": "/unused", "clientSecretFile": "/unused"}%s}`, dir, more))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		client := sdk.NewClient(sdk.Config{ClientID: "id", ClientSecret: "secret", Transport: k, MaxRetries: -1})
		agent := deliver.New(c, client, slog.New(slog.NewJSONHandler(&text, nil)))
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := agent.Keep(ctx, nil); err != nil {
			t.Error(err)
		}
		log = text.String()
	})
	return log
}

// editState changes a field of the state.
func editState(t *testing.T, dir, field string, value any) {
	t.Helper()
	data, err := os.ReadFile(dir + "/..state")
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]any{}
	if err := json.Unmarshal(data, &state); err != nil || state[field] == nil {
		t.Fatalf("the state is %s, %v", data, err)
	}
	state[field] = value
	data, _ = json.Marshal(state)
	replace(t, dir+"/..state", data)
}

func replace(t *testing.T, name string, data []byte) {
	t.Helper()
	os.Remove(name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// setStates is states of the set alone.
func setStates(t *testing.T, dir string) map[string]string {
	set := states(t, dir)
	delete(set, dir)
	delete(set, dir+"/..state")
	return set
}

func TestAnAgentThatStartsAgainReadsNothingThatHasNotChanged(t *testing.T) {
	for _, more := range []string{"", `, "writeMode": "rename"`, `, "previous": true`, `, "writeMode": "rename", "previous": true`} {
		k, dir := &kms{}, memoryDir(t)
		for n := range 2 {
			k.set(fmt.Sprint("A=", n), "B=1")
			k.run(t, dir, more)
		}
		before := states(t, dir)
		log := k.run(t, dir, more)
		if k.full != 2 || len(k.lists) != 3 {
			t.Errorf("%s: %d lists, %d in full, want 3 and 2", more, len(k.lists), k.full)
		}
		if diff := cmp.Diff(before, states(t, dir)); diff != "" {
			t.Errorf("%s: %s", more, diff)
		}
		if strings.Contains(log, "secrets written") || strings.Contains(log, `"level":"WARN"`) {
			t.Errorf("%s: the log is %s", more, log)
		}
	}
}

func TestAStateThatIsNotOfThisSetIsNotBelieved(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template")
	write := func(text string) {
		if err := os.WriteFile(template, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	withTemplate := fmt.Sprintf(`, "outputs": [{}, {"format": "template", "file": "t", "templateFile": %q}]`, template)
	good := func(t *testing.T, dir string) []byte {
		data, err := os.ReadFile(dir + "/..state")
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		more  string // configuration of the agent that starts then
	}{
		{"of another generation", func(t *testing.T, dir string) { editState(t, dir, "generation", "..7") }, ""},
		{"of no generation", func(t *testing.T, dir string) { editState(t, dir, "generation", "") }, ""},
		{"of another fingerprint", func(t *testing.T, dir string) { editState(t, dir, "fingerprint", "x") }, ""},
		{"of another version", func(t *testing.T, dir string) { editState(t, dir, "version", 2) }, ""},
		{"of other requests", func(t *testing.T, dir string) { editState(t, dir, "cursor", []string{`"1"`, `"1"`}) }, ""},
		{"of other tags", func(t *testing.T, dir string) { editState(t, dir, "cursor", []string{"absent"}) }, ""},
		{"of more files", func(t *testing.T, dir string) { editState(t, dir, "files", 9) }, ""},
		{"of another configuration", func(*testing.T, string) {}, `, "mode": "0440"`},
		{"of another way of writing", func(*testing.T, string) {}, `, "writeMode": "rename"`},
		{"of another template", func(*testing.T, string) { write("two {{ .A }}") }, ""},
		{"truncated", func(t *testing.T, dir string) { replace(t, dir+"/..state", good(t, dir)[:20]) }, ""},
		{"empty", func(t *testing.T, dir string) { replace(t, dir+"/..state", nil) }, ""},
		{"garbage", func(t *testing.T, dir string) { replace(t, dir+"/..state", []byte("\x00\xff{]")) }, ""},
		{"of another type", func(t *testing.T, dir string) { replace(t, dir+"/..state", []byte(`["..1"]`)) }, ""},
		{"2 MB of garbage", func(t *testing.T, dir string) { replace(t, dir+"/..state", bytes.Repeat([]byte("{"), 2<<20)) }, ""},
		{"2 MB more", func(t *testing.T, dir string) {
			replace(t, dir+"/..state", append(good(t, dir), bytes.Repeat([]byte(" "), 2<<20)...))
		}, ""},
		{"a link to one", func(t *testing.T, dir string) {
			os.Rename(dir+"/..state", dir+"/..mine")
			os.Symlink("..mine", dir+"/..state")
		}, ""},
		{"a link that leads out", func(t *testing.T, dir string) {
			outside := filepath.Join(memoryDir(t), "state")
			replace(t, outside, good(t, dir))
			os.Remove(dir + "/..state")
			os.Symlink(outside, dir+"/..state")
		}, ""},
		{"gone", func(t *testing.T, dir string) { os.Remove(dir + "/..state") }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			write("one {{ .A }}")
			k, dir := &kms{}, memoryDir(t)
			k.set("A=1", "B=1")
			k.run(t, dir, withTemplate)
			test.spoil(t, dir)
			log := k.run(t, dir, withTemplate+test.more)
			if k.full != 2 {
				t.Errorf("the set was read in full %d times, want 2", k.full)
			}
			if strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
				t.Errorf("the log is %s", log)
			}
			text, _ := os.ReadFile(template)
			want := []string{"A=1", "B=1", "t=" + strings.Replace(string(text), "{{ .A }}", "1", 1)}
			if diff := cmp.Diff(want, visible(t, dir)); diff != "" {
				t.Error(diff)
			}
			// The next one has a good state again.
			before := states(t, dir)
			if k.run(t, dir, withTemplate+test.more); k.full != 2 {
				t.Error("the state is not good again")
			}
			if diff := cmp.Diff(before, states(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASetThatIsReadAgainAndIsTheSameIsNotRewritten(t *testing.T) {
	k, dir := &kms{}, memoryDir(t)
	k.set("A=1")
	k.run(t, dir, "")
	before := setStates(t, dir)
	os.Remove(dir + "/..state")
	k.run(t, dir, "")
	if diff := cmp.Diff(before, setStates(t, dir)); diff != "" || k.full != 2 {
		t.Errorf("read in full %d times: %s", k.full, diff)
	}
}

func TestAStateInWhosePlaceIsADirectoryIsNoFault(t *testing.T) {
	k, dir := &kms{}, memoryDir(t)
	if err := os.MkdirAll(dir+"/..state/x", 0o700); err != nil {
		t.Fatal(err)
	}
	k.set("A=1")
	for n := 1; n <= 2; n++ {
		log := k.run(t, dir, "")
		if strings.Count(log, "state not saved") != 1 || strings.Contains(log, "refresh failed") || k.full != n {
			t.Errorf("read in full %d times, the log is %s", k.full, log)
		}
	}
}

func TestWhatIsMissingOfTheSetIsReadAgainAndPutBack(t *testing.T) {
	for _, way := range []string{"symlink", "rename"} {
		for _, missing := range []string{"A", "..2/A", "..data", "..2", "previous", "..1"} {
			t.Run(missing+", "+way, func(t *testing.T) {
				more := fmt.Sprintf(`, "previous": true, "writeMode": %q`, way)
				k, dir := &kms{}, memoryDir(t)
				for n := 1; n <= 2; n++ {
					k.set(fmt.Sprint("A=", n), "B=2")
					k.run(t, dir, more)
				}
				if err := os.RemoveAll(filepath.Join(dir, missing)); err != nil {
					t.Fatal(err)
				}
				k.run(t, dir, more)
				want := []string{"A=2", "B=2"}
				if diff := cmp.Diff(want, visible(t, dir)); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(want, visible(t, dir+"/..data")); diff != "" {
					t.Error(diff)
				}
				if _, err := os.Stat(dir + "/previous"); err != nil && missing == "previous" {
					t.Errorf("previous: %v", err)
				}
				if k.full != 3 {
					t.Errorf("read in full %d times, want 3", k.full)
				}
			})
		}
	}
}

func TestAStateIsSavedAfterTheSwap(t *testing.T) {
	k, dir := &kms{}, memoryDir(t)
	k.set("A=1")
	k.run(t, dir, "")
	old, err := os.ReadFile(dir + "/..state")
	if err != nil || bytes.Contains(old, []byte("secret")) {
		t.Fatalf("the state is %s, %v", old, err)
	}
	// The next agent was killed between the swap and its state.
	k.set("A=2")
	k.run(t, dir, "")
	replace(t, dir+"/..state", old)
	k.set("A=1") // the server says what it said when that state was made
	k.version = 1
	k.run(t, dir, "")
	if diff := cmp.Diff([]string{"A=1"}, visible(t, dir)); diff != "" {
		t.Errorf("a state of a generation before was believed: %s", diff)
	}
}
