package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/internal/app"
	"github.com/hanzoai/kms/sdk"
)

func main() { app.Main("kms-agent", run) }

const usage = `kms-agent keeps the secrets of an application as files, up to date.

  kms-agent run  [-config FILE]    write them, and follow every change until SIGTERM
  kms-agent init [-config FILE]    write them once and exit

"kms-agent run -h" and "kms-agent init -h" show the flags.
`

// run is main with its surroundings as parameters.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return usageError("say what to do: kms-agent run, or kms-agent init")
	}
	switch args[0] {
	case "run", "init":
		s, err := parse(args[0], args[1:])
		if err != nil {
			return err
		}
		return deliver.Fail(start(ctx, s, stdout))
	case "-h", "-help", "--help", "help":
		return &app.Answer{Text: usage}
	case "-version", "--version", "version":
		return &app.Answer{Text: app.VersionString() + "\n"}
	}
	return usageError("there is no such command: there are run and init")
}

func usageError(text string) error {
	return &deliver.Failure{Reason: deliver.BadConfig, Err: errors.New(text)}
}

// settings are the flags of both commands.
type settings struct {
	command string
	config  string
	timeout time.Duration // of init
	level   slog.Level
}

func start(ctx context.Context, s settings, stdout io.Writer) error {
	if err := harden(); err != nil {
		return err
	}
	c, err := config.Load(s.config, os.Getenv("KMS_AGENT_CONFIG"))
	if err != nil {
		return err
	}
	agent := deliver.New(c, newClient(c), app.NewLogger(stdout, s.level))
	if s.command == "run" {
		return agent.Run(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return agent.Init(ctx)
}

func parse(command string, args []string) (s settings, err error) {
	s.command = command
	f := app.NewFlags("kms-agent "+command, usage)
	f.String(&s.config, "config", "", "file of the configuration; without it, KMS_AGENT_CONFIG holds the JSON itself")
	f.Level(&s.level, "log-level", slog.LevelInfo, "least level of the log: debug, info, warn or error")
	if command == "init" {
		f.Duration(&s.timeout, "timeout", 2*time.Minute, "how long to try again while the server is away")
	}
	return s, f.Parse(args, os.LookupEnv)
}

func newClient(c config.Config) *sdk.Client {
	return sdk.NewClient(sdk.Config{
		SiteURL:       c.Server,
		CACertFile:    c.CAFile,
		TLSServerName: c.TLSServerName,
		Credentials:   deliver.Credentials(c.Credentials),
		MaxRetries:    2, // the agent itself tries again, and says so
		UserAgent:     "kms-agent/" + app.VersionString(),
	})
}
