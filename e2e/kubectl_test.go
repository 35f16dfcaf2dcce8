//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kubeconfig is the cluster to test.
func kubeconfig(t *testing.T) string {
	t.Helper()
	config, err := findKubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// findKubeconfig leaves a person's own KUBECONFIG alone.
func findKubeconfig() (string, error) {
	if named := os.Getenv("KMS_E2E_KUBECONFIG"); named != "" {
		return named, nil
	}
	ours := filepath.Join(nodeState(), "pki", "admin.kubeconfig")
	if os.Getenv("KUBECONFIG") != ours {
		return "", errors.New("run this by e2e/cluster/in, in the network of a node that make cluster-up started, or name another cluster's kubeconfig in KMS_E2E_KUBECONFIG")
	}
	return ours, nil
}

// nodeState is where the node that e2e/cluster starts keeps its state.
func nodeState() string { return filepath.Join(os.TempDir(), "hanzo-kms-cluster") }

// isOurNode reports whether the node is on this machine, so that its disk can
// be read and its pods reach this process.
func isOurNode() bool { return os.Getenv("KMS_E2E_KUBECONFIG") == "" }

// namespace is one test's part of the cluster.
type namespace struct {
	name, kubeconfig string
}

func newNamespace(t *testing.T) namespace {
	t.Helper()
	ns := namespace{name: fmt.Sprintf("kms-e2e-%08x", rand.Uint32()), kubeconfig: kubeconfig(t)}
	ns.kubectl(t, "", "create", "namespace", ns.name)
	t.Cleanup(func() {
		ns.expectNoTrace(t)
		if t.Failed() {
			t.Logf("what happened in %s:\n%s", ns.name, ns.story())
		}
		if out, err := ns.command(context.Background(), "kubectl", "delete", "namespace", ns.name, "--wait=false").CombinedOutput(); err != nil {
			t.Errorf("delete the namespace %s: %v\n%s", ns.name, err, out)
		}
	})
	// Until it is there, no pod is admitted.
	ns.kubectl(t, "", "wait", "--for=create", "--timeout=60s", "serviceaccount/default")
	return ns
}

// story is for a person who has to find out why a test failed.
func (ns namespace) story() string {
	pods, _ := ns.command(context.Background(), "kubectl", "describe", "pods").CombinedOutput()
	events, _ := ns.command(context.Background(), "kubectl", "get", "events").CombinedOutput()
	return string(pods) + string(events)
}

// command is kubectl or helm, for this namespace.
func (ns namespace) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	return exec.CommandContext(ctx, program, append([]string{"--kubeconfig=" + ns.kubeconfig, "--namespace=" + ns.name}, arguments...)...)
}

func (ns namespace) try(t *testing.T, stdin, program string, arguments ...string) (string, error) {
	t.Helper()
	var problem strings.Builder
	cmd := ns.command(t.Context(), program, arguments...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &problem
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(arguments, " "), err, problem.String())
	}
	return string(out), err
}

func (ns namespace) kubectl(t *testing.T, stdin string, arguments ...string) string {
	t.Helper()
	out, err := ns.try(t, stdin, "kubectl", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (ns namespace) helm(t *testing.T, arguments ...string) {
	t.Helper()
	if _, err := ns.try(t, "", "helm", arguments...); err != nil {
		t.Fatal(err)
	}
}

func (ns namespace) apply(t *testing.T, manifest string) {
	t.Helper()
	ns.kubectl(t, manifest, "apply", "--filename=-")
}

// create is what the API server makes of an object.
func (ns namespace) create(t *testing.T, object any, arguments ...string) (created object) {
	t.Helper()
	manifest, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	out := ns.kubectl(t, string(manifest), append([]string{"create", "--filename=-", "--output=json"}, arguments...)...)
	return decode(t, out)
}

func (ns namespace) get(t *testing.T, what string) object {
	t.Helper()
	return decode(t, ns.kubectl(t, "", "get", what, "--output=json"))
}

// wait waits for a condition, such as condition=Ready.
func (ns namespace) wait(t *testing.T, what, condition string) {
	t.Helper()
	ns.kubectl(t, "", "wait", "--timeout=180s", "--for="+condition, what)
}

// awaitSuccess is what a pod that has ended well has printed.
func (ns namespace) awaitSuccess(t *testing.T, pod string) string {
	t.Helper()
	ns.wait(t, "pod/"+pod, "jsonpath={.status.phase}=Succeeded")
	return ns.kubectl(t, "", "logs", pod)
}

// firstLogLine waits for the first line that a pod prints.
func (ns namespace) firstLogLine(t *testing.T, pod string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := ns.command(ctx, "kubectl", "logs", "--follow", pod)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read the log of %s: %v", pod, err)
	}
	cancel()
	_ = cmd.Wait() // it was killed
	return line
}

// object is a Kubernetes object, as JSON.
type object map[string]any

func decode(t *testing.T, text string) (o object) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return o
}

// at is the value at a path of field names; nil if there is none.
func (o object) at(path ...string) any {
	var value any = map[string]any(o)
	for _, name := range path {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	return value
}
