package inject_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

func TestPodsThatAreLeftAlone(t *testing.T) {
	windows := func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }
	for _, test := range []struct {
		name     string
		pod      *corev1.Pod
		request  inject.Request
		skipped  string
		warnings []string
	}{
		{name: "no annotation at all", pod: &corev1.Pod{}},
		{name: "not asked for", pod: the(map[string]string{"inject": "-"}),
			warnings: []string{`kms.hanzo.ai/auth-secret has no effect without kms.hanzo.ai/inject: "true"`}},
		{name: "a slip in the one that asks", pod: the(map[string]string{"inject": "-", "injct": "true"}),
			warnings: []string{`kms.hanzo.ai/auth-secret has no effect without kms.hanzo.ai/inject: "true"`,
				"there is no annotation kms.hanzo.ai/injct: did you mean inject?"}},
		{name: "only the mark of an earlier injection", pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kms.hanzo.ai/status": "injected"}}}},
		{name: "refused", pod: the(map[string]string{"inject": "false"})},
		{name: "refused, and wrong otherwise", pod: the(map[string]string{"inject": "false", "poll-interval": "never"})},
		{name: "an update", pod: the(nil), request: inject.Request{Operation: "UPDATE"}},
		{name: "an ephemeral container", pod: the(nil), request: inject.Request{Operation: "UPDATE", Subresource: "ephemeralcontainers"}},
		{name: "a binding", pod: the(nil), request: inject.Request{Operation: "CREATE", Subresource: "binding"}, skipped: "Subresource"},
		{name: "the mirror of a static pod", pod: the(nil, func(p *corev1.Pod) { p.Annotations["kubernetes.io/config.mirror"] = "x" }), skipped: "MirrorPod"},
		{name: "deleted already", pod: the(nil, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(0, 0)} }), skipped: "Deleting"},
		{name: "Windows by its field", pod: the(nil, windows), skipped: "Windows",
			warnings: []string{"kms.hanzo.ai/inject: the agent does not run on Windows: this pod gets no secrets"}},
		{name: "Windows by its selector", pod: the(nil, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} }), skipped: "Windows",
			warnings: []string{"kms.hanzo.ai/inject: the agent does not run on Windows: this pod gets no secrets"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.request.Pod = encode(t, test.pod)
			got, err := inject.Inject(settings, test.request)
			if diff := cmp.Diff(inject.Result{Skipped: test.skipped, Warnings: test.warnings}, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsNoPodIsAnErrorAndNoDenial(t *testing.T) {
	for _, text := range []string{"", "null and void", `[]`, `{"metadata": []}`, `{"spec": {"containers": {}}}`, `{"spec": {"containers": [1]}}`, `{"spec": {"containers": [null]}}`} {
		_, err := inject.Inject(settings, inject.Request{Pod: []byte(text)})
		if _, denied := err.(*inject.Denied); err == nil || denied || !strings.HasPrefix(err.Error(), "read the pod: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Each way to say something comes before the next, and an empty text hides what
// is below it.
func TestThePodComesBeforeTheNamespaceTheProfileAndTheInjector(t *testing.T) {
	layers := func(pod, namespace, profile, injector string) (inject.Settings, inject.Request) {
		s, r := settings, inject.Request{Namespace: map[string]string{}, Profile: map[string]string{}}
		annotations := map[string]string{"profile": "backend", "poll-interval": pod}
		if pod == "" {
			annotations["poll-interval"] = "-"
		}
		r.Pod = encode(t, the(annotations))
		if namespace != "" {
			r.Namespace["kms.hanzo.ai/poll-interval"] = strings.Trim(namespace, "-")
		}
		if profile != "" {
			r.Profile["poll-interval"] = profile
		}
		s.Defaults = map[string]string{"poll-interval": injector}
		return s, r
	}
	for _, test := range []struct{ pod, namespace, profile, injector, want string }{
		{"10s", "20s", "30s", "40s", "10s"},
		{"", "20s", "30s", "40s", "20s"},
		{"", "", "30s", "40s", "30s"},
		{"", "", "", "40s", "40s"},
		{"", "", "", "", "60s"},
		{"", "-", "30s", "40s", "60s"},
	} {
		_, result := injected(t, first(layers(test.pod, test.namespace, test.profile, test.injector)), second(layers(test.pod, test.namespace, test.profile, test.injector)))
		if got := agentConfig(t, result).PollInterval; got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
}

func first[A, B any](a A, _ B) A  { return a }
func second[A, B any](_ A, b B) B { return b }

func TestOnlyThePodItselfAsksForInjection(t *testing.T) {
	asking := map[string]string{"inject": "true"}
	r := inject.Request{Pod: encode(t, the(map[string]string{"inject": "-"})), Namespace: map[string]string{"kms.hanzo.ai/inject": "true"}, Profile: asking}
	s := settings
	s.Defaults = asking
	if result, err := inject.Inject(s, r); err != nil || result.Patch != nil {
		t.Errorf("%s %v", result.Patch, err)
	}
}

func TestTheProfileIsWhateverLayerNamesIt(t *testing.T) {
	namespace := map[string]string{"kms.hanzo.ai/profile": "theirs"}
	if got := profile(t, encode(t, the(map[string]string{"profile": "mine"})), namespace); got != "mine" {
		t.Error(got)
	}
	if got := profile(t, encode(t, the(nil)), namespace); got != "theirs" {
		t.Error(got)
	}
	if _, err := inject.Read([]byte("no pod")); err == nil {
		t.Error("no pod was read as one")
	}
}

// profile is the one that a pod gets in a namespace.
func profile(t *testing.T, pod json.RawMessage, namespace map[string]string) string {
	t.Helper()
	read, err := inject.Read(pod)
	if err != nil {
		t.Fatal(err)
	}
	return read.Profile(settings, namespace)
}
