package chart_test

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// variants are the ways to install it that have templates of their own.
var variants = map[string][]string{
	"as it is":       nil,
	"evaluation":     {"server.evaluation.enabled=true"},
	"cert-manager":   {"injector.certManager.enabled=true", "injector.reports.enabled=true"},
	"reports":        {"injector.reports.enabled=true", "injector.reports.rollouts=true"},
	"TLS":            {"server.tlsSecret=kms-tls", "server.redis.enabled=true"},
	"the server":     {"injector.enabled=false"},
	"the injector":   {"server.enabled=false"},
	"a users' range": {"openshift=true"},
	"much is set": {"server.siteURL=https://kms.example.com", "server.trustedProxies={10.0.0.0/8,192.168.0.0/16}", "server.args={-audit-days=730}",
		"server.nodeSelector.pool=system", "server.priorityClassName=high", "server.tolerations[0].key=system", "server.podLabels.team=platform", "server.podAnnotations.note=x",
		"imagePullSecrets[0].name=registry", "image.pullPolicy=IfNotPresent", "injector.agent.image.pullPolicy=Always", "injector.servers={https://*.example.com}",
		"injector.defaults.poll-interval=30s", "injector.classicSidecars=true", "injector.namespaceSelector.matchLabels.team=shop", "injector.args={-drain=10s}"},
}

// helm runs it on the chart, with no cluster to ask.
func helm(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	cmd := exec.Command(helmProgram(t), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull, "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err = cmd.Run(); err != nil {
		t.Logf("helm %s:\n%s", strings.Join(args, " "), problems.Bytes())
	}
	return out.String() + problems.String(), err
}

func helmProgram(t *testing.T) string {
	t.Helper()
	if program, err := exec.LookPath("helm"); err == nil {
		return program
	}
	if cache, err := os.UserCacheDir(); err == nil {
		built, _ := filepath.Glob(filepath.Join(cache, "hanzo-kms", "cluster", "*", "bin", "helm"))
		if len(built) > 0 {
			return built[0]
		}
	}
	t.Skip("needs helm on the path, or the one that go run ./e2e/cluster build makes, in the root of the repository")
	return ""
}

func set(values []string) (args []string) {
	for _, value := range values {
		args = append(args, "--set", value)
	}
	return args
}

// template is what the release kms in the namespace vault consists of.
func template(t *testing.T, values ...string) manifests {
	t.Helper()
	out, err := helm(t, append([]string{"template", "kms", ".", "--namespace", "vault"}, set(values)...)...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

// manifests are objects by kind and name: "Deployment/kms".
type manifests map[string]any

func parse(t *testing.T, text string) manifests {
	t.Helper()
	m := manifests{}
	for document := range strings.SplitSeq(text, "\n---\n") {
		var meta metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if meta.Kind == "" {
			continue
		}
		id, object := meta.Kind+"/"+meta.Name, blank(meta.Kind)
		if m[id] != nil {
			t.Fatalf("there are two of %s", id)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatalf("%s is not of its kind: %v", id, err)
		}
		m[id] = object
	}
	return m
}

// blank is an object of the kind, by which fields that it has not are found.
func blank(kind string) any {
	return cmp.Or(map[string]any{
		"ClusterRole":                      &rbacv1.ClusterRole{},
		"ClusterRoleBinding":               &rbacv1.ClusterRoleBinding{},
		"Deployment":                       &appsv1.Deployment{},
		"MutatingWebhookConfiguration":     &admissionv1.MutatingWebhookConfiguration{},
		"PersistentVolumeClaim":            &corev1.PersistentVolumeClaim{},
		"PodDisruptionBudget":              &policyv1.PodDisruptionBudget{},
		"Role":                             &rbacv1.Role{},
		"RoleBinding":                      &rbacv1.RoleBinding{},
		"Secret":                           &corev1.Secret{},
		"Service":                          &corev1.Service{},
		"ServiceAccount":                   &corev1.ServiceAccount{},
		"ValidatingAdmissionPolicy":        &admissionv1.ValidatingAdmissionPolicy{},
		"ValidatingAdmissionPolicyBinding": &admissionv1.ValidatingAdmissionPolicyBinding{},
		"ValidatingWebhookConfiguration":   &admissionv1.ValidatingWebhookConfiguration{},
	}[kind], any(&map[string]any{}))
}

// get is the object of that name, which must be there.
func get[T any](t *testing.T, m manifests, id string) T {
	t.Helper()
	object, is := m[id].(T)
	if !is {
		t.Fatalf("there is no %s", id)
	}
	return object
}

// all are the objects of one kind.
func all[T any](m manifests) (objects []T) {
	for _, object := range m {
		if o, is := object.(T); is {
			objects = append(objects, o)
		}
	}
	return objects
}
