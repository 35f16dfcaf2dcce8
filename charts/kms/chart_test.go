package chart_test

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

func TestAValueThatIsNoneIsRefused(t *testing.T) {
	for _, test := range []struct{ value, says string }{
		{"injektor.enabled=false", "injektor"},
		{"server.replica=3", "replica"},
		{"server.database.uri=postgres://x", "uri"},
		{"injector.reports.enable=true", "enable"},
		{"server.replicas=0", "replicas"},
		{"injector.logLevel=loud", "logLevel"},
		{"injector.reports.rollouts=true", "reports"}, // which needs reports.enabled
		{"injector.agent.image.pullPolicy=Sometimes", "pullPolicy"},
		{"server.args={audit-days}", "args"},
	} {
		out, err := helm(t, "template", "kms", ".", "--set", test.value)
		if err == nil || !strings.Contains(out, test.says) {
			t.Errorf("%s: got %v, want a refusal that says %q", test.value, err, test.says)
		}
	}
}

func TestNamesDoNotDependOnTheRelease(t *testing.T) {
	out, err := helm(t, "template", "another", ".", "--namespace", "vault", "--set", "injector.reports.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Keys(template(t, "injector.reports.enabled=true")))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(parse(t, out)))); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestAClusterWithUsersOfItsOwnChoosesThem(t *testing.T) {
	for _, d := range all[*appsv1.Deployment](template(t, "openshift=true")) {
		if c := d.Spec.Template.Spec.SecurityContext; c.RunAsUser != nil || c.FSGroup != nil {
			t.Errorf("%s: the user is fixed", d.Name)
		}
	}
}

func TestTheServerRunsTwiceAndIsNeverFewerWhileItIsReplaced(t *testing.T) {
	m := template(t)
	d := get[*appsv1.Deployment](t, m, "Deployment/kms")
	if rolling := d.Spec.Strategy.RollingUpdate; *d.Spec.Replicas != 2 || rolling.MaxUnavailable.IntValue() != 0 || rolling.MaxSurge.IntValue() != 1 {
		t.Errorf("replicas %d, strategy %v", *d.Spec.Replicas, rolling)
	}
	for _, name := range []string{"kms", "kms-injector"} {
		if budget := get[*policyv1.PodDisruptionBudget](t, m, "PodDisruptionBudget/"+name); budget.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("%s: a node can take more than one replica with it", name)
		}
	}
	if m := template(t, "server.replicas=1"); m["PodDisruptionBudget/kms"] != nil {
		t.Error("a node cannot be emptied of a single replica")
	}
}

func TestImagesAreOfTheReleaseUnlessValuesSayOtherwise(t *testing.T) {
	images := func(m manifests) (found []string) {
		for _, name := range []string{"kms", "kms-injector"} {
			c := get[*appsv1.Deployment](t, m, "Deployment/"+name).Spec.Template.Spec.Containers[0]
			found = append(found, c.Image)
			for _, arg := range c.Args {
				if image, is := strings.CutPrefix(arg, "-image="); is {
					found = append(found, image)
				}
			}
		}
		return found
	}
	if diff := cmp.Diff([]string{"ghcr.io/hanzoai/kms:dev", "ghcr.io/hanzoai/kms:dev", "ghcr.io/hanzoai/kms-agent:dev"}, images(template(t))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	own := template(t, "image.repository=localhost/kms", "image.tag=e2e", "injector.agent.image.repository=localhost/kms-agent", "injector.agent.image.tag=e2e")
	if diff := cmp.Diff([]string{"localhost/kms:e2e", "localhost/kms:e2e", "localhost/kms-agent:e2e"}, images(own)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSecretsAreThoseThatTheValuesName(t *testing.T) {
	m := template(t, "server.secret=keys", "server.database.secret=postgres-app", "server.database.key=uri", "server.redis.enabled=true")
	want := []string{"keys/ROOT_ENCRYPTION_KEY", "keys/AUTH_SECRET", "postgres-app/uri as DB_CONNECTION_URI", "keys/REDIS_URL"}
	var got []string
	for _, source := range get[*appsv1.Deployment](t, m, "Deployment/kms").Spec.Template.Spec.Volumes[0].Projected.Sources {
		for _, item := range source.Secret.Items {
			text := source.Secret.Name + "/" + item.Key
			if item.Path != item.Key {
				text += " as " + item.Path
			}
			got = append(got, text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEvaluationIsOneReplicaWhoseKeysAndDataOutliveTheRelease(t *testing.T) {
	m := template(t, "server.evaluation.enabled=true", "server.replicas=3")
	d := get[*appsv1.Deployment](t, m, "Deployment/kms")
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || !slices.Contains(d.Spec.Template.Spec.Containers[0].Args, "-data=/data") {
		t.Errorf("two servers could have one database: %d, %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	keys := get[*corev1.Secret](t, m, "Secret/kms-evaluation-keys")
	if *keys.Immutable != true || keys.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the keys can be lost")
	}
	if raw, err := base64.StdEncoding.DecodeString(string(keys.Data["ROOT_ENCRYPTION_KEY"])); err != nil || len(raw) != 32 || len(keys.Data["AUTH_SECRET"]) < 32 {
		t.Error("the keys are not as the server wants them")
	}
	if get[*corev1.PersistentVolumeClaim](t, m, "PersistentVolumeClaim/kms-data").Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the data can be lost")
	}
}

func TestNoKeyIsMadeWhereItWouldBeMistakenForTheRealOne(t *testing.T) {
	for _, values := range [][]string{nil, {"server.evaluation.enabled=true", "server.evaluation.secret=mine"}} {
		if secrets := all[*corev1.Secret](template(t, values...)); len(secrets) > 0 {
			t.Errorf("%v: makes the Secret %s", values, secrets[0].Name)
		}
	}
}

func TestTheInjectorSendsPodsToTheServerOfTheRelease(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []string
		want   string
	}{
		{"plain, for a mesh or an ingress", nil, "-server=http://kms.vault.svc:8080"},
		{"with its own certificate", []string{"server.tlsSecret=tls"}, "-server=https://kms.vault.svc:8080"},
		{"one that is named", []string{"injector.server=https://kms.example.com"}, "-server=https://kms.example.com"},
		{"none: the injector knows its default", []string{"server.enabled=false"}, ""},
	} {
		args := get[*appsv1.Deployment](t, template(t, test.values...), "Deployment/kms-injector").Spec.Template.Spec.Containers[0].Args
		got := strings.Join(slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return !strings.HasPrefix(arg, "-server=") }), " ")
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
