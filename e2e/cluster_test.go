//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The tests of this file prove what the product relies on of a cluster.

func TestAPodRunsAndAnswersExecAndLogs(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: localhost/busybox:1
    command: [sh, -c, "echo started; exec sleep 1h"]
`)
	ns.wait(t, "pod/app", "condition=Ready")
	if got := ns.firstLogLine(t, "app"); got != "started\n" {
		t.Errorf("log = %q, want started", got)
	}
	if got := ns.kubectl(t, "by standard input", "exec", "--stdin", "app", "--", "cat"); got != "by standard input" {
		t.Errorf("cat in the pod printed %q, want its standard input", got)
	}
}

func TestAVolumeInMemoryIsATmpfsOfItsSizeLimit(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  securityContext: {runAsUser: 1000, fsGroup: 1000}
  volumes: [{name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}]
  containers:
  - name: app
    image: localhost/busybox:1
    command: [sh, -c, "stat -f -c '%T of %b blocks of %S' /memory; dd if=/dev/zero of=/memory/zeros bs=1M count=9 2>&1 || true"]
    volumeMounts: [{name: memory, mountPath: /memory}]
`)
	log := ns.awaitSuccess(t, "app")
	for _, want := range []string{"tmpfs of 2048 blocks of 4096\n", "No space left on device"} {
		if !strings.Contains(log, want) {
			t.Errorf("log = %q, want %q in it", log, want)
		}
	}
}

// The application reads the file once, and fails if it is not there.
func TestTheApplicationStartsWhenTheStartupProbeOfItsSidecarSucceeds(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
  initContainers:
  - name: sidecar
    image: localhost/busybox:1
    restartPolicy: Always
    command: [sh, -c, "sleep 2; echo written in time >/memory/file; exec sleep 1h"]
    startupProbe: {exec: {command: [test, -e, /memory/file]}, periodSeconds: 1}
    volumeMounts: [{name: memory, mountPath: /memory}]
  containers:
  - name: app
    image: localhost/busybox:1
    command: [cat, /memory/file]
    volumeMounts: [{name: memory, mountPath: /memory}]
`)
	if got := ns.awaitSuccess(t, "app"); got != "written in time\n" {
		t.Errorf("the application read %q", got)
	}
}

func TestAJobCompletesThoughItsSidecarWouldRunOn(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.apply(t, `
apiVersion: batch/v1
kind: Job
metadata: {name: job}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 1
      restartPolicy: Never
      initContainers:
      - name: sidecar
        image: localhost/busybox:1
        restartPolicy: Always
        command: [sleep, 1h]
      containers:
      - name: app
        image: localhost/busybox:1
        command: ["true"]
`)
	ns.wait(t, "job/job", "condition=Complete")
}

func TestAChangedSecretReachesItsVolume(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.kubectl(t, "", "create", "secret", "generic", "bootstrap", "--from-literal=word=old")
	ns.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  volumes: [{name: bootstrap, secret: {secretName: bootstrap}}]
  containers:
  - name: app
    image: localhost/busybox:1
    command: [sh, -c, "cat /bootstrap/word; echo; until grep -q new /bootstrap/word; do sleep 1; done; cat /bootstrap/word"]
    volumeMounts: [{name: bootstrap, mountPath: /bootstrap}]
`)
	if got := ns.firstLogLine(t, "app"); got != "old\n" {
		t.Fatalf("the pod first read %q, want old", got)
	}
	ns.kubectl(t, "", "patch", "secret", "bootstrap", "--patch", `{"stringData": {"word": "new"}}`)
	if got := ns.awaitSuccess(t, "app"); got != "old\nnew" {
		t.Errorf("log = %q, want old, then new", got)
	}
}

