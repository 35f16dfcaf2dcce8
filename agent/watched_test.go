package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// health asks the agent of the pod as a probe of Kubernetes does.
func (p pod) health(args ...string) (code int, says string) {
	cmd, out := p.command(append([]string{"health"}, args...)...)
	cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String()
}

// expectHealth asks for everything: "" is well, and anything else a part of
// what is wrong. At an address the answers are the same.
func (p pod) expectHealth(t *testing.T, when, live, started, ready string) {
	t.Helper()
	for _, ask := range []struct{ what, path, want string }{
		{"live", "/healthz", live}, {"startup", "/startupz", started}, {"ready", "/readyz", ready}, {"", "/readyz", ready},
	} {
		args := strings.Fields(ask.what)
		code, says := p.health(args...)
		well := ask.want == ""
		if well != (code == 0) || well != (says == "") || !strings.HasPrefix(says, ask.want) {
			t.Errorf("%s: health %s ends with %d and says %q, want %q", when, ask.what, code, says, ask.want)
		}
		if live != "" {
			continue
		}
		status, body := get(t, p.listen(t), ask.path)
		_, problem, _ := strings.Cut(says, ": not ")
		_, problem, _ = strings.Cut(problem, ": ")
		if well != (status == http.StatusOK) || !well && (status != http.StatusServiceUnavailable || body != problem) {
			t.Errorf("%s: %s is %d %q, want as health says", when, ask.path, status, body)
		}
	}
}

func TestHealthTellsFromOutsideHowTheAgentIs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.status.Store(http.StatusServiceUnavailable)
	p := newPod(t, s.URL, "st.good").with(t, object{"onRevoked": "delete", "listen": freeAddress(t)})
	nobody := func(state string) string {
		return "kms-agent: not " + state + ": ask the agent of " + p.dir + ": nobody answers on its socket: "
	}
	p.expectHealth(t, "without an agent", nobody("live"), nobody("started"), nobody("ready"))
	a := start(t, command(p, "run"))
	a.says("refresh failed")
	p.expectHealth(t, "before the first set", "", "kms-agent: not started: the secrets are not there yet\n", "kms-agent: not ready: Unreachable: read app prod:/: ")
	s.status.Store(0)
	awaitContent(t, p.dir+"/A", "canary-1")
	waitFor(t, "readiness", func() bool { code, _ := p.health(); return code == 0 })
	p.expectHealth(t, "with the set", "", "", "")

	a.Process.Signal(syscall.SIGSTOP)
	if code, says := p.health("-timeout", "300ms", "live"); code != 1 || !strings.HasPrefix(says, nobody("live")+"context deadline exceeded") {
		t.Errorf("of an agent that hangs health ends with %d and says %q", code, says)
	}
	a.Process.Signal(syscall.SIGCONT)

	s.status.Store(http.StatusForbidden)
	a.says("files deleted")
	p.expectHealth(t, "after the access is revoked", "", "", "kms-agent: not ready: Forbidden: read app prod:/: ")
	a.terminate()
	p.expectHealth(t, "after the end", nobody("live"), nobody("started"), nobody("ready"))
}

func TestHealthThatIsAskedWronglySaysSo(t *testing.T) {
	t.Parallel()
	p := newPod(t, "http://127.0.0.1:1", "")
	for _, test := range []struct {
		p    pod
		args []string
		says string
	}{
		{p, []string{"wel"}, "ask for one of live, ready and startup"},
		{p, []string{"live", "ready"}, "ask for one of live, ready and startup"},
		{p, []string{"-timeout", "soon"}, "-timeout"},
		{pod{}, nil, "there is no configuration"},
	} {
		if code, says := test.p.health(test.args...); code != 2 || !strings.Contains(says, test.says) {
			t.Errorf("health %q ends with %d and says %q, want 2 and %q", test.args, code, says, test.says)
		}
	}
}

