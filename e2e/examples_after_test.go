//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// What the examples promise beyond a start: it is held by the names that the
// cases give it.

// isReplaced: the files are new, for those who look.
func isReplaced(t *testing.T, r *running, _ shop) {
	r.expectShown(t, r.shows, r.reads(r.values))
	r.expectNoRestarts(t)
}

// isTold: the application has read the new value without being asked.
func isTold(t *testing.T, r *running, _ shop) {
	r.expectPrinted(t, r.prints(r.values))
	r.expectNoRestarts(t)
}

func isAskedToReload(t *testing.T, r *running, before shop) {
	for _, pod := range r.pods(t) {
		written := r.agentSaid(t, pod, `"secrets written","files":4,"generation":"..2"`)
		told := r.agentSaid(t, pod, `"application notified","generation":"..2"`)
		if after := told.Sub(written); after < 5*time.Second {
			t.Errorf("the agent of %s told of the change after %v, want 5s of debounce and up to 1m of splay", pod, after)
		}
	}
	isReplaced(t, r, before)
}

// agentSaid awaits a line of the agent's, and gives its time.
func (r *running) agentSaid(t *testing.T, pod, text string) time.Time {
	t.Helper()
	line, _ := r.awaitLog(t, pod, "kms-agent", text, 0)
	var said struct{ Time time.Time }
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		t.Fatalf("%v in the line %s", err, line)
	}
	return said.Time
}

// isRolledOnce: new pods have it, after one rollout for both that have told.
func isRolledOnce(t *testing.T, r *running, _ shop) {
	const first = 1
	r.wait(t, r.workload, fmt.Sprintf("jsonpath={.metadata.generation}=%d", first+1))
	r.await(t)
	r.kubectl(t, "", "wait", "--for=jsonpath={.status.terminatingReplicas}=0", "--timeout=60s", r.workload)
	r.expectPrinted(t, r.prints(r.values))
	r.kubectl(t, "", "wait", "--for=condition=kms.hanzo.ai/SecretsReady", "--timeout=60s", "pods", "--selector=app")
	if got := r.get(t, r.workload).at("metadata", "generation"); got != float64(first+1) {
		t.Errorf("the Deployment has generation %v, want %d: one rollout for one change", got, first+1)
	}
}

func offersTheOneBefore(t *testing.T, r *running, before shop) {
	isReplaced(t, r, before)
	r.expectShown(t, "sha256sum /kms/secrets/previous/PASSWORD", r.reads(before))
}

// keepsItsVariable though the Secret has another value, as it would have when a
// controller follows the change.
func keepsItsVariable(t *testing.T, r *running, _ shop) {
	r.apply(t, secretOf("second"))
	r.expectShown(t, "sha256sum /kms/secrets/DB_URL", databaseURL(r.values))
	r.expectShown(t, r.shows, secretIs("first")(r.values))
	r.expectNoRestarts(t)
	r.kubectl(t, "", "rollout", "restart", r.workload)
	r.await(t)
	r.awaitLog(t, r.workload, "web", fingerprint("second"), 0)
}

// nextRunHasIt, while no agent runs beside a run.
func nextRunHasIt(t *testing.T, r *running, _ shop) {
	agents := r.kubectl(t, "", "get", "pods", "--output=jsonpath={.items[*].spec.initContainers[*].restartPolicy}")
	if agents != "" {
		t.Errorf("containers run beside the application: %s", agents)
	}
	r.workload = "job/second"
	r.kubectl(t, "", "create", "job", "second", "--from=cronjob/report")
	r.await(t)
	r.expectPrinted(t, r.prints(r.values))
}

func hasOnlyTwoKeys(t *testing.T, r *running) {
	r.inEach(t, "grep -o '^[A-Z_]*=' /app/config/.env", "API_KEY=\nDB_URL=\n")
}

// goesThroughItsProxy: the proxy starts first, and gets nothing.
func goesThroughItsProxy(t *testing.T, r *running) {
	for _, pod := range r.pods(t) {
		order := r.kubectl(t, "", "get", "pod", pod, "--output=jsonpath={.spec.initContainers[*].name}")
		if order != "istio-proxy kms-agent" {
			t.Errorf("init containers of %s are %q in this order", pod, order)
		}
	}
	hasNoSecrets(t, r, "istio-proxy")
}

func hasNoSecrets(t *testing.T, r *running, container string) {
	for _, pod := range r.pods(t) {
		r.shell(t, pod, container, "test ! -e /kms")
	}
}

func isReadyWithItsAgent(t *testing.T, r *running) {
	r.inEach(t, "wget -q -O /dev/null http://127.0.0.1:9092/readyz", "")
	for _, pod := range r.pods(t) {
		probe := r.kubectl(t, "", "get", "pod", pod, `--output=jsonpath={.spec.initContainers[?(@.name=="kms-agent")].readinessProbe.exec.command}`)
		if probe != `["kms-agent","health","ready"]` {
			t.Errorf("the agent of %s has the readiness probe %q", pod, probe)
		}
	}
}
