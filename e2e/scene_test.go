//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
)

// scene is a project with one secret, DB_URL, and a namespace whose pods read
// it.
type scene struct {
	namespace
	product *product
	project api.Project
	value   string // of the secret
}

func newScene(t *testing.T) *scene {
	t.Helper()
	p := installed(t)
	s := &scene{namespace: newNamespace(t), product: p, project: p.project(t)}
	s.change(t)
	s.credentials(t, "web-kms-auth", p.identity(t, s.project))
	return s
}

// change gives the secret another value.
func (s *scene) change(t *testing.T) {
	t.Helper()
	s.value = plant()
	s.product.put(t, s.project, "/", map[string]string{"DB_URL": s.value})
}

// fallback makes a Secret to start from, and gives its value, which is no
// planted one: a Secret is on the node's disk.
func (s *scene) fallback(t *testing.T) (value string) {
	t.Helper()
	value = "fallback-" + random()
	s.apply(t, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: web-fallback}, stringData: {DB_URL: %q}}", value))
	return value
}

// pod is one that prints what it reads, whenever that is something else than
// before. Annotations are given as NAME=VALUE.
func (s *scene) pod(t *testing.T, name string, annotations ...string) string {
	t.Helper()
	all := map[string]string{
		"kms.hanzo.ai/inject": "true", "kms.hanzo.ai/project": s.project.Slug, "kms.hanzo.ai/env": "prod",
		"kms.hanzo.ai/auth-secret": "web-kms-auth",
	}
	for _, annotation := range annotations {
		key, value, _ := strings.Cut(annotation, "=")
		all["kms.hanzo.ai/"+key] = value
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(readerPod, name, text)
}

func (s *scene) run(t *testing.T, name string, annotations ...string) {
	t.Helper()
	s.apply(t, s.pod(t, name, annotations...))
}

// The value is in the memory of the shell alone: all that has it is built in.
const readerPod = `
apiVersion: v1
kind: Pod
metadata:
  name: %s
  annotations: %s
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: web
    image: localhost/busybox:1
    command:
    - sh
    - -c
    - |
      trap 'echo SIGHUP' HUP
      last=none
      while :; do
        now=
        { read -r now </kms/secrets/DB_URL; } 2>/dev/null
        if [ "$now" != "$last" ]; then
          last=$now
          if [ "$now" ]; then echo "reads $(printf %%s "$now" | sha256sum)"; else echo "reads nothing"; fi
        fi
        usleep 50000
      done
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`

// expectReads compares all that a pod has read since it started.
func (s *scene) expectReads(t *testing.T, pod string, values ...string) {
	t.Helper()
	var want, got []string
	for _, value := range values {
		want = append(want, "reads "+fingerprint(value)+"  -")
	}
	for line := range strings.Lines(s.kubectl(t, "", "logs", pod, "--container=web")) {
		if line != "SIGHUP\n" {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s has read (-want +got):\n%s", pod, diff)
	}
}

// agentOf is a path below the agent's status, for kubectl.
const agentOf = `.status.initContainerStatuses[?(@.name=="kms-agent")]`

// field is what a path gives, as kubectl prints it.
func (s *scene) field(t *testing.T, pod, path string) string {
	t.Helper()
	return s.kubectl(t, "", "get", "pod", pod, "--output=jsonpath={"+path+"}")
}

// conditionOf is a path below a condition of a pod.
func conditionOf(kind string) string {
	return fmt.Sprintf(`.status.conditions[?(@.type==%q)]`, kind)
}

// awaitReason waits for the condition that the injector keeps.
func (s *scene) awaitReason(t *testing.T, pod, reason, status string) {
	t.Helper()
	ours := conditionOf("kms.hanzo.ai/SecretsReady")
	s.wait(t, "pod/"+pod, "jsonpath={"+ours+".reason}="+reason)
	if got := s.field(t, pod, ours+".status"); got != status {
		t.Errorf("%s: the condition is %s with the reason %s, want %s", pod, got, reason, status)
	}
}

// expectHeldUp expects a pod that does not start, and says why wherever a
// person looks.
func (s *scene) expectHeldUp(t *testing.T, pod, reason string) {
	t.Helper()
	s.wait(t, "pod/"+pod, "jsonpath={"+agentOf+".lastState.terminated.message}")
	if got := s.field(t, pod, agentOf+".lastState.terminated.message"); !strings.HasPrefix(got, reason) {
		t.Errorf("%s: the last words are %q, want %s", pod, got, reason)
	}
	events := s.kubectl(t, "", "get", "events", "--field-selector=involvedObject.name="+pod, "--output=jsonpath={.items[*].message}")
	if !strings.Contains(events, reason) {
		t.Errorf("%s: no Event says %s: %s", pod, reason, events)
	}
	if got := s.field(t, pod, ".status.containerStatuses[0].state.waiting.reason"); got != "PodInitializing" {
		t.Errorf("%s: the application is not waiting, or for another reason: %q", pod, got)
	}
	if got := s.field(t, pod, conditionOf("Ready")+".status"); got != "False" {
		t.Errorf("%s: Ready is %q", pod, got)
	}
}
