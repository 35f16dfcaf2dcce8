//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// Neither the namespace of the server nor one whose pods have credentials opens
// anything.
func TestAPodWithoutCredentialsGets401(t *testing.T) {
	t.Parallel()
	p := installed(t)
	project := p.project(t)
	p.put(t, project, "/", map[string]string{"DB_URL": plant()})
	ns := newNamespace(t)
	ns.credentials(t, "web-kms-auth", p.identity(t, project))
	for _, ns := range []namespace{ns, p.namespace} {
		for _, path := range []string{
			"/api/v3/secrets/raw?environment=prod&workspaceId=" + project.ID,
			"/api/v3/secrets/raw/DB_URL?environment=prod&workspaceId=" + project.ID,
			"/api/v1/folders?environment=prod&workspaceId=" + project.ID,
		} {
			got := ns.ask(t, "http://kms.kms.svc:8080"+path)
			if !strings.Contains(got, " 401 ") {
				t.Errorf("a pod in %s that asks for %s gets %q, want 401", ns.name, path, got)
			}
		}
	}
}

// ask is what a plain pod of the namespace prints that asks for an address.
func (ns namespace) ask(t *testing.T, url string) string {
	t.Helper()
	pod := "asks-" + strings.ToLower(random()[:8])
	ns.apply(t, fmt.Sprintf(plainPod, pod, url))
	t.Cleanup(func() { _ = ns.command(context.Background(), "kubectl", "delete", "pod", pod).Run() })
	return ns.awaitSuccess(t, pod)
}

const plainPod = `
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: asks
    image: localhost/busybox:1
    command: [sh, -c, "wget -O - '%s' 2>&1 || true"]
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`

// Each place says something wrong, which the one before it corrects.
func TestAPodComesBeforeItsNamespaceAndThatBeforeItsProfile(t *testing.T) {
	t.Parallel()
	p := installed(t)
	project := p.project(t)
	value := plant()
	p.put(t, project, "/", map[string]string{"DB_URL": value})
	ns := newNamespace(t)
	ns.credentials(t, "web-kms-auth", p.identity(t, project))
	ns.kubectl(t, "", "annotate", "namespace", ns.name, "kms.hanzo.ai/project="+project.Slug, "kms.hanzo.ai/env=dev", "kms.hanzo.ai/profile=team")
	ns.apply(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: team}, data: {project: none, env: none, auth-secret: web-kms-auth, mount-path: /team}}")
	ns.apply(t, saysLittle)
	if got := ns.awaitSuccess(t, "web"); !strings.Contains(got, fingerprint(value)) {
		t.Errorf("the pod printed %q, want the fingerprint of the value", got)
	}
}

const saysLittle = `
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {kms.hanzo.ai/inject: init, kms.hanzo.ai/env: prod}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: web
    image: localhost/busybox:1
    command: [sha256sum, /team/DB_URL]
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`