// An application that is well must not lose its traffic because the agent
// beside it was restarted while the server is away.
func TestARestartWhileTheServerIsAwayCostsNoReadiness(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change object
		ready  string
	}{
		{"the same configuration", object{}, ""},
		{"another configuration", object{"outputs": []object{{}, {"format": "json", "file": "a.json"}}}, "kms-agent: not ready: Unreachable: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			p := newPod(t, s.URL, "st.good").with(t, object{"listen": freeAddress(t)})
			a := start(t, command(p, "run"))
			a.says("secrets written")
			waitFor(t, "readiness", func() bool { code, _ := p.health(); return code == 0 })
			a.Process.Kill()
			a.Wait()
			s.status.Store(http.StatusServiceUnavailable)
			p = p.with(t, test.change)
			again := start(t, command(p, "run"))
			again.says("refresh failed")
			p.expectHealth(t, "after the restart", "", "", test.ready)
			s.status.Store(0)
			again.says("refresh recovered")
			p.expectHealth(t, "when the server is back", "", "", "")
			again.terminate()
		})
	}
}

// samples are the metrics of the agent by name and labels, as Prometheus reads
// them.
func (p pod) samples(t *testing.T) map[string]float64 {
	t.Helper()
	status, text := p.ask(t, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || status != http.StatusOK {
		t.Fatalf("/metrics is %d, %v:\n%s", status, err, text)
	}
	all := map[string]float64{}
	for name, family := range families {
		isCounter := family.GetType().String() == "COUNTER"
		if !strings.HasPrefix(name, "kms_agent_") || family.GetHelp() == "" || isCounter != strings.HasSuffix(name, "_total") {
			t.Errorf("the metric %s is a %s, with the help %q", name, family.GetType(), family.GetHelp())
		}
		for _, metric := range family.GetMetric() {
			key := strings.TrimPrefix(name, "kms_agent_")
			for _, label := range metric.GetLabel() {
				key += " " + label.GetValue()
			}
			all[key] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	return all
}

func TestTheMetricsMoveAsTheAgentDoes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	p.pidFile = filepath.Join(filepath.Dir(p.pidFile), "a \"pid\"\\file\nof the app")
	p = p.with(t, object{"notify": []object{{"pidFile": p.pidFile, "signal": "SIGWINCH"}}})
	target := "pidFile " + p.pidFile
	a := start(t, command(p, "run"))
	await := func(key string, least float64) map[string]float64 {
		t.Helper()
		var now map[string]float64
		waitFor(t, fmt.Sprintf("%s of %g", key, least), func() bool { now = p.samples(t); return now[key] >= least })
		return now
	}
	expect := func(when string, now, want map[string]float64) {
		t.Helper()
		got := map[string]float64{}
		for key := range want {
			got[key] = now[key]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	a.says("secrets written")
	now := await("polls_total unchanged", 2)
	size := float64(len("canary-1") + len("A=canary-1\n"))
	expect("with the first set", now, map[string]float64{"polls_total changed": 1, "polls_total failed": 0, "renders_total": 1, "revision": 1, "files": 2,
		"bytes": size, "ready": 1, "notifications_waiting": 0, "notifications_total " + target + " success": 0, "failures_total Unreachable": 0})
	started, changed := now["start_time_seconds"], now["last_change_timestamp_seconds"]
	if age := now["age_seconds"]; started == 0 || changed < started || now["last_success_timestamp_seconds"] < changed || age < 0 || age > 60 {
		t.Errorf("the times are %v", now)
	}

	s.version.Store(2)
	now = await("notifications_waiting", 1)
	expect("while nobody can be told", now, map[string]float64{"polls_total changed": 2, "renders_total": 2, "revision": 2, "ready": 1})
	await("notifications_total "+target+" failure", 2)
	if err := os.WriteFile(p.pidFile, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	now = await("notifications_total "+target+" success", 1)
	expect("when somebody is told", now, map[string]float64{"notifications_waiting": 0})
	if now["last_change_timestamp_seconds"] <= changed {
		t.Error("the time of the last change did not move")
	}

	s.status.Store(http.StatusServiceUnavailable)
	now = await("failures_total Unreachable", 2)
	expect("while the server is away", now, map[string]float64{"polls_total failed": now["failures_total Unreachable"], "ready": 1, "revision": 2})
	before := now["last_success_timestamp_seconds"]
	s.status.Store(http.StatusForbidden)
	now = await("failures_total Forbidden", 1)
	expect("after the access is revoked", now, map[string]float64{"ready": 0, "files": 2, "last_success_timestamp_seconds": before})
	a.terminate()
}

func TestTheStatusOnSIGUSR1SaysHowTheAgentIsAndNoValue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	value := s.Value()
	s.put("A", value)
	a := s.run("run")
	s.awaitFile("A", value)
	waitFor(t, "readiness", func() bool { code, _ := s.health(); return code == 0 })
	s.put("A", value+"-2") // nobody can be told: there is no application
	s.awaitFile("A", value+"-2")
	a.says("notification failed")
	a.Process.Signal(syscall.SIGUSR1)
	a.says(`"msg":"status","ready":true`, `"generation":"..2","files":2`, `"changed":2,"failed":0`, `"waiting":"pidFile `)
	s.Stop()
	a.says("refresh failed")
	a.Process.Signal(syscall.SIGUSR1)
	a.says(`"msg":"status","ready":true`, `"reason":"Unreachable"`)
	a.terminate()
	s.expectNoTrace(a, value)
}

func TestInstallPutsAProgramThatRunsInPlaceOfOneThatRuns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := openDir(t)
	installed := filepath.Join(dir, "kms-agent")
	info, err := os.Stat(installed)
	if err != nil || info.Mode() != 0o755 {
		t.Fatalf("the program is %v, %v, want mode 0755", info, err)
	}
	p := newPod(t, s.URL, "st.good").forExec(t, object{})
	cmd := command(p, "exec", "--", "bash", "-c", ending("TERM"))
	cmd.Path = installed
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	a := startOpen(t, cmd)
	a.says("up canary-1")
	if out, err := exec.Command(installed, "install", dir).CombinedOutput(); err != nil { // as another pod's start does
		t.Errorf("install over it: %v, %s", err, out)
	}
	if later, err := os.Stat(installed); err != nil || os.SameFile(info, later) {
		t.Errorf("it was not replaced: %v", err)
	}
	s.version.Store(2)
	a.says("up canary-2") // the old one goes on
	a.endsOn(syscall.SIGTERM, 7)
	same(t, binary, installed)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

func same(t *testing.T, one, other string) {
	t.Helper()
	a, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(other)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%s is not %s: %v", other, one, err)
	}
}

func TestInstallSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		root         bool
		code         int
		says         string
	}{
		{"a directory that is not there", `exec "$AGENT" install "$DIR"/none`, false, 2, "no such file or directory"},
		{"no directory", `exec "$AGENT" install`, false, 2, "say where to"},
		{"a file", `touch "$DIR"/file && exec "$AGENT" install "$DIR"/file`, false, 2, "not a directory"},
		{"a directory that is not ours", `exec setpriv --reuid 65532 --clear-groups "$AGENT" install "$DIR"`, true, 2, "permission denied"},
		{"a file system without programs", `mount -t tmpfs -o noexec tmpfs "$DIR" && exec "$AGENT" install "$DIR"`, true, 2, "it is mounted noexec"},
		{"a file system that only reads", `mount -t tmpfs -o ro tmpfs "$DIR" && exec "$AGENT" install "$DIR"`, true, 2, "read-only file system"},
		{"a file system that is full", `mount -t tmpfs -o size=1m tmpfs "$DIR" && { "$AGENT" install "$DIR"; code=$?; ls -A "$DIR"; exit $code; }`, true, 8, "no space left on device\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"sh", "-c", test.script}
			if test.root {
				if os.Getuid() != 0 {
					t.Skip("only root can mount, and become somebody else")
				}
				args = append([]string{"unshare", "--mount", "--"}, args...)
			}
			cmd := exec.Command(args[0], args[1:]...)
			dir := t.TempDir()
			cmd.Env = append(os.Environ(), "DIR="+dir, "AGENT="+openDir(t)+"/kms-agent")
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.HasPrefix(string(out), "kms-agent: ") || !strings.Contains(string(out), test.says) {
				t.Errorf("exit code %d, %q, want %d and %q", code, out, test.code, test.says)
			}
			if test.code == 8 && !strings.HasSuffix(string(out), test.says) {
				t.Errorf("it left %q", out)
			}
		})
	}
}

func TestAProbeThatWaitsEndsWithTheStart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	if code, says := p.health("-wait", "100ms", "startup"); code != 1 || !strings.HasPrefix(says, "kms-agent: not started: ") {
		t.Errorf("without an agent health ends with %d and says %q", code, says)
	}
	ended := make(chan int, 1)
	go func() {
		code, _ := p.health("-wait", "1m", "startup")
		ended <- code
	}()
	a := start(t, command(p, "run"))
	if code := <-ended; code != 0 {
		t.Errorf("health ends with %d", code)
	}
	a.terminate()
}
