package main

import (
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/agent/internal/supervise"
	"github.com/hanzoai/kms/internal/app"
	"github.com/hanzoai/kms/sdk"
)

// exit is the exit code of a command that has said itself what there was to say.
type exit int

func (exit) Error() string   { return "" }
func (e exit) ExitCode() int { return int(e) }

// execute is "kms-agent exec". Its log goes to stderr: stdout is the command's.
func execute(args []string, stderr io.Writer) error {
	s, err := parse("exec", args)
	if err != nil {
		return err
	}
	if len(s.rest) == 0 {
		return usageError("say which command to run: kms-agent exec [flags] -- COMMAND [ARGUMENT...]")
	}
	c, err := config.Load(s.config, os.Getenv("KMS_AGENT_CONFIG"))
	if err != nil {
		return ended(c, deliver.Fail(err))
	}
	code, err := supervised(c, s, app.NewLogger(stderr, s.level))
	switch {
	case errors.As(err, new(*supervise.Error)): // its code is that of a shell
		return ended(c, err)
	case err != nil:
		return ended(c, deliver.Fail(err))
	case code != 0:
		return exit(code)
	}
	return nil
}

// supervised waits for the secrets and runs the command with them. Signals are
// caught from the first moment on, so that none is lost between the two.
func supervised(c config.Config, s settings, log *slog.Logger) (code int, err error) {
	if err := hide(); err != nil {
		return 0, err
	}
	var client *sdk.Client
	switch {
	case c.Exec.File != "":
	case len(c.Notify) > 0:
		return 0, usageError("notify is for kms-agent run: exec does what exec.onChange says")
	default:
		if client, err = newClient(c); err != nil {
			return 0, err
		}
	}
	limitMemory()
	return deliver.Exec(c, client, log, deliver.Command{Args: s.rest, Timeout: s.timeout, Signals: supervise.Listen()})
}
