package webhook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/hanzoai/kms/injector/internal/webhook"
)

// deployment makes pods of a template.
func deployment(template string) string {
	return `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","annotations":{"OWN":"x"}},"spec":{"template":` + template + `}}`
}

func TestWhatMakesPodsIsWarnedOfAndNeverRefused(t *testing.T) {
	const place = " has no effect here: it belongs to spec.template.metadata.annotations"
	known := cluster{namespace: map[string]string{"kms.hanzo.ai/env": "prod"}, secrets: map[string][]string{"web-kms-auth": nil}}
	for _, test := range []struct {
		name, object string
		cluster      cluster
		want         []string
		decision     string
	}{
		{"a template without fault", deployment(pod), known, nil, "passed"},
		{"nothing of ours", deployment(`{"spec":{"containers":[{"name":"web"}]}}`), cluster{}, nil, "passed"},
		{"an annotation on the Deployment itself", strings.Replace(deployment(pod), "OWN", "kms.hanzo.ai/inject", 1), known,
			[]string{"kms.hanzo.ai/inject" + place}, "warned"},
		{"a template that will be denied", deployment(strings.Replace(pod, "kms.hanzo.ai/project", "kms.hanzo.ai/projct", 1)), known,
			[]string{"the pods will be denied: kms.hanzo.ai/project: is missing: give the project's slug or id, on the pod, its namespace or the profile",
				"there is no annotation kms.hanzo.ai/projct: did you mean project?"}, "warned"},
		{"a template that will be warned of", deployment(with("pol-interval", "1m")), known,
			[]string{"there is no annotation kms.hanzo.ai/pol-interval: did you mean poll-interval?"}, "warned"},
		{"a Secret that is not there", deployment(pod), cluster{},
			[]string{"kms.hanzo.ai/auth-secret: the pod waits for Secret web-kms-auth, which does not exist"}, "warned"},
		{"a pod that forgets to ask", strings.Replace(`{"apiVersion":"v1",`+pod[1:], "kms.hanzo.ai/inject", "x", 1), known,
			[]string{`kms.hanzo.ai/auth-secret has no effect without kms.hanzo.ai/inject: "true"`}, "warned"},
		{"an object that makes no pods", `{"apiVersion":"v1","kind":"Service","metadata":{"annotations":{"kms.hanzo.ai/inject":"true"}}}`, cluster{}, nil, "passed"},
		{"a cluster that does not answer", strings.Replace(deployment(pod), "OWN", "kms.hanzo.ai/inject", 1), cluster{err: errors.New("connection refused")},
			[]string{"kms.hanzo.ai/inject" + place}, "failed"},
		{"no pod in the template", deployment(`{"spec":{"containers":{}}}`), cluster{}, nil, "failed"},
		{"no object", "[]", cluster{}, nil, "failed"},
		{"nothing", "null", cluster{}, nil, "failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newWorkloads(test.cluster.lookup())
			want := &admissionv1.AdmissionResponse{UID: uid, Allowed: true, Warnings: test.want}
			if diff := cmp.Diff(want, h.ask(t, about(test.object))); diff != "" {
				t.Error(diff)
			}
			if got := counts(t, h.metrics, "workloads"); got[test.decision] != 1 || got["passed"]+got["warned"]+got["failed"] != 1 {
				t.Errorf("want %s, got %v", test.decision, got)
			}
			if strings.Contains(h.log.String(), canary) {
				t.Error(h.log)
			}
		})
	}
}

func TestANamespaceWithoutInjectionIsWarnedOf(t *testing.T) {
	h := newWorkloads(webhook.Lookup{})
	for object, want := range map[string][]string{
		deployment(pod): {"kms.hanzo.ai/inject has no effect in namespace kms: pods there are not injected"},
		deployment(strings.Replace(pod, "kms.hanzo.ai/env", "x", 1)): {"kms.hanzo.ai/inject has no effect in namespace kms: pods there are not injected"},
		deployment(with("inject\":\"false\",\"x", "")):               nil,
	} {
		got := h.ask(t, strings.Replace(about(object), `"namespace":"shop"`, `"namespace":"kms"`, 1))
		if diff := cmp.Diff(want, got.Warnings); diff != "" || !got.Allowed {
			t.Errorf("%s\n%s", diff, object)
		}
	}
}

func TestAPanicRefusesNothingThatMakesPods(t *testing.T) {
	h := newWorkloads(cluster{}.lookup())
	got := h.ask(t, strings.Replace(about(deployment(pod)), `"namespace":"shop"`, `"namespace":"other"`, 1))
	if !got.Allowed || !strings.Contains(h.log.String(), "the injector panicked") {
		t.Errorf("%+v %s", got, h.log)
	}
}

func TestStatusesAndDeletionsAreNotLookedAt(t *testing.T) {
	misplaced := about(strings.Replace(deployment(pod), "OWN", "kms.hanzo.ai/inject", 1))
	for _, body := range []string{
		strings.Replace(misplaced, `"operation"`, `"subResource":"status","operation"`, 1),
		strings.Replace(misplaced, "CREATE", "DELETE", 1),
	} {
		if got := newWorkloads(cluster{}.lookup()).ask(t, body); !got.Allowed || got.Warnings != nil {
			t.Errorf("%+v", got)
		}
	}
}

// An API server shows 4096 bytes.
func TestMoreWarningsThanAreShownAreCounted(t *testing.T) {
	var misplaced strings.Builder
	for i := range 100 {
		fmt.Fprintf(&misplaced, `"kms.hanzo.ai/secret-%d":"A",`, i)
	}
	got := newWorkloads(cluster{}.lookup()).ask(t, about(strings.Replace(deployment(`{}`), `"OWN"`, misplaced.String()+`"OWN"`, 1)))
	total := 0
	for _, text := range got.Warnings {
		total += len(text)
	}
	last := got.Warnings[len(got.Warnings)-1]
	if total > 4096 || last != fmt.Sprintf("and %d more warnings", 101-len(got.Warnings)) {
		t.Errorf("%d bytes, and last %s", total, last)
	}
}

// Whatever comes: an answer that refuses nothing.
func FuzzWorkloads(f *testing.F) {
	f.Add(deployment(pod))
	f.Add(`{"apiVersion":"batch/v1","kind":"CronJob","spec":{"jobTemplate":{"metadata":{"annotations":{"kms.hanzo.ai/inject":"true"}},"spec":{"template":` + pod + `}}}}`)
	f.Add(`{"apiVersion":1,"kind":[],"spec":null}`)
	f.Fuzz(func(t *testing.T, object string) {
		h := newWorkloads(webhook.Lookup{})
		w := h.post(about(object))
		if strings.Contains(h.log.String(), "panicked") {
			t.Fatal(h.log)
		}
		if w.Code == 200 && !response(t, w.Body.Bytes()).Allowed {
			t.Error(w.Body)
		}
	})
}
