//go:build linux

package supervise_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the programs of the tests: the one that supervises,
// and commands that are more exact about signals than a shell.
func TestMain(m *testing.M) {
	switch os.Getenv("SUPERVISE_TEST_ROLE") {
	case "supervisor":
		os.Exit(beSupervisor())
	case "reporter":
		os.Exit(beReporter())
	case "flooder":
		os.Exit(beFlooder())
	}
	os.Exit(m.Run())
}

// spec is what a supervisor is to do.
type spec struct {
	Args       []string
	Env        []string
	StopSignal syscall.Signal
	Grace      time.Duration
	Changes    bool // come on descriptor 3, and the answers go out on 4
}

// supervisor is a running one.
type supervisor struct {
	*exec.Cmd
	t       *testing.T
	stdin   io.WriteCloser
	lines   <-chan string // of the command's stdout
	changes io.Writer
	answers <-chan string
	stderr  strings.Builder
}

// noExitDelay is for the race detector, which else makes each program wait a
// second before it exits.
const noExitDelay = "GORACE=atexit_sleep_ms=0"

func command(s spec, name ...string) *exec.Cmd {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	name = append(name, os.Args[0])
	cmd := exec.Command(name[0], name[1:]...)
	cmd.Env = append(os.Environ(), noExitDelay, "SUPERVISE_TEST_ROLE=supervisor", "SUPERVISE_TEST="+string(text))
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// start runs a supervisor in a session of its own, so that what it does to its
// group does not reach the tests, and so that nothing of it is left.
func start(t *testing.T, s spec, name ...string) *supervisor {
	t.Helper()
	return launch(t, command(s, name...), s.Changes)
}

func launch(t *testing.T, cmd *exec.Cmd, changes bool) *supervisor {
	t.Helper()
	p := &supervisor{Cmd: cmd, t: t}
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.Stderr == nil {
		p.Stderr = &p.stderr
	}
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	var out *os.File
	p.lines, out = linesOf(t)
	p.Stdout = out
	if changes {
		in, changes := pipe(t)
		answers, answersIn := linesOf(t)
		p.changes, p.answers, p.ExtraFiles = changes, answers, []*os.File{in, answersIn}
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	for _, file := range p.ExtraFiles {
		file.Close()
	}
	t.Cleanup(func() { killSession(p.Process.Pid); p.Wait() })
	return p
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// killSession looks again until nothing is left, because what it kills may be
// starting something.
func killSession(id int) {
	for left := true; left; {
		left = false
		entries, _ := os.ReadDir("/proc")
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			session, _ := unix.Getsid(pid)
			if err == nil && session == id && stateOf(pid) != "Z" {
				left = syscall.Kill(pid, syscall.SIGKILL) == nil || left
			}
		}
	}
}

// linesOf gives what is written to w.
func linesOf(t *testing.T) (<-chan string, *os.File) {
	t.Helper()
	r, w := pipe(t)
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines, w
}

// patience only ends a test that hangs.
const patience = 20 * time.Second

func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line := <-lines:
		return line
	case <-time.After(patience):
		t.Fatal("no line came")
		return ""
	}
}

func expect(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	if got := next(t, lines); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// reporter awaits the start of a reporter with A=a, and gives its pid.
func (p *supervisor) reporter(a string) int {
	p.t.Helper()
	line := next(p.t, p.lines)
	pid, err := strconv.Atoi(strings.TrimPrefix(line, "A="+a+" pid "))
	if err != nil {
		p.t.Fatalf("got %q, want A=%s", line, a)
	}
	return pid
}

// change asks for it and returns once Run has it.
func (p *supervisor) change(r request) {
	p.t.Helper()
	if err := json.NewEncoder(p.changes).Encode(r); err != nil {
		p.t.Fatal(err)
	}
	expect(p.t, p.answers, "taken")
}

func (p *supervisor) send(signal syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

func (p *supervisor) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// ends awaits the end with code, and that no line was left.
func (p *supervisor) ends(code int) {
	p.t.Helper()
	defer time.AfterFunc(patience, func() { killSession(p.Process.Pid) }).Stop()
	p.Wait()
	if got := p.ProcessState.ExitCode(); got != code {
		p.t.Errorf("ended with %s, want exit code %d; stderr: %s", p.ProcessState, code, p.stderr.String())
	}
	for line := range p.lines {
		p.t.Errorf("left over: %q", line)
	}
}

// self is a command of this binary.
func self(role string, env ...string) spec {
	return spec{Args: []string{os.Args[0]}, Env: reporterEnv(role, env...), Grace: time.Hour}
}

func reporterEnv(role string, env ...string) []string {
	return append([]string{"SUPERVISE_TEST_ROLE=" + role, "PATH=" + os.Getenv("PATH"), noExitDelay}, env...)
}

func shell(script string) spec {
	return spec{Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}, Grace: time.Hour}
}

// await is for what the kernel tells nobody.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// childrenOf are the states of the children of parent, by command name.
func childrenOf(t *testing.T, parent int) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, entry := range entries {
		name, state, ppid := stat(entry.Name())
		if ppid == parent {
			found[name] += state
		}
	}
	return found
}

func stat(pid string) (name, state string, ppid int) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	open, end := strings.IndexByte(string(data), '('), strings.LastIndexByte(string(data), ')')
	if err != nil || open < 0 || end < 0 {
		return "", "", 0
	}
	fields := strings.Fields(string(data[end+1:]))
	ppid, _ = strconv.Atoi(fields[1])
	return string(data[open+1 : end]), fields[0], ppid
}

func stateOf(pid int) string {
	_, state, _ := stat(strconv.Itoa(pid))
	return state
}

func isGone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }
