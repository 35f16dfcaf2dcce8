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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Handler answers AdmissionReviews about pods.
type Handler struct {
	settings inject.Settings
	lookup   Lookup
	log      *slog.Logger
	metrics  *Metrics
}

// NewHandler makes one that injects as the settings say.
func NewHandler(settings inject.Settings, lookup Lookup, log *slog.Logger, metrics *Metrics) *Handler {
	return &Handler{settings, lookup, log, metrics}
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
		h.metrics.count(failed)
		h.log.Warn("a request is no review", "code", refused.code, "reason", refused.text)
		http.Error(w, refused.text, refused.code)
		return
	}
	a := h.safely(r.Context(), request)
	a.UID = request.UID
	h.metrics.count(a.decision)
	h.record(request, a, time.Since(start))
	writeReview(w, a.AdmissionResponse)
}

// safely also refuses the pod if the injector panics. What was passed to panic
// may hold parts of the pod, so only an error of the runtime is shown.
func (h *Handler) safely(ctx context.Context, r *admissionv1.AdmissionRequest) (a answer) {
	defer func() {
		if thrown := recover(); thrown != nil {
			text := fmt.Sprintf("a panic of type %T", thrown)
			if err, ours := thrown.(runtime.Error); ours {
				text = err.Error()
			}
			h.log.Error("the injector panicked", "reason", text, "stack", string(debug.Stack()))
			a = failure(errors.New("an error in the injector itself: its log has more"))
		}
	}()
	return h.decide(ctx, r)
}

func (h *Handler) decide(ctx context.Context, r *admissionv1.AdmissionRequest) answer {
	if r.Operation != admissionv1.Create || r.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) {
		return allowed(skipped, "NoCreationOfAPod")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request := inject.Request{Pod: r.Object.Raw, Operation: string(r.Operation), Subresource: r.SubResource}
	unknown := h.lookup.complete(ctx, h.settings, r.Namespace, &request)
	result, err := inject.Inject(h.settings, request)
	a := decided(result, err)
	switch {
	case a.decision == skipped && result.Config == nil:
	case unknown != nil:
		a = failure(unknown)
	case a.decision != denied:
		a.Warnings = append(a.Warnings, h.lookup.missing(ctx, r.Namespace, result.Needs)...)
	}
	return a
}

// decided is the answer to what package inject says.
func decided(result inject.Result, err error) (a answer) {
	problem := new(inject.Denied)
	switch {
	case errors.As(err, &problem):
		a = refused(denied, "Problems", http.StatusBadRequest, metav1.StatusReasonInvalid, problem.Error())
	case err != nil:
		a = refused(denied, "NoPod", http.StatusBadRequest, metav1.StatusReasonInvalid, "kms-injector: "+err.Error())
	case result.Patch != nil:
		a = allowed(injected, "")
		a.Patch, a.PatchType = result.Patch, new(admissionv1.PatchTypeJSONPatch)
	case result.Config != nil:
		a = allowed(skipped, "InjectedBefore")
	default:
		a = allowed(skipped, result.Skipped)
	}
	a.Warnings = result.Warnings
	return a
}

func allowed(d decision, reason string) answer {
	return answer{&admissionv1.AdmissionResponse{Allowed: true}, d, reason}
}

// failure refuses the pod for now: whatever makes it tries again.
func failure(err error) answer {
	text := "kms-injector: " + err.Error() + "; the pod asks for secrets, and does not start without them: try again"
	return refused(failed, err.Error(), http.StatusInternalServerError, metav1.StatusReasonInternalError, text)
}

func refused(d decision, reason string, code int32, kind metav1.StatusReason, text string) answer {
	status := &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: kind, Message: text}
	return answer{&admissionv1.AdmissionResponse{Result: status}, d, reason}
}

// record writes one line. Pods of a controller have no name yet.
func (h *Handler) record(r *admissionv1.AdmissionRequest, a answer, took time.Duration) {
	level := map[decision]slog.Level{skipped: slog.LevelDebug, denied: slog.LevelWarn, failed: slog.LevelError}[a.decision]
	h.log.Log(context.Background(), level, "decided", "decision", string(a.decision), "reason", a.reason,
		"namespace", cut(r.Namespace), "name", cut(r.Name), "uid", cut(string(r.UID)), "dryRun", r.DryRun != nil && *r.DryRun,
		"warnings", len(a.Warnings), "milliseconds", float64(took.Microseconds())/1000)
}

// cut keeps a line of the log short, whoever asks.
func cut(name string) string { return fmt.Sprintf("%.253s", name) }
