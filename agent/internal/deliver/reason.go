package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/template"
)

// Reason is why the agent failed, in one word: in its log, and as its exit
// code.
type Reason string

// The reasons, and what helps.
const (
	BadConfig   Reason = "BadConfig"   // the configuration, or what it is applied to: change it
	AuthFailed  Reason = "AuthFailed"  // the credentials: renew them
	Unreachable Reason = "Unreachable" // the server is away or overloaded: wait
	Forbidden   Reason = "Forbidden"   // the identity may not read this: grant it
	NotFound    Reason = "NotFound"    // project, environment, folder or secrets are not there
	BadTemplate Reason = "BadTemplate" // a template cannot be rendered: change it
	NoSpace     Reason = "NoSpace"     // the set does not fit: enlarge the tmpfs
	Failed      Reason = "Failed"      // anything else: see the error
)

// How an agent stands that has not failed.
const (
	Synced        Reason = "Synced"        // what the server has is in place
	StaleFallback Reason = "StaleFallback" // the fallback is in place, and the server has not answered yet
)

var allReasons = []Reason{BadConfig, AuthFailed, Unreachable, Forbidden, NotFound, BadTemplate, NoSpace, Failed}

// ExitCode is the exit code of a process that ends for this reason.
func (r Reason) ExitCode() int {
	codes := map[Reason]int{BadConfig: 2, AuthFailed: 3, Unreachable: 4, Forbidden: 5, NotFound: 6, BadTemplate: 7, NoSpace: 8}
	if code := codes[r]; code != 0 {
		return code
	}
	return 1
}

// ReasonOf is the reason that err stands for.
func ReasonOf(err error) Reason {
	var invalid *config.Error
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &invalid), is(errBadConfig):
		return BadConfig
	case is(template.ErrTemplate):
		return BadTemplate
	case is(syscall.ENOSPC, syscall.EDQUOT, api.ErrTooLarge):
		return NoSpace
	case is(api.ErrUnauthenticated):
		return AuthFailed
	case is(api.ErrDenied):
		return Forbidden
	case is(api.ErrNotFound):
		return NotFound
	case is(api.ErrUnavailable, api.ErrRateLimited, api.ErrInternal, api.ErrConflict):
		return Unreachable
	case is(api.ErrInvalid), is(fs.ErrPermission, fs.ErrNotExist, syscall.EROFS, syscall.ENOTDIR):
		return BadConfig
	}
	return Failed
}

// Failure is an error with its reason, for the end of a process.
type Failure struct {
	Reason Reason
	Err    error
}

func (f *Failure) Error() string { return string(f.Reason) + ": " + f.Err.Error() }

// Unwrap gives the error itself.
func (f *Failure) Unwrap() error { return f.Err }

// ExitCode is the exit code of the reason.
func (f *Failure) ExitCode() int { return f.Reason.ExitCode() }

// Fail gives err its reason, if it has none yet; nil stays nil.
func Fail(err error) error {
	if err == nil || errors.As(err, new(*Failure)) {
		return err
	}
	return &Failure{ReasonOf(err), err}
}

// errBadConfig is wrapped by errors that a change of the configuration, or of
// the names of secrets, mends.
var errBadConfig = errors.New("bad configuration")

type configFault string

func (f configFault) Error() string        { return string(f) }
func (f configFault) Is(target error) bool { return target == errBadConfig }

func badConfig(format string, args ...any) error { return configFault(fmt.Sprintf(format, args...)) }