func TestAServiceIsReachedByItsName(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: server
    image: localhost/busybox:1
    command: [sh, -c, "echo hello >/tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - name: client
    image: localhost/busybox:1
    command: [sh, -c, "until wget -q -O - http://server; do sleep 1; done 2>/dev/null"]
`)
	if got := ns.awaitSuccess(t, "client"); got != "hello\n" {
		t.Errorf("the client read %q, want hello", got)
	}
}

func TestAWebhookInThisProcessChangesPods(t *testing.T) {
	t.Parallel()
	if os.Getenv("KMS_E2E_KUBECONFIG") != "" {
		t.Skip("the API server of another cluster does not reach this process, which nothing but this test asks of it")
	}
	ns := newNamespace(t)
	webhook := httptest.NewTLSServer(http.HandlerFunc(annotate))
	defer webhook.Close()
	configuration := ns.create(t, webhookConfiguration(ns.name, webhook))
	defer ns.kubectl(t, "", "delete", "mutatingwebhookconfiguration", ns.name)

	// The API server learns of it a little later than it says.
	pod := podOf("sleep", "1h")
	for ns.create(t, pod, "--dry-run=server").at("metadata", "annotations", "seen-by") == nil {
		select {
		case <-t.Context().Done():
			t.Fatalf("the webhook %v was not called", configuration.at("metadata", "name"))
		case <-time.After(100 * time.Millisecond):
		}
	}
	ns.create(t, pod)
	if got := ns.get(t, "pod/app").at("metadata", "annotations", "seen-by"); got != "webhook" {
		t.Errorf("annotation = %v, want webhook", got)
	}
}

func podOf(command ...string) object {
	return object{
		"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "app"},
		"spec": object{
			"terminationGracePeriodSeconds": 0,
			"containers":                    []object{{"name": "app", "image": "localhost/busybox:1", "command": command}},
		},
	}
}

// webhookConfiguration sends the pods of one namespace to the webhook.
func webhookConfiguration(namespace string, webhook *httptest.Server) object {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: webhook.Certificate().Raw})
	return object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
		"metadata": object{"name": namespace},
		"webhooks": []object{{
			"name": "annotate.e2e.kms.hanzo.ai", "admissionReviewVersions": []string{"v1"}, "sideEffects": "None",
			"clientConfig":      object{"url": webhook.URL, "caBundle": ca},
			"namespaceSelector": object{"matchLabels": object{"kubernetes.io/metadata.name": namespace}},
			"rules": []object{{
				"apiGroups": []string{""}, "apiVersions": []string{"v1"}, "resources": []string{"pods"}, "operations": []string{"CREATE"},
			}},
		}},
	}
}

// annotate is an admission webhook.
func annotate(w http.ResponseWriter, r *http.Request) {
	var review struct{ Request struct{ UID string } }
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	patch := `[{"op": "add", "path": "/metadata/annotations", "value": {"seen-by": "webhook"}}]`
	_ = json.NewEncoder(w).Encode(object{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"response": object{
			"uid": review.Request.UID, "allowed": true,
			"patchType": "JSONPatch", "patch": base64.StdEncoding.EncodeToString([]byte(patch)),
		},
	})
}

func TestHelmInstallsAndRemovesAChart(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.helm(t, "install", "tiny", "testdata/chart", "--wait", "--timeout=120s")
	if got := ns.get(t, "deployment/tiny").at("status", "availableReplicas"); got != 1.0 {
		t.Errorf("available replicas = %v, want 1", got)
	}
	ns.helm(t, "uninstall", "tiny", "--wait", "--timeout=120s")
	if left := ns.kubectl(t, "", "get", "deployments", "--output=name"); left != "" {
		t.Errorf("uninstalling left %s", left)
	}
}

func TestAServiceAccountMayDoWhatItsRoleSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.kubectl(t, "", "create", "serviceaccount", "reader")
	ns.kubectl(t, "", "create", "role", "pods", "--verb=list", "--resource=pods")
	ns.kubectl(t, "", "create", "rolebinding", "reader", "--role=pods", "--serviceaccount="+ns.name+":reader")

	as := "--as=system:serviceaccount:" + ns.name + ":reader"
	ns.kubectl(t, "", "get", "pods", as)
	if _, err := ns.try(t, "", "kubectl", "get", "secrets", as); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("listing Secrets: error = %v, want Forbidden", err)
	}
}

func TestAProjectedTokenNamesItsPodToItsAudienceAlone(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	ns.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  volumes:
  - name: identity
    projected: {sources: [{serviceAccountToken: {audience: hanzo-kms, path: token}}]}
  containers:
  - name: app
    image: localhost/busybox:1
    command: [sh, -c, "cat /identity/token; echo; exec sleep 1h"]
    volumeMounts: [{name: identity, mountPath: /identity}]
`)
	ns.wait(t, "pod/app", "condition=Ready")
	token := strings.TrimSpace(ns.firstLogLine(t, "app"))
	pod := ns.get(t, "pod/app")

	status := ns.reviewToken(t, token, "hanzo-kms")
	want := object{
		"authentication.kubernetes.io/pod-name": []any{"app"},
		"authentication.kubernetes.io/pod-uid":  []any{pod.at("metadata", "uid")},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, status.at("user", "extra", name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, want := status.at("user", "username"), "system:serviceaccount:"+ns.name+":default"; got != want {
		t.Errorf("user = %v, want %s", got, want)
	}
	if got := ns.reviewToken(t, token, "another").at("authenticated"); got != nil {
		t.Errorf("authenticated for another audience = %v, want that it is not", got)
	}
}

func (ns namespace) reviewToken(t *testing.T, token, audience string) object {
	t.Helper()
	review := ns.create(t, object{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		"spec": object{"token": token, "audiences": []string{audience}},
	})
	status, _ := review.at("status").(map[string]any)
	return status
}
