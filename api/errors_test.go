package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
)

func TestAKindIsTheSameOnBothSidesOfTheWire(t *testing.T) {
	for _, test := range []struct {
		kind   error
		name   string
		status int
		text   string
	}{
		{api.ErrInvalid, "invalid", 400, "BadRequest"}, {api.ErrExists, "exists", 400, "BadRequest"}, {api.ErrUnauthenticated, "unauthenticated", 401, "UnauthorizedError"},
		{api.ErrDenied, "denied", 403, "PermissionDenied"}, {api.ErrNotFound, "not_found", 404, "NotFound"}, {api.ErrConflict, "conflict", 409, "Conflict"},
		{api.ErrTooLarge, "too_large", 413, "PayloadTooLarge"}, {api.ErrRateLimited, "rate_limited", 429, "RateLimitError"}, {api.ErrUnavailable, "unavailable", 503, "ServiceUnavailable"},
		{api.ErrInternal, "internal", 500, "InternalServerError"}, {errors.New("text that stays inside"), "internal", 500, "InternalServerError"},
	} {
		wrapped := fmt.Errorf("read the secret: %w", api.Errorf(test.kind, "said to the caller"))
		if api.Kind(wrapped) != test.name || api.Status(wrapped) != test.status || api.StatusName(wrapped) != test.text {
			t.Errorf("%s: %s, %d, %s", test.name, api.Kind(wrapped), api.Status(wrapped), api.StatusName(wrapped))
		}
		body, err := json.Marshal(&api.Error{ReqID: "req-1", StatusCode: test.status, Message: "m", Name: test.text, Kind: api.Kind(wrapped)})
		if err != nil {
			t.Fatal(err)
		}
		var got api.Error
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if want := api.FromKind(test.name, 0); !errors.Is(&got, want) {
			t.Errorf("%s is not read back: %v", test.name, got.Unwrap())
		}
	}
	for status, want := range map[int]error{400: api.ErrInvalid, 401: api.ErrUnauthenticated, 418: api.ErrInvalid, 422: api.ErrInvalid, 500: api.ErrInternal, 502: api.ErrUnavailable, 504: api.ErrUnavailable, 200: api.ErrInternal} {
		if got := api.FromKind("from another server", status); got != want {
			t.Errorf("status %d: %v, want %v", status, got, want)
		}
	}
}

func TestOnlyWhatWasMeantForTheCallerLeaves(t *testing.T) {
	driver := errors.New("password=hunter2 host=db")
	for _, err := range []error{driver, fmt.Errorf("read: %w", driver), errors.Join(api.ErrUnavailable, driver)} {
		if got := api.Message(err); got == "" || strings.Contains(got, "hunter2") {
			t.Errorf("%v says %q", err, got)
		}
	}
	said := fmt.Errorf("outside: %w", api.Errorf(api.ErrNotFound, "no %s", "such thing"))
	if got := api.Message(said); got != "no such thing" {
		t.Errorf("said: %q", got)
	}
	if cause := api.Errorf(api.ErrInvalid, "parse: %w", driver); !errors.Is(cause, driver) || !errors.Is(cause, api.ErrInvalid) {
		t.Error("a cause is lost")
	}
	later := fmt.Errorf("outside: %w", api.RetryLater(api.ErrRateLimited, 3*time.Second, "slow down"))
	if got := api.RetryAfter(later); got != 3*time.Second || api.RetryAfter(driver) != 0 || api.RetryAfter(&api.Error{RetryAfter: time.Second}) != time.Second {
		t.Errorf("wait %v", got)
	}
}
