package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The kinds of error. Every error that crosses a package border wraps one of
// them; one that wraps none is an internal error, and its text stays inside.
// errors.Is(err, api.ErrNotFound) holds on both sides of the wire.
var (
	ErrInvalid         = errors.New("invalid request")
	ErrUnauthenticated = errors.New("not authenticated")
	ErrDenied          = errors.New("denied")
	ErrNotFound        = errors.New("not found")
	ErrExists          = errors.New("already exists")
	ErrConflict        = errors.New("conflict")
	ErrTooLarge        = errors.New("too large")
	ErrRateLimited     = errors.New("rate limited")
	ErrUnavailable     = errors.New("unavailable")
	ErrInternal        = errors.New("internal error")
)

// kinds is the one table between errors, wire kinds and HTTP status codes,
// read in both directions. A duplicate answers 400 because that is what the
// clients of this dialect fall back to PATCH on. The first row of a status
// wins when only the status is known.
var kinds = []struct {
	err    error
	kind   string // the "kind" field of an error body: exact
	status int
	name   string // the "error" field of an error body, as Infisical's clients know it
}{
	{ErrInvalid, "invalid", http.StatusBadRequest, "BadRequest"},
	{ErrExists, "exists", http.StatusBadRequest, "BadRequest"},
	{ErrUnauthenticated, "unauthenticated", http.StatusUnauthorized, "UnauthorizedError"},
	{ErrDenied, "denied", http.StatusForbidden, "PermissionDenied"},
	{ErrNotFound, "not_found", http.StatusNotFound, "NotFound"},
	{ErrConflict, "conflict", http.StatusConflict, "Conflict"},
	{ErrTooLarge, "too_large", http.StatusRequestEntityTooLarge, "PayloadTooLarge"},
	{ErrRateLimited, "rate_limited", http.StatusTooManyRequests, "RateLimitError"},
	{ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailable"},
	{ErrInternal, "internal", http.StatusInternalServerError, "InternalServerError"},
}

// Kind is the wire kind of err; "internal" for an error that wraps no kind.
func Kind(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return "internal"
}

// Status is the HTTP status code of err; 500 for an error that wraps no kind.
func Status(err error) int {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.status
		}
	}
	return http.StatusInternalServerError
}

// StatusName is the "error" field of the body that answers err.
func StatusName(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return "InternalServerError"
}

// FromKind is the error of a wire kind; where the kind is empty or unknown
// (another server of this dialect), the error that the status code stands for.
func FromKind(kind string, status int) error {
	for _, k := range kinds {
		if k.kind == kind {
			return k.err
		}
	}
	for _, k := range kinds {
		if k.status == status {
			return k.err
		}
	}
	switch {
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		return ErrUnavailable
	case status >= 400 && status < 500:
		return ErrInvalid
	}
	return ErrInternal
}

// Error is the body of every answer that is not a success. It is an error of
// its kind: errors.Is(e, ErrNotFound) holds for a 404.
type Error struct {
	ReqID      string `json:"reqId"`
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	Name       string `json:"error"`
	Kind       string `json:"kind,omitempty"`
	Details    any    `json:"details,omitempty"`

	// RetryAfter is the wait that the Retry-After header asked for; 0 is none.
	RetryAfter time.Duration `json:"-"`
}

func (e *Error) Error() string {
	if e.ReqID == "" {
		return fmt.Sprintf("%s (status %d)", e.Message, e.StatusCode)
	}
	return fmt.Sprintf("%s (status %d, request %s)", e.Message, e.StatusCode, e.ReqID)
}

// Unwrap gives the kind, so that errors.Is works across the wire.
func (e *Error) Unwrap() error { return FromKind(e.Kind, e.StatusCode) }

// fault is an error of a kind whose message is meant for the caller: it says
// what was wrong and what to do, and holds no secret.
type fault struct {
	kind    error
	message string
	cause   error
	retry   time.Duration
}

func (f *fault) Error() string { return f.message }

func (f *fault) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// Errorf is an error of the given kind with a message for the caller. A %w
// operand is wrapped for errors.Is; its text is in the message as usual.
func Errorf(kind error, format string, args ...any) error {
	formatted := fmt.Errorf(format, args...)
	return &fault{kind: kind, message: formatted.Error(), cause: errors.Unwrap(formatted)}
}

// RetryLater is an error of the given kind (ErrRateLimited or ErrUnavailable)
// that asks the caller to come back after wait.
func RetryLater(kind error, wait time.Duration, format string, args ...any) error {
	return &fault{kind: kind, message: fmt.Sprintf(format, args...), retry: wait}
}

// RetryAfter is the wait that err asks for, 0 if it asks for none. It reads
// both an error made by RetryLater and a decoded Error.
func RetryAfter(err error) time.Duration {
	var f *fault
	if errors.As(err, &f) && f.retry > 0 {
		return f.retry
	}
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Message is the text of err that may leave the server: the caller's message
// where one was made, the kind's name otherwise, never an internal text.
func Message(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return f.message
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.err.Error()
		}
	}
	return "Something went wrong; the server's log has the details under this request id"
}
