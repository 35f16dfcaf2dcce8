package sdk

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/hanzoai/kms/api"
)

// request is one call: what is sent, and how often it may be.
type request struct {
	method string
	path   string // escaped, begins with "/api/"
	query  url.Values
	body   any // to JSON; nil for none

	ifNoneMatch string
	open        bool // the call takes no access token
	repeatable  bool // sending it twice does no harm, though it is no GET
	once        bool // never tried again
}

func (r request) name() string { return r.method + " " + r.path }

// harmless reports whether the server may get r twice.
func (r request) harmless() bool { return r.method == http.MethodGet || r.repeatable }

// answer is what came back with a status below 300, or 304.
type answer struct {
	status int
	etag   string
	body   []byte
}

// call makes one authenticated call: in is sent as JSON unless it is nil, the
// answer is read into out unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	return c.callRequest(ctx, request{method: method, path: path, query: query, body: in}, out)
}

func (c *Client) callRequest(ctx context.Context, r request, out any) error {
	a, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	return a.decode(r, out)
}

// decode reads the answer into out and wipes it: it may hold values. The error
// of encoding/json is left out, since it quotes what it read.
func (a answer) decode(r request, out any) error {
	defer wipe(a.body)
	if out == nil {
		return nil
	}
	if json.Unmarshal(a.body, out) != nil {
		return api.Errorf(api.ErrUnavailable, "%s: the answer is not what this API answers: is SiteURL the address of a KMS?", r.name())
	}
	return nil
}

// send gets an access token, sends r, and, where the server does not take the
// token, logs in once more and sends r again.
func (c *Client) send(ctx context.Context, r request) (answer, error) {
	if c.site.err != nil {
		return answer{}, c.site.err
	}
	if r.open {
		return c.sendRetrying(ctx, r, "")
	}
	token, err := c.accessToken(ctx)
	if err != nil {
		return answer{}, err
	}
	a, err := c.sendRetrying(ctx, r, token)
	if !tokenRefused(err) || c.config.AccessToken != "" {
		return a, err
	}
	c.forget(token)
	if token, err = c.accessToken(ctx); err != nil {
		return answer{}, err
	}
	return c.sendRetrying(ctx, r, token)
}

// tokenRefused reports whether a new login may help. Servers of this dialect
// answer an expired token with 403 and the name TokenError.
func tokenRefused(err error) bool {
	var e *api.Error
	return errors.Is(err, api.ErrUnauthenticated) || errors.As(err, &e) && e.Name == "TokenError"
}

// sendRetrying sends r until it is answered, may not be sent again, or was
// tried often enough.
func (c *Client) sendRetrying(ctx context.Context, r request, token string) (answer, error) {
	body, err := r.encode()
	if err != nil {
		return answer{}, err
	}
	for try := 0; ; try++ {
		a, again, err := c.try(ctx, r, body, token)
		if err == nil || !again || r.once || try >= c.config.MaxRetries || ctx.Err() != nil {
			return a, err
		}
		if ended := pause(ctx, retryWait(try, api.RetryAfter(err))); ended != nil {
			return answer{}, fmt.Errorf("%w; gave up: %w", err, ended)
		}
	}
}

func (r request) encode() ([]byte, error) {
	if r.body == nil {
		return nil, nil
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		return nil, api.Errorf(api.ErrInvalid, "%s: the request cannot be written as JSON", r.name())
	}
	return body, nil
}

// try sends r once. again says whether it may be sent once more: after 429 and
// 503 the server did nothing, and after anything else only if a second copy
// does no harm or nothing can have left.
func (c *Client) try(ctx context.Context, r request, body []byte, token string) (a answer, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	ctx, nothingSent := traceConnection(ctx)
	resp, err := c.roundTrip(ctx, r, body, token)
	switch {
	case errors.Is(err, api.ErrInvalid): // of the configuration: nothing was tried
		return answer{}, false, err
	case err != nil:
		again = (r.harmless() || nothingSent()) && !errors.As(err, new(*tls.CertificateVerificationError))
		return answer{}, again, networkError(r, err)
	}
	defer resp.Body.Close()
	return c.receive(r, resp)
}

// receive reads the answer of one try. The body of a 304 is not looked for: it
// may be announced by the length of the one that it stands for.
func (c *Client) receive(r request, resp *http.Response) (a answer, again bool, err error) {
	a = answer{status: resp.StatusCode, etag: resp.Header.Get("ETag")}
	if a.status == http.StatusNotModified && r.ifNoneMatch != "" {
		return a, false, nil
	}
	a.body, err = readBody(resp, c.config.MaxResponse)
	switch {
	case errors.Is(err, api.ErrTooLarge):
		return answer{}, false, fmt.Errorf("%s: %w", r.name(), err)
	case err != nil:
		return answer{}, r.harmless(), networkError(r, err)
	case a.status < 300:
		return a, false, nil
	}
	defer wipe(a.body)
	again = a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable ||
		r.harmless() && (a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout)
	return answer{}, again, statusError(r, resp, a.body)
}

// roundTrip does the HTTP of one try.
func (c *Client) roundTrip(ctx context.Context, r request, body []byte, token string) (*http.Response, error) {
	rt, err := c.trust.roundTripper(c.config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.site.url(r.path, r.query), bytes.NewReader(body))
	if err != nil {
		return nil, api.Errorf(api.ErrInvalid, "%s: the call's address is not valid", r.method)
	}
	req.Header.Set("User-Agent", strings.TrimSpace(c.config.UserAgent+" hanzo-kms-go/"+Version))
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.ifNoneMatch != "" {
		req.Header.Set("If-None-Match", r.ifNoneMatch)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return (&http.Client{Transport: rt, CheckRedirect: refuseRedirect}).Do(req)
}

// traceConnection tells afterwards whether a request ended while it was still
// waiting for its connection, so that no byte of it can have reached a server.
// A transport that reports nothing counts as having sent.
func traceConnection(ctx context.Context) (context.Context, func() bool) {
	var asked, got atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	}
	return httptrace.WithClientTrace(ctx, trace), func() bool { return asked.Load() && !got.Load() }
}
