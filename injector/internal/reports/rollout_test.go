package reports_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const mark = "kms.hanzo.ai/revision"

func changed(revision int) string {
	return fmt.Sprintf(`{"reason":"Synced","revision":%d,"age":1,"change":true}`, revision)
}

func (c *cluster) marked(d *appsv1.Deployment) string {
	c.Helper()
	c.get(d)
	return d.Spec.Template.Annotations[mark]
}

func TestAChangeRollsTheDeploymentOnce(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	d := c.deployment()
	set := c.replicaSet(d)
	first, second := c.podOf(set, "ReplicaSet", d.Spec.Template), c.podOf(set, "ReplicaSet", d.Spec.Template)
	s.must(c.token(first, audience), inPlace)
	if got := c.marked(d); got != "" {
		t.Fatalf("a pod that only began rolls: %q", got)
	}
	s.must(c.token(first, audience), changed(2))
	if got := c.marked(d); got != "2" {
		t.Fatalf("the template has revision %q: %s", got, s.log)
	}
	generation := d.Generation
	s.must(c.token(first, audience), changed(2))
	s.must(c.token(second, audience), changed(2))
	s.must(c.token(second, audience), changed(3)) // it goes anyway
	s.must(c.token(second, audience), changed(1))
	if got := c.marked(d); got != "2" || d.Generation != generation {
		t.Errorf("the change rolls again: %q", got)
	}

	// The pods that come begin with the change, and roll at the next one, even
	// if they count their revisions from the beginning.
	fresh := c.podOf(c.replicaSet(d), "ReplicaSet", d.Spec.Template)
	s.must(c.token(fresh, audience), inPlace)
	if got := c.marked(d); got != "2" {
		t.Errorf("a pod of the rollout rolls: %q", got)
	}
	s.must(c.token(fresh, audience), changed(2))
	if got := c.marked(d); got != "3" {
		t.Errorf("the next change has revision %q", got)
	}
	s.must(c.token(first, audience), changed(9))
	if got := c.marked(d); got != "3" {
		t.Errorf("a pod from before the rollouts rolls: %q", got)
	}
	if got := c.events(d); len(got) != 1 {
		t.Errorf("events: %q", got)
	}
}

func TestPodsThatReportAChangeAtOnceRollOnce(t *testing.T) {
	c := newCluster(t)
	d := c.deployment()
	set := c.replicaSet(d)
	replicas := []*server{newServer(t, c.injector), newServer(t, c.injector)}
	before := d.Generation
	var all sync.WaitGroup
	for i := range 10 {
		token := c.token(c.podOf(set, "ReplicaSet", d.Spec.Template), audience)
		all.Go(func() {
			if w := replicas[i%2].send(token, changed(2+i)); w.Code != http.StatusNoContent {
				t.Errorf("%d %s %s", w.Code, w.Body, replicas[i%2].log)
			}
		})
	}
	all.Wait()
	if got := c.marked(d); got == "" || d.Generation != before+1 {
		t.Errorf("the template has revision %q after %d changes", got, d.Generation-before)
	}
}

func TestStatefulSetsAndDaemonSetsRollToo(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	template := c.deployment().Spec.Template
	selector := &metav1.LabelSelector{MatchLabels: template.Labels}
	meta := metav1.ObjectMeta{Namespace: c.namespace, Name: "web"}
	set := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template, ServiceName: "web"}}
	daemons := &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
	c.create(set)
	c.create(daemons)
	s.must(c.token(c.podOf(set, "StatefulSet", template), audience), changed(5))
	s.must(c.token(c.podOf(daemons, "DaemonSet", template), audience), changed(6))
	c.get(set)
	c.get(daemons)
	if a, b := set.Spec.Template.Annotations[mark], daemons.Spec.Template.Annotations[mark]; a != "5" || b != "6" {
		t.Errorf("got %q and %q: %s", a, b, s.log)
	}
}

func TestNothingRollsThatDoesNotAskForIt(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	silent := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kms.hanzo.ai/on-change": "signal"}}}
	for _, test := range []struct {
		name   string
		report string
		change func(d *appsv1.Deployment, p *corev1.Pod)
	}{
		{"no change", inPlace, func(*appsv1.Deployment, *corev1.Pod) {}},
		{"a failure", `{"reason":"Forbidden","revision":2,"change":true}`, func(*appsv1.Deployment, *corev1.Pod) {}},
		{"the pod does not ask", changed(2), func(_ *appsv1.Deployment, p *corev1.Pod) { p.Annotations = silent.Annotations }},
		{"the owner is another by now", changed(2), func(d *appsv1.Deployment, p *corev1.Pod) {
			p.OwnerReferences = owned(d, "Deployment")
			p.OwnerReferences[0].UID = "former"
		}},
		// Whoever may create pods may claim any owner.
		{"the template does not ask", changed(2), func(d *appsv1.Deployment, _ *corev1.Pod) {
			d.Spec.Template.Annotations = silent.Annotations
			if err := c.admin.Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		d := c.deployment()
		set := c.replicaSet(d)
		pod := c.podOf(set, "ReplicaSet", d.Spec.Template)
		c.remove(pod)
		test.change(d, pod)
		pod.ResourceVersion, pod.UID = "", ""
		c.create(pod)
		s.must(c.token(pod, audience), test.report)
		if got := c.marked(d); got != "" {
			t.Errorf("%s: it rolls to %s", test.name, got)
		}
	}
}
