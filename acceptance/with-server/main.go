// With-server runs a command beside a kms-server of its own, for tests that are
// not part of this module or not written in Go:
//
//	with-server -server bin/kms-server -engine sqlite -- npm test
//
// The server is the real program on an empty database, speaks TLS for
// kms.hanzo.ai, localhost and 127.0.0.1, and has one organisation. The command
// finds in its environment
//
//	KMS_ACCEPTANCE_URL     where the server is
//	KMS_ACCEPTANCE_TOKEN   the token of the identity that administers it
//	KMS_ACCEPTANCE_ORG     the id of the organisation
//	KMS_ACCEPTANCE_CA      the file that holds the certificate to trust
//	NODE_EXTRA_CA_CERTS    the same, for Node
//	CURL_HOME              a folder whose .curlrc sends kms.hanzo.ai to the server
//
// The engine "postgres" needs a PostgreSQL, named by KMS_TEST_POSTGRES; the
// database made in it is dropped at the end. The exit code is the command's, or
// 1 if the server did not start or did not stop cleanly.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	program := flag.String("server", "bin/kms-server", "`program` to run as the server")
	engine := flag.String("engine", "sqlite", "`database` of the server: sqlite or postgres")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: with-server [-server PROGRAM] [-engine sqlite|postgres] -- COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	code, err := withServer(ctx, *program, *engine, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-server:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// withServer is the exit code of the command.
func withServer(ctx context.Context, program, engine string, command []string) (code int, err error) {
	dir, err := os.MkdirTemp("", "kms-acceptance-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	database, drop, err := newDatabase(ctx, engine)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	s, err := start(ctx, program, dir, database)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	environment, err := s.environment(ctx)
	if err != nil {
		return 1, err
	}
	return run(ctx, command, environment)
}

func run(ctx context.Context, command, environment []string) (int, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), environment...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}
