package workload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/injector/internal/workload"
)

func TestEachKindHasItsPodsInOnePlace(t *testing.T) {
	const template = `{"metadata":{"annotations":{"kms.hanzo.ai/inject":"true"}}}`
	for _, test := range []struct {
		name, object string
		found        bool
	}{
		{"a pod", `{"apiVersion":"v1","kind":"Pod",` + template[1:], true},
		{"a StatefulSet", `{"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"template":` + template + `}}`, true},
		{"a CronJob", `{"apiVersion":"batch/v1","kind":"CronJob","spec":{"jobTemplate":{"spec":{"template":` + template + `}}}}`, true},
		{"a Job of another group", `{"apiVersion":"batch.volcano.sh/v1","kind":"Job","spec":{"template":` + template + `}}`, false},
		{"a Deployment without a template", `{"apiVersion":"apps/v1","kind":"Deployment","spec":{}}`, false},
		{"another form", `{"apiVersion":["apps/v1"],"kind":"Deployment","spec":{"template":` + template + `}}`, false},
	} {
		o, err := workload.Read([]byte(test.object))
		if err != nil {
			t.Fatal(err)
		}
		pod, found := o.Pod()
		if found != test.found || found && pod.Texts("metadata", "annotations")["kms.hanzo.ai/inject"] != "true" {
			t.Errorf("%s: %v %v", test.name, found, pod)
		}
	}
}

// On the way to the pod, nothing counts; and nothing of others is looked at.
func TestAnnotationsOnTheWayToThePodAreMisplaced(t *testing.T) {
	o, err := workload.Read([]byte(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"annotations":{"kms.hanzo.ai/inject":"true","kms.hanzo.ai/other":"x","other":"x"}},
		"spec":{"jobTemplate":{"metadata":{"annotations":{"kms.hanzo.ai/secret-db":"A"}},"spec":{"template":{"metadata":{"annotations":{"kms.hanzo.ai/inject":"true"}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	const place = " has no effect here: it belongs to spec.jobTemplate.spec.template.metadata.annotations"
	if diff := cmp.Diff([]string{"kms.hanzo.ai/inject" + place, "kms.hanzo.ai/secret-db" + place}, o.Misplaced()); diff != "" {
		t.Error(diff)
	}
	for _, other := range []string{`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"kms.hanzo.ai/inject":"true"}}}`,
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"annotations":{"kms.hanzo.ai/env":"prod"}}}`} {
		if o, err := workload.Read([]byte(other)); err != nil || o.Misplaced() != nil {
			t.Errorf("%v %v of %s", err, o.Misplaced(), other)
		}
	}
}
