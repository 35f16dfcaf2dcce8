//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanzoai/kms/sdk"
)

// agentProcess is the id of a pod's agent on the node.
func (s *scene) agentProcess(t *testing.T, pod string) int {
	t.Helper()
	if !isOurNode() {
		t.Skip("the processes of this cluster's node are not seen from here")
	}
	uid := s.field(t, pod, ".metadata.uid")
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range all {
		groups, _ := os.ReadFile(process + "/cgroup") // it may have ended
		command, _ := os.ReadFile(process + "/cmdline")
		if strings.Contains(string(groups), "/pod"+uid+"/") && strings.Contains(string(command), "/kms-agent\x00run\x00") {
			id, _ := strconv.Atoi(filepath.Base(process))
			return id
		}
	}
	t.Fatalf("no agent of %s runs on this machine", pod)
	return 0
}

// starve has a program take all the memory that a process's container may use.
// The kernel then kills the process, which counts more for it.
func starve(process int) error {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", process))
	if err != nil {
		return err
	}
	var group string
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case fields[1] == "memory":
			group = filepath.Join("/sys/fs/cgroup/memory", fields[2])
		case fields[1] == "" && group == "":
			group = filepath.Join("/sys/fs/cgroup", fields[2])
		}
	}
	glutton := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && head -c 256M /dev/zero | tail -c 256M >/dev/null`, group)
	if out, err := glutton.CombinedOutput(); err == nil {
		return fmt.Errorf("nothing was killed in %s: %s", group, out)
	}
	return nil
}

// Each agent is killed while the server is away. The new one has nothing but
// what lies on the tmpfs.
func TestAKilledAgentComesBackWithoutTheServerAndNoReaderSeesAGap(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	g := newGate(t, s.product, s.namespace)
	first := s.value
	tests := map[string]struct {
		kill func(process int) error
		why  string
	}{
		"killed":        {func(process int) error { return syscall.Kill(process, syscall.SIGKILL) }, "Error 137"},
		"out-of-memory": {starve, "OOMKilled 137"},
	}
	for pod := range tests {
		s.run(t, pod, "server="+g.url, "readiness=true")
	}
	for pod := range tests {
		s.wait(t, "pod/"+pod, "condition=Ready")
		s.awaitLog(t, pod, "web", fingerprint(first), 0)
	}
	g.hangUp()
	s.change(t)
	for pod, test := range tests {
		if err := test.kill(s.agentProcess(t, pod)); err != nil {
			t.Fatal(err)
		}
	}
	for pod, test := range tests {
		s.wait(t, "pod/"+pod, "jsonpath={"+agentOf+".restartCount}=1")
		s.wait(t, "pod/"+pod, "jsonpath={"+agentOf+".started}=true")
		s.wait(t, "pod/"+pod, "condition=Ready")
		ended := agentOf + ".lastState.terminated"
		if got := s.field(t, pod, ended+".reason") + " " + s.field(t, pod, ended+".exitCode"); got != test.why {
			t.Errorf("%s: the agent ended by %s, want %s", pod, got, test.why)
		}
		s.awaitLog(t, pod, "kms-agent", `"reason":"Unreachable"`, 0)
		s.expectReads(t, pod, first)
	}
	g.open()
	for pod := range tests {
		s.awaitLog(t, pod, "web", fingerprint(s.value), 0)
		s.expectReads(t, pod, first, s.value)
		if got := s.field(t, pod, ".status.containerStatuses[0].restartCount"); got != "0" {
			t.Errorf("%s: the application was started %s times anew", pod, got)
		}
	}
}

func TestASetThatDoesNotFitIsNamedAndTheLastOneStays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first := s.value
	s.run(t, "large", "report=true", "size-limit=256Ki")
	s.run(t, "full", "report=true", "size-limit=256Ki")
	for _, pod := range []string{"large", "full"} {
		s.awaitReason(t, pod, "Synced", "True")
		s.awaitLog(t, pod, "web", fingerprint(first), 0)
	}
	filler := fmt.Sprintf("/proc/%d/root/kms/secrets/filler", s.agentProcess(t, "full"))
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the tmpfs: %v", err)
	}
	s.value = plant()
	s.product.put(t, s.project, "/", map[string]string{"DB_URL": s.value, "LARGE": strings.Repeat("large ", 20_000)})
	for _, pod := range []string{"large", "full"} {
		s.awaitReason(t, pod, "NoSpace", "False")
		s.awaitLog(t, pod, "kms-agent", `"reason":"NoSpace"`, 0)
		s.expectReads(t, pod, first)
	}
	if _, err := s.product.admin.Delete(t.Context(), sdk.Scope{ProjectID: s.project.ID, Environment: "prod", SecretPath: "/"}, "LARGE"); err != nil {
		t.Fatal(err)
	}
	s.awaitReason(t, "large", "Synced", "True")
	s.expectReads(t, "full", first)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.awaitReason(t, "full", "Synced", "True")
	for _, pod := range []string{"large", "full"} {
		s.awaitLog(t, pod, "web", fingerprint(s.value), 0)
		s.expectReads(t, pod, first, s.value)
	}
}

// The application has the agent's user, and sees its process.
func TestAnApplicationOfTheSameUserCannotLookIntoItsAgent(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.run(t, "web", "share-process-namespace=true")
	s.wait(t, "pod/web", "condition=Ready")
	agent := strings.TrimSpace(s.in(t, `for p in /proc/[0-9]*; do case $(tr '\0' ' ' <$p/cmdline) in */kms-agent\ run*) echo $p;; esac; done`))
	user := "grep -w Uid %s/status"
	if mine, its := s.in(t, fmt.Sprintf(user, "/proc/self")), s.in(t, fmt.Sprintf(user, agent)); mine != its || !strings.Contains(mine, "1000") {
		t.Fatalf("the users are %q and %q, want the same", mine, its)
	}
	for _, look := range []string{
		"cat %s/environ", "cat %s/maps", "cat %s/auxv", "ls %s/fd", "ls %s/root/", "ls %s/cwd/", "ls %s/map_files",
		"readlink %s/exe", ": <%s/mem", "ls %s/root/kms",
	} {
		if out, err := s.tryIn(t, fmt.Sprintf(look, agent)); err == nil || out != "" {
			t.Errorf("%s: gave %d bytes, %v", look, len(out), err)
		}
		if _, err := s.tryIn(t, fmt.Sprintf(look, "/proc/self")); err != nil {
			t.Errorf("%s of the application itself, for comparison: %v", look, err)
		}
	}
	if got := s.in(t, "ls /kms; mount | grep -c /kms/"); got != "secrets\n1\n" {
		t.Errorf("below /kms are %q", got)
	}
}

// in is what a command prints in the application of the pod web.
func (s *scene) in(t *testing.T, command string) string {
	t.Helper()
	out, err := s.tryIn(t, command)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *scene) tryIn(t *testing.T, command string) (string, error) {
	t.Helper()
	return s.try(t, "", "kubectl", "exec", "web", "--container=web", "--", "sh", "-c", command)
}

func TestAPodWaitsForTheSecretToLogInWithAndFollowsItsRotation(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	cmd := s.command(t.Context(), "kubectl", "create", "--filename=-")
	cmd.Stdin = strings.NewReader(s.pod(t, "late", "auth-secret=late-auth"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "the pod waits for Secret late-auth, which does not exist") {
		t.Fatalf("%v; want a warning that names the Secret: %s", err, out)
	}
	s.kubectl(t, "", "wait", "--for=create", "--timeout=60s", "pod/late")
	s.awaitEvent(t, "late", "FailedMount", `secret "late-auth" not found`)
	mine := s.product.identity(t, s.project)
	s.credentials(t, "late-auth", mine)
	s.awaitLog(t, "late", "web", fingerprint(s.value), 0)

	admin := s.product.admin
	before, err := admin.ListClientSecrets(t.Context(), mine.id)
	if err != nil {
		t.Fatal(err)
	}
	next, err := admin.CreateClientSecret(t.Context(), mine.id, sdk.ClientSecretInput{})
	if err != nil {
		t.Fatal(err)
	}
	s.credentials(t, "late-auth", identity{mine.id, mine.clientID, next.Secret.Reveal()})
	s.awaitLog(t, "late", "kms-agent", "logged in with new credentials", 0)
	if _, err := admin.RevokeClientSecret(t.Context(), mine.id, before[0].ID); err != nil {
		t.Fatal(err)
	}
	first := s.value
	s.change(t)
	s.awaitLog(t, "late", "web", fingerprint(s.value), 0)
	s.expectReads(t, "late", first, s.value)
	if log := s.kubectl(t, "", "logs", "late", "--container=kms-agent"); strings.Contains(log, "AuthFailed") {
		t.Errorf("the agent was refused meanwhile: %s", log)
	}
}

// awaitEvent waits for an Event about a pod.
func (s *scene) awaitEvent(t *testing.T, pod, reason, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := s.command(ctx, "kubectl", "get", "events", "--watch", "--field-selector=reason="+reason+",involvedObject.name="+pod, "--output=jsonpath={.message}{\"\\n\"}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); cmd.Wait() }()
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if strings.Contains(scanner.Text(), text) {
			return
		}
	}
	t.Fatalf("no Event %s of %s says %q", reason, pod, text)
}
