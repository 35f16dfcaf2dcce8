//go:build e2e

package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The whole way of a secret, as a person who follows the README walks it.
func TestTheStoryOfASecret(t *testing.T) {
	began := time.Now()
	tell := func(format string, what ...any) {
		t.Logf("%6.2f s  %s", time.Since(began).Seconds(), fmt.Sprintf(format, what...))
	}
	p := installed(t)
	tell("server and injector are installed by Helm, and ready")
	project := p.project(t)
	first, second := plant(), plant()
	p.put(t, project, "/", map[string]string{"DB_URL": first, "GREETING": "hello"})
	identity := p.identity(t, project)
	tell("project %s, its secret and an identity are made", project.Slug)
	ns := newNamespace(t)
	ns.credentials(t, "web-kms-auth", identity)
	tell("the namespace has the Secret to log in with")
	ns.apply(t, fmt.Sprintf(storyApp, project.Slug))
	ns.wait(t, "deployment/web", "condition=Available")
	tell("the application runs")
	_, next := ns.awaitLog(t, "deployment/web", "web", fingerprint(first), 0)
	tell("it has read the first value")
	for _, check := range []struct{ what, command, want string }{
		{"the directory is a tmpfs", "stat -f -c %T /kms/secrets", "tmpfs"},
		{"the file is its owner's to read and nobody's to write", "stat -L -c '%a %u' /kms/secrets/DB_URL", "400 1000"},
		{"the credentials are not there", "ls /kms", "bin\nsecrets"},
		{"no variable has it", "env | grep -c canary- || true", "0"},
	} {
		if got := strings.TrimSpace(ns.kubectl(t, "", "exec", "deployment/web", "--container=web", "--", "sh", "-c", check.command)); got != check.want {
			t.Errorf("%s: %q, want %q", check.what, got, check.want)
		}
	}
	tell("its files are in memory, for it alone")
	p.put(t, project, "/", map[string]string{"DB_URL": second})
	changed := time.Now()
	tell("the value is another one in the server")
	ns.awaitLog(t, "deployment/web", "web", "SIGHUP", next)
	ns.awaitLog(t, "deployment/web", "web", fingerprint(second), next)
	tell("the application got its signal and has read the new value, %.2f s after the change", time.Since(changed).Seconds())
	restarts := ns.kubectl(t, "", "get", "pods", "--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}{.items[*].status.initContainerStatuses[*].restartCount}")
	if strings.Trim(restarts, "0 ") != "" {
		t.Errorf("containers were restarted: %s", restarts)
	}
}

// fingerprint is what the applications of tests print of a value.
func fingerprint(value string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(value))) }

const storyApp = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        kms.hanzo.ai/inject: exec
        kms.hanzo.ai/env-keys: GREETING
        kms.hanzo.ai/project: %s
        kms.hanzo.ai/env: prod
        kms.hanzo.ai/auth-secret: web-kms-auth
        kms.hanzo.ai/on-change: signal
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 2
      securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: web
        image: localhost/busybox:1
        command:
        - sh
        - -c
        - |
          trap 'echo SIGHUP; sha256sum /kms/secrets/DB_URL' HUP
          trap 'exit 0' TERM
          sha256sum /kms/secrets/DB_URL
          while :; do sleep 3600 & wait $!; done
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`
