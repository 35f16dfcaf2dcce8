package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/hanzoai/kms/injector/internal/cluster"
	"github.com/hanzoai/kms/injector/internal/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// space is a client with a namespace of its own.
func space(t *testing.T) (client.Client, *rest.Config, string) {
	t.Helper()
	config := kubetest.Start(t)
	c, err := client.New(config, client.Options{})
	must(t, err)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	must(t, c.Create(t.Context(), namespace))
	return c, config, namespace.Name
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// started is a cluster whose namespaces are known.
func started(t *testing.T, config *rest.Config) *cluster.Cluster {
	t.Helper()
	c, err := cluster.New(config)
	must(t, err)
	go c.Start(t.Context())
	if !c.Synced(t.Context()) {
		t.Fatal("the namespaces do not come")
	}
	return c
}

func TestANamespaceIsKnownByItsAnnotationsOfOurs(t *testing.T) {
	t.Parallel()
	admin, config, _ := space(t)
	c := started(t, config)
	// It is asked for before the cache can have seen it.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Annotations: map[string]string{"kms.hanzo.ai/env": "prod", "other": "x"}}}
	must(t, admin.Create(t.Context(), namespace))
	for {
		got, err := c.Namespace(t.Context(), namespace.Name)
		if err != nil || got["kms.hanzo.ai/env"] != "prod" {
			t.Fatalf("%v %v", got, err)
		}
		if got["other"] == "" {
			break // now it is the cache that answers
		}
	}
	if _, err := c.Namespace(t.Context(), "nowhere"); err == nil {
		t.Error("there is a namespace that is not there")
	}
}

func TestOfASecretOnlyTheNamesOfItsKeysAreKnown(t *testing.T) {
	t.Parallel()
	admin, config, namespace := space(t)
	c := started(t, config)
	must(t, admin.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "auth"},
		StringData: map[string]string{"clientSecret": "x", "clientId": "x"}}))
	must(t, admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "profile"}, Data: map[string]string{"env": "prod"}}))
	keys, found, err := c.SecretKeys(t.Context(), namespace, "auth")
	if diff := cmp.Diff([]string{"clientId", "clientSecret"}, keys); diff != "" || !found || err != nil {
		t.Errorf("%v %v %s", found, err, diff)
	}
	data, found, err := c.ConfigMap(t.Context(), namespace, "profile")
	if diff := cmp.Diff(map[string]string{"env": "prod"}, data); diff != "" || !found || err != nil {
		t.Errorf("%v %v %s", found, err, diff)
	}
	if _, found, err := c.SecretKeys(t.Context(), namespace, "other"); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
	if _, found, err := c.ConfigMap(t.Context(), namespace, "other"); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
}

func TestALookupEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, config, namespace := space(t)
	c := started(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, found, err := c.SecretKeys(ctx, namespace, "auth"); found || !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", found, err)
	}
}

// task tells when it begins and when it ends.
type task struct{ begins, ends chan string }

func newTask() task { return task{make(chan string, 10), make(chan string, 10)} }

func (k task) as(name string) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		k.begins <- name
		<-ctx.Done()
		k.ends <- name
		return nil
	})
}

// run runs a candidate until it is told to leave.
func run(t *testing.T, config *rest.Config, namespace string, tasks ...manager.Runnable) (leave func()) {
	t.Helper()
	l, err := cluster.NewLeader(config, namespace, "lease", slog.New(slog.DiscardHandler), tasks...)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Start(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestOneOfTwoLeadsAndTheOtherFollows(t *testing.T) {
	t.Parallel()
	_, config, namespace := space(t)
	k := newTask()
	leaveFirst := run(t, config, namespace, k.as("first"))
	if leads := <-k.begins; leads != "first" {
		t.Fatal(leads)
	}
	leaveSecond := run(t, config, namespace, k.as("second"))
	leaveFirst()
	// The Lease is given back when the task has ended, and not before.
	if ended, leads := <-k.ends, <-k.begins; ended != "first" || leads != "second" {
		t.Errorf("%s ended, and %s leads", ended, leads)
	}
	leaveSecond()
}

func TestWhoLosesTheLeaseStopsAndStandsAgain(t *testing.T) {
	t.Parallel()
	admin, config, namespace := space(t)
	k := newTask()
	leave := run(t, config, namespace, k.as("ours"))
	<-k.begins
	hold(t, admin, namespace, "somebody else")
	<-k.ends
	hold(t, admin, namespace, "")
	<-k.begins
	leave()
}

// hold writes who holds the Lease, against the holder's own updates.
func hold(t *testing.T, admin client.Client, namespace, holder string) {
	t.Helper()
	for {
		var lease coordinationv1.Lease
		must(t, admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "lease"}, &lease))
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &holder, new(int32(3600))
		lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
		if admin.Update(t.Context(), &lease) == nil {
			return
		}
	}
}

func TestATaskThatFailsBeginsAgainAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	_, config, namespace := space(t)
	k := newTask()
	failing := manager.RunnableFunc(func(context.Context) error {
		k.begins <- "failing"
		return errors.New("it fails")
	})
	leave := run(t, config, namespace, failing)
	<-k.begins
	<-k.begins
	leave()
}
