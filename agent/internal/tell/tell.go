package tell

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/hanzoai/kms/agent/config"
)

// Tell tells target once. It ends with ctx or after target.Timeout; a command
// that is still running then gets two seconds to end. An error after that time
// is a context.DeadlineExceeded. A Wrapper is not told here.
func Tell(ctx context.Context, target config.Target) error {
	if timeout := config.Duration(target.Timeout); timeout > 0 {
		cause := fmt.Errorf("not done within %s: %w", timeout, context.DeadlineExceeded)
		limited, cancel := context.WithTimeoutCause(ctx, timeout, cause)
		defer cancel()
		ctx = limited
	}
	if err := tell(ctx, target); err != nil {
		return fmt.Errorf("tell %s: %w", Name(target), err)
	}
	return nil
}

func tell(ctx context.Context, target config.Target) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case target.PIDFile != "":
		return signalPIDFile(target.PIDFile, target.Signal)
	case target.Process != "":
		return signalProgram(target.Process, target.Signal)
	case len(target.Command) > 0:
		return run(ctx, target.Command)
	case target.URL != "":
		return post(ctx, target.URL)
	}
	return errors.New("there is no pidFile, process, command or url to tell")
}

// Name is target for logs and metrics. It leaves out where secrets lie at
// times: the arguments of a command, and the user and the query of a URL.
func Name(target config.Target) string {
	switch {
	case target.PIDFile != "":
		return "pidFile " + target.PIDFile
	case target.Process != "":
		return "process " + target.Process
	case len(target.Command) > 0:
		return "command " + target.Command[0]
	case target.URL != "":
		return "url " + withoutSecrets(target.URL)
	case target.Wrapper:
		return "wrapper"
	}
	return "nobody"
}

func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "that cannot be read"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
