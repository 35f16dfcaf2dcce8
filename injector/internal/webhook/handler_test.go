package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/webhook"
)

const uid = "0df28fbd-5f5f-11e8-bc74-36e6bb280816"

func TestAPodThatAsksGetsThePatchOfPackageInject(t *testing.T) {
	h := newHandler(webhook.Lookup{})
	want, err := inject.Inject(settings, inject.Request{Pod: json.RawMessage(pod), Operation: "CREATE"})
	if err != nil {
		t.Fatal(err)
	}
	got := h.ask(t, about(pod))
	if !got.Allowed || got.UID != uid || string(got.Patch) != string(want.Patch) || len(want.Patch) == 0 {
		t.Errorf("%+v\nwant the patch %s", got, want.Patch)
	}
}

func TestPodsThatAreLetThroughAsTheyAre(t *testing.T) {
	for _, test := range []struct{ name, body string }{
		{"one that does not ask", about(`{"metadata":{},"spec":{"containers":[{"name":"web"}]}}`)},
		{"an update", strings.Replace(about(pod), `"CREATE"`, `"UPDATE"`, 1)},
		{"a deletion, which has no object", strings.Replace(about("null"), `"CREATE"`, `"DELETE"`, 1)},
		{"an exec into one", strings.Replace(about(`{"kind":"PodExecOptions"}`), `"CREATE"`, `"CONNECT"`, 1)},
		{"a binding of one", strings.Replace(about(pod), `"operation"`, `"subResource":"binding","operation"`, 1)},
		{"an object of another kind", strings.Replace(about(pod), `"resource":"pods"`, `"resource":"deployments"`, 1)},
		{"a mirror of a static one", about(strings.Replace(pod, `"MORE"`, `"kubernetes.io/config.mirror"`, 1))},
	} {
		t.Run(test.name, func(t *testing.T) {
			// What fails does not matter to these.
			h := newHandler(cluster{err: errors.New("the cluster does not answer")}.lookup())
			want := &admissionv1.AdmissionResponse{UID: uid, Allowed: true}
			if diff := cmp.Diff(want, h.ask(t, test.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestADryRunIsAnsweredTheSame(t *testing.T) {
	h := newHandler(webhook.Lookup{})
	want, got := h.ask(t, about(pod)), h.ask(t, strings.Replace(about(pod), `"dryRun":false`, `"dryRun":true`, 1))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalsSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name, object string
		cluster      cluster
		code         int32
		reason       metav1.StatusReason
		text         string
	}{
		{"an annotation that is missing", strings.Replace(pod, "kms.hanzo.ai/env", "x", 1), cluster{}, 400, "Invalid",
			"kms-injector: kms.hanzo.ai/env: is missing: give the environment's slug, on the pod, its namespace or the profile"},
		{"a profile that is not there", with("profile", "backend"), cluster{}, 400, "Invalid",
			`kms-injector: kms.hanzo.ai/profile: there is no ConfigMap "backend" in this namespace`},
		{"a profile whose name is none", with("profile", "../secrets/x"), cluster{configMaps: map[string]map[string]string{"../secrets/x": {}}}, 400, "Invalid",
			`kms-injector: kms.hanzo.ai/profile: must be the name of an object: small letters, digits, '-' and '.', not "../secrets/x"`},
		{"no pod", `{"metadata":{"annotations":[]}}`, cluster{}, 400, "Invalid", "kms-injector: read the pod: "},
		{"no object", `null`, cluster{}, 400, "Invalid", "kms-injector: read the pod: "},
		{"a cluster that does not answer", pod, cluster{err: errors.New("connection refused")}, 500, "InternalError",
			"kms-injector: read the annotations of namespace shop: connection refused; the pod asks for secrets, and does not start without them: try again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newHandler(test.cluster.lookup()).ask(t, about(test.object))
			if got.Allowed || got.UID != uid || got.Result.Status != "Failure" || got.Result.Code != test.code || got.Result.Reason != test.reason {
				t.Errorf("%+v", got)
			}
			if !strings.HasPrefix(got.Result.Message, test.text) {
				t.Errorf("got  %s\nwant %s", got.Result.Message, test.text)
			}
		})
	}
}

func TestAProfileThatCannotBeReadIsARefusal(t *testing.T) {
	lookup := cluster{}.lookup()
	lookup.ConfigMap = func(context.Context, string, string) (map[string]string, bool, error) {
		return nil, false, errors.New("forbidden")
	}
	got := newHandler(lookup).ask(t, about(with("profile", "backend")))
	const want = "kms-injector: read the profile, ConfigMap backend in namespace shop: forbidden; "
	if got.Allowed || got.Result.Code != 500 || !strings.HasPrefix(got.Result.Message, want) {
		t.Errorf("%+v", got)
	}
}

func TestDefaultsOfTheNamespaceAndTheProfileHold(t *testing.T) {
	c := cluster{
		namespace:  map[string]string{"kms.hanzo.ai/profile": "backend"},
		configMaps: map[string]map[string]string{"backend": {"path": "/backend"}, "empty": nil},
	}
	if got := newHandler(c.lookup()).ask(t, about(pod)); !strings.Contains(string(got.Patch), `/backend`) {
		t.Errorf("%+v", got)
	}
	if got := newHandler(c.lookup()).ask(t, about(with("profile", "empty"))); got.Patch == nil {
		t.Errorf("a profile without data: %+v", got)
	}
}

func TestWhatThePodWillWaitForIsWarnedOf(t *testing.T) {
	const wait = "kms.hanzo.ai/auth-secret: the pod waits for "
	for _, test := range []struct {
		name, object string
		cluster      cluster
		want         []string
	}{
		{"no Secret", pod, cluster{}, []string{wait + "Secret web-kms-auth, which does not exist"}},
		{"a Secret without the key", pod, cluster{secrets: map[string][]string{"web-kms-auth": {"clientId"}}},
			[]string{wait + "the key clientSecret of Secret web-kms-auth"}},
		{"a Secret whose keys are not known", pod, cluster{secrets: map[string][]string{"web-kms-auth": nil}}, nil},
		{"all there", pod, cluster{secrets: map[string][]string{"web-kms-auth": {"clientId", "clientSecret", "more"}}}, nil},
		{"a ConfigMap without the template", with("template-ref-x", "templates/x"),
			cluster{secrets: map[string][]string{"web-kms-auth": nil}, configMaps: map[string]map[string]string{"templates": nil}},
			[]string{"kms.hanzo.ai/template-ref-x: the pod waits for the key x of ConfigMap templates"}},
		{"a name as long as they get", strings.Replace(pod, "web-kms-auth", strings.Repeat("x", 253), 1), cluster{},
			[]string{wait + "Secret " + strings.Repeat("x", 120-len(wait+"Secret …")) + "…"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newHandler(test.cluster.lookup()).ask(t, about(test.object))
			if diff := cmp.Diff(test.want, got.Warnings); diff != "" || got.Patch == nil {
				t.Errorf("%s\n%+v", diff, got.Result)
			}
		})
	}
}

// A pod names what it likes: neither the questions nor the warnings go on.
func TestAPodThatNamesThousandsOfObjectsIsWarnedOfAFew(t *testing.T) {
	var more strings.Builder
	for range 2000 {
		more.WriteString(`"kms.hanzo.ai/template-ref-` + strings.Repeat("y", more.Len()%97+1) + `":"` + strings.Repeat("x", 200) + `/k",`)
	}
	asked := 0
	lookup := cluster{}.lookup()
	lookup.ConfigMap = func(context.Context, string, string) (map[string]string, bool, error) {
		asked++
		return nil, false, nil
	}
	got := newHandler(lookup).ask(t, about(strings.Replace(pod, `"MORE":""`, more.String()+`"x":""`, 1)))
	if total := len(strings.Join(got.Warnings, "")); asked > 20 || total > 4096 || len(got.Warnings) < 5 {
		t.Errorf("%d questions, %d warnings of %d bytes", asked, len(got.Warnings), total)
	}
}

func TestASecretThatCannotBeLookedUpStopsNoPod(t *testing.T) {
	lookup := cluster{}.lookup()
	lookup.Secret = func(context.Context, string, string) ([]string, bool, error) {
		return nil, false, errors.New("forbidden")
	}
	if got := newHandler(lookup).ask(t, about(pod)); got.Patch == nil || got.Warnings != nil {
		t.Errorf("%+v", got)
	}
}

func TestAPanicRefusesThePodAndShowsNothingOfIt(t *testing.T) {
	for _, thrown := range []any{canary, errors.New(canary), struct{ text string }{canary}} {
		h := newHandler(webhook.Lookup{Namespace: func(context.Context, string) (map[string]string, error) { panic(thrown) }})
		got := h.ask(t, about(pod))
		if got.Allowed || got.UID != uid || got.Result.Code != 500 || strings.Contains(got.Result.Message+h.log.String(), canary) {
			t.Errorf("%+v\n%s", got.Result, h.log)
		}
	}
	h := newHandler(webhook.Lookup{Namespace: func(context.Context, string) (map[string]string, error) {
		empty := strings.Fields("")
		return map[string]string{"x": empty[0]}, nil
	}})
	h.ask(t, about(pod))
	if !strings.Contains(h.log.String(), "index out of range") || strings.Contains(h.log.String(), canary) {
		t.Errorf("the log does not help: %s", h.log)
	}
}

func TestWhatIsNoReviewIsRefusedByHTTP(t *testing.T) {
	whole := about(pod)
	for _, test := range []struct {
		name, method, kind, body string
		code                     int
	}{
		{"a page that somebody opens", "GET", "", "", 405},
		{"no content type", "POST", "", whole, 415},
		{"another content type", "POST", "application/yaml", whole, 415},
		{"nothing", "POST", "application/json", "", 400},
		{"no JSON", "POST", "application/json", whole[:len(whole)-1], 400},
		{"a bare pod", "POST", "application/json", pod, 400},
		{"a list", "POST", "application/json", "[]", 400},
		{"an older version", "POST", "application/json", strings.Replace(whole, "k8s.io/v1", "k8s.io/v1beta1", 1), 400},
		{"no request", "POST", "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, 400},
		{"no uid", "POST", "application/json", strings.Replace(whole, uid, "", 1), 400},
		{"too much", "POST", "application/json", about(`"` + strings.Repeat("x", 10<<20) + `"`), 413},
		{"a charset, which is fine", "POST", "application/json; charset=utf-8", whole, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "/", strings.NewReader(test.body))
			if test.kind != "" {
				r.Header.Set("Content-Type", test.kind)
			}
			h, w := newHandler(webhook.Lookup{}), httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.code || w.Code != http.StatusOK && strings.Contains(w.Body.String()+h.log.String(), canary) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestEachDecisionIsOneLineAndOneCount(t *testing.T) {
	for _, test := range []struct{ body, decision string }{
		{about(pod), "injected"},
		{about("{}"), "skipped"},
		{about(with("format-x", canary)), "denied"},
		{about(`{"spec":"` + canary + `"}`), "denied"},
		{strings.Replace(about(pod), `"shop","op`, `"other","op`, 1), "failed"},
		{canary, "failed"},
	} {
		h := newHandler(cluster{}.lookup())
		h.post(test.body)
		if got := counts(t, h.metrics, "pods"); got[test.decision] != 1 || len(got) != 4 || got["injected"]+got["skipped"]+got["denied"]+got["failed"] != 1 {
			t.Errorf("%s: %v", test.decision, got)
		}
		lines := strings.Count(h.log.String(), "\n") - strings.Count(h.log.String(), `"stack"`)
		if lines != 1 || strings.Contains(h.log.String(), canary) {
			t.Errorf("%s: %s", test.decision, h.log)
		}
	}
}

func counts(t *testing.T, m *webhook.Metrics, webhook string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, metric := range families[0].Metric {
		if metric.Label[1].GetValue() == webhook {
			counted[metric.Label[0].GetValue()] = metric.Counter.GetValue()
		}
	}
	return counted
}
