package supervise

import (
	"cmp"
	"errors"
	"log/slog"
	"syscall"
	"time"
)

// ErrEnded is the outcome of a change that came too late: the command has
// ended, or was told to.
var ErrEnded = errors.New("the command has ended, or was told to")

// Command is what to run, and how to end it.
type Command struct {
	// Args are the program and its arguments. A program without a slash is
	// looked up in the PATH of the command's own environment.
	Args []string

	// StopSignal ends the command for a restart. Without it that is SIGTERM.
	StopSignal syscall.Signal

	// Grace is how long the command and what is left of its process group may
	// then take before the group is killed.
	Grace time.Duration

	// Log hears of restarts. Without it nobody does.
	Log *slog.Logger

	// Signals are those to forward, where they were taken before Run. Without
	// it they are taken by Run.
	Signals *Signals
}

// Change is what to do with the running command.
type Change struct {
	// Env is the complete environment to restart it with.
	Env []string

	// Signal, if not zero, is sent to it instead of the restart. During a
	// restart it is not sent: a process that is just starting would die of it.
	Signal syscall.Signal

	// Stop ends it for good, as a restart would, and nothing is started after
	// it. The outcome says whether the command was told.
	Stop bool

	// Done, if not nil, gets the outcome once the command is restarted or
	// signalled. It needs room for it: nobody waits until it is read. A change
	// that a later one overtakes has the outcome of the later one. After an
	// environment that no command can be started with the old one runs on.
	Done chan<- error
}

// Run starts the command with env and supervises it until it ends by itself or
// is told to end from outside. It gives the command's exit code, or 128+n after
// signal n, or, with an *Error, the code of that. Changes are read until then,
// and those that are waiting at the end get ErrEnded.
func Run(c Command, env []string, changes <-chan Change) (code int, err error) {
	first, err := prepare(c.Args, env)
	if err != nil {
		return exitCode(err), err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.StopSignal = cmp.Or(c.StopSignal, syscall.SIGTERM)
	if c.Signals == nil {
		c.Signals = Listen()
	}
	s := &supervisor{Command: c, changes: changes, signals: c.Signals, terminal: openTerminal()}
	defer s.close()
	if err := s.run(first); err != nil {
		s.answer(err)
		return exitCode(err), err
	}
	return s.code(), nil
}

// Error says why the command could not be started.
type Error struct {
	code int
	err  error
}

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// ExitCode is that of a shell: 127 for a program that was not found, 126 for
// one that cannot be run.
func (e *Error) ExitCode() int { return e.code }

func exitCode(err error) int {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.code
	}
	return 126
}
