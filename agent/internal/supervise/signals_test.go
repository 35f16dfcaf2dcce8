//go:build linux

package supervise_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestEverySignalIsForwardedOnce(t *testing.T) {
	t.Parallel()
	p := start(t, self("reporter"))
	p.reporter("")
	for number := syscall.Signal(1); number <= 64; number++ {
		switch number {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTTIN, syscall.SIGTTOU: // end or stop us
		case syscall.SIGCONT: // see below
		case syscall.SIGPROF, 32, 33, 34: // the Go runtime's
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE:
			p.send(number) // our own: if they came through the next line would be theirs
		default:
			p.send(number)
			expect(t, p.lines, fmt.Sprint("signal ", int(number)))
		}
	}
	p.say("4")
	p.ends(4)
}

func TestACommandThatSomebodyStoppedStaysSoUntilItIsContinued(t *testing.T) {
	t.Parallel()
	p := start(t, self("reporter"))
	pid := p.reporter("")
	syscall.Kill(pid, syscall.SIGSTOP)
	await(t, "the command is stopped", func() bool { return stateOf(pid) == "T" })
	p.send(syscall.SIGUSR1)
	p.send(syscall.SIGCONT)
	expect(t, p.lines, "signal 10")
	p.say("4")
	p.ends(4)
}

// A flood must neither crowd out the SIGTERM nor keep the dead from being
// reaped.
func TestAFloodOfSignalsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	p := start(t, self("flooder"))
	expect(t, p.lines, "flooded")
	await(t, "no dead are left while the flood goes on", func() bool {
		return !strings.Contains(childrenOf(t, p.Process.Pid)["sh"], "Z")
	})
	p.send(syscall.SIGTERM)
	p.ends(7)
}

func TestOrphansAreAdoptedAndReaped(t *testing.T) {
	t.Parallel()
	fifo := newFIFO(t)
	p := start(t, shell("for i in 1 2 3 4 5; do (cat <"+fifo.Name()+" &); done; read x; exit $x"))
	orphans := func() string { return childrenOf(t, p.Process.Pid)["cat"] }
	await(t, "the orphans are ours", func() bool { return len(orphans()) == 5 })
	p.send(syscall.SIGSTOP) // so that they are dead before we hear of any
	fifo.Close()
	await(t, "the orphans are dead", func() bool { return orphans() == "ZZZZZ" })
	p.send(syscall.SIGCONT)
	await(t, "the orphans are gone", func() bool { return orphans() == "" })
	p.say("3")
	p.ends(3)
}

func TestTheFirstProcessOfAContainerDoesItsDuty(t *testing.T) {
	t.Parallel()
	fifo := newFIFO(t)
	script := `trap "echo usr1" USR1; echo parent $PPID; kill -USR1 1; sleep 0.01
		(cat <` + fifo.Name() + ` &)
		until grep -qs "(cat) . 1 " /proc/[0-9]*/stat; do sleep 0.01; done; echo adopted
		while grep -qs "(cat)" /proc/[0-9]*/stat; do sleep 0.01; done; echo reaped; kill -TERM 1; sleep 100`
	unshare := []string{"unshare", "--pid", "--fork", "--mount-proc"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	p := start(t, shell(script), unshare...)
	expect(t, p.lines, "parent 1")
	expect(t, p.lines, "usr1")
	expect(t, p.lines, "adopted")
	fifo.Close()
	expect(t, p.lines, "reaped")
	p.ends(143)
}

// newFIFO can be read until it is closed.
func newFIFO(t *testing.T) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fifo.Close() })
	return fifo
}

func TestALogThatNobodyReadsDoesNotEndTheCommand(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	r.Close()
	s := changing(self("reporter", "A=1"))
	cmd := command(s)
	cmd.Stderr = w
	p := launch(t, cmd, s.Changes)
	p.reporter("1")
	p.change(reporterWith("2")) // is logged
	expect(t, p.lines, "signal 15")
	p.say("0")
	p.reporter("2")
	p.say("3")
	p.ends(3)
}
