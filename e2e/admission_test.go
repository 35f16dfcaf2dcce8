//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tests of this file show what people see of the injector who create pods.

func TestAPodThatCannotWorkIsDeniedWithWhatToWriteInstead(t *testing.T) {
	t.Parallel()
	installed(t)
	ns := newNamespace(t)
	for _, test := range []struct{ name, annotation, value, want string }{
		{"no duration", "poll-interval", "soon", `kms.hanzo.ai/poll-interval: must be a duration such as 30s or 5m, not "soon"`},
		{"no way to inject", "inject", "yes", `kms.hanzo.ai/inject: must be one of true, false, native, init, sidecar, exec, not "yes"`},
		{"no project", "project", "-", "kms.hanzo.ai/project: is missing: give the project's slug or id, on the pod, its namespace or the profile"},
		{"a server of somebody else's", "server", "https://evil.example.com", "kms.hanzo.ai/server: is not an address that the injector allows: leave it out, or ask the operator of the injector to add it"},
		{"an address of the node's", "server", "http://169.254.169.254", "kms.hanzo.ai/server: is not an address that the injector allows"},
		{"a server behind a user name", "server", "http://kms.kms.svc@evil.svc", "kms.hanzo.ai/server: must be of the form https://host[:port]"},
	} {
		_, stderr, err := ns.terminal(t, asking("shop", annotated(test.annotation, test.value)), "apply", "--filename=-")
		if err == nil || !strings.Contains(stderr, `admission webhook "pods.kms.hanzo.ai" denied the request: kms-injector: `) || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: %v, and kubectl says %q, want %q", test.name, err, stderr, test.want)
		}
	}
	if left := ns.list(t, "pods"); len(left) > 0 {
		t.Errorf("pods came to be: %v", left)
	}
}

func TestWhatMayNotWorkIsWarnedOf(t *testing.T) {
	t.Parallel()
	installed(t)
	ns := newNamespace(t)
	ns.kubectl(t, "", "create", "secret", "generic", "web-kms-auth", "--from-literal=clientId=x", "--from-literal=clientSecret=x")
	for _, test := range []struct {
		name   string
		object object
		want   string
	}{
		{"a slip", asking("shop", gated(), named("slip"), annotated("poll-intervall", "5s")), "there is no annotation kms.hanzo.ai/poll-intervall: did you mean poll-interval?"},
		{"no Secret", asking("shop", gated(), named("waits"), annotated("auth-secret", "late")), "kms.hanzo.ai/auth-secret: the pod waits for Secret late, which does not exist"},
		{"a pod that forgets to ask", asking("shop", gated(), named("forgets"), annotated("inject", "-")), `kms.hanzo.ai/auth-secret has no effect without kms.hanzo.ai/inject: "true"`},
		{"a Deployment with the annotation in the wrong place", deployment("misplaced", object{prefix + "inject": "true"}, object{}), "kms.hanzo.ai/inject has no effect here: it belongs to spec.template.metadata.annotations"},
		{"a Deployment whose pods will be denied", deployment("denied", object{}, object{prefix + "inject": "true"}), "the pods will be denied: kms.hanzo.ai/project: is missing"},
	} {
		_, stderr, err := ns.terminal(t, test.object, "apply", "--filename=-")
		if err != nil || !strings.Contains(stderr, "Warning: "+test.want) {
			t.Errorf("%s: %v, and kubectl says %q, want the warning %q", test.name, err, stderr, test.want)
		}
	}
}

// deployment makes no pods.
func deployment(name string, annotations, ofPods object) object {
	pod := asking("shop")
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": name, "annotations": annotations},
		"spec": object{
			"replicas": 0, "selector": object{"matchLabels": object{"app": name}},
			"template": object{
				"metadata": object{"labels": object{"app": name}, "annotations": ofPods},
				"spec":     object{"containers": pod["spec"].(object)["containers"]},
			},
		},
	}
}

func TestADryRunInjectsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	installed(t)
	ns := newNamespace(t)
	if pod := ns.create(t, asking("shop"), "--dry-run=server"); !isInjected(pod) {
		t.Errorf("a dry run gives %v", pod)
	}
	if left := ns.kubectl(t, "", "get", "pods,events", "--output=name"); left != "" {
		t.Errorf("a dry run leaves %s", left)
	}
}

