package main_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func isInjected(pod *corev1.Pod) bool {
	return len(pod.Spec.InitContainers) == 1 && pod.Spec.InitContainers[0].Image == "ghcr.io/hanzoai/kms-agent:test"
}

func TestPodsThatAskAreInjectedByTheAPIServer(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	c := newCluster(t)
	r := c.start(t)
	c.register(t, r.Webhooks)
	_, before, _ := r.get("/metrics")
	refusing, bare, mirror := c.pod(map[string]string{"inject": "false"}), c.pod(nil), c.pod(nil)
	bare.Annotations = nil
	mirror.Annotations["kubernetes.io/config.mirror"], mirror.Spec.NodeName = "x", "node"
	for _, pod := range []*corev1.Pod{refusing, bare, mirror} {
		if err := c.Create(t.Context(), pod, client.DryRunAll); err != nil || len(pod.Spec.InitContainers) > 0 {
			t.Errorf("%v %v", err, pod.Spec.InitContainers)
		}
	}
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
	t.Parallel()
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

func TestWhoeverWritesAWorkloadIsWarned(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.register(t, c.start(t, "-secret-warnings=false").Webhooks)
	template := func(change map[string]string) corev1.PodTemplateSpec {
		pod := c.pod(change)
		pod.GenerateName, pod.Namespace, pod.Labels = "", "", map[string]string{"app": "web"}
		return corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
	}
	meta := func(annotations ...string) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: c.namespace, GenerateName: "web-", Annotations: map[string]string{}}
		for _, name := range annotations {
			m.Annotations[name] = "true"
		}
		return m
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	once := func(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
		t.Spec.RestartPolicy = corev1.RestartPolicyNever
		return t
	}
	const misplaced = "kms.hanzo.ai/inject has no effect here: it belongs to spec.template.metadata.annotations"
	const unknown = "there is no annotation kms.hanzo.ai/pol-interval: did you mean poll-interval?"
	owned := meta("kms.hanzo.ai/inject")
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "a", Controller: new(true)}}
	for _, test := range []struct {
		name   string
		object client.Object
		want   []string
	}{
		{"a Deployment without fault", &appsv1.Deployment{ObjectMeta: meta(), Spec: appsv1.DeploymentSpec{Selector: selector, Template: template(nil)}}, nil},
		{"a Deployment with the annotation in the wrong place", &appsv1.Deployment{ObjectMeta: meta("kms.hanzo.ai/inject"), Spec: appsv1.DeploymentSpec{Selector: selector, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: selector.MatchLabels}, Spec: template(nil).Spec}}}, []string{misplaced}},
		{"a StatefulSet whose pods will be denied", &appsv1.StatefulSet{ObjectMeta: meta(), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template(map[string]string{"auth-secret": "-"})}},
			[]string{"the pods will be denied: kms.hanzo.ai/auth-secret: is missing: give the Secret with the client id and client secret, on the pod, its namespace or the profile"}},
		{"a DaemonSet with an unknown annotation", &appsv1.DaemonSet{ObjectMeta: meta(), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template(map[string]string{"pol-interval": "1m"})}}, []string{unknown}},
		{"a ReplicaSet of nobody", &appsv1.ReplicaSet{ObjectMeta: meta("kms.hanzo.ai/inject"), Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template(nil)}}, []string{misplaced}},
		{"a ReplicaSet of a Deployment", &appsv1.ReplicaSet{ObjectMeta: owned, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template(nil)}}, nil},
		{"a Job", &batchv1.Job{ObjectMeta: meta(), Spec: batchv1.JobSpec{Template: once(template(map[string]string{"pol-interval": "1m"}))}}, []string{unknown}},
		{"a CronJob", &batchv1.CronJob{ObjectMeta: meta(), Spec: batchv1.CronJobSpec{Schedule: "@daily", JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kms.hanzo.ai/inject": "true"}},
			Spec: batchv1.JobSpec{Template: once(corev1.PodTemplateSpec{Spec: template(nil).Spec})}}}},
			[]string{"kms.hanzo.ai/inject has no effect here: it belongs to spec.jobTemplate.spec.template.metadata.annotations"}},
		{"a pod that forgets to ask", c.pod(map[string]string{"inject": "-"}), []string{`kms.hanzo.ai/auth-secret has no effect without kms.hanzo.ai/inject: "true"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.warned()
			must(t, c.Create(t.Context(), test.object))
			if diff := cmp.Diff(test.want, c.warned()); diff != "" {
				t.Error(diff)
			}
			test.object.SetLabels(map[string]string{"changed": "true"})
			must(t, c.Update(t.Context(), test.object))
			if _, isPod := test.object.(*corev1.Pod); !isPod {
				if diff := cmp.Diff(test.want, c.warned()); diff != "" {
					t.Errorf("an update: %s", diff)
				}
			}
		})
	}
}

// A pod that came to be while no webhook was there.
func TestAPodThatRunsWithoutItsSecretsIsTold(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	naked, another, injected, refusing, windows := c.pod(nil), c.pod(nil), c.pod(nil), c.pod(map[string]string{"inject": "false"}), c.pod(nil)
	injected.Annotations["kms.hanzo.ai/status"] = "{}"
	windows.Spec.OS, windows.Spec.SecurityContext = &corev1.PodOS{Name: corev1.Windows}, nil
	for _, pod := range []*corev1.Pod{naked, injected, refusing, windows} {
		must(t, c.Create(t.Context(), pod))
	}
	r := c.start(t)
	counted := func(want string) {
		t.Helper()
		await(t, func() error {
			if _, metrics, _ := r.get("/metrics"); !strings.Contains(metrics, "\nkms_injector_naked_pods{namespace=\""+c.namespace+"\"} "+want+"\n") {
				return fmt.Errorf("not %s are counted", want)
			}
			return nil
		})
	}
	counted("1")
	must(t, c.Create(t.Context(), another))
	counted("2")
	must(t, c.Delete(t.Context(), another, client.GracePeriodSeconds(0)))
	counted("1")
	var events eventsv1.EventList
	await(t, func() error {
		must(t, c.List(t.Context(), &events, client.InNamespace(c.namespace)))
		if len(events.Items) != 2 {
			return fmt.Errorf("there are %d Events", len(events.Items))
		}
		return nil
	})
	e := events.Items[slices.IndexFunc(events.Items, func(e eventsv1.Event) bool { return e.Regarding.UID == naked.UID })]
	if e.Reason != "NotInjected" || e.Type != "Warning" || e.Regarding.Name != naked.Name ||
		!strings.Contains(e.Note, "delete the pod and create it anew") {
		t.Errorf("%+v", events.Items)
	}
	c.register(t, r.Webhooks)
	must(t, c.Create(t.Context(), c.pod(nil)))
	must(t, c.Delete(t.Context(), naked, client.GracePeriodSeconds(0)))
	await(t, func() error {
		if _, metrics, _ := r.get("/metrics"); strings.Contains(metrics, "kms_injector_naked_pods{namespace=\""+c.namespace) {
			return errors.New("the pod that is gone is counted")
		}
		return nil
	})
}
