// With-postgres runs a command beside a throw-away PostgreSQL:
//
//	go run ./internal/pgtest/with-postgres -- go test ./...
//
// The command finds the server's URI in KMS_TEST_POSTGRES; if that is set
// already, the command gets that server and none is started. SIGINT and
// SIGTERM are passed on to the command and all that it started, its exit code
// is passed back, and the server and its files are removed at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/hanzoai/kms/internal/pgtest"
)

func main() {
	arguments := os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "--" {
		arguments = arguments[1:]
	}
	if len(arguments) == 0 {
		fmt.Fprintln(os.Stderr, "usage: with-postgres [--] COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := withPostgres(arguments)
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-postgres:", err)
	}
	os.Exit(code)
}

// withPostgres is the exit code of the command; 1 beside an error of its own.
func withPostgres(arguments []string) (code int, err error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if os.Getenv(pgtest.Variable) != "" {
		return run(arguments, signals)
	}
	server, err := start(signals)
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := server.Stop(); stopErr != nil {
			code, err = 1, errors.Join(err, stopErr)
		}
	}()
	if err := errors.Join(os.Setenv(pgtest.Variable, server.URI()), os.Setenv(pgtest.ThrowAway, "yes")); err != nil {
		return 1, err
	}
	return run(arguments, signals)
}

// start starts the server; a signal that arrives meanwhile ends it.
func start(signals <-chan os.Signal) (*pgtest.Server, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	started := make(chan struct{})
	defer close(started)
	go func() {
		select {
		case s := <-signals:
			cancel(fmt.Errorf("ended by signal: %s", s))
		case <-started:
		}
	}()
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if cause := context.Cause(ctx); cause != nil {
		if server != nil {
			return nil, errors.Join(cause, server.Stop())
		}
		return nil, cause
	}
	return server, err
}

// run runs the command in a process group of its own: "go test" dies of a
// SIGTERM without telling the tests that it runs, so the group gets it.
func run(arguments []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(arguments[0], arguments[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = syscall.Kill(-cmd.Process.Pid, s.(syscall.Signal))
			case <-ended:
				return
			}
		}
	}()
	return exitCode(cmd.Wait())
}

// exitCode is the command's own, or, as shells have it, 128 and the number of
// the signal that ended it.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return 1, err
		}
		return 0, nil
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
