package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hanzoai/kms/api"
)

// statusError is the error of an answer that is no success: an *api.Error
// inside a text that names the call.
func statusError(r request, resp *http.Response, body []byte) error {
	if resp.StatusCode < 400 {
		return api.Errorf(api.ErrUnavailable, "%s: answered with a redirect (status %d)%s, which is not followed: set SiteURL to the server itself",
			r.name(), resp.StatusCode, redirectTarget(resp))
	}
	e := decodeError(body)
	e.StatusCode = resp.StatusCode
	e.RetryAfter = parseRetryAfter(resp.Header)
	if e.Message == "" {
		e.Message = "answered " + http.StatusText(e.StatusCode)
	}
	return fmt.Errorf("%s: %w", r.name(), e)
}

// decodeError reads what it can of an error body. Something in between may
// answer in another form; its text stays out, since nobody promises that it
// repeats nothing of the request. Validation errors of this dialect have a
// list as their message, which stays out too.
func decodeError(body []byte) *api.Error {
	var wire struct {
		api.Error
		Message any `json:"message"`
	}
	if json.Unmarshal(body, &wire) != nil {
		return &api.Error{}
	}
	e := wire.Error
	message, _ := wire.Message.(string)
	e.Message, e.ReqID = brief(message), brief(e.ReqID)
	return &e
}

// brief is the beginning of a text of others: it ends up in logs.
func brief(text string) string {
	const most = 1 << 10
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// redirectTarget is scheme and host of where a redirect leads; its path and
// query may hold anything.
func redirectTarget(resp *http.Response) string {
	target, err := resp.Location()
	if err != nil || target.Host == "" {
		return ""
	}
	return " to " + target.Scheme + "://" + target.Host
}

// parseRetryAfter reads both forms of the header: seconds, or a date. A date
// counts from the server's own, since the clock of this machine may be wrong;
// without one it says nothing.
func parseRetryAfter(header http.Header) time.Duration {
	asked := header.Get("Retry-After")
	count, err := strconv.ParseInt(asked, 10, 32)
	if err == nil || errors.Is(err, strconv.ErrRange) { // then count is the nearest that fits
		return max(0, seconds(count))
	}
	at, err := http.ParseTime(asked)
	now, noDate := http.ParseTime(header.Get("Date"))
	if err != nil || noDate != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

// networkError is the error of a call that got no whole answer. It leaves out
// the URL that net/http puts in, and names the call instead.
func networkError(r request, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return api.Errorf(api.ErrUnavailable, "%s: %w", r.name(), err)
}