func TestPodsOfAllShapesReadTheirSecrets(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ns, project, value := s.namespace, s.project.Slug, s.value
	var names []string
	for _, edits := range [][]edit{
		{named("bare")},
		{func(metadata, _ object) { delete(metadata, "name"); metadata["generateName"] = "generated-" }},
		{named("with-a-token"), with("automountServiceAccountToken", true)},
		{named("in-the-network-of-the-node"), with("hostNetwork", true), with("dnsPolicy", "ClusterFirstWithHostNet")},
		{named("init"), annotated("inject", "init")},
	} {
		names = append(names, name(ns.create(t, asking(project, edits...))))
	}
	for _, name := range names {
		ns.expectFingerprint(t, name, value)
	}
	if inTheNetwork := ns.get(t, "pod/in-the-network-of-the-node"); !isInjected(inTheNetwork) {
		t.Errorf("a pod in the network of the node is %v", inTheNetwork)
	}
	_, stderr, _ := ns.terminal(t, asking(project, named("without-names"), with("hostNetwork", true)), "apply", "--dry-run=server", "--filename=-")
	if want := "Warning: hostNetwork: the agent finds a server in the cluster only with dnsPolicy ClusterFirstWithHostNet"; !strings.Contains(stderr, want) {
		t.Errorf("without names in the cluster, kubectl says %q, want %q", stderr, want)
	}
}

// The application's token stays the application's, and the agent gets none.
func TestTheTokenOfAServiceAccountIsNotTheAgents(t *testing.T) {
	t.Parallel()
	installed(t)
	ns := newNamespace(t)
	pod := ns.create(t, asking("shop", with("automountServiceAccountToken", true)), "--dry-run=server")
	const place = "/var/run/secrets/kubernetes.io/serviceaccount"
	found := map[string]string{}
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range pod.at("spec", list).([]any) {
			container := object(c.(map[string]any))
			for _, m := range container.at("volumeMounts").([]any) {
				if mount := object(m.(map[string]any)); mount["mountPath"] == place {
					volume, _, _ := strings.Cut(fmt.Sprint(mount["name"]), "-access-")
					found[fmt.Sprint(container["name"])] = volume
				}
			}
		}
	}
	if diff := cmp.Diff(map[string]string{"app": "kube-api", "kms-agent": "kms-no-token"}, found); diff != "" {
		t.Errorf("at %s are (-want +got):\n%s", place, diff)
	}
}

func TestACopyOfAnInjectedPodIsInjectedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ns, project, value := s.namespace, s.project.Slug, s.value
	ns.create(t, asking(project))
	ns.expectFingerprint(t, "app", value)
	copied := ns.get(t, "pod/app")
	delete(copied, "status")
	delete(copied["spec"].(map[string]any), "nodeName")
	copied["metadata"] = object{"name": "copy", "annotations": copied.at("metadata", "annotations")}
	made := ns.create(t, copied)
	ns.expectFingerprint(t, "copy", value)
	if diff := cmp.Diff(copied["spec"], made["spec"], apartFrom("nodeName")); diff != "" || !isInjected(made) {
		t.Errorf("the copy differs (-original +copy):\n%s", diff)
	}
}

// apartFrom leaves a field out of comparisons.
func apartFrom(field string) cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == fmt.Sprintf("[%q]", field) }, cmp.Ignore())
}

func TestARunningPodIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ns, project := s.namespace, s.project.Slug
	ns.create(t, asking(project, staying()))
	ns.wait(t, "pod/app", "condition=Ready")
	before := ns.get(t, "pod/app")
	ns.kubectl(t, "", "label", "pod", "app", "team=shop")
	ns.kubectl(t, "", "annotate", "pod", "app", prefix+"poll-interval=never")
	ns.kubectl(t, "", "debug", "app", "--image=localhost/busybox:1", "--container=debugger", "--", "ls", "/kms")
	ns.wait(t, "pod/app", "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=1")
	after := ns.get(t, "pod/app")
	if diff := cmp.Diff(before["spec"], after["spec"], apartFrom("ephemeralContainers")); diff != "" {
		t.Errorf("updates changed the pod (-before +after):\n%s", diff)
	}
	if got := after.at("metadata", "labels", "team"); got != "shop" {
		t.Errorf("the label is %v", got)
	}
	if restarts := ns.kubectl(t, "", "get", "pod/app", "--output=jsonpath={.status.containerStatuses[*].restartCount}{.status.initContainerStatuses[*].restartCount}"); restarts != "00" {
		t.Errorf("containers were restarted: %s", restarts)
	}
}

