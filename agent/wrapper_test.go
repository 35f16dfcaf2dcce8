package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// sidecar makes the pod of the site one whose agent serves wrappers.
func (s *site) sidecar(t *testing.T, changes object) {
	t.Helper()
	s.pod = s.with(t, object{"outputs": []object{{}, {"format": "json", "file": "env.json"}},
		"notify": []object{{"wrapper": true, "timeout": "1s"}}}).with(t, changes)
}

// wrap starts a wrapper in the pod: it has no network, and neither sources nor
// credentials.
func (p pod) wrap(t *testing.T, how object, script string, args ...string) *agent {
	t.Helper()
	return startOpen(t, p.wrapper(t, `exec "$0" "$@"`, how, append([]string{script}, args...)...))
}

// wrapper is a wrapper that a shell script starts, to which it is the
// arguments.
func (p pod) wrapper(t *testing.T, starter string, how object, script ...string) *exec.Cmd {
	t.Helper()
	how["file"] = "env.json"
	p = pod{config: `{"version": 1}`}.with(t, object{"directory": p.dir, "exec": how})
	args := append([]string{"sh", "-c", starter, binary, "exec", "-log-level", "debug", "--", "bash", "-c"}, script...)
	if os.Getuid() == 0 {
		args = append([]string{"unshare", "--net", "--mount", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"KMS_AGENT_CONFIG=" + p.config, "PATH=" + os.Getenv("PATH")}
	return cmd
}

func (s *site) expectNotified(t *testing.T, when, generation string) {
	t.Helper()
	if got, err := os.Readlink(s.dir + "/..notified"); got != generation {
		t.Errorf("%s %s, %v, is on record as notified, want %s", when, got, err, generation)
	}
}

// notifications is the counter of the wrappers' notifications.
func (s *site) notifications(t *testing.T, outcome string) string {
	t.Helper()
	_, metrics := s.ask(t, "/metrics")
	_, n, _ := strings.Cut(metrics, fmt.Sprintf("kms_agent_notifications_total{target=\"wrapper\",outcome=%q} ", outcome))
	n, _, _ = strings.Cut(n, "\n")
	return n
}

func TestAWrapperFollowsTheAgentBesideItWithoutNetworkAndCredentials(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		onChange, script, says string
	}{
		{"restart", ending("TERM"), "up second"},
		{"signal", `trap 'echo told $A, file $(cat "$0"/A)' HUP; echo up $A; while read x; do :; done`, "told first, file second"},
	} {
		t.Run(test.onChange, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.put("A", "first", "B", "unwanted")
			s.sidecar(t, object{})
			w := s.wrap(t, object{"onChange": test.onChange, "keys": []string{"A"}}, test.script, s.dir)
			a := s.run("run")
			w.says("up first")
			s.put("B", "unwanted still") // a generation without a change of the variables
			awaitContent(t, s.dir+"/B", "unwanted still")
			waitFor(t, "the record of it", func() bool { return s.notifications(t, "success") == "1" })
			s.put("A", "second")
			w.says(test.says)
			waitFor(t, "the record of it", func() bool { return s.notifications(t, "success") == "2" })
			s.expectNotified(t, "after two changes", "..3")
			if n := strings.Count(w.log.String(), "up "); test.onChange == "restart" && n != 2 || test.onChange == "signal" && n != 1 {
				t.Errorf("the command was started %d times", n)
			}
			a.terminate()
			w.Process.Signal(syscall.SIGTERM)
			w.Wait()
			if code := w.ProcessState.ExitCode(); code != 7 && code != 143 {
				t.Errorf("the wrapper ended with %d", code)
			}
		})
	}
}

func TestAWrapperIsNotifiedOnceItsCommandHasTakenUpTheChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.put("A", "first")
	s.sidecar(t, object{})
	a := s.run("run")
	leave := filepath.Join(t.TempDir(), "leave")
	w := s.wrap(t, object{}, `trap 'until [ -e "$0" ]; do sleep 0.05; done; exit' TERM; echo up $A; read x`, leave)
	w.says("up first")
	s.put("A", "second")
	w.says("stopping the command")
	a.says("notification failed", "1 wrappers have not taken up ..2 within 1s")
	s.expectNotified(t, "while the command is ending", "..1")
	if n := s.notifications(t, "success"); n != "" {
		t.Errorf("%s notifications count as done", n)
	}
	if err := os.WriteFile(leave, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.says("up second")
	a.says("application notified", `"..2"`, "wrapper")
	s.expectNotified(t, "after the restart", "..2")
	w.Process.Signal(syscall.SIGTERM)
	a.terminate()
}

