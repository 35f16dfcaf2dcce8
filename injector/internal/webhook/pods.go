package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// pods is the webhook that injects them.
type pods struct {
	settings func() inject.Settings
	lookup   Lookup
}

// NewHandler makes the one that injects pods. The settings are asked for with
// each, since an authority in them may change.
func NewHandler(settings func() inject.Settings, lookup Lookup, log *slog.Logger, metrics *Metrics) *Handler {
	return &Handler{pods{settings, lookup}, log, metrics}
}

func (pods) name() string { return "pods" }

func (pods) broken() answer {
	return failure(errors.New("an error in the injector itself: its log has more"))
}

func (p pods) decide(ctx context.Context, r *admissionv1.AdmissionRequest) answer {
	if r.Operation != admissionv1.Create || r.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) {
		return allowed(skipped, "NoCreationOfAPod")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pod, err := inject.Read(r.Object.Raw)
	if err != nil {
		return decided(inject.Result{}, err)
	}
	settings, request := p.settings(), inject.Request{Operation: string(r.Operation), Subresource: r.SubResource}
	unknown := p.lookup.complete(ctx, settings, r.Namespace, pod, &request)
	result, err := pod.Inject(settings, request)
	a := decided(result, err)
	switch {
	case a.decision == skipped && result.Config == nil:
	case unknown != nil:
		a = failure(unknown)
	case a.decision != denied:
		a.Warnings = append(a.Warnings, p.lookup.missing(ctx, r.Namespace, result.Needs)...)
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

// failure refuses the pod for now: whatever makes it tries again.
func failure(err error) answer {
	text := "kms-injector: " + err.Error() + "; the pod asks for secrets, and does not start without them: try again"
	return refused(failed, err.Error(), http.StatusInternalServerError, metav1.StatusReasonInternalError, text)
}

func refused(d decision, reason string, code int32, kind metav1.StatusReason, text string) answer {
	status := &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: kind, Message: text}
	return answer{&admissionv1.AdmissionResponse{Result: status}, d, reason}
}
