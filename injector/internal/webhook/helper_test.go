package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/webhook"
)

var settings = inject.Settings{Image: "ghcr.io/hanzoai/kms-agent:test"}

// review is what an API server of Kubernetes 1.36 sends when a ReplicaSet makes
// a pod; OBJECT is the pod.
const review = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{
"uid":"0df28fbd-5f5f-11e8-bc74-36e6bb280816","kind":{"group":"","version":"v1","kind":"Pod"},
"resource":{"group":"","version":"v1","resource":"pods"},"requestKind":{"group":"","version":"v1","kind":"Pod"},
"requestResource":{"group":"","version":"v1","resource":"pods"},"namespace":"shop","operation":"CREATE",
"userInfo":{"username":"system:serviceaccount:kube-system:replicaset-controller","uid":"a","groups":["system:authenticated"]},
"object":OBJECT,"oldObject":null,"dryRun":false,
"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}`

// pod asks for secrets; canary is what must not be seen outside an answer.
const (
	canary = "canary-3f9c"
	pod    = `{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"web-7d4b-","annotations":{
"kms.hanzo.ai/inject":"true","kms.hanzo.ai/project":"shop","kms.hanzo.ai/env":"prod","kms.hanzo.ai/auth-secret":"web-kms-auth","MORE":""}},
"spec":{"securityContext":{"runAsUser":1000},"containers":[{"name":"web","image":"web:1","env":[{"name":"A","value":"` + canary + `"}],"futureField":{"x":1.0}}]}}`
)

// with is the pod with one more annotation of ours.
func with(name, value string) string {
	return strings.Replace(pod, `"MORE":""`, `"kms.hanzo.ai/`+name+`":"`+value+`"`, 1)
}

func about(object string) string { return strings.Replace(review, "OBJECT", object, 1) }

func always(s inject.Settings) func() inject.Settings {
	return func() inject.Settings { return s }
}

type handler struct {
	*webhook.Handler
	metrics *webhook.Metrics
	log     *bytes.Buffer
}

func newHandler(lookup webhook.Lookup) *handler {
	h := &handler{metrics: webhook.NewMetrics(), log: &bytes.Buffer{}}
	h.Handler = webhook.NewHandler(always(settings), lookup, h.logger(), h.metrics)
	return h
}

// newWorkloads is the handler that warns, where pods in kms are not injected.
func newWorkloads(lookup webhook.Lookup) *handler {
	h := &handler{metrics: webhook.NewMetrics(), log: &bytes.Buffer{}}
	h.Handler = webhook.NewWorkloads(always(settings), lookup, []string{"kms"}, h.logger(), h.metrics)
	return h
}

func (h *handler) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (h *handler) post(body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/inject?timeout=5s", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// ask posts a review and gives the response, which must be one.
func (h *handler) ask(t testing.TB, body string) *admissionv1.AdmissionResponse {
	t.Helper()
	w := h.post(body)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return response(t, w.Body.Bytes())
}

func response(t testing.TB, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Kind != "AdmissionReview" || answer.APIVersion != "admission.k8s.io/v1" || answer.Request != nil || answer.Response == nil {
		t.Fatalf("no answer: %s", body)
	}
	r := answer.Response
	if patched := r.PatchType != nil && *r.PatchType == admissionv1.PatchTypeJSONPatch; patched != (r.Patch != nil) || patched && !r.Allowed {
		t.Fatalf("a patch without its type, or with a refusal: %s", body)
	}
	return r
}

// cluster answers lookups as one that holds these things does.
type cluster struct {
	namespace  map[string]string
	configMaps map[string]map[string]string
	secrets    map[string][]string
	err        error
}

func (c cluster) lookup() webhook.Lookup {
	return webhook.Lookup{
		Namespace: func(_ context.Context, name string) (map[string]string, error) {
			if name != "shop" {
				panic("the wrong namespace")
			}
			return c.namespace, c.err
		},
		ConfigMap: func(_ context.Context, _, name string) (map[string]string, bool, error) {
			data, found := c.configMaps[name]
			return data, found, c.err
		},
		Secret: func(_ context.Context, _, name string) ([]string, bool, error) {
			keys, found := c.secrets[name]
			return keys, found, c.err
		},
	}
}
