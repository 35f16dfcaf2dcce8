package reports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// awaitPolicies waits until the API server holds the injector to them: a
// policy that was just made does not hold at once.
func (c *cluster) awaitPolicies() {
	c.Helper()
	c.namespace = "default"
	pod, deployment := c.pod(), c.deployment()
	ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
	defer cancel()
	for {
		status := c.injector.Status().Patch(c.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"status":{"message":"x"}}`)), client.DryRunAll)
		replicas := c.injector.Patch(c.Context(), deployment, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":3}}`)), client.DryRunAll)
		if status != nil && replicas != nil && strings.Contains(status.Error(), "may change") && strings.Contains(replicas.Error(), "may change") {
			return
		}
		select {
		case <-ctx.Done():
			c.Fatal("the policies do not hold: ", status, replicas)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestOfAPodTheInjectorCanChangeOneConditionOnly(t *testing.T) {
	c := newCluster(t)
	pod := c.pod(func(p *corev1.Pod) { p.Finalizers = []string{"example.com/kept"} })
	c.patchStatus(c.admin, pod, `{"status":{"phase":"Running","podIP":"10.0.0.7","podIPs":[{"ip":"10.0.0.7"}],"conditions":[{"type":"Ready","status":"False"}]}}`)
	for _, test := range []struct {
		patch   string
		allowed bool
	}{
		{`{"status":{"conditions":[{"type":"kms.hanzo.ai/SecretsReady","status":"True"}]}}`, true},
		{`{"status":{"conditions":[{"type":"kms.hanzo.ai/SecretsReady","status":"False","reason":"Forbidden"}]}}`, true},
		{`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, false},
		{`{"status":{"conditions":[{"type":"example.com/Gate","status":"True"}]}}`, false},
		{`{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}`, false},
		{`{"status":{"phase":"Succeeded"}}`, false},
		{`{"status":{"podIP":null,"podIPs":null}}`, false},
		{`{"status":{"containerStatuses":[{"name":"web","image":"x","imageID":"x","ready":true,"restartCount":0}]}}`, false},
		{`{"status":{"observedGeneration":7}}`, false},
		{`{"metadata":{"labels":{"app":"other"}}}`, false},
		{`{"metadata":{"annotations":{"kms.hanzo.ai/on-change":"rollout"}}}`, false},
		{`{"metadata":{"finalizers":null}}`, false},
	} {
		err := c.injector.Status().Patch(t.Context(), pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(test.patch)), client.DryRunAll)
		if (err == nil) != test.allowed || err != nil && !strings.Contains(err.Error(), "the injector may change") {
			t.Errorf("%s: %v", test.patch, err)
		}
	}
	if err := c.injector.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))); err == nil {
		t.Error("the injector may change pods")
	}
}

func TestOfADeploymentTheInjectorCanChangeOneAnnotationOnly(t *testing.T) {
	c := newCluster(t)
	deployment := c.deployment()
	for _, test := range []struct {
		patch   string
		allowed bool
	}{
		{`{"spec":{"template":{"metadata":{"annotations":{"kms.hanzo.ai/revision":"7"}}}}}`, true},
		{`{"spec":{"template":{"metadata":{"annotations":{"kms.hanzo.ai/server":"https://evil.example.com"}}}}}`, false},
		{`{"spec":{"template":{"metadata":{"annotations":null}}}}`, false},
		{`{"spec":{"template":{"metadata":{"labels":{"more":"x"}}}}}`, false},
		{`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"evil:1"}]}}}}`, false},
		{`{"spec":{"template":{"spec":{"hostNetwork":true}}}}`, false},
		{`{"spec":{"replicas":0}}`, false},
		{`{"spec":{"paused":true}}`, false},
		{`{"metadata":{"labels":{"a":"b"}}}`, false},
		{`{"metadata":{"annotations":{"a":"b"}}}`, false},
		{`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"y"}]}}`, false},
	} {
		err := c.injector.Patch(t.Context(), deployment.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(test.patch)), client.DryRunAll)
		if (err == nil) != test.allowed || err != nil && !strings.Contains(err.Error(), "the injector may change") {
			t.Errorf("%s: %v", test.patch, err)
		}
	}
}

func (c *cluster) patchStatus(by client.Client, pod *corev1.Pod, patch string) {
	c.Helper()
	if err := by.Status().Patch(c.Context(), pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		c.Fatal(err)
	}
}

// deployment makes one that asks for rollouts.
func (c *cluster) deployment() *appsv1.Deployment {
	c.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, GenerateName: "web-"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
	d.Spec.Template.Annotations = map[string]string{"kms.hanzo.ai/on-change": "rollout", "kms.hanzo.ai/project": "shop"}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	c.create(d)
	return d
}