func TestAWrapperThatHangsHoldsUpNoOtherAndOneThatDiesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.put("A", "first")
	s.sidecar(t, object{})
	a := s.run("run")
	good, bad := s.wrap(t, object{}, ending("TERM")), s.wrap(t, object{}, ending("TERM"))
	good.says("up first")
	bad.says("up first")
	s.put("A", "second")
	good.says("up second")
	bad.says("up second")
	a.says("application notified", `"..2"`)
	bad.Process.Signal(syscall.SIGSTOP)
	s.put("A", "third")
	good.says("up third")
	a.says("notification failed", "1 wrappers have not taken up ..3")
	s.expectNotified(t, "while one hangs", "..2")
	bad.Process.Kill()
	a.says("application notified", `"..3"`)
	if text := bad.log.String(); strings.Contains(text, "up third") {
		t.Error("the wrapper that hung went on")
	}
	good.Process.Signal(syscall.SIGTERM)
	a.terminate()
}

func TestAWrapperMissesNothingWhileTheAgentIsAwayAndAfterItIsBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.put("A", "first")
	s.sidecar(t, object{})
	a := s.run("run")
	w := s.wrap(t, object{}, ending("TERM"))
	w.says("up first")
	a.Process.Kill()
	a.Wait()
	s.put("A", "second")
	s.run("init").ends(0) // nobody listens on the socket
	w.says("up second")
	again := s.run("run")
	again.says("application notified") // of the second
	s.expectConnected(t, again, w, "third")
	again.terminate()
	w.Process.Signal(syscall.SIGTERM)
}

// expectConnected changes A while the wrapper hangs: the agent misses it then,
// so it knows of it by the socket.
func (s *site) expectConnected(t *testing.T, a, w *agent, value string) {
	t.Helper()
	waitFor(t, "the connection of the wrapper", func() bool { return w.connections(t, "..agent.sock") > 0 })
	w.Process.Signal(syscall.SIGSTOP)
	s.put("A", value)
	a.says("notification failed", "1 wrappers have not taken up")
	w.Process.Signal(syscall.SIGCONT)
	w.says("up " + value)
	generation, err := os.Readlink(s.dir + "/..data")
	if err != nil {
		t.Fatal(err)
	}
	a.says("application notified", `"`+generation+`"`)
}

// connections are those to a socket of that name from the network of the agent,
// which no other agent has.
func (a *agent) connections(t *testing.T, socket string) int {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give a wrapper a network of its own")
	}
	all, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", a.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(all), socket)
}

// TestAWrapperMayBeAnotherUserOnAReadOnlyMount is how a pod mounts the set into
// the container of the application.
func TestAWrapperMayBeAnotherUserOnAReadOnlyMount(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can mount, and become somebody else")
	}
	const starter = `mount --bind "$SHARED" "$SHARED" && mount -o remount,bind,ro "$SHARED" && ! touch "$SHARED"/x 2>/dev/null &&
		exec setpriv --reuid 65533 --regid "$GROUP" --clear-groups --no-new-privs --inh-caps=-all "$AGENT" "$@"`
	for _, test := range []struct {
		name    string
		below   string // the directory of the pod
		changes object
		group   string
	}{
		{"everybody may read", "", object{"mode": "0444"}, "65533"},
		{"a group may read", "", object{"mode": "0440", "gid": 4242}, "4242"},
		{"in a directory that is longer than the address of a socket", strings.Repeat("/directory-of-a-pod", 6), object{"mode": "0444"}, "65533"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.put("A", "first")
			shared := filepath.Dir(s.dir)
			s.dir = shared + test.below + "/secrets"
			if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(shared, 0o755); err != nil {
				t.Fatal(err)
			}
			s.sidecar(t, object{"directory": s.dir})
			s.pod = s.with(t, test.changes)
			a := s.run("run")
			cmd := s.wrapper(t, starter, object{}, `cat /proc/$PPID/environ; `+ending("TERM"))
			cmd.Env = append(cmd.Env, "SHARED="+shared, "GROUP="+test.group, "AGENT="+openDir(t)+"/kms-agent")
			w := startOpen(t, cmd)
			w.says("up first")
			w.says("Permission denied")
			s.expectConnected(t, a, w, "second")
			w.Process.Signal(syscall.SIGTERM)
			a.terminate()
		})
	}
}

func TestAWrapperSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	kms := newSite(t)
	kms.put("A", "canary")
	for _, test := range []struct {
		name  string
		agent object // changes of the agent's configuration; nil: there is none
		how   object
		code  int
		says  string
	}{
		{"no agent", nil, object{}, 4, "there are no secrets"},
		{"no such output", object{"outputs": nil}, object{}, 2, "the agent's set has no file env.json: give it an output of format json"},
		{"another format", object{"outputs": []object{{"format": "yaml", "file": "env.json"}}}, object{}, 2, "env.json is not a JSON output"},
		{"a key that is missing", object{}, object{"keys": []string{"B"}}, 6, `there is no secret "B"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := kms.sibling(t)
			if test.agent != nil {
				s.sidecar(t, test.agent)
				s.run("init").ends(0)
			} else if err := os.Mkdir(s.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := s.wrapper(t, `exec "$0" "$@"`, test.how, ending("TERM"))
			cmd.Env = append(cmd.Env, "KMS_TIMEOUT=300ms")
			w := startOpen(t, cmd)
			w.ends(test.code, test.says)
			if strings.Contains(w.log.String(), "canary") {
				t.Error("it prints a value")
			}
		})
	}
}
