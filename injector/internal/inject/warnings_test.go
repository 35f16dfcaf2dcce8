package inject_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

func TestASlipInANameGetsTheNameThatWasMeant(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"pol-interval", ": did you mean poll-interval?"},
		{"poll_interval", ": did you mean poll-interval?"},
		{"Project", ": did you mean project?"},
		{"secrets-db", ": did you mean secret-db?"},
		{"tmplate-app.conf", ": did you mean template-app.conf?"},
		{"agent-inject-secret-db", ""},
		{"on-misssing-x", ": did you mean on-missing-x?"},
		{"mount-paths", ": did you mean mount-path?"},
		{"secret-", ""},
		{"x", ""},
		{"", ""},
	} {
		pod := the(nil)
		pod.Annotations["kms.hanzo.ai/"+test.name] = "x"
		_, result := injected(t, settings, inject.Request{Pod: encode(t, pod)})
		want := []string{"there is no annotation kms.hanzo.ai/" + test.name + test.want}
		if diff := cmp.Diff(want, result.Warnings); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestASlipInAProfileIsWarnedOf(t *testing.T) {
	r := inject.Request{Pod: encode(t, the(map[string]string{"profile": "p"})), Profile: map[string]string{"projct": "x"}}
	_, result := injected(t, settings, r)
	if diff := cmp.Diff([]string{"the profile has a key that is no annotation: projct: did you mean project?"}, result.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestWhatMayNotWorkIsWarnedOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*corev1.Pod)
		want   string
	}{
		{"the network of the node", func(p *corev1.Pod) { p.Spec.HostNetwork = true },
			"hostNetwork: the agent finds a server in the cluster only with dnsPolicy ClusterFirstWithHostNet"},
		{"the network of the node, with names", func(p *corev1.Pod) { p.Spec.HostNetwork, p.Spec.DNSPolicy = true, "ClusterFirstWithHostNet" }, ""},
		{"a subPath", func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "kms-secrets", MountPath: "/etc/web.conf", SubPath: "web.conf"}}
		}, "container web: a subPath of kms-secrets never changes: mount the whole volume, or leave the mount out"},
		{"a signal to another user", func(p *corev1.Pod) {
			p.Annotations["kms.hanzo.ai/signal-target"], p.Annotations["kms.hanzo.ai/share-process-namespace"] = "process:web", "true"
			p.Annotations["kms.hanzo.ai/run-as-user"] = "5"
			p.Spec.SecurityContext.FSGroup = new(int64(2000))
		}, "kms.hanzo.ai/signal-target: a signal to container web fails unless its runAsUser is the agent's\n" +
			"kms.hanzo.ai/share-process-namespace: all containers of the pod see each other's processes"},
	} {
		_, result := injected(t, settings, inject.Request{Pod: encode(t, the(nil, test.change))})
		if got := strings.Join(result.Warnings, "\n"); got != test.want {
			t.Errorf("%s: got %s", test.name, got)
		}
	}
}

// A mount of the volume that somebody wrote stays beside ours.
func TestAMountOfTheFilesElsewhereIsKept(t *testing.T) {
	own := corev1.VolumeMount{Name: "kms-secrets", MountPath: "/etc/secrets", ReadOnly: true}
	pod, _ := injected(t, settings, inject.Request{Pod: encode(t, the(nil, func(p *corev1.Pod) {
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{own}
	}))})
	want := []corev1.VolumeMount{own, {Name: "kms-secrets", MountPath: "/kms/secrets", ReadOnly: true}}
	if diff := cmp.Diff(want, pod.Spec.Containers[0].VolumeMounts); diff != "" {
		t.Error(diff)
	}
}

func TestWarningsKeepToWhatAnAPIServerShows(t *testing.T) {
	pod := the(nil)
	for i := range 100 {
		pod.Annotations[fmt.Sprintf("kms.hanzo.ai/ünknown-%d-%s", i, strings.Repeat("ü", 70))] = "x"
	}
	result, err := inject.Inject(settings, inject.Request{Pod: encode(t, pod)})
	if err != nil {
		t.Fatal(err)
	}
	checkLength(t, result.Warnings)
	for _, w := range result.Warnings {
		if !utf8.ValidString(w) {
			t.Errorf("%q", w)
		}
	}
	if last := result.Warnings[len(result.Warnings)-1]; !strings.HasPrefix(last, "and ") {
		t.Error(last)
	}
}

// Needs are looked up by the caller, who knows the cluster.
func TestWhatThePodNeedsAndTheClusterDoesNotHaveIsWarnedOf(t *testing.T) {
	_, result := injected(t, settings, inject.Request{Pod: encode(t, the(pairs([]string{
		"ca-secret", "ca/root.pem", "auth-secret-keys", "id=ID,secret=S",
		"env-mode", "secret", "env-secret", "web", "template-ref-x", "templates/k"})))})
	want := []inject.Need{
		{Kind: "Secret", Name: "web-kms-auth", Keys: []string{"ID", "S"}, Annotation: "kms.hanzo.ai/auth-secret"},
		{Kind: "Secret", Name: "ca", Keys: []string{"root.pem"}, Annotation: "kms.hanzo.ai/ca-secret"},
		{Kind: "Secret", Name: "web", Annotation: "kms.hanzo.ai/env-secret"},
		{Kind: "ConfigMap", Name: "templates", Keys: []string{"k"}, Annotation: "kms.hanzo.ai/template-ref-x"},
	}
	if diff := cmp.Diff(want, result.Needs); diff != "" {
		t.Fatal(diff)
	}
	for _, test := range []struct {
		need   inject.Need
		exists bool
		keys   []string
		want   string
	}{
		{want[0], true, []string{"ID", "S"}, ""},
		{want[0], true, nil, ""},
		{want[0], true, []string{"ID"}, "kms.hanzo.ai/auth-secret: the pod waits for the key S of Secret web-kms-auth"},
		{want[0], false, nil, "kms.hanzo.ai/auth-secret: the pod waits for Secret web-kms-auth, which does not exist"},
	} {
		if got := test.need.Missing(test.exists, test.keys); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
