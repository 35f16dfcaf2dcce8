//go:build linux

package supervise_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanzoai/kms/agent/internal/supervise"
)

func changing(s spec) spec {
	s.Changes = true
	return s
}

func reporterWith(a string) request { return request{Env: reporterEnv("reporter", "A="+a)} }

func TestARestartGivesTheNewEnvironment(t *testing.T) {
	t.Parallel()
	s := changing(shell(`echo $A $$; exec sleep 1000`))
	s.Env = append(s.Env, "A=1", "B=1")
	p := start(t, s)
	first := pidAfter(t, next(t, p.lines), "1 ")
	p.change(request{Env: []string{s.Env[0], "A=2$B"}})
	expect(t, p.answers, "<nil>")
	if !isGone(first) {
		t.Error("the old command is still there")
	}
	pidAfter(t, next(t, p.lines), "2$B ")
	p.send(syscall.SIGTERM)
	p.ends(143)
}

func pidAfter(t *testing.T, line, prefix string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimPrefix(line, prefix))
	if err != nil {
		t.Fatalf("got %q, want %qPID", line, prefix)
	}
	return pid
}

func TestASignalInsteadOfARestartIsOnlySent(t *testing.T) {
	t.Parallel()
	p := start(t, changing(self("reporter", "A=1")))
	p.reporter("1")
	p.change(request{Signal: syscall.SIGHUP})
	expect(t, p.answers, "<nil>")
	expect(t, p.lines, "signal 1")
	p.say("0")
	p.ends(0)
}

func TestTheStopSignalIsTheOneOfTheCommand(t *testing.T) {
	t.Parallel()
	s := changing(shell(`trap "echo bye; exit" QUIT; echo up; read x; exit $x`))
	s.StopSignal = syscall.SIGQUIT
	p := start(t, s)
	expect(t, p.lines, "up")
	p.change(request{Env: s.Env})
	expect(t, p.lines, "bye")
	expect(t, p.lines, "up")
	expect(t, p.answers, "<nil>")
	p.say("8")
	p.ends(8)
}

func TestAStoppedCommandCanBeRestarted(t *testing.T) {
	t.Parallel()
	s := changing(shell(`echo $$; kill -STOP $$`))
	p := start(t, s)
	pid := pidAfter(t, next(t, p.lines), "")
	await(t, "the command is stopped", func() bool { return stateOf(pid) == "T" })
	p.change(request{Env: s.Env})
	expect(t, p.answers, "<nil>")
}

func TestACommandThatDoesNotEndIsKilledWithItsGroup(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, script string }{
		{"it ignores SIGTERM", `trap "" TERM; echo $$; sleep 1000; sleep 1000`},
		{"it is stopped, and ignores SIGTERM", `trap "" TERM; echo $$; kill -STOP $$; sleep 1000`},
		{"it ends, but what it forked ignores SIGTERM", `(trap "" TERM; exec sh -c 'echo $$; sleep 1000; sleep 1000') & wait`},
		{"what is left is an orphan of an orphan", `((trap "" TERM; exec sh -c 'echo $$; sleep 1000; sleep 1000') &); sleep 1000`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := changing(shell(test.script))
			s.Grace = 50 * time.Millisecond
			p := start(t, s)
			stubborn := pidAfter(t, next(t, p.lines), "")
			p.change(request{Env: s.Env})
			expect(t, p.answers, "<nil>")
			if !isGone(stubborn) {
				t.Error("the stubborn process is still there")
			}
			next(t, p.lines) // it was started again
		})
	}
}

func TestWhatTheCommandLeavesBehindMayEndInItsOwnWay(t *testing.T) {
	t.Parallel()
	s := changing(self("reporter", "A=1"))
	s.Args = []string{"sh", "-c", `exec 3<&0; "$0" <&3 & wait`, os.Args[0]} // SIGTERM ends the shell at once
	p := start(t, s)
	child := p.reporter("1")
	p.change(reporterWith("2"))
	expect(t, p.lines, "signal 15")
	if isGone(child) {
		t.Error("what the command left behind was killed")
	}
	p.say("0")
	p.reporter("2")
	expect(t, p.answers, "<nil>")
}

func TestARestartDoesNotWaitForWhatLeftTheGroup(t *testing.T) {
	t.Parallel()
	p := start(t, changing(shell(`setsid sh -c 'trap "" TERM; echo $$; exec sleep 1000' & wait`)))
	daemon := pidAfter(t, next(t, p.lines), "")
	t.Cleanup(func() { syscall.Kill(daemon, syscall.SIGKILL) })
	p.change(request{Env: shell("").Env})
	expect(t, p.answers, "<nil>")
	if isGone(daemon) {
		t.Error("the daemon was killed")
	}
	second := pidAfter(t, next(t, p.lines), "")
	syscall.Kill(second, syscall.SIGKILL)
}

