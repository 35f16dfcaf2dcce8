package chart_test

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestInEveryVariant renders each once.
func TestInEveryVariant(t *testing.T) {
	checks := []struct {
		name  string
		check func(*testing.T, manifests)
	}{
		{"every pod passes the restricted standard and has its resources", podsAreRestricted},
		{"secrets of the server are files and never variables", secretsAreNoVariables},
		{"a pod that asks is injected or refused, and no other is touched", injectionFailsClosed},
		{"a warning never stands in the way", warningsStandInNoWay},
		{"webhooks lead to Services of the release, and their bundle is the keeper's", webhooksLeadToServices},
		{"rights name what they are for", rightsAreNamed},
		{"what is given as a whole is held to a part by a policy", policiesGoWithRights},
	}
	for variant, values := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			m := template(t, values...)
			for _, c := range checks {
				t.Run(c.name, func(t *testing.T) { c.check(t, m) })
			}
			t.Run("helm finds nothing to complain of", func(t *testing.T) {
				if out, err := helm(t, append([]string{"lint", "--strict", "."}, set(values)...)...); err != nil {
					t.Errorf("helm lint: %v\n%s", err, out)
				}
			})
			t.Run("notes say what to type next", func(t *testing.T) { notesSayWhatToType(t, values) })
		})
	}
}

func podsAreRestricted(t *testing.T, m manifests) {
	for _, d := range all[*appsv1.Deployment](m) {
		pod := d.Spec.Template.Spec
		check := func(holds bool, what string) {
			if !holds {
				t.Errorf("%s: %s", d.Name, what)
			}
		}
		check(pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks, "has the variables of Services")
		check(pod.AutomountServiceAccountToken != nil && *pod.AutomountServiceAccountToken == (d.Name == "kms-injector"), "the injector alone needs a token")
		c := pod.SecurityContext
		check(*c.RunAsNonRoot && c.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "is not restricted")
		for _, container := range pod.Containers {
			c := container.SecurityContext
			check(!*c.AllowPrivilegeEscalation && *c.ReadOnlyRootFilesystem && slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}), "its container is not restricted")
			r := container.Resources
			check(!r.Requests.Cpu().IsZero() && !r.Requests.Memory().IsZero() && !r.Limits.Memory().IsZero(), "its container has no resources")
			check(container.LivenessProbe != nil && container.ReadinessProbe != nil, "its container has no probes")
		}
	}
}

func secretsAreNoVariables(t *testing.T, m manifests) {
	for _, d := range all[*appsv1.Deployment](m) {
		c := d.Spec.Template.Spec.Containers[0]
		fromSecret := func(v corev1.EnvVar) bool { return v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil }
		if len(c.EnvFrom) > 0 || slices.ContainsFunc(c.Env, fromSecret) {
			t.Errorf("%s: a variable comes from a Secret", d.Name)
		}
	}
}

func injectionFailsClosed(t *testing.T, m manifests) {
	for _, c := range all[*admissionv1.MutatingWebhookConfiguration](m) {
		for _, w := range c.Webhooks {
			if *w.FailurePolicy != admissionv1.Fail || *w.ReinvocationPolicy != admissionv1.IfNeededReinvocationPolicy || *w.TimeoutSeconds != 5 {
				t.Errorf("%s: %s, %s, %d s", w.Name, *w.FailurePolicy, *w.ReinvocationPolicy, *w.TimeoutSeconds)
			}
			if len(w.MatchConditions) == 0 || !strings.HasPrefix(w.MatchConditions[0].Expression, "has(object.metadata.annotations)") {
				t.Errorf("%s: is asked about pods that did not ask", w.Name)
			}
		}
	}
}

func warningsStandInNoWay(t *testing.T, m manifests) {
	for _, c := range all[*admissionv1.ValidatingWebhookConfiguration](m) {
		for _, w := range c.Webhooks {
			if *w.FailurePolicy != admissionv1.Ignore || len(w.MatchConditions) == 0 {
				t.Errorf("%s: %s, %d conditions", w.Name, *w.FailurePolicy, len(w.MatchConditions))
			}
		}
	}
}

func webhooksLeadToServices(t *testing.T, m manifests) {
	var clients []admissionv1.WebhookClientConfig
	for _, c := range all[*admissionv1.MutatingWebhookConfiguration](m) {
		for _, w := range c.Webhooks {
			clients = append(clients, w.ClientConfig)
		}
	}
	for _, c := range all[*admissionv1.ValidatingWebhookConfiguration](m) {
		for _, w := range c.Webhooks {
			clients = append(clients, w.ClientConfig)
		}
	}
	for _, c := range clients {
		service := get[*corev1.Service](t, m, "Service/"+c.Service.Name)
		if c.Service.Namespace != "vault" || *c.Service.Port != service.Spec.Ports[0].Port {
			t.Errorf("leads to %v", c.Service)
		}
		// An upgrade would take away what is said here in vain.
		if c.CABundle != nil {
			t.Error("has a caBundle")
		}
	}
}

func rightsAreNamed(t *testing.T, m manifests) {
	for _, r := range rules(m) {
		if slices.Contains(slices.Concat(r.APIGroups, r.Resources, r.Verbs), "*") {
			t.Errorf("is for anything: %v", r)
		}
		reads := slices.Contains(r.Verbs, "list") || slices.Contains(r.Verbs, "watch")
		if reads && len(r.ResourceNames) == 0 && slices.Contains(r.Resources, "secrets") {
			t.Errorf("reads Secrets that nobody named: %v", r)
		}
	}
}

// policiesGoWithRights: neither right could be given to one field alone.
func policiesGoWithRights(t *testing.T, m manifests) {
	for resource, name := range map[string]string{"pods/status": "kms-injector-pod-status", "deployments": "kms-injector-rollouts"} {
		given := slices.ContainsFunc(rules(m), func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, resource) })
		if held := m["ValidatingAdmissionPolicy/"+name] != nil && m["ValidatingAdmissionPolicyBinding/"+name] != nil; held != given {
			t.Errorf("the right to %s is given: %t, and held by a policy: %t", resource, given, held)
		}
	}
}

func notesSayWhatToType(t *testing.T, values []string) {
	out, err := helm(t, append([]string{"install", "kms", ".", "--namespace", "vault", "--dry-run=client"}, set(values)...)...)
	if err != nil {
		t.Fatal(err)
	}
	_, notes, _ := strings.Cut(out, "NOTES:")
	if !strings.Contains(notes, "kubectl wait -n vault ") || strings.Contains(notes, "<no value>") {
		t.Errorf("got %s", notes)
	}
}
