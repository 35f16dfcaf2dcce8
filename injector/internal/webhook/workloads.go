package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/workload"
)

// workloads is the webhook that warns of what makes pods. Who writes a
// Deployment sees no warning about its pods: a controller makes those.
type workloads struct {
	pods
	excluded []string
}

// NewWorkloads makes the one that warns of objects that make pods. The excluded
// are namespaces whose pods are not injected. It never refuses.
func NewWorkloads(settings func() inject.Settings, lookup Lookup, excluded []string, log *slog.Logger, metrics *Metrics) *Handler {
	return &Handler{workloads{pods{settings, lookup}, excluded}, log, metrics}
}

func (workloads) name() string { return "workloads" }

func (workloads) broken() answer { return allowed(failed, "Panic") }

func (w workloads) decide(ctx context.Context, r *admissionv1.AdmissionRequest) answer {
	if r.SubResource != "" || r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
		return allowed(passed, "NoWrite")
	}
	object, err := workload.Read(r.Object.Raw)
	if err != nil {
		return allowed(failed, "NoObject")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a := allowed(passed, "")
	found := object.Misplaced()
	if pod, has := object.Pod(); has {
		about, err := w.about(ctx, r.Namespace, pod)
		if found = append(found, about...); err != nil {
			a = allowed(failed, err.Error())
		}
	}
	if a.Warnings = bounded(found); len(found) > 0 && a.decision == passed {
		a.decision = warned
	}
	return a
}

// about is what there will be to say about the pods.
func (w workloads) about(ctx context.Context, namespace string, template workload.Object) ([]string, error) {
	text, err := json.Marshal(template)
	if err != nil {
		return nil, err
	}
	pod, err := inject.Read(text)
	if err != nil {
		return nil, err
	}
	settings, request := w.settings(), inject.Request{Operation: "CREATE"}
	if err := w.lookup.complete(ctx, settings, namespace, pod, &request); err != nil {
		return nil, err
	}
	result, err := pod.Inject(settings, request)
	problem := new(inject.Denied)
	asks := errors.As(err, &problem) || result.Config != nil
	switch {
	case asks && slices.Contains(w.excluded, namespace):
		return []string{fmt.Sprintf("%sinject has no effect in namespace %s: pods there are not injected", inject.Prefix, namespace)}, nil
	case asks && err != nil:
		return append(denials(problem), result.Warnings...), nil
	}
	return append(result.Warnings, w.lookup.missing(ctx, namespace, result.Needs)...), err
}

func denials(d *inject.Denied) (warnings []string) {
	for _, problem := range d.Problems {
		warnings = append(warnings, "the pods will be denied: "+problem)
	}
	return warnings
}

// maxWarnings is how many bytes of warnings an API server shows.
const maxWarnings = 4096

// bounded are the warnings that fit, and how many do not.
func bounded(list []string) []string {
	const more = "and %d more warnings"
	total := len(more) + 10
	for i, text := range list {
		if total += len(text); total > maxWarnings {
			return append(list[:i:i], fmt.Sprintf(more, len(list)-i))
		}
	}
	return list
}
