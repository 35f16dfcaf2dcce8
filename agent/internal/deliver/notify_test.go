package deliver_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// runApp is the application: the test binary under another name. A shell would
// not do, since it can lose a signal between two of its commands.
func runApp() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	fmt.Println("ready")
	for {
		select {
		case got := <-signals:
			fmt.Println(map[os.Signal]string{syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1"}[got])
			continue
		default:
		}
		select {
		case got := <-signals:
			fmt.Println(map[os.Signal]string{syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1"}[got])
		case line, open := <-lines:
			if !open {
				return
			}
			fmt.Println(line)
		}
	}
}

func startApp(t *testing.T) *app {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KMS_TEST_APP=1")
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

func (a *app) target() config.Target {
	return config.Target{PIDFile: a.pidFile, Signal: "SIGHUP", Timeout: "10s"}
}

// mustTell tells the target of the set that lies there; want says whether that
// is news.
func mustTell(t *testing.T, d deliver.Dir, target config.Target, want bool) {
	t.Helper()
	generation, err := deliver.NewNotifier(d, target).Tell(t.Context(), target)
	if err != nil || generation != "" != want {
		t.Fatalf("Tell = %q, %v, want news %v", generation, err, want)
	}
}

func TestEachChangeIsSignalledOnceAndTheFirstSetIsNot(t *testing.T) {
	d, a := place(t), startApp(t)
	mustTell(t, d, a.target(), false) // there is no set
	mustWrite(t, d, set("A=1"))
	mustTell(t, d, a.target(), false) // the first
	mustWrite(t, d, set("A=1"))
	mustTell(t, d, a.target(), false) // unchanged
	a.expectSilence(t)

	mustWrite(t, d, set("A=2"))
	mustTell(t, d, a.target(), true)
	a.expect(t, "HUP")
	mustTell(t, d, a.target(), false)
	a.expectSilence(t)

	usr1 := a.target()
	usr1.Signal = "SIGUSR1"
	mustWrite(t, d, set("A=1"))
	mustTell(t, d, usr1, true)
	a.expect(t, "USR1")
	a.expectSilence(t)
}

func TestAChangeThatNobodyWasToldOfIsToldLater(t *testing.T) {
	d, a := place(t), startApp(t)
	mustWrite(t, d, set("A=1"))
	mustWrite(t, d, set("A=2"))
	away := config.Target{PIDFile: "/nowhere/pid", Signal: "SIGHUP"}
	if generation, err := deliver.NewNotifier(d, away).Tell(t.Context(), away); generation != "" || err == nil {
		t.Errorf("an application that is not there: told of %q, %v", generation, err)
	}
	mustTell(t, d, a.target(), true) // another agent, later
	a.expect(t, "HUP")
	a.expectSilence(t)
}

func TestATargetThatFailsDoesNotMakeTheOthersHearTwice(t *testing.T) {
	d, a := place(t), startApp(t)
	mustWrite(t, d, set("A=1"))
	mustWrite(t, d, set("A=2"))
	late := filepath.Join(t.TempDir(), "late.pid")
	both := []config.Target{a.target(), {PIDFile: late, Signal: "SIGUSR1", Timeout: "10s"}}
	tell := func() (told []bool) {
		n := deliver.NewNotifier(d, both...) // a new agent each time
		for _, target := range both {
			generation, _ := n.Tell(t.Context(), target)
			told = append(told, generation != "")
		}
		return told
	}
	if diff := cmp.Diff([]bool{true, false}, tell()); diff != "" {
		t.Error(diff)
	}
	a.expect(t, "HUP")
	if diff := cmp.Diff([]bool{false, false}, tell()); diff != "" {
		t.Error(diff)
	}
	if err := os.Link(a.pidFile, late); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]bool{false, true}, tell()); diff != "" {
		t.Error(diff)
	}
	a.expect(t, "USR1")
	if diff := cmp.Diff([]bool{false, false}, tell()); diff != "" {
		t.Error(diff)
	}
	a.expectSilence(t)
	want := []string{"..1", "..1/A", "..2", "..2/A", "..data -> ..2", "..notified -> ..2", "A -> ..data/A"}
	if diff := cmp.Diff(want, layout(t, d.Path)); diff != "" {
		t.Errorf("when everybody was told: %s", diff)
	}
}

func TestANotifierKilledAtAnyStepIsMadeUpFor(t *testing.T) {
	for step := 1; ; step++ {
		d, a := place(t), startApp(t)
		mustWrite(t, d, oldSet)
		mustWrite(t, d, newSet)
		if !killed(t, d.Path, step, "KMS_KILL_PIDFILE="+a.pidFile) {
			if step != 7 {
				t.Errorf("a notification has %d steps, want 6", step-1)
			}
			return
		}
		told, recorded := step >= 2, step >= 3
		if told {
			a.expect(t, "HUP")
		}
		mustTell(t, d, a.target(), !recorded)
		if !recorded { // the second time, if it died between the signal and its record
			a.expect(t, "HUP")
		}
		mustTell(t, d, a.target(), false)
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
	mustTell(t, d, a.target(), true)
	a.expect(t, "HUP")
}
