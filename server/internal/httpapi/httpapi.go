// Package httpapi speaks the wire: it takes requests apart, calls one method
// of the service each, and puts answers and errors together, in the dialect
// that clients of Infisical know.
//
// All routes stand in one table (routes.go). How a path is spelled, where a
// caller comes from, what a body may be and how an error looks is decided once,
// in the frame around the table. The package decides nothing about who may do
// what, keeps no state, and must never log a body, a query or a header, or put
// input into an error.
package httpapi

// SPDX-License-Identifier: Apache-2.0

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// Config is what a Handler needs.
type Config struct {
	Service *secrets.Service
	Log     *slog.Logger
	// TrustedProxies are the networks of proxies whose X-Forwarded-For counts.
	TrustedProxies []netip.Prefix
	// Observe is told of each answer: the pattern of its route ("" for none),
	// the method, the status code and how long it took. nil: nobody is.
	Observe func(pattern, method string, status int, took time.Duration)
	// Redis tells whether Redis is configured, for /api/status.
	Redis bool
}

// Handler answers the API.
type Handler struct {
	cfg    Config
	routes *node
}

// New makes a Handler.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, routes: &node{}}
	for _, r := range routes {
		h.routes.add(r)
	}
	return h
}

// exchange is one request with what was found out about it, and its answer.
type exchange struct {
	h      *Handler
	w      http.ResponseWriter
	r      *http.Request
	id     string
	params map[string]string // of the path
	query  url.Values
	caller secrets.Caller
	status int // of a success; 0 means 200
	etag   string
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := &exchange{h: h, w: w, r: r, id: requestID()}
	header := w.Header()
	header.Set("X-Request-Id", x.id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	route, status := x.serve()
	took := time.Since(began)
	if h.cfg.Observe != nil {
		h.cfg.Observe(route.pattern, r.Method, status, took)
	}
	h.cfg.Log.Debug("request", "request", x.id, "method", r.Method, "route", route.pattern, "status", status, "took", took)
}

func (x *exchange) serve() (route, int) {
	found, err := x.route()
	if err == nil {
		err = x.prepare()
	}
	var answer any
	if err == nil {
		answer, err = found.handle(x)
	}
	if err != nil {
		return found, x.fail(err)
	}
	return found, x.succeed(answer)
}

// route finds the handler of the path. Spellings that clients use for the same
// path are brought to one: a trailing slash, and no /api in front.
func (x *exchange) route() (route, error) {
	path, err := canonicalPath(x.r.URL)
	if err != nil {
		return route{}, err
	}
	found, params, known := x.h.routes.find(x.r.Method, path)
	if found == nil && x.r.Method == http.MethodHead {
		found, params, known = x.h.routes.find(http.MethodGet, path)
	}
	switch {
	case found != nil:
		x.params = params
		return *found, nil
	case known:
		x.w.Header().Set("Allow", strings.Join(x.h.routes.allowed(path), ", "))
		return route{}, &api.Error{StatusCode: http.StatusMethodNotAllowed, Name: "MethodNotAllowed", Kind: "invalid", Message: "The route exists, but not with this method"}
	}
	return route{}, api.Errorf(api.ErrNotFound, "There is no such route")
}

// canonicalPath gives the one form of a path, still escaped. Dot segments,
// empty segments and encoded slashes are refused, not cleaned: proxies, caches
// and policies in front would otherwise judge another path than the one served
// (CVE-2026-3605).
func canonicalPath(u *url.URL) (string, error) {
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	bad := api.Errorf(api.ErrInvalid, "The path has a segment that is empty, '.' or '..', an encoded slash, or bytes that are no text: send it in its plain form")
	for _, segment := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || segment == "" && path != "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\") {
			return "", bad
		}
		if !printable(plain) {
			return "", bad
		}
	}
	if strings.HasPrefix(path, "/v") && !strings.HasPrefix(path, "/v1/kms/") || path == "/status" {
		path = "/api" + path
	}
	return path, nil
}

// printable reports whether text is UTF-8 without control characters: others
// no name has, and the engines disagree about them.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(text)
}

func printableValues(all url.Values) bool {
	for _, values := range all {
		for _, value := range values {
			if !printable(value) {
				return false
			}
		}
	}
	return true
}

// prepare finds out who calls from where, and parses the query.
func (x *exchange) prepare() error {
	var err error
	if x.query, err = url.ParseQuery(x.r.URL.RawQuery); err != nil {
		return api.Errorf(api.ErrInvalid, "The query of the URL cannot be parsed: escape it")
	}
	if !printableValues(x.query) {
		return api.Errorf(api.ErrInvalid, "A query parameter has a control character or is not UTF-8: send text")
	}
	remote, err := netip.ParseAddrPort(x.r.RemoteAddr)
	if err != nil {
		remote = netip.AddrPort{} // a unix socket
	}
	x.caller = secrets.Caller{
		Token:     bearer(x.r.Header),
		Addr:      auth.ClientAddr(remote.Addr().Unmap(), x.r.Header.Values("X-Forwarded-For"), x.h.cfg.TrustedProxies),
		UserAgent: x.r.UserAgent(),
		RequestID: x.id,
	}
	return nil
}

func bearer(header http.Header) api.Value {
	scheme, token, ok := strings.Cut(header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return api.Value{}
	}
	return api.NewValue(strings.TrimSpace(token))
}

// requestID draws an id of the form that clients print: "req-" and 14 letters
// and digits.
func requestID() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	random := make([]byte, 14)
	rand.Read(random)
	for i, b := range random {
		random[i] = letters[int(b)%len(letters)]
	}
	return "req-" + string(random)
}

// succeed writes an answer and gives its status.
func (x *exchange) succeed(answer any) int {
	status := http.StatusOK
	if x.status != 0 {
		status = x.status
	}
	if x.etag != "" {
		x.w.Header().Set("ETag", x.etag)
	}
	if status == http.StatusNotModified {
		x.w.WriteHeader(status)
		return status
	}
	body, err := encode(answer)
	if err != nil {
		return x.fail(err)
	}
	x.write(status, body)
	return status
}

func (x *exchange) write(status int, body []byte) {
	x.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // the client is gone; there is nobody to tell
}

// fail writes an error and gives its status. The text of an internal error
// stays in the log.
func (x *exchange) fail(err error) int {
	body, wait := x.errorBody(err)
	if body.StatusCode >= 500 {
		x.h.cfg.Log.Error("request failed", "request", x.id, "status", body.StatusCode, "err", err.Error())
	}
	if wait > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	} else if body.StatusCode == http.StatusServiceUnavailable {
		x.w.Header().Set("Retry-After", "1")
	}
	text, _ := json.Marshal(body) // texts and numbers always marshal
	x.write(body.StatusCode, text)
	return body.StatusCode
}

func (x *exchange) errorBody(err error) (body *api.Error, wait time.Duration) {
	if ready, ok := err.(*api.Error); ok { // made here, by route
		ready.ReqID = x.id
		return ready, 0
	}
	if x.r.Context().Err() != nil {
		err = api.Errorf(api.ErrUnavailable, "The request was given up")
	}
	return &api.Error{ReqID: x.id, StatusCode: api.Status(err), Message: api.Message(err), Name: api.StatusName(err), Kind: api.Kind(err)}, api.RetryAfter(err)
}
