package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/kubetest"
	"github.com/hanzoai/kms/internal/app"
	"github.com/hanzoai/kms/internal/pki"
	"github.com/hanzoai/kms/internal/transcript"

	injector "github.com/hanzoai/kms/injector"
)

// asProgram makes the test binary the injector itself, in a process of its own.
const asProgram = "KMS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		app.Main("kms-injector", injector.Run)
	}
	kubetest.Main(m)
}

// patience ends a test that hangs.
const patience = 60 * time.Second

// ownNamespace is that of all injectors.
const ownNamespace = "kms"

// cluster is a namespace of its own in the API server of the tests.
type cluster struct {
	client.Client
	config      *rest.Config
	namespace   string
	certificate pki.Pair // of 127.0.0.1

	mu       sync.Mutex // guards what follows
	warnings []string
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{config: kubetest.Start(t)}
	c.config.QPS = -1
	c.config.WarningHandler = c
	var err error
	if c.Client, err = client.New(c.config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ownNamespace}}
	must(t, client.IgnoreAlreadyExists(c.Create(t.Context(), own)))
	c.grant(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Annotations: map[string]string{"kms.hanzo.ai/env": "prod"}}}
	must(t, c.Create(t.Context(), namespace))
	c.namespace = namespace.Name
	must(t, c.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "default"}}))
	if c.certificate, err = pki.SelfSigned(0, "127.0.0.1", "kms-injector."+ownNamespace+".svc", "kms-injector-reports."+ownNamespace+".svc"); err != nil {
		t.Fatal(err)
	}
	return c
}

// grant gives the injectors of all tests their rights.
func (c *cluster) grant(t testing.TB) {
	t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(read(t, "testdata/rights.yaml")), 4096)
	for range 4 {
		var o unstructured.Unstructured
		must(t, decoder.Decode(&o))
		must(t, client.IgnoreAlreadyExists(c.Create(t.Context(), &o)))
	}
}

// HandleWarningHeader keeps the warnings that a client sees.
func (c *cluster) HandleWarningHeader(_ int, _, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, text)
}

// warned are the warnings since it was last asked.
func (c *cluster) warned() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, c.warnings = c.warnings, nil
	return list
}

