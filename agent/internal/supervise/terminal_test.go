//go:build linux

package supervise_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// screen is a terminal with somebody at it.
type screen struct {
	t       *testing.T
	keys    *os.File // the master side
	process *os.Process
	output  <-chan []byte
	seen    string
}

// open runs cmd at a new terminal, as the leader of its session.
func open(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	keys, terminal := newTerminal(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	t.Cleanup(func() { killSession(cmd.Process.Pid); cmd.Wait() })
	output := make(chan []byte, 1000)
	go func() {
		defer close(output)
		for {
			buffer := make([]byte, 4096)
			n, err := keys.Read(buffer)
			output <- buffer[:n]
			if err != nil {
				return
			}
		}
	}()
	return &screen{t: t, keys: keys, process: cmd.Process, output: output}
}

func newTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.keys, keys); err != nil {
		s.t.Fatal(err)
	}
}

// shows awaits text and gives what came before it.
func (s *screen) shows(text string) string {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		if before, after, ok := strings.Cut(s.seen, text); ok {
			s.seen = after
			return before
		}
		select {
		case part, ok := <-s.output:
			if s.seen += string(part); !ok {
				s.t.Fatalf("the terminal was closed, and shows %q, not %q", s.seen, text)
			}
		case <-timeout:
			s.t.Fatalf("the terminal shows %q, not %q", s.seen, text)
		}
	}
}

// rest is what is still shown until nobody is at the other side any more.
func (s *screen) rest() string {
	for part := range s.output {
		s.seen += string(part)
	}
	return s.seen
}

// number awaits the end of the line and reads it as one.
func (s *screen) number() int {
	s.t.Helper()
	line := strings.TrimSpace(s.shows("\n"))
	n, err := strconv.Atoi(line)
	if err != nil {
		s.t.Fatalf("got %q, want a number", line)
	}
	return n
}

func (s *screen) foreground() int {
	s.t.Helper()
	raw, err := s.keys.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var group int
	raw.Control(func(fd uintptr) { group, err = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) })
	if err != nil {
		s.t.Fatal(err)
	}
	return group
}

func (s *screen) resize() {
	s.t.Helper()
	raw, err := s.keys.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 9, Col: 99}) })
	if err != nil {
		s.t.Fatal(err)
	}
}

const (
	ctrlC    = "\x03"
	ctrlD    = "\x04"
	ctrlZ    = "\x1a"
	ctrlQuit = "\x1c"
)

func TestTheKeysOfTheTerminalReachTheCommandOnce(t *testing.T) {
	t.Parallel()
	s := open(t, command(self("reporter", "A=1")))
	s.shows("A=1 pid ")
	if pid, group := s.number(), s.foreground(); group != pid {
		t.Errorf("the foreground is %d, want the command, %d", group, pid)
	}
	for _, event := range []struct {
		cause func()
		want  string
	}{
		{func() { s.press(ctrlC) }, "signal 2\r\n"},
		{s.resize, "signal 28\r\n"},
		{func() { s.press(ctrlQuit) }, "signal 3\r\n"},
	} {
		event.cause()
		if before := s.shows(event.want); strings.Contains(before, "signal") {
			t.Errorf("before %q came %q", event.want, before)
		}
	}
	s.press("5\r")
	if rest := s.rest(); strings.Contains(rest, "signal") {
		t.Errorf("at the end came %q", rest)
	}
	if state, err := s.process.Wait(); err != nil || state.ExitCode() != 5 {
		t.Errorf("ended with %v, %v, want exit code 5", state, err)
	}
}

func TestARestartKeepsTheTerminal(t *testing.T) {
	t.Parallel()
	in, changes := pipe(t)
	answers, out := linesOf(t)
	cmd := command(changing(self("reporter", "A=1")))
	cmd.ExtraFiles = []*os.File{in, out}
	s := open(t, cmd)
	s.shows("A=1 pid ")
	fmt.Fprintf(changes, `{"Env": ["SUPERVISE_TEST_ROLE=reporter", "A=2"]}`)
	s.shows("signal 15")
	s.press("0\r")
	expect(t, answers, "taken")
	expect(t, answers, "<nil>")
	s.shows("A=2 pid ")
	if pid, group := s.number(), s.foreground(); group != pid {
		t.Errorf("the foreground is %d, want the new command, %d", group, pid)
	}
	s.press(ctrlC)
	s.shows("signal 2\r\n")
}

