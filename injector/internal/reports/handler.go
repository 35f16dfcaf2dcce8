package reports

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Options are what a Handler works with.
type Options struct {
	// Client reads from the API server, never from a cache: a condition that
	// was written a moment ago must be seen.
	Client client.Client

	// Rollouts lets a report roll the owner of its pod, where the pod asks for
	// that.
	Rollouts bool

	// Instance names this replica in Events.
	Instance string

	Log     *slog.Logger
	Metrics *Metrics
}

// Handler takes reports. It belongs behind a listener of its own: what floods
// it must not reach the webhook.
type Handler struct {
	Options
	routes  *http.ServeMux
	slots   chan struct{}
	tokens  *tokens
	budgets budgets
}

// mostAtOnce is how many reports are worked on at one time: each is a few
// requests to the API server.
const mostAtOnce = 16

// patience is how long one report may take, its body included.
const patience = 10 * time.Second

// NewHandler makes one that serves Path.
func NewHandler(o Options) *Handler {
	h := &Handler{Options: o, routes: http.NewServeMux(), slots: make(chan struct{}, mostAtOnce), tokens: newTokens(o.Client), budgets: newBudgets()}
	h.routes.HandleFunc("POST "+Path, h.answer)
	return h
}

// ServeHTTP answers one report.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.routes.ServeHTTP(w, r) }

// refusal is the answer to a report that is not taken.
type refusal struct {
	code   int
	result result
	text   string
	wait   time.Duration // before it may come again, 0 for never
}

func (r *refusal) Error() string { return r.text }

func throttle(text string, wait time.Duration) *refusal {
	return &refusal{code: http.StatusTooManyRequests, result: throttled, text: text, wait: wait}
}

// away is the answer while the API server gives none.
func away(text string) *refusal {
	return &refusal{code: http.StatusServiceUnavailable, result: failed, text: text, wait: 5 * time.Second}
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) {
	err := h.receive(w, r)
	refused := new(refusal)
	switch {
	case err == nil:
		h.Metrics.count(accepted)
		w.WriteHeader(http.StatusNoContent)
		return
	case !errors.As(err, &refused):
		h.Log.Error("a report could not be written down", "err", err)
		refused = away("the cluster does not take this report now: send it again")
	}
	h.Metrics.count(refused.result)
	if refused.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((refused.wait+time.Second-1)/time.Second)))
	}
	http.Error(w, refused.text, refused.code)
}

// receive takes one report. What costs nothing comes first.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return throttle("too many reports at once", time.Second)
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)) // what cannot is no network
	got, err := decode(w, r)
	if err != nil {
		return err
	}
	from, err := h.identify(ctx, r)
	if err != nil {
		return err
	}
	if wait := h.budgets.report(from); wait > 0 {
		return throttle("too many reports", wait)
	}
	return h.apply(ctx, from, got)
}

// identify tells which pod a request comes from. A token that was seen a moment
// ago costs nothing; the API server is asked about any other, within budgets.
func (h *Handler) identify(ctx context.Context, r *http.Request) (identity, error) {
	token, err := bearer(r)
	if err != nil {
		return identity{}, err
	}
	if v, known := h.tokens.known(token); known {
		return v.from, v.refused
	}
	source, _, _ := net.SplitHostPort(r.RemoteAddr)
	if wait := h.budgets.review(source); wait > 0 {
		return identity{}, throttle("too many new tokens", wait)
	}
	from, err := h.tokens.review(ctx, token)
	if refused := new(refusal); err != nil && !errors.As(err, &refused) {
		h.Log.Error("a token could not be reviewed", "err", err)
		return from, away("the cluster cannot say now whose token this is: send the report again")
	}
	return from, err
}
