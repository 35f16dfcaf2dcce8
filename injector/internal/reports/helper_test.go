package reports_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hanzoai/kms/injector/internal/kubetest"
	"github.com/hanzoai/kms/injector/internal/reports"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const (
	audience = "kms.hanzo.ai/reports"
	account  = "system:serviceaccount:kms:kms-injector"
)

// cluster is a real API server with a namespace for one test.
type cluster struct {
	*testing.T
	admin     client.Client
	injector  client.WithWatch // with the rights of the injector, and held by its policies
	namespace string
}

var prepare sync.Once

func newCluster(t *testing.T) *cluster {
	t.Helper()
	config := kubetest.Start(t)
	c := &cluster{T: t, admin: newClient(t, config)}
	config.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:authenticated"}}
	c.injector = newClient(t, config)
	prepare.Do(c.prepare)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "reports-"}}
	c.create(namespace)
	c.namespace = namespace.Name
	c.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "web"}})
	return c
}

func newClient(t *testing.T, config *rest.Config) client.WithWatch {
	t.Helper()
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// prepare gives the injector what an operator gives it.
func (c *cluster) prepare() {
	for _, file := range []string{"testdata/rbac.yaml", "testdata/policies.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			c.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var object unstructured.Unstructured
			if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
				c.Fatal(err)
			}
			c.create(&object)
			if object.GetKind() == "ClusterRole" {
				c.bind(object.GetName())
			}
		}
	}
	c.awaitPolicies()
}

func (c *cluster) bind(role string) {
	c.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: "User", Name: account}},
	})
}

func (c *cluster) create(object client.Object) {
	c.Helper()
	if err := c.admin.Create(c.Context(), object); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) get(object client.Object) {
	c.Helper()
	if err := c.admin.Get(c.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		c.Fatal(err)
	}
}

// pod makes one, which nothing will run.
func (c *cluster) pod(change ...func(*corev1.Pod)) *corev1.Pod {
	c.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, GenerateName: "web-", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "web", Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
	}
	for _, f := range change {
		f(pod)
	}
	c.create(pod)
	return pod
}

func (c *cluster) remove(pod *corev1.Pod) {
	c.Helper()
	if err := c.admin.Delete(c.Context(), pod, client.GracePeriodSeconds(0)); err != nil && !apierrors.IsNotFound(err) {
		c.Fatal(err)
	}
}

// token is what a kubelet would put into the volume of the pod; without a pod,
// one of its account.
func (c *cluster) token(pod *corev1.Pod, audiences ...string) string {
	c.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: new(int64(3600))}}
	if pod != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	of := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "web"}}
	if err := c.admin.SubResource("token").Create(c.Context(), of, request); err != nil {
		c.Fatal(err)
	}
	return request.Status.Token
}

func (c *cluster) condition(pod *corev1.Pod) corev1.PodCondition {
	c.Helper()
	now := pod.DeepCopy()
	c.get(now)
	at := slices.IndexFunc(now.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == reports.ConditionType })
	if at < 0 {
		return corev1.PodCondition{}
	}
	return now.Status.Conditions[at]
}

// server is a handler with what it logs and counts.
type server struct {
	*testing.T
	*reports.Handler
	metrics *reports.Metrics
	log     *lockedBuffer
}

func newServer(t *testing.T, c client.Client) *server {
	s := &server{T: t, metrics: reports.NewMetrics(), log: &lockedBuffer{}}
	s.Handler = reports.NewHandler(reports.Options{Client: c, Rollouts: true, Instance: "kms-injector-0",
		Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: s.metrics})
	return s
}

// send posts a report, from an address of its own.
func (s *server) send(token, body string) *httptest.ResponseRecorder {
	return s.sendFrom("10.0.0.1:4711", token, body)
}

func (s *server) sendFrom(address, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(s.Context(), http.MethodPost, reports.Path, strings.NewReader(body))
	r.RemoteAddr = address
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if len(token) > 20 && strings.Contains(s.log.String()+w.Body.String(), token) {
		s.Errorf("the token is seen: %s %s", s.log, w.Body)
	}
	return w
}

// must sends a report that is taken.
func (s *server) must(token, body string) {
	s.Helper()
	if w := s.send(token, body); w.Code != http.StatusNoContent {
		s.Fatalf("%s: %d %s %s", body, w.Code, w.Body, s.log)
	}
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

var _ io.Writer = (*lockedBuffer)(nil)
