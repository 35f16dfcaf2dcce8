package tell_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// beApp is the application of these tests, in a process of its own: it says
// each signal that it gets and each line that it reads, and "fork" starts a
// worker of it. It ends with its input.
func beApp(who string) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	fmt.Println(who+"ready", os.Getpid())
	lines := make(chan string)
	go readLines(lines)
	for {
		select {
		case got := <-signals:
			fmt.Println(who + got.String())
		case line, open := <-lines:
			if !open {
				return
			}
			answer(line, signals, who)
		}
	}
}

// answer sends itself a signal first: those that came before have a lower
// number, so they are heard before it, and the answer comes after them.
func answer(line string, signals <-chan os.Signal, who string) {
	if line == "fork" {
		fork()
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGUSR2)
	for got := range signals {
		if got == syscall.SIGUSR2 {
			break
		}
		fmt.Println(who + got.String())
	}
	fmt.Println(who + line)
}

func fork() {
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), "TELL_APP=worker ")
	worker.Stdout = os.Stdout
	worker.StdinPipe() // which closes with this process
	if err := worker.Start(); err != nil {
		fmt.Println(err)
	}
}

func readLines(lines chan<- string) {
	for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
		lines <- scanner.Text()
	}
	close(lines)
}

// app is a real process that says what happens to it.
type app struct {
	cmd   *exec.Cmd
	stdin io.Writer
	said  *bufio.Reader
	pid   int
}

// The words of an application.
const (
	sighup  = "hangup"
	sigusr1 = "user defined signal 1"
)

// startAs is an application whose file has that name.
func startAs(t *testing.T, name string) *app {
	t.Helper()
	return start(t, exec.Command(link(t, name)))
}

func start(t *testing.T, cmd *exec.Cmd) *app {
	t.Helper()
	a := startSilent(t, cmd, "TELL_APP=")
	a.pid = a.ready(t, "ready")
	return a
}

// startSilent does not wait for a word. Nothing of the process outlives the
// test.
func startSilent(t *testing.T, cmd *exec.Cmd, env ...string) *app {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	return &app{cmd, stdin, bufio.NewReader(stdout), cmd.Process.Pid}
}

// link makes a program of that name, which is this test binary.
func link(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return linkTo(t, self, name)
}

func linkTo(t *testing.T, program, name string) string {
	t.Helper()
	file, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(file, made); err != nil {
		t.Fatal(err)
	}
	return made
}

func (a *app) expect(t *testing.T, want string) {
	t.Helper()
	if line := a.line(t); line != want {
		t.Fatalf("the application said %q, want %q", line, want)
	}
}

// ready gives the id of the process that says it is ready.
func (a *app) ready(t *testing.T, word string) (pid int) {
	t.Helper()
	line := a.line(t)
	if _, err := fmt.Sscanf(line, word+" %d", &pid); err != nil {
		t.Fatalf("the application said %q, want %q and its process id", line, word)
	}
	return pid
}

func (a *app) line(t *testing.T) string {
	t.Helper()
	line, err := a.said.ReadString('\n')
	if err != nil {
		t.Fatalf("the application said %q and then: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// expectSilence lets the application answer a question: a signal that came
// before it is heard first.
func (a *app) expectSilence(t *testing.T) {
	t.Helper()
	fmt.Fprintln(a.stdin, "anything else?")
	a.expect(t, "anything else?")
}

var names atomic.Int64

// newName is one that no other process has, short enough for the kernel.
func newName() string { return fmt.Sprintf("t%d-%d", os.Getpid(), names.Add(1)) }

// awaitEnd returns when the process runs no more, whether or not its parent has
// asked why.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	giveUp := time.Now().Add(30 * time.Second)
	for now := state(pid); now != "" && now != "Z"; now = state(pid) {
		if time.Now().After(giveUp) {
			t.Fatalf("process %d is in state %s and does not end", pid, now)
		}
		time.Sleep(time.Millisecond)
	}
}

// state is "" for a process that is gone.
func state(pid int) (letter string) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		fmt.Sscan(string(stat[strings.LastIndex(string(stat), ")")+1:]), &letter)
	}
	return letter
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
