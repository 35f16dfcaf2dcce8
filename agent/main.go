package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/internal/app"
	"github.com/hanzoai/kms/sdk"
)

const name = "kms-agent"

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "exec": // its signals are its command's
			app.Exit(name, execute(os.Args[2:], os.Stderr))
		case "run":
			restQuietly()
		}
	}
	app.Main(name, run)
}

const usage = `kms-agent brings the secrets of an application to where it reads them, and
keeps them up to date.

  kms-agent run             write them as files, and follow every change until SIGTERM
  kms-agent init            write them once and exit
  kms-agent exec -- CMD     run CMD with them as its environment, and restart it when they change
  kms-agent health [WHAT]   ask the agent of the directory: live, ready (default) or startup
  kms-agent install DIR     copy this program to DIR/kms-agent, for exec in another container
  kms-agent config WHAT     check a configuration, or print its schema or an example
  kms-agent version         print the version

Each command takes -config FILE, or the JSON itself in KMS_AGENT_CONFIG; -h after
a command shows its flags. Exit codes: 2 BadConfig, 3 AuthFailed, 4 Unreachable,
5 Forbidden, 6 NotFound, 7 BadTemplate, 8 NoSpace, 1 anything else.
`

// run is main with its surroundings as parameters.
func run(ctx context.Context, args []string, stdout, _ io.Writer) error {
	if len(args) == 0 {
		return usageError("say what to do: run, init, exec, health, install or config; kms-agent -h explains them")
	}
	command, args := args[0], args[1:]
	switch command {
	case "run", "init":
		return deliverFiles(ctx, command, args, stdout)
	case "health":
		return health(ctx, args)
	case "install":
		return install(args)
	case "config":
		return configure(args)
	case "-h", "-help", "--help", "help":
		return &app.Answer{Text: usage}
	case "-version", "--version", "version":
		return &app.Answer{Text: app.VersionString() + "\n"}
	}
	return usageError("there is no such command: there are run, init, exec, health, install, config and version")
}

func usageError(text string) error {
	return &deliver.Failure{Reason: deliver.BadConfig, Err: errors.New(text)}
}

// settings are the flags of the commands that fetch.
type settings struct {
	config  string
	timeout time.Duration // for the first secrets, except of run
	level   slog.Level
	rest    []string
}

func parse(command string, args []string) (s settings, err error) {
	f := app.NewFlags(name+" "+command, usage)
	f.String(&s.config, "config", "", "file of the configuration; without it, KMS_AGENT_CONFIG holds the JSON itself")
	f.Level(&s.level, "log-level", slog.LevelInfo, "least level of the log: debug, info, warn or error")
	if command != "run" {
		f.Duration(&s.timeout, "timeout", 2*time.Minute, "how long to try again while the server is away")
	}
	if command == "exec" {
		f.Rest(&s.rest, "COMMAND [ARGUMENT...]")
	}
	return s, f.Parse(args, os.LookupEnv)
}

// deliverFiles is run and init.
func deliverFiles(ctx context.Context, command string, args []string, stdout io.Writer) error {
	s, err := parse(command, args)
	if err != nil {
		return err
	}
	c, err := config.Load(s.config, os.Getenv("KMS_AGENT_CONFIG"))
	if err == nil {
		err = deliverTo(ctx, command, c, s, stdout)
	}
	return ended(c, deliver.Fail(err))
}

func deliverTo(ctx context.Context, command string, c config.Config, s settings, stdout io.Writer) error {
	if err := harden(); err != nil {
		return err
	}
	if len(c.Sources) == 0 {
		return usageError("the configuration has no sources: it is one for kms-agent exec")
	}
	client, err := newClient(c)
	if err != nil {
		return err
	}
	limitMemory()
	agent := deliver.New(c, client, app.NewLogger(stdout, s.level))
	if command == "run" {
		logStatusOnSignal(agent)
		if err := agent.Run(ctx); err != nil {
			return err
		}
		// A startup probe that gives up ends an agent like this.
		lastWords(c, agent.NotReady())
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return agent.Init(ctx)
}

func logStatusOnSignal(agent *deliver.Agent) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			agent.LogStatus()
		}
	}()
}

// newClient makes the client of the server. Its credentials come from files,
// or from the environment where the configuration names none.
func newClient(c config.Config) (*sdk.Client, error) {
	options := sdk.Config{
		SiteURL:       c.Server,
		CACertFile:    c.CAFile,
		TLSServerName: c.TLSServerName,
		Proxy:         c.Proxy,
		MaxRetries:    2, // the agent itself tries again, and says so
		MaxResponse:   2*config.Bytes(c.MaxSize) + answerOverhead,
		UserAgent:     name + "/" + app.VersionString(),
	}
	if c.Credentials.ClientIDFile != "" {
		options.Credentials = deliver.Credentials(c.Credentials)
		return sdk.NewClient(options), nil
	}
	options.ClientID, options.ClientSecret = os.Getenv("KMS_CLIENT_ID"), os.Getenv("KMS_CLIENT_SECRET")
	if options.ClientID == "" || options.ClientSecret == "" {
		return nil, usageError("there are no credentials: give credentials.clientIdFile and clientSecretFile, or KMS_CLIENT_ID and KMS_CLIENT_SECRET in the environment")
	}
	return sdk.NewClient(options), nil
}

// answerOverhead is what an answer may hold beside values: names, versions and
// times of some thousand secrets.
const answerOverhead = 4 << 20

// ended leaves the reason where Kubernetes looks for the last words of a
// container.
func ended(c config.Config, err error) error {
	if err != nil {
		lastWords(c, err.Error())
	}
	return err
}

func lastWords(c config.Config, why string) {
	if why == "" {
		return
	}
	f, err := os.OpenFile(cmp.Or(c.TerminationLog, "/dev/termination-log"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return // not in a container
	}
	defer f.Close()
	io.WriteString(f, why+"\n")
}
