//go:build linux

package supervise_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/hanzoai/kms/agent/internal/supervise"
)

func beSupervisor() int {
	var s spec
	if err := json.Unmarshal([]byte(os.Getenv("SUPERVISE_TEST")), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	changes, finish := (<-chan supervise.Change)(nil), func() {}
	if s.Changes {
		changes, finish = readChanges()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	code, err := supervise.Run(supervise.Command{Args: s.Args, StopSignal: s.StopSignal, Grace: s.Grace, Log: log}, s.Env, changes)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		var coded interface{ ExitCode() int }
		if !errors.As(err, &coded) || coded.ExitCode() != code {
			return 98
		}
	}
	finish()
	return code
}

// request is a change on its way to a supervisor.
type request struct {
	Env    []string
	Signal syscall.Signal
	Stop   bool
}

// readChanges says "taken" once Run has a change, and its outcome after that.
func readChanges() (changes <-chan supervise.Change, finish func()) {
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	in, out := json.NewDecoder(os.NewFile(3, "changes")), os.NewFile(4, "answers")
	c := make(chan supervise.Change)
	var open sync.WaitGroup
	go func() {
		for {
			var r request
			if in.Decode(&r) != nil {
				return
			}
			done := make(chan error, 1)
			c <- supervise.Change{Env: r.Env, Signal: r.Signal, Stop: r.Stop, Done: done}
			fmt.Fprintln(out, "taken")
			open.Go(func() { fmt.Fprintln(out, <-done) })
		}
	}()
	return c, open.Wait
}

// beReporter says what its A is, and each signal that it gets. It ends with the
// code that it reads.
func beReporter() int {
	arrived := make(chan os.Signal, 100)
	for number := syscall.Signal(1); number < 65; number++ {
		switch number {
		case syscall.SIGURG: // the Go runtime sends it to itself
		case syscall.SIGCONT: // goes along with every stop signal
		default:
			signal.Notify(arrived, number)
		}
	}
	fmt.Printf("A=%s pid %d\n", os.Getenv("A"), os.Getpid())
	go func() {
		for s := range arrived {
			fmt.Println("signal", int(s.(syscall.Signal)))
		}
	}()
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return 97
	}
	code, _ := strconv.Atoi(strings.TrimSpace(line))
	return code
}

// beFlooder sends its parent signals and leaves it orphans, until SIGTERM.
func beFlooder() int {
	signal.Ignore(syscall.SIGUSR1)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for n := 1; ; n++ {
		syscall.Kill(os.Getppid(), syscall.SIGUSR1)
		syscall.Kill(os.Getppid(), syscall.SIGCHLD)
		switch {
		case n%1000 == 0:
			exec.Command("sh", "-c", "(:&)").Run()
		case n == 50_500:
			fmt.Println("flooded")
		}
		select {
		case <-term:
			return 7
		default:
		}
	}
}
