package reports_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// replicaSet is the one of a deployment, as its controller makes it.
func (c *cluster) replicaSet(d *appsv1.Deployment) *appsv1.ReplicaSet {
	c.Helper()
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, GenerateName: d.Name + "-", OwnerReferences: owned(d, "Deployment")}}
	set.Spec.Selector, set.Spec.Template = d.Spec.Selector, d.Spec.Template
	c.create(set)
	return set
}

// podOf is one that a controller makes from a template.
func (c *cluster) podOf(owner client.Object, kind string, template corev1.PodTemplateSpec) *corev1.Pod {
	c.Helper()
	return c.pod(func(p *corev1.Pod) { p.Annotations, p.OwnerReferences = template.Annotations, owned(owner, kind) })
}

func owned(by client.Object, kind string) []metav1.OwnerReference {
	version := appsv1.SchemeGroupVersion
	if kind == "Job" {
		version = batchv1.SchemeGroupVersion
	}
	return []metav1.OwnerReference{*metav1.NewControllerRef(by, schema.GroupVersionKind{Group: version.Group, Version: version.Version, Kind: kind})}
}

// events are those about an object, as "kind Type Reason note".
func (c *cluster) events(of client.Object) (list []string) {
	c.Helper()
	var all eventsv1.EventList
	if err := c.admin.List(c.Context(), &all, client.InNamespace(c.namespace)); err != nil {
		c.Fatal(err)
	}
	slices.SortFunc(all.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	for _, e := range all.Items {
		if e.Regarding.UID == of.GetUID() && e.Regarding.Name == of.GetName() && e.Related != nil && e.ReportingController == "kms.hanzo.ai/injector" {
			list = append(list, strings.Join([]string{e.Regarding.Kind, e.Type, e.Reason, e.Note}, " "))
		}
	}
	return list
}

func TestWhatGoesWrongIsToldOfTheOwner(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	deployment := c.deployment()
	pod := c.podOf(c.replicaSet(deployment), "ReplicaSet", deployment.Spec.Template)
	token := c.token(pod, audience)
	for _, reason := range []string{"Synced", "AuthFailed", "AuthFailed", "Synced", "StaleFallback", "AuthFailed"} {
		s.must(token, `{"reason":"`+reason+`"}`)
	}
	want := []string{
		"Deployment Warning AuthFailed pod " + pod.Name + ": the server refuses the credentials: renew them in the Secret of the annotation auth-secret",
		"Deployment Normal Synced pod " + pod.Name + ": the secrets are in place",
		"Deployment Warning StaleFallback pod " + pod.Name + ": the server did not answer: the secrets are those of the fallback Secret",
	}
	if diff := cmp.Diff(want, c.events(deployment)); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, s.log)
	}
}

func TestThePodsOfOneOwnerThatFailAtOnceAreOneEvent(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	deployment := c.deployment()
	set := c.replicaSet(deployment)
	for range 20 {
		s.must(c.token(c.podOf(set, "ReplicaSet", deployment.Spec.Template), audience), `{"reason":"Forbidden"}`)
	}
	if got := c.events(deployment); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
}

func TestAPodWithoutADeploymentHasTheNextBestOwner(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "report", Namespace: c.namespace, UID: "a-job"}}
	alone := c.pod()
	for _, test := range []struct {
		pod   *corev1.Pod
		owner client.Object
		want  string
	}{
		{alone, alone, "Pod Warning Forbidden"},
		{c.podOf(job, "Job", corev1.PodTemplateSpec{}), job, "Job Warning Forbidden"},
	} {
		s.must(c.token(test.pod, audience), `{"reason":"Forbidden"}`)
		if got := c.events(test.owner); len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
			t.Errorf("want %s, got %q\n%s", test.want, got, s.log)
		}
	}
}
