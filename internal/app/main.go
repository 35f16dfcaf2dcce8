package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Main runs a program called name and exits with its code; it does not return.
//
// The context of run ends at the first SIGTERM or SIGINT, and run should then
// finish what it began and return nil. The second signal exits at once, with
// 128 and the signal's number. An error of run is printed on stderr, each line
// of it as "name: ...", and the code is 1, or that of the first error in its
// tree that has a method ExitCode() int (which *exec.ExitError does, too). An
// *Answer is printed on stdout, with code 0.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		cancel()
		if number, ok := (<-signals).(syscall.Signal); ok {
			os.Exit(128 + int(number))
		}
		os.Exit(1)
	}()
	Exit(name, run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit ends a program as Main does when its run has returned err. An error
// without a text prints nothing and has its code only.
func Exit(name string, err error) {
	os.Exit(report(name, err, os.Stdout, os.Stderr))
}

// report prints err and gives the exit code.
func report(name string, err error, stdout, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	var answer *Answer
	if errors.As(err, &answer) {
		if _, err := io.WriteString(stdout, answer.Text); err != nil {
			return 1
		}
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "%s: %s\n", name, strings.TrimRight(line, "\r\n"))
	}
	return exitCode(err)
}

// exitCode is 1 for an error that names no code, or none that a process can
// exit with to say that it failed (a child killed by a signal has -1).
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		if code := coded.ExitCode(); code >= 1 && code <= 255 {
			return code
		}
	}
	return 1
}
