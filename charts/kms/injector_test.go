package chart_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	mutating   = "MutatingWebhookConfiguration/kms-injector"
	validating = "ValidatingWebhookConfiguration/kms-injector"
)

// The injector's own tests register those of testdata with a real API server.
func TestWebhooksAreThoseThatTheInjectorIsTestedWith(t *testing.T) {
	text, err := os.ReadFile("../../injector/testdata/webhooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tested, m := parse(t, string(text)), template(t)
	place := cmpopts.IgnoreTypes(admissionv1.WebhookClientConfig{})
	selector := cmpopts.IgnoreFields(admissionv1.MutatingWebhook{}, "NamespaceSelector")
	want, got := get[*admissionv1.MutatingWebhookConfiguration](t, tested, "MutatingWebhookConfiguration/"), get[*admissionv1.MutatingWebhookConfiguration](t, m, mutating)
	if diff := cmp.Diff(want.Webhooks, got.Webhooks, place, selector); diff != "" {
		t.Errorf("mutating (-tested +chart):\n%s", diff)
	}
	wantWarn, gotWarn := get[*admissionv1.ValidatingWebhookConfiguration](t, tested, "ValidatingWebhookConfiguration/"), get[*admissionv1.ValidatingWebhookConfiguration](t, m, validating)
	if diff := cmp.Diff(wantWarn.Webhooks, gotWarn.Webhooks, place); diff != "" {
		t.Errorf("validating (-tested +chart):\n%s", diff)
	}
}

func TestNamespacesThatTheInjectorNeedsAreNeverInjected(t *testing.T) {
	for _, values := range [][]string{nil, {
		"injector.namespaceSelector.matchLabels.team=shop",
		"injector.namespaceSelector.matchExpressions[0].key=kubernetes.io/metadata.name", "injector.namespaceSelector.matchExpressions[0].operator=Exists",
	}} {
		selector, err := metav1.LabelSelectorAsSelector(get[*admissionv1.MutatingWebhookConfiguration](t, template(t, values...), mutating).Webhooks[0].NamespaceSelector)
		if err != nil {
			t.Fatal(err)
		}
		for namespace, want := range map[string]bool{"vault": false, "kube-system": false, "kube-node-lease": false, "shop": true} {
			if got := selector.Matches(labels{"kubernetes.io/metadata.name": namespace, "team": "shop"}); got != want {
				t.Errorf("%v: %s is injected: %t, want %t", values, namespace, got, want)
			}
		}
	}
}

type labels map[string]string

func (l labels) Has(key string) bool                       { _, has := l[key]; return has }
func (l labels) Get(key string) string                     { return l[key] }
func (l labels) Lookup(key string) (value string, is bool) { value, is = l[key]; return value, is }

func rules(m manifests) (found []rbacv1.PolicyRule) {
	for _, r := range all[*rbacv1.ClusterRole](m) {
		found = append(found, r.Rules...)
	}
	for _, r := range all[*rbacv1.Role](m) {
		found = append(found, r.Rules...)
	}
	return found
}

func TestRightsGoWithWhatIsSwitchedOn(t *testing.T) {
	const warnings, patchWebhooks, ownSecret = "get secrets", "patch mutatingwebhookconfigurations", "create secrets"
	const review, status, rollouts = "create tokenreviews", "patch pods/status", "patch deployments"
	for _, test := range []struct {
		name   string
		values []string
		want   []string
	}{
		{"as it is", nil, []string{warnings, patchWebhooks, ownSecret}},
		{"no warnings of Secrets", []string{"injector.secretWarnings=false"}, []string{patchWebhooks, ownSecret}},
		{"cert-manager", []string{"injector.certManager.enabled=true"}, []string{warnings}},
		{"reports", []string{"injector.reports.enabled=true"}, []string{warnings, patchWebhooks, ownSecret, review, status}},
		{"rollouts", []string{"injector.reports.enabled=true", "injector.reports.rollouts=true"}, []string{warnings, patchWebhooks, ownSecret, review, status, rollouts}},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := rules(template(t, test.values...))
			var got []string
			for _, right := range []string{warnings, patchWebhooks, ownSecret, review, status, rollouts} {
				verb, resource, _ := strings.Cut(right, " ")
				if slices.ContainsFunc(all, func(r rbacv1.PolicyRule) bool {
					own := right == warnings && len(r.ResourceNames) > 0
					return !own && slices.Contains(r.Verbs, verb) && slices.Contains(r.Resources, resource)
				}) {
					got = append(got, right)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The tests of reports try these with a real API server.
func TestPoliciesAreThoseThatReportsAreTestedWith(t *testing.T) {
	text, err := os.ReadFile("../../injector/internal/reports/testdata/policies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	own := strings.ReplaceAll(string(text), "system:serviceaccount:kms:", "system:serviceaccount:vault:")
	tested, m := parse(t, own), template(t, "injector.reports.enabled=true", "injector.reports.rollouts=true")
	for id, object := range tested {
		switch want := object.(type) {
		case *admissionv1.ValidatingAdmissionPolicy:
			if diff := cmp.Diff(want.Spec, get[*admissionv1.ValidatingAdmissionPolicy](t, m, id).Spec); diff != "" {
				t.Errorf("%s (-tested +chart):\n%s", id, diff)
			}
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			if diff := cmp.Diff(want.Spec, get[*admissionv1.ValidatingAdmissionPolicyBinding](t, m, id).Spec); diff != "" {
				t.Errorf("%s (-tested +chart):\n%s", id, diff)
			}
		}
	}
	if got := len(all[*admissionv1.ValidatingAdmissionPolicy](m)); got != 2 || len(tested) != 4 {
		t.Errorf("the chart has %d policies, %d objects are tested", got, len(tested))
	}
}
