package deliver_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// app is a real process that says a word for each signal it gets.
type app struct {
	pidFile string
	said    *bufio.Reader
	cmd     *exec.Cmd
	stdin   io.WriteCloser
}

const appScript = `trap 'echo HUP' HUP; trap 'echo USR1' USR1; echo ready; while read line; do echo "$line"; done`

func startApp(t *testing.T) *app {
	t.Helper()
	cmd := exec.Command("bash", "-c", appScript)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &app{pidFile: filepath.Join(t.TempDir(), "app.pid"), said: bufio.NewReader(stdout), cmd: cmd, stdin: stdin}
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	a.expect(t, "ready")
	if err := os.WriteFile(a.pidFile, []byte(fmt.Sprintln(cmd.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *app) expect(t *testing.T, want string) {
	t.Helper()
	line, err := a.said.ReadString('\n')
	if err != nil || line != want+"\n" {
		t.Fatalf("the application said %q, %v, want %q", line, err, want)
	}
}

// expectSilence lets the application answer a question: a signal that came
// before it would be heard first.
func (a *app) expectSilence(t *testing.T) {
	t.Helper()
	fmt.Fprintln(a.stdin, "anything else?")
	a.expect(t, "anything else?")
}

func (a *app) notify() *config.Notify { return &config.Notify{PIDFile: a.pidFile, Signal: "SIGHUP"} }

func mustNotify(t *testing.T, d deliver.Dir, notify *config.Notify, want bool) {
	t.Helper()
	told, err := deliver.Notify(d, notify)
	if err != nil || told != want {
		t.Fatalf("Notify = %v, %v, want %v", told, err, want)
	}
}

func TestEachChangeIsSignalledOnceAndTheFirstSetIsNot(t *testing.T) {
	d, a := place(t), startApp(t)
	mustNotify(t, d, a.notify(), false) // there is no set
	mustWrite(t, d, set("A=1"))
	mustNotify(t, d, a.notify(), false) // the first
	mustWrite(t, d, set("A=1"))
	mustNotify(t, d, a.notify(), false) // unchanged
	a.expectSilence(t)

	mustWrite(t, d, set("A=2"))
	mustNotify(t, d, a.notify(), true)
	a.expect(t, "HUP")
	mustNotify(t, d, a.notify(), false)
	a.expectSilence(t)

	usr1 := a.notify()
	usr1.Signal = "SIGUSR1"
	mustWrite(t, d, set("A=1"))
	mustNotify(t, d, usr1, true)
	a.expect(t, "USR1")
	a.expectSilence(t)
}

func TestAChangeThatNobodyWasToldOfIsToldLater(t *testing.T) {
	d, a := place(t), startApp(t)
	mustWrite(t, d, set("A=1"))
	mustWrite(t, d, set("A=2"))
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := filepath.Join(t.TempDir(), "nobody") // beyond the greatest id that Linux gives
	if err := os.WriteFile(nobody, []byte("4194305"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/nowhere/pid", t.TempDir(), pipe, nobody} {
		if told, err := deliver.Notify(d, &config.Notify{PIDFile: name, Signal: "SIGHUP"}); told || err == nil {
			t.Errorf("pid file %s: told %v, %v", name, told, err)
		}
	}
	mustNotify(t, d, a.notify(), true) // another agent, later
	a.expect(t, "HUP")
	a.expectSilence(t)
}

func TestAPIDFileThatHoldsNoApplicationsIDIsRefused(t *testing.T) {
	for _, content := range []string{"", "0", "1", "-1", "-4711", fmt.Sprint(os.Getpid()), "12x", "1 2", "0x10", strings.Repeat("9", 40)} {
		name := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := deliver.ReadPID(name); err == nil {
			t.Errorf("a file with %q gives %d", content, pid)
		}
	}
}

func TestANotifierKilledAtAnyStepIsMadeUpFor(t *testing.T) {
	for step := 1; ; step++ {
		d, a := place(t), startApp(t)
		mustWrite(t, d, oldSet)
		mustWrite(t, d, newSet)
		if !killed(t, d.Path, step, "KMS_KILL_PIDFILE="+a.pidFile) {
			if step != 4 {
				t.Errorf("a notification has %d steps, want 3", step-1)
			}
			return
		}
		signalled, recorded := step >= 2, step >= 3
		if signalled {
			a.expect(t, "HUP")
		}
		mustNotify(t, d, a.notify(), !recorded)
		if !recorded { // the second time, if it died between the signal and its record
			a.expect(t, "HUP")
		}
		a.expectSilence(t)
	}
}

func TestASetThatWasLostUnderTheAgentIsSignalledWhenItIsBack(t *testing.T) {
	d, a := place(t), startApp(t)
	d.Last = mustWrite(t, d, set("A=1")).Generation
	if err := os.RemoveAll(d.Path); err != nil {
		t.Fatal(err)
	}
	if written := mustWrite(t, d, set("A=2")); written.Generation != "..2" {
		t.Errorf("generation %s, want ..2: a name must not come back", written.Generation)
	}
	mustNotify(t, d, a.notify(), true)
	a.expect(t, "HUP")
}

func TestNobodyToNotifyIsNoError(t *testing.T) {
	d := place(t)
	mustWrite(t, d, set("A=1"))
	mustWrite(t, d, set("A=2"))
	mustNotify(t, d, nil, false)
}
