package deliver_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// mounted is a Secret as the kubelet mounts it.
func mounted(t *testing.T, words ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	remount(t, dir, "..2026_01_02", words...)
	return dir
}

// remount exchanges what is mounted.
func remount(t *testing.T, dir, generation string, words ...string) {
	t.Helper()
	steps := []error{os.Mkdir(filepath.Join(dir, generation), 0o700), os.Symlink(generation, dir+"/..data_tmp"), os.Rename(dir+"/..data_tmp", dir+"/..data")}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		os.Remove(filepath.Join(dir, name))
		steps = append(steps, os.WriteFile(filepath.Join(dir, generation, name), []byte(value), 0o600), os.Symlink("..data/"+name, filepath.Join(dir, name)))
	}
	mustDo(t, steps...)
}

// fallingBack is an agent with a fallback, and with more fields of its
// configuration.
func (k *kms) fallingBack(t *testing.T, dir, fallback, more string, notify ...config.Target) (*deliver.Agent, *bytes.Buffer) {
	t.Helper()
	if !strings.Contains(more, `"sources"`) {
		more += `, "sources": [{"project": "app", "environment": "prod"}]`
	}
	return k.configured(t, dir, fmt.Sprintf(`, "fallback": {"directory": %q, "after": "20s"}%s`, fallback, more), notify...)
}

func TestTheFallbackIsForAServerThatIsAwayAndForNothingElse(t *testing.T) {
	then := func(statuses ...int) func(*kms) { // the last holds on
		return func(k *kms) { k.script, k.status = statuses, statuses[len(statuses)-1] }
	}
	answers := func(fault func(*http.Request) (*http.Response, error)) func(*kms) {
		return func(k *kms) { k.fault = fault }
	}
	tests := []struct {
		name  string
		spoil func(*kms)
		used  bool
	}{
		{"no connection", then(-1), true},
		{"no answer to the end", answers(hang), true},
		{"overload", then(503), true},
		{"too many requests", then(429), true},
		{"overload that asks for patience", func(k *kms) {
			k.status, k.header = 503, func() http.Header { return http.Header{"Retry-After": {"240"}} }
		}, true},
		{"a server that is broken", then(500), true},
		{"a page of a gateway", answers(answerWith(http.StatusBadGateway, "<html>")), true},
		{"all of these in turn", then(-1, 503, 429, 500, 502), true},
		{"a token that is not taken", then(401), false},
		{"a login that is not accepted", func(k *kms) { k.refused = true }, false},
		{"a refusal", then(403), false},
		{"a page that refuses", answers(answerWith(http.StatusForbidden, "<html>")), false},
		{"a folder that is not there", then(404), false},
		{"a folder without secrets", func(k *kms) { k.set() }, false},
		{"values that are hidden", func(k *kms) { k.hidden = true }, false},
		{"a key that is no file", func(k *kms) { k.set("..=1") }, false},
		{"a refusal before the outage", then(403, 503), false},
		{"a refusal in the middle of the outage", then(503, 403, -1), false},
		{"credentials that were not accepted before the outage", then(401, 401, 503), false},
		{"a folder that was not there before the outage", then(404, -1), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, fallback := memoryDir(t), mounted(t, "A=fallback")
			synctest.Test(t, func(t *testing.T) {
				k := &kms{}
				k.set("A=1")
				test.spoil(k)
				agent, log := k.fallingBack(t, dir, fallback, "")
				end := keep(t, agent)
				time.Sleep(18 * time.Second) // and one of keep
				synctest.Wait()
				if _, err := os.Lstat(dir + "/A"); err == nil {
					t.Error("there are files before the time of the fallback")
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				_, err := os.Lstat(dir + "/A")
				if used := err == nil; used != test.used {
					t.Fatalf("used: %v, log %s", used, log)
				}
				if got := strings.Count(log.String(), "StaleFallback"); got == 1 != test.used {
					t.Errorf("%d lines name StaleFallback in %s", got, log)
				}
				if ready := agent.NotReady() == ""; ready != test.used {
					t.Errorf("ready: %v (%s)", ready, agent.NotReady())
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if err := end(); err != nil {
					t.Errorf("Run: %v", err)
				}
				if test.used {
					if diff := cmp.Diff([]string{"A=fallback"}, visible(t, dir)); diff != "" {
						t.Error(diff)
					}
				}
			})
		})
	}
}

func TestTheServerTakesThePlaceOfTheFallbackAndTheApplicationIsToldOnce(t *testing.T) {
	a := startApp(t)
	dir, fallback := memoryDir(t), mounted(t, "A=fallback", "GONE=1")
	synctest.Test(t, func(t *testing.T) {
		k := &kms{status: 503}
		k.set("A=1")
		agent, log := k.fallingBack(t, dir, fallback, "", a.target())
		end := keep(t, agent)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		a.expectSilence(t) // of the fallback
		k.fail(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"A=1"}, visible(t, dir)); diff != "" {
			t.Error(diff)
		}
		a.expect(t, "HUP")
		k.fail(503) // what came from the server is never replaced by the fallback
		time.Sleep(time.Hour)
		synctest.Wait()
		end()
		if diff := cmp.Diff([]string{"A=1"}, visible(t, dir)); diff != "" {
			t.Error(diff)
		}
		if got := log.String(); strings.Count(got, "secrets written") != 1 || strings.Count(got, "StaleFallback") != 1 {
			t.Errorf("the log is %s", got)
		}
	})
	a.expectSilence(t)
}

