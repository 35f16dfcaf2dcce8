package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// Handler answers the AdmissionReviews of one webhook.
type Handler struct {
	decider
	log     *slog.Logger
	metrics *Metrics
}

// decider is what one webhook makes of a request.
type decider interface {
	name() string
	decide(context.Context, *admissionv1.AdmissionRequest) answer
	broken() answer // if decide panics
}

// answer is a response with what the log says of it.
type answer struct {
	*admissionv1.AdmissionResponse
	decision decision
	reason   string // a word or an error of ours, nothing of the pod
}

// ServeHTTP answers one review.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	request, err := readReview(w, r)
	if refused := new(refusal); errors.As(err, &refused) {
		h.metrics.count(h.name(), failed)
		h.log.Warn("a request is no review", "webhook", h.name(), "code", refused.code, "reason", refused.text)
		http.Error(w, refused.text, refused.code)
		return
	}
	a := h.safely(r.Context(), request)
	a.UID = request.UID
	h.metrics.count(h.name(), a.decision)
	h.metrics.time(h.name(), time.Since(start))
	h.record(request, a, time.Since(start))
	writeReview(w, a.AdmissionResponse)
}

// safely also answers if the injector panics. What was passed to panic may hold
// parts of the pod, so only an error of the runtime is shown.
func (h *Handler) safely(ctx context.Context, r *admissionv1.AdmissionRequest) (a answer) {
	defer func() {
		if thrown := recover(); thrown != nil {
			text := fmt.Sprintf("a panic of type %T", thrown)
			if err, ours := thrown.(runtime.Error); ours {
				text = err.Error()
			}
			h.log.Error("the injector panicked", "reason", text, "stack", string(debug.Stack()))
			a = h.broken()
		}
	}()
	return h.decide(ctx, r)
}

func allowed(d decision, reason string) answer {
	return answer{&admissionv1.AdmissionResponse{Allowed: true}, d, reason}
}

// record writes one line. Pods of a controller have no name yet.
func (h *Handler) record(r *admissionv1.AdmissionRequest, a answer, took time.Duration) {
	level := map[decision]slog.Level{skipped: slog.LevelDebug, passed: slog.LevelDebug, denied: slog.LevelWarn, failed: slog.LevelError}[a.decision]
	h.log.Log(context.Background(), level, "decided", "webhook", h.name(), "decision", string(a.decision), "reason", a.reason,
		"namespace", cut(r.Namespace), "name", cut(r.Name), "uid", cut(string(r.UID)), "dryRun", r.DryRun != nil && *r.DryRun,
		"warnings", len(a.Warnings), "milliseconds", float64(took.Microseconds())/1000)
}

// cut keeps a line of the log short, whoever asks.
func cut(name string) string { return fmt.Sprintf("%.253s", name) }