// No injector is asked about pods in kube-node-lease: there the same pod shows
// what the API server makes of it.
func TestAPodThatDoesNotAskIsAsItWouldBeWithoutAnInjector(t *testing.T) {
	t.Parallel()
	installed(t)
	ns := newNamespace(t)
	elsewhere := namespace{name: "kube-node-lease", kubeconfig: ns.kubeconfig}
	volumes := with("volumes", []object{{"name": "kms", "emptyDir": object{"medium": "Memory"}}})
	for _, edits := range [][]edit{
		{annotated("inject", "-", "project", "-", "env", "-", "auth-secret", "-"), volumes},
		{annotated("inject", "false")},
		{annotated("inject", "-")},
	} {
		pod, want := ns.create(t, asking("shop", edits...), "--dry-run=server"), elsewhere.create(t, asking("shop", edits...), "--dry-run=server")
		here := cmp.Options{apartFrom("namespace"), apartFrom("uid"), apartFrom("creationTimestamp"), apartFrom("managedFields")}
		if diff := cmp.Diff(want, pod, here); diff != "" {
			t.Errorf("the injector changed it (-without +with):\n%s", diff)
		}
		if len(agents(elsewhere.create(t, asking("shop"), "--dry-run=server"))) > 0 {
			t.Fatal("pods in kube-node-lease are injected: nothing is shown here")
		}
	}
}

func TestPodsThatNoAgentCanRunInAreLeftAlone(t *testing.T) {
	t.Parallel()
	installed(t)
	ns := newNamespace(t)
	windows := asking("shop", named("windows"), with("os", object{"name": "windows"}), with("nodeSelector", object{"kubernetes.io/os": "windows"}))
	_, stderr, err := ns.terminal(t, windows, "apply", "--filename=-")
	if want := "Warning: kms.hanzo.ai/inject: the agent does not run on Windows: this pod gets no secrets"; err != nil || !strings.Contains(stderr, want) {
		t.Errorf("Windows: %v, and kubectl says %q, want %q", err, stderr, want)
	}
	if found := agents(ns.get(t, "pod/windows")); found != nil {
		t.Errorf("the pod for Windows has %v", found)
	}
	mirror := asking("shop", named("mirror"), with("nodeName", "elsewhere"), func(metadata, _ object) {
		metadata["annotations"].(object)["kubernetes.io/config.mirror"] = "x"
	})
	pod := ns.create(t, mirror, "--dry-run=server")
	if found := agents(pod); found != nil || pod.at("metadata", "annotations", prefix+"status") != nil {
		t.Errorf("the mirror of a static pod has %v", found)
	}
}

func TestAClassicSidecarFollowsChanges(t *testing.T) {
	t.Parallel()
	p := installed(t)
	ns := newNamespace(t)
	project, first, second := p.project(t), plant(), plant()
	p.put(t, project, "/", map[string]string{"DB_URL": first})
	ns.credentials(t, "web-kms-auth", p.identity(t, project))
	script := "sha256sum /kms/secrets/DB_URL; until sha256sum /kms/secrets/DB_URL | grep " + fingerprint(second) + "; do sleep 1; done; exec sleep 1h"
	ns.create(t, asking(project.Slug, annotated("inject", "sidecar"), with("restartPolicy", "Always"),
		with("containers", []object{{"name": "app", "image": "localhost/busybox:1", "command": []string{"sh", "-c", script}}})))
	_, next := ns.awaitLog(t, "app", "app", fingerprint(first), 0)
	p.put(t, project, "/", map[string]string{"DB_URL": second})
	ns.awaitLog(t, "app", "app", fingerprint(second), next)
	if diff := cmp.Diff([]string{"init kms-agent-init", "containers kms-agent"}, agents(ns.get(t, "pod/app"))); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
}

// A sidecar of the classic kind would never let it complete.
func TestAJobThatAsksForASidecarGetsItsSecretsOnceAndCompletes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ns, project, value := s.namespace, s.project.Slug, s.value
	pod := asking(project, annotated("inject", "sidecar"))
	delete(pod["metadata"].(object), "name")
	job := object{"apiVersion": "batch/v1", "kind": "Job", "metadata": object{"name": "job"}, "spec": object{
		"template": object{"metadata": pod["metadata"], "spec": pod["spec"]},
	}}
	_, stderr, err := ns.terminal(t, job, "apply", "--filename=-")
	if want := "Warning: kms.hanzo.ai/inject: a sidecar would keep this pod from completing: it gets its secrets once, at the start"; err != nil || !strings.Contains(stderr, want) {
		t.Errorf("%v, and kubectl says %q, want %q", err, stderr, want)
	}
	ns.wait(t, "job/job", "condition=Complete")
	made := ns.list(t, "pods")
	if diff := cmp.Diff([]string{"init kms-agent-init"}, agents(made[0])); diff != "" || len(made) != 1 {
		t.Errorf("%d pods; agents (-want +got):\n%s", len(made), diff)
	}
	ns.expectFingerprint(t, name(made[0]), value)
}
