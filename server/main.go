// Command kms-server is the central server of Hanzo KMS.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/app"
	server "github.com/hanzoai/kms/server/internal/app"
	"github.com/hanzoai/kms/server/internal/audit"
)

const about = `The central server of Hanzo KMS: it keeps secrets, and gives them to whom they are for.

  kms-server -data DIR             serve from the embedded database (SQLite) in DIR
  kms-server                       serve from PostgreSQL, with DB_CONNECTION_URI set
  kms-server -dev                  serve a throw-away instance, with a login to paste
  kms-server keygen                make ROOT_ENCRYPTION_KEY and AUTH_SECRET
  kms-server rewrap                wrap all keys under the newest root key
  kms-server rotate-keys           give every project a new data key for what is written from now on
  kms-server audit verify [HEAD]   recompute the audit trail; HEAD is NUMBER:DIGEST from the log

The commands take the flags and variables of the server.`

func main() { app.Main("kms-server", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "keygen" {
		return keygen(args[1:], stdout)
	}
	var cfg server.Config
	var rest []string
	flags := app.NewFlags("kms-server", about)
	cfg.Flags(flags)
	command, args := commandOf(args)
	if command == "audit verify" {
		flags.Rest(&rest, "[HEAD...]")
	}
	if err := errors.Join(flags.Parse(args, os.LookupEnv), cfg.Validate()); err != nil {
		return err
	}
	switch command {
	case "rewrap":
		return rewrap(ctx, cfg, stdout, stderr)
	case "rotate-keys":
		return rotateKeys(ctx, cfg, stdout, stderr)
	case "audit verify":
		return verify(ctx, cfg, rest, stdout, stderr)
	}
	return serve(ctx, cfg, stdout)
}

// commandOf takes the words of a command off the arguments.
func commandOf(args []string) (command string, rest []string) {
	switch {
	case len(args) > 1 && args[0] == "audit" && args[1] == "verify":
		return "audit verify", args[2:]
	case len(args) > 0 && (args[0] == "rewrap" || args[0] == "rotate-keys"):
		return args[0], args[1:]
	}
	return "", args
}

func keygen(args []string, stdout io.Writer) error {
	if len(args) > 0 {
		return api.Errorf(api.ErrInvalid, "keygen takes no arguments: it prints both keys, in the form of an environment file")
	}
	rootKey, authSecret := server.Generate()
	_, err := fmt.Fprintf(stdout, "ROOT_ENCRYPTION_KEY=%s\nAUTH_SECRET=%s\n", rootKey, authSecret)
	return err
}

// collectAt is how many percent the heap may grow between two collections. A
// server holds little and allocates much, so at Go's 100 it would spend a fifth
// of its time on collecting. GOGC, where it is set, goes before it.
const collectAt = 400

func serve(ctx context.Context, cfg server.Config, stdout io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if cfg.Dev {
		remove, err := cfg.Throwaway()
		if err != nil {
			return err
		}
		defer remove()
	}
	a, err := server.New(ctx, cfg, app.NewLogger(stdout, cfg.LogLevel), nil)
	if err != nil {
		return err
	}
	if cfg.Check {
		fmt.Fprintln(stdout, "configuration, keys and database are good")
		return a.Close()
	}
	if cfg.Dev {
		a.SeedTo = stdout
	}
	return a.Run(ctx)
}

func rewrap(ctx context.Context, cfg server.Config, stdout, stderr io.Writer) error {
	moved, err := server.Rewrap(ctx, cfg, app.NewLogger(stderr, cfg.LogLevel))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d keys are now wrapped under the first key of ROOT_ENCRYPTION_KEY; the others can be taken away\n", moved)
	return err
}

func rotateKeys(ctx context.Context, cfg server.Config, stdout, stderr io.Writer) error {
	rotated, err := server.RotateDataKeys(ctx, cfg, app.NewLogger(stderr, cfg.LogLevel))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d projects have a new data key; what is stored stays readable under the old ones\n", rotated)
	return err
}

func verify(ctx context.Context, cfg server.Config, heads []string, stdout, stderr io.Writer) error {
	var seen []audit.Head
	for i, text := range heads {
		number, digest, ok := strings.Cut(text, ":")
		n, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil {
			return api.Errorf(api.ErrInvalid, "head %d is not of the form NUMBER:DIGEST, as the server's log has it", i+1)
		}
		seen = append(seen, audit.Head{Number: n, Digest: digest})
	}
	report, err := server.Verify(ctx, cfg, app.NewLogger(stderr, cfg.LogLevel), seen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "rows      %d\nbatches   %d\nlinks     %d\nunsealed  %d batches, the oldest %s\nhead      %d:%s\n",
		report.Rows, report.Batches, report.Links, report.Unsealed, report.UnsealedAge.Round(1e9), report.Head.Number, report.Head.Digest)
	for _, problem := range report.Problems {
		fmt.Fprintln(stdout, "PROBLEM  ", problem)
	}
	if len(report.Problems) > 0 {
		return fmt.Errorf("the audit trail does not hold: %d problems", len(report.Problems))
	}
	fmt.Fprintln(stdout, "the audit trail is intact")
	return nil
}