// folder has what a replica is started with.
func (c *cluster) folder(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["test"] = &clientcmdapi.Cluster{Server: c.config.Host, CertificateAuthorityData: c.config.CAData}
	kubeconfig.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.config.CertData, ClientKeyData: c.config.KeyData,
		Impersonate: "system:serviceaccount:" + ownNamespace + ":kms-injector"}
	kubeconfig.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	kubeconfig.CurrentContext = "test"
	must(t, clientcmd.WriteToFile(*kubeconfig, filepath.Join(folder, "kubeconfig")))
	for name, text := range map[string][]byte{"tls.crt": c.certificate.Certificate, "tls.key": c.certificate.Key, "ca.crt": c.certificate.Certificate} {
		must(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	return folder
}

// replica is a process of the injector.
type replica struct {
	process                  *os.Process
	ended                    chan error
	log                      transcript.Transcript
	Webhooks, Admin, Reports string // addresses
}

// start starts a replica and waits until it is ready.
func (c *cluster) start(t testing.TB, flags ...string) *replica {
	t.Helper()
	r := c.begin(t, flags...)
	await(t, func() error { return r.probe("/readyz") })
	return r
}

func (c *cluster) begin(t testing.TB, flags ...string) *replica {
	t.Helper()
	folder := c.folder(t)
	program := exec.Command(os.Args[0], append([]string{"serve", "-listen=127.0.0.1:0", "-admin-listen=127.0.0.1:0", "-namespace=" + ownNamespace, "-lease=" + c.namespace,
		"-certificate-dir=" + folder, "-image=ghcr.io/hanzoai/kms-agent:test"}, flags...)...)
	program.Env = []string{asProgram + "=1", "KUBECONFIG=" + filepath.Join(folder, "kubeconfig")}
	program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r := &replica{ended: make(chan error, 1)}
	program.Stdout, program.Stderr = &r.log, &r.log
	must(t, program.Start())
	r.process = program.Process
	go func() { r.ended <- program.Wait(); close(r.ended) }()
	t.Cleanup(func() {
		_ = r.process.Kill()
		<-r.ended
		if t.Failed() {
			t.Logf("the log of the injector:\n%s", &r.log)
		}
	})
	await(t, r.listening)
	return r
}

// listening reads the addresses from the log.
func (r *replica) listening() error {
	for line := range strings.Lines(r.log.String()) {
		var entry struct {
			Message string `json:"msg"`
			*replica
		}
		entry.replica = r
		if json.Unmarshal([]byte(line), &entry) == nil && r.Webhooks != "" {
			return nil
		}
	}
	return fmt.Errorf("it does not listen: %s", &r.log)
}

func (r *replica) get(path string) (code int, text string, err error) {
	response, err := http.Get("http://" + r.Admin + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (r *replica) probe(path string) error {
	code, text, err := r.get(path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, code, text)
	}
	return err
}

// configurations are of webhooks at an address, for the pods of this namespace.
func (c *cluster) configurations(t testing.TB, address string) (*admissionregistration.MutatingWebhookConfiguration, *admissionregistration.ValidatingWebhookConfiguration) {
	t.Helper()
	mutating, validating := &admissionregistration.MutatingWebhookConfiguration{}, &admissionregistration.ValidatingWebhookConfiguration{}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(read(t, "testdata/webhooks.yaml"))), 4096)
	must(t, decoder.Decode(mutating))
	must(t, decoder.Decode(validating))
	here := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: c.namespace}}
	for i := range mutating.Webhooks {
		*mutating.Webhooks[i].ClientConfig.URL = "https://" + address + *mutating.Webhooks[i].ClientConfig.URL
		mutating.Webhooks[i].NamespaceSelector = here
	}
	for i := range validating.Webhooks {
		*validating.Webhooks[i].ClientConfig.URL = "https://" + address + *validating.Webhooks[i].ClientConfig.URL
		validating.Webhooks[i].NamespaceSelector = here
	}
	mutating.Name, validating.Name = c.namespace, c.namespace
	return mutating, validating
}

// register tells the API server of webhooks that serve by the certificate of
// this test.
func (c *cluster) register(t testing.TB, address string) {
	t.Helper()
	mutating, validating := c.configurations(t, address)
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.CABundle = c.certificate.Certificate
	}
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig.CABundle = c.certificate.Certificate
	}
	for _, o := range []client.Object{mutating, validating} {
		must(t, c.Create(t.Context(), o))
		t.Cleanup(func() { c.remove(t, o) })
	}
	// An API server takes up new webhooks after a moment.
	await(t, func() error {
		probe := c.pod(map[string]string{"inject": ""})
		if err := c.Create(t.Context(), probe, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "kms-injector: ") {
			return fmt.Errorf("the webhook is not asked: %v", err)
		}
		return nil
	})
}

func (c *cluster) remove(t testing.TB, o client.Object) {
	t.Helper()
	must(t, client.IgnoreNotFound(c.Delete(context.WithoutCancel(t.Context()), o)))
}

// pod asks for injection; "-" takes an annotation away.
func (c *cluster) pod(annotations map[string]string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, GenerateName: "web-", Annotations: map[string]string{
		"kms.hanzo.ai/inject": "true", "kms.hanzo.ai/project": "shop", "kms.hanzo.ai/auth-secret": "web-kms-auth",
	}}}
	for name, value := range annotations {
		if p.Annotations["kms.hanzo.ai/"+name] = value; value == "-" {
			delete(p.Annotations, "kms.hanzo.ai/"+name)
		}
	}
	user := int64(1000)
	p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &user}
	p.Spec.ServiceAccountName = "default"
	p.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await asks again until there is no error.
func await(t testing.TB, ask func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