func TestAFallbackThatIsWhatTheServerHasIsNoChange(t *testing.T) {
	a := startApp(t)
	dir, fallback := memoryDir(t), mounted(t, "A=1")
	synctest.Test(t, func(t *testing.T) {
		k := &kms{status: -1}
		k.set("A=1")
		agent, _ := k.fallingBack(t, dir, fallback, "", a.target())
		end := keep(t, agent)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := setStates(t, dir)
		k.fail(0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		end()
		if diff := cmp.Diff(before, setStates(t, dir)); diff != "" {
			t.Error(diff)
		}
	})
	a.expectSilence(t)
	if state := readState(t, dir); strings.Contains(state, "stale") || !strings.Contains(state, `"cursor":["\"1\""]`) {
		t.Errorf("the state is %s", state)
	}
}

func readState(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(dir + "/..state")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnAgentThatStartsAgainKeepsTheFallbackAndSaysSo(t *testing.T) {
	a := startApp(t)
	dir, fallback := memoryDir(t), mounted(t, "A=fallback")
	run := func(k *kms, back bool) (log string) {
		synctest.Test(t, func(t *testing.T) {
			agent, text := k.fallingBack(t, dir, fallback, `, "pollInterval": "24h"`, a.target())
			end := keep(t, agent)
			time.Sleep(time.Minute)
			if problem := agent.NotReady(); problem != "" {
				t.Errorf("not ready: %s", problem)
			}
			time.Sleep(10 * time.Hour)
			if back {
				k.fail(0)
				time.Sleep(2 * time.Minute)
			}
			synctest.Wait()
			end()
			log = text.String()
		})
		return log
	}
	k := &kms{status: -1}
	k.set("A=1")
	run(k, false)
	before := setStates(t, dir)
	remount(t, fallback, "..2026_01_03", "A=another") // is for starts only
	if log := run(k, false); strings.Count(log, "still those of the fallback") != 1 || strings.Contains(log, "started from") {
		t.Errorf("the second agent logs %s", log)
	}
	if diff := cmp.Diff(before, setStates(t, dir)); diff != "" {
		t.Errorf("the second agent: %s", diff)
	}
	a.expectSilence(t)
	run(k, true)
	if diff := cmp.Diff([]string{"A=1"}, visible(t, dir)); diff != "" {
		t.Error(diff)
	}
	a.expect(t, "HUP")
	if log := run(k, true); strings.Contains(log, "StaleFallback") {
		t.Errorf("the last agent logs %s", log)
	}
	a.expectSilence(t)
}

func TestTheFallbackIsRenderedLikeWhatTheServerHas(t *testing.T) {
	const keys = `, "sources": [{"project": "app", "environment": "prod", "keys": ["A", "B"], "rename": {"A": "a.bin"}, "prefix": "X_"}]`
	tests := []struct {
		name, more string
		mounted    []string
		want       []string // nil: the fallback is not used
		says       string
	}{
		{"all files", ``, []string{"A=1", "B=2"}, []string{"A=1", "B=2"}, "started from the fallback"},
		{"hidden files", ``, []string{"A=1", ".hidden=2"}, []string{"A=1"}, "started from the fallback"},
		{"names of the set", keys, []string{"a.bin=1", "X_B=2", "OTHER=3", "A=4"}, []string{"X_B=2", "a.bin=1"}, "started from the fallback"},
		{"other forms", `, "outputs": [{"format": "dotenv", "file": "env"}, {"format": "template", "file": "t", "template": "{{ .A }}!"}, {"base64": ["A"], "keys": ["A"]}]`,
			[]string{"A=MQ==", "B=2"}, []string{"A=1", "env=A='MQ=='\nB=2\n", "t=MQ==!"}, "started from the fallback"},
		{"a key that is missing", keys, []string{"a.bin=1"}, nil, `there is no secret \"X_B\"`},
		{"a missing key that may be empty", keys + `, "outputs": [{"onMissing": "empty"}]`, []string{"a.bin=1"}, []string{"X_B=", "a.bin=1"}, "started from the fallback"},
		{"a missing key that is kept, with nothing to keep", keys + `, "outputs": [{"onMissing": "keep"}]`, []string{"a.bin=1"}, []string{"a.bin=1"}, "started from the fallback"},
		{"none of the keys", keys, []string{"OTHER=1"}, nil, "it holds none of the secrets"},
		{"an empty Secret", ``, []string{}, nil, "it holds none of the secrets"},
		{"more than there may be", `, "maxSize": "64KiB"`, []string{"A=" + strings.Repeat("canary", 6<<10), "B=" + strings.Repeat("canary", 6<<10)}, nil, "larger than maxSize"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, fallback := memoryDir(t), mounted(t, test.mounted...)
			log, _ := startAway(t, dir, fallback, test.more)
			if !strings.Contains(log, test.says) || strings.Contains(log, "canary") {
				t.Errorf("the log is %s, want %s", log, test.says)
			}
			if diff := cmp.Diff(test.want, visible(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// startAway starts an agent with a fallback while the server is away.
func startAway(t *testing.T, dir, fallback, more string) (log, notReady string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kms{status: -1}
		agent, text := k.fallingBack(t, dir, fallback, more)
		end := keep(t, agent)
		time.Sleep(time.Minute)
		synctest.Wait()
		notReady = agent.NotReady()
		end()
		log = text.String()
	})
	return log, notReady
}

func TestWithoutAFallbackAnAgentSaysWhatItSaidWithoutOne(t *testing.T) {
	plain := t.TempDir()
	mustDo(t, os.WriteFile(plain+"/A", []byte("fallback"), 0o600))
	if _, notReady := startAway(t, memoryDir(t), plain, ""); notReady != "" {
		t.Errorf("with a plain folder: %s", notReady)
	}
	for name, fallback := range map[string]string{"missing": "/nonexistent", "empty": t.TempDir(), "a file": plain + "/A"} {
		log, notReady := startAway(t, memoryDir(t), fallback, "")
		if !strings.HasPrefix(notReady, "Unreachable: ") || strings.Count(log, "the fallback is not used") != 1 {
			t.Errorf("%s: not ready: %s, log %s", name, notReady, log)
		}
	}
}

func TestInitStartsFromTheFallbackAndEndsWell(t *testing.T) {
	tests := []struct {
		name     string
		status   int
		fallback []string
		patience time.Duration
		want     deliver.Reason // "" for success
		took     time.Duration
	}{
		{"after its time", -1, []string{"A=fallback"}, 2 * time.Minute, "", 20 * time.Second},
		{"at the end of a shorter one", 503, []string{"A=fallback"}, 10 * time.Second, "", 10 * time.Second},
		{"with nothing to fall back to", -1, nil, 2 * time.Minute, deliver.Unreachable, 2 * time.Minute},
		{"after a refusal", 403, []string{"A=fallback"}, 2 * time.Minute, deliver.Forbidden, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, fallback := memoryDir(t), mounted(t, test.fallback...)
			synctest.Test(t, func(t *testing.T) {
				k := &kms{status: test.status}
				k.set("A=1")
				init := func() (took time.Duration, err error) {
					agent, _ := k.fallingBack(t, dir, fallback, "")
					ctx, cancel := context.WithTimeout(t.Context(), test.patience)
					defer cancel()
					began := time.Now()
					err = agent.Init(ctx)
					return time.Since(began), err
				}
				for range 2 { // a second one finds the fallback in place, and that is no reason to fail
					took, err := init()
					if took != test.took || err == nil != (test.want == "") || err != nil && deliver.ReasonOf(err) != test.want {
						t.Errorf("Init: %v after %v, want %q after %v", err, took, test.want, test.took)
					}
				}
				if test.want == "" {
					if diff := cmp.Diff([]string{"A=fallback"}, visible(t, dir)); diff != "" {
						t.Error(diff)
					}
				}
			})
		})
	}
}

func TestWhoeverEndsInitGetsNoFallback(t *testing.T) {
	dir, fallback := memoryDir(t), mounted(t, "A=fallback")
	synctest.Test(t, func(t *testing.T) {
		k := &kms{status: -1}
		agent, _ := k.fallingBack(t, dir, fallback, "")
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, stop)
		if err := agent.Init(ctx); deliver.ReasonOf(err) != deliver.Unreachable || len(visible(t, dir)) != 0 {
			t.Errorf("Init: %v, and there are %q", err, visible(t, dir))
		}
	})
}
