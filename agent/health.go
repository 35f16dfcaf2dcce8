package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/internal/app"
)

// health asks a running agent, for an exec probe: exit code 0 is well.
func health(ctx context.Context, args []string) error {
	var file string
	var timeout, wait time.Duration
	var rest []string
	f := app.NewFlags(name+" health", "kms-agent health asks the agent of the configured directory: live, ready (default)\nor startup. Exit code 0 is well.")
	f.String(&file, "config", "", "file of the configuration; without it, KMS_AGENT_CONFIG holds the JSON itself")
	f.Duration(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	f.Duration(&wait, "wait", 0, "how long to ask again while it is not well: one probe that waits takes a node less than many that do not")
	f.Rest(&rest, "[live|ready|startup]")
	if err := f.Parse(args, os.LookupEnv); err != nil {
		return err
	}
	asked, known := questions[first(rest)]
	if !known || len(rest) > 1 {
		return usageError("ask for one of live, ready and startup")
	}
	c, err := config.Load(file, os.Getenv("KMS_AGENT_CONFIG"))
	if err != nil {
		return deliver.Fail(err)
	}
	for end := time.Now().Add(wait); ; {
		if err = probe(ctx, c.Directory, asked.path, timeout); err == nil {
			return nil
		}
		if ctx.Err() != nil || !time.Now().Before(end) {
			return fmt.Errorf("not %s: %w", asked.state, err)
		}
		time.Sleep(askAgain)
	}
}

const askAgain = 50 * time.Millisecond

func probe(ctx context.Context, directory, path string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return deliver.Probe(ctx, directory, path)
}

// questions are what health can ask for.
var questions = map[string]struct{ path, state string }{
	"":        {"/readyz", "ready"},
	"ready":   {"/readyz", "ready"},
	"live":    {"/healthz", "live"},
	"startup": {"/startupz", "started"},
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// configure is "kms-agent config".
func configure(args []string) error {
	switch first(args) {
	case "check":
		return checkConfig(args[1:])
	case "schema":
		return &app.Answer{Text: string(config.Schema())}
	case "example":
		return &app.Answer{Text: string(config.Example())}
	}
	return usageError("say what about the configuration: check [-config FILE], schema or example")
}

func checkConfig(args []string) error {
	var file string
	f := app.NewFlags(name+" config check", "kms-agent config check reads a configuration and reports all that is wrong with it.")
	f.String(&file, "config", "", "file of the configuration; without it, KMS_AGENT_CONFIG holds the JSON itself")
	if err := f.Parse(args, os.LookupEnv); err != nil {
		return err
	}
	_, err := config.Load(file, os.Getenv("KMS_AGENT_CONFIG"))
	var problems *config.Error
	if errors.As(err, &problems) {
		return deliver.Fail(err)
	}
	return &app.Answer{Text: "the configuration is good\n"}
}