// Nobody could continue it: so a container has to go on.
func TestCtrlZInAContainerStopsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, command(shell(`echo up; read x; trap "echo stop" TSTP; trap "echo continue; exit 6" CONT
		sleep 1000 & echo "got <$x>"; while :; do wait; done`)))
	s.shows("up\r\n")
	s.press(ctrlZ)
	s.shows("^Z")
	s.press("on\r")
	s.shows("got <on>")
	s.process.Signal(syscall.SIGTSTP) // and later ones are forwarded as before
	s.shows("stop")
	s.process.Signal(syscall.SIGCONT)
	s.shows("continue")
	if state, err := s.process.Wait(); err != nil || state.ExitCode() != 6 {
		t.Errorf("ended with %v, %v, want exit code 6", state, err)
	}
}

func TestTheCommandFindsATerminalAsItWasWithoutUs(t *testing.T) {
	t.Parallel()
	sp := shell(`ls /proc/self/fd; grep Sig[BI] /proc/self/status; tty; echo end`)
	want := open(t, exec.Command(sp.Args[0], sp.Args[1:]...)).shows("end")
	got := open(t, command(sp)).shows("end")
	number := regexp.MustCompile(`/dev/pts/\d+`)
	if diff := cmp.Diff(number.ReplaceAllString(want, "/dev/pts/N"), number.ReplaceAllString(got, "/dev/pts/N")); diff != "" {
		t.Errorf("what the command finds (-want +got):\n%s", diff)
	}
}

func TestJobsOfAShellStopAndContinue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, line, after, end string }{
		{"alone", `supervisor`, "echo code=$?", "code=5"},
		{"in a script that reads after it", `sh -c '"$SUPERVISOR"; read y; echo "then <$y>"'`, "after", "then <after>"},
		{"into a pipe", `supervisor | cat`, "echo code=$?", "code=0"},
		{"from a pipe", `sleep 0 | sh -c '"$SUPERVISOR" </dev/tty'`, "echo code=$?", "code=5"},
		{"from the background", `supervisor & sleep 0; fg`, "echo code=$?", "code=5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := openShell(t, shell(`echo up; while read x; do echo "got <$x>"; done; exit 5`))
			s.press(test.line + "\r")
			s.shows("up\r\n")
			for _, word := range []string{"one", "two"} {
				s.press(word + "\r")
				s.shows("got <" + word + ">")
				s.press(ctrlZ)
				s.shows("Stopped")
				s.shows("prompt> ")
				if group := s.foreground(); group != s.process.Pid {
					t.Errorf("the foreground is %d, want the shell, %d", group, s.process.Pid)
				}
				s.press("fg\r")
				s.shows("\n")
			}
			s.press("three\r")
			s.shows("got <three>")
			s.press(ctrlD)
			s.press(test.after + "\r")
			s.shows(test.end)
		})
	}
}

func TestAStoppedJobGoesOnInTheBackground(t *testing.T) {
	t.Parallel()
	fifo := newFIFO(t)
	s := openShell(t, shell(`echo up; read x <`+fifo.Name()+`; echo done`))
	s.press("supervisor\r")
	s.shows("up\r\n")
	s.press(ctrlZ)
	s.shows("Stopped")
	fmt.Fprintln(fifo)
	s.press("bg\r")
	s.shows("done")
}

func TestAPagerBehindTheCommandHasTheTerminal(t *testing.T) {
	t.Parallel()
	s := openShell(t, shell(`echo up; exec sleep 1000`))
	s.press(`supervisor | sh -c 'read line; echo $line; read key </dev/tty; echo "key <$key>"; cat'` + "\r")
	s.shows("up\r\n")
	s.press("q\r")
	s.shows("key <q>")
	s.press(ctrlC)
	s.shows("prompt> ")
	s.press("echo ${PIPESTATUS[0]}\r")
	s.shows("130")
}

// openShell gives a shell whose function supervisor supervises.
func openShell(t *testing.T, sp spec) *screen {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "--noprofile", "--noediting", "-i")
	supervisor := command(sp)
	cmd.Env = append(supervisor.Env, "SUPERVISOR="+supervisor.Path, "PS1=prompt> ")
	s := open(t, cmd)
	s.shows("prompt> ")
	s.press(`supervisor() { "$SUPERVISOR"; }` + "\r")
	s.shows("prompt> ")
	return s
}
