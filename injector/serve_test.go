package main_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func isInjected(pod *corev1.Pod) bool {
	return len(pod.Spec.InitContainers) == 1 && pod.Spec.InitContainers[0].Image == "ghcr.io/hanzoai/kms-agent:test"
}

func TestPodsThatAskAreInjectedByTheAPIServer(t *testing.T) {
	c := newCluster(t)
	c.register(t, c.start(t).Webhooks)
	must(t, c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "web-kms-auth"},
		StringData: map[string]string{"clientId": "x", "clientSecret": "x"}}))
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "backend"},
		Data: map[string]string{"path": "/backend"}}))
	for _, test := range []struct {
		name        string
		annotations map[string]string
		want        []string // in the pod
		warnings    []string
		denied      string
	}{
		{name: "with the defaults of the namespace", want: []string{`"environment":"prod"`}},
		{name: "with a profile", annotations: map[string]string{"profile": "backend"}, want: []string{`"path":"/backend"`}},
		{name: "with a misspelt annotation", annotations: map[string]string{"pol-interval": "1m"}, want: []string{"kms-agent"},
			warnings: []string{"there is no annotation kms.hanzo.ai/pol-interval: did you mean poll-interval?"}},
		{name: "with a Secret that is not there", annotations: map[string]string{"auth-secret": "other"}, want: []string{"kms-agent"},
			warnings: []string{"kms.hanzo.ai/auth-secret: the pod waits for Secret other, which does not exist"}},
		{name: "with a profile that is not there", annotations: map[string]string{"profile": "frontend"},
			denied: `kms-injector: kms.hanzo.ai/profile: there is no ConfigMap "frontend" in this namespace`},
		{name: "in a way that there is not", annotations: map[string]string{"inject": "True"},
			denied: `kms-injector: kms.hanzo.ai/inject: must be one of true, false, native, init, sidecar, exec, not "True"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.warned()
			pod := c.pod(test.annotations)
			err := c.Create(t.Context(), pod)
			if test.denied != "" {
				if err == nil || !strings.Contains(err.Error(), test.denied) {
					t.Errorf("got %v, want %s", err, test.denied)
				}
				return
			}
			text := pod.String()
			if err != nil || !isInjected(pod) {
				t.Fatalf("%v\n%s", err, text)
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("there is no %s in\n%s", want, text)
				}
			}
			if diff := cmp.Diff(test.warnings, c.warned()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPodsThatDoNotAskNeverLeaveTheAPIServer(t *testing.T) {
	c := newCluster(t)
	r := c.start(t)
	c.register(t, r.Webhooks)
	_, before, _ := r.get("/metrics")
	for _, value := range []string{"-", "false"} {
		pod := c.pod(map[string]string{"inject": value})
		if err := c.Create(t.Context(), pod); err != nil || len(pod.Spec.InitContainers) > 0 {
			t.Errorf("%v %v", err, pod.Spec.InitContainers)
		}
	}
	bare := c.pod(nil)
	bare.Annotations = nil
	must(t, c.Create(t.Context(), bare))
	if _, after, _ := r.get("/metrics"); decisions(after) != decisions(before) {
		t.Errorf("the injector was asked:\n%s\n%s", decisions(before), decisions(after))
	}
}

func decisions(metrics string) (text string) {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "kms_injector_decisions_total") {
			text += line
		}
	}
	return text
}

func TestADryRunIsInjectedAndLeavesNothing(t *testing.T) {
	c := newCluster(t)
	c.register(t, c.start(t).Webhooks)
	pod := c.pod(nil)
	if err := c.Create(t.Context(), pod, client.DryRunAll); err != nil || !isInjected(pod) {
		t.Errorf("%v %v", err, pod.Spec.InitContainers)
	}
	var pods corev1.PodList
	if err := c.List(t.Context(), &pods, client.InNamespace(c.namespace)); err != nil || len(pods.Items) > 0 {
		t.Errorf("%v %v", err, pods.Items)
	}
}