func TestOnlyTheLastOfTheChangesDuringARestartCounts(t *testing.T) {
	t.Parallel()
	p := start(t, changing(self("reporter", "A=1")))
	p.reporter("1")
	p.change(reporterWith("2"))
	expect(t, p.lines, "signal 15")
	p.change(reporterWith("3"))
	p.change(request{Signal: syscall.SIGHUP})
	p.change(reporterWith("4"))
	p.say("9")
	p.reporter("4")
	for range 4 {
		expect(t, p.answers, "<nil>")
	}
	p.say("5")
	p.ends(5)
}

func TestSIGTERMDuringARestartIsTheEnd(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, changing(self("reporter", "A=1")))
			p.reporter("1")
			p.change(reporterWith("2"))
			expect(t, p.lines, "signal 15")
			p.send(signal)
			expect(t, p.lines, "signal "+strconv.Itoa(int(signal)))
			p.change(reporterWith("3"))
			expect(t, p.answers, supervise.ErrEnded.Error())
			p.say("9")
			p.ends(9)
			expect(t, p.answers, supervise.ErrEnded.Error())
		})
	}
}

func TestAStopIsForGood(t *testing.T) {
	t.Parallel()
	s := changing(self("reporter", "A=1"))
	s.Args = []string{"sh", "-c", `exec 3<&0; "$0" <&3 & wait`, os.Args[0]} // SIGTERM ends the shell at once
	p := start(t, s)
	p.reporter("1")
	p.change(request{Stop: true})
	expect(t, p.answers, "<nil>")
	expect(t, p.lines, "signal 15") // of what the shell left behind
	p.change(reporterWith("2"))
	expect(t, p.answers, supervise.ErrEnded.Error())
	p.say("0")
	p.ends(143)
}

func TestAStopDuringARestartIsForGood(t *testing.T) {
	t.Parallel()
	p := start(t, changing(self("reporter", "A=1")))
	p.reporter("1")
	p.change(reporterWith("2"))
	expect(t, p.lines, "signal 15")
	p.change(request{Stop: true})
	expect(t, p.answers, "<nil>")
	p.say("9")
	p.ends(9)
	expect(t, p.answers, supervise.ErrEnded.Error())
}

func TestACommandThatIsToldToEndIsNotRestartedBeforeItHas(t *testing.T) {
	t.Parallel()
	p := start(t, changing(self("reporter", "A=1")))
	p.reporter("1")
	p.send(syscall.SIGTERM)
	expect(t, p.lines, "signal 15")
	p.change(reporterWith("2"))
	expect(t, p.answers, supervise.ErrEnded.Error())
	p.say("6")
	p.ends(6)
}

// The change and the end are there at the same moment, and either may be seen
// first.
func TestACommandThatEndsByItselfIsNotRestarted(t *testing.T) {
	t.Parallel()
	for range 4 {
		p := start(t, changing(shell("echo $$; read x; exit $x")))
		pid := pidAfter(t, next(t, p.lines), "")
		p.send(syscall.SIGSTOP)
		p.say("11")
		await(t, "the command is dead", func() bool { return stateOf(pid) == "Z" })
		if err := json.NewEncoder(p.changes).Encode(request{Env: shell("").Env}); err != nil {
			t.Fatal(err)
		}
		p.send(syscall.SIGCONT)
		p.ends(11)
	}
}

func TestAnEnvironmentThatNoCommandCanHaveLeavesTheOldOneRunning(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		want string
	}{
		{"a program that is not in the new PATH", []string{"PATH=/canary"}, "run cat: no directory in the PATH of its environment has it: file does not exist"},
		{"a value with a NUL", append(shell("").Env, "CERT=canary\x00"), "run cat: the variable CERT holds a NUL, which no variable can: use a file for it"},
		{"a value that is too long", append(shell("").Env, "CERT="+strings.Repeat("x", 128<<10)),
			"run cat: the variable CERT is longer than the 131072 bytes that one can have: use a file for it"},
		{"values that are too long together", many(1000, strings.Repeat("canary", 500)),
			"run cat: the arguments and variables need 3013902 bytes and may have 2097152: use files for large values"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := changing(spec{Args: []string{"cat"}, Env: shell("").Env})
			// The limit of all together follows from that of the stack.
			p := start(t, s, "sh", "-c", `ulimit -s 8192; exec "$0"`)
			p.change(request{Env: test.env})
			expect(t, p.answers, test.want)
			p.say("still here")
			expect(t, p.lines, "still here")
			p.stdin.Close()
			p.ends(0)
		})
	}
}

func many(n int, value string) (env []string) {
	for i := range n {
		env = append(env, fmt.Sprintf("K%d=%s", i, value))
	}
	return env
}
