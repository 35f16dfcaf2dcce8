package reports_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/hanzoai/kms/injector/internal/reports"
)

func TestAReportBecomesAConditionOfItsPod(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	for _, test := range []struct {
		body   string
		status corev1.ConditionStatus
		reason string
		text   string
	}{
		{`{"reason":"Synced","revision":3,"age":1,"change":true}`, "True", "Synced", "the secrets are in place; the files are those of revision 3"},
		{`{"reason":"StaleFallback","revision":1}`, "True", "StaleFallback",
			"the server did not answer: the secrets are those of the fallback Secret; the files are those of revision 1"},
		{`{"reason":"Forbidden","revision":3,"age":90.5}`, "False", "Forbidden",
			"the identity may not read the secrets: grant it; the files are those of revision 3"},
		{`{"reason":"NotFound"}`, "False", "NotFound", "the project, the environment, a folder or a key is not there: look at the annotations"},
		{`{"reason":"AuthFailed"}`, "False", "AuthFailed", "the server refuses the credentials: renew them in the Secret of the annotation auth-secret"},
		{`{"reason":"Unreachable"}`, "False", "Unreachable", "the server does not answer, or is overloaded"},
		{`{"reason":"BadTemplate"}`, "False", "BadTemplate", "a template cannot be rendered: the log of the agent has the place"},
		{`{"reason":"NoSpace"}`, "False", "NoSpace", "the secrets do not fit: give a larger size-limit"},
		{`{"reason":"BadConfig"}`, "False", "BadConfig", "the agent cannot do what the annotations ask for: its log has more"},
		{`{"reason":"Failed"}`, "False", "Failed", "the agent failed: its log has more"},
	} {
		pod := c.pod()
		s.must(c.token(pod, audience), test.body)
		got := c.condition(pod)
		if age := time.Since(got.LastTransitionTime.Time); age < -time.Minute || age > 5*time.Minute {
			t.Errorf("%s: the time is %s", test.body, got.LastTransitionTime)
		}
		got.LastTransitionTime = metav1.Time{}
		want := corev1.PodCondition{Type: reports.ConditionType, Status: test.status, Reason: test.reason, Message: test.text}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.body, diff)
		}
	}
}

func TestOtherConditionsStayAsTheyAre(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	pod := c.pod()
	c.patchStatus(c.admin, pod, `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False","reason":"ContainersNotReady"},{"type":"example.com/Gate","status":"True"}]}}`)
	want := pod.Status.DeepCopy()
	token := c.token(pod, audience)
	for _, reason := range []string{"Synced", "Forbidden", "Synced"} {
		s.must(token, `{"reason":"`+reason+`"}`)
		got := pod.DeepCopy()
		c.get(got)
		got.Status.Conditions = deleteOurs(got.Status.Conditions)
		if diff := cmp.Diff(*want, got.Status); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", reason, diff)
		}
	}
}

func deleteOurs(all []corev1.PodCondition) (others []corev1.PodCondition) {
	for _, c := range all {
		if c.Type != reports.ConditionType {
			others = append(others, c)
		}
	}
	return others
}

func TestTheTimeOfTheConditionIsThatOfItsStatus(t *testing.T) {
	const long = "2020-01-02T03:04:05Z"
	for _, test := range []struct {
		before, report string
		changed        bool
	}{
		{`"status":"True","reason":"Synced"`, `{"reason":"Synced","revision":7}`, false},
		{`"status":"True","reason":"StaleFallback"`, `{"reason":"Synced","revision":7}`, false},
		{`"status":"False","reason":"AuthFailed"`, `{"reason":"Forbidden"}`, false},
		{`"status":"True","reason":"Synced"`, `{"reason":"Forbidden"}`, true},
		{`"status":"False","reason":"Forbidden"`, `{"reason":"Synced"}`, true},
	} {
		c := newCluster(t)
		pod := c.pod()
		c.patchStatus(c.admin, pod, fmt.Sprintf(`{"status":{"conditions":[{"type":"kms.hanzo.ai/SecretsReady",%s,"lastTransitionTime":%q}]}}`, test.before, long))
		newServer(t, c.injector).must(c.token(pod, audience), test.report)
		if got := c.condition(pod).LastTransitionTime.UTC().Format(time.RFC3339); (got != long) != test.changed {
			t.Errorf("%s, then %s: %s", test.before, test.report, got)
		}
	}
}

func TestAReportThatSaysNothingNewWritesNothing(t *testing.T) {
	c := newCluster(t)
	written := 0
	s := newServer(t, interceptor.NewClient(c.injector, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, next client.Client, of string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			written++
			return next.SubResource(of).Patch(ctx, object, patch, opts...)
		}}))
	token := c.token(c.pod(), audience)
	for i, report := range []string{`{"reason":"Synced","revision":1,"age":0}`, `{"reason":"Synced","revision":1,"age":3600}`, `{"reason":"Synced","revision":2}`} {
		s.must(token, report)
		if want := []int{1, 1, 2}[i]; written != want {
			t.Errorf("after %s there were %d patches, want %d", report, written, want)
		}
	}
}
