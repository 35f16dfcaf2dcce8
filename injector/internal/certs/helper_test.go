package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/certs"
	"github.com/hanzoai/kms/injector/internal/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// clock is the machine's, and goes ahead when a test says so.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// cluster is a namespace with an installation: webhook configurations of its
// name, and no Secret yet.
type cluster struct {
	*testing.T
	client.Client
	config *rest.Config // of an administrator
	keeper *rest.Config // of the injector, with the rights it needs and no others
	name   string       // of everything
	clock  clock
}

const secretName = "kms-injector-certificates"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{T: t, config: kubetest.Start(t)}
	var err error
	if c.Client, err = client.New(c.config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "certs-"}}
	c.must(c.Create(t.Context(), namespace))
	c.name = namespace.Name
	c.keeper = c.asInjector()
	return c
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// install makes webhooks for ConfigMaps of the namespace, at url.
func (c *cluster) install(url string) {
	c.Helper()
	meta := metav1.ObjectMeta{Name: c.name}
	mutating := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: meta}
	validating := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: meta}
	none, fail, patience := admissionv1.SideEffectClassNone, admissionv1.Fail, int32(5)
	to := admissionv1.WebhookClientConfig{URL: &url}
	in := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": c.name}}
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	for _, name := range []string{"one.kms.hanzo.ai", "two.kms.hanzo.ai"} {
		mutating.Webhooks = append(mutating.Webhooks, admissionv1.MutatingWebhook{Name: name, ClientConfig: to, Rules: rules, SideEffects: &none,
			FailurePolicy: &fail, TimeoutSeconds: &patience, AdmissionReviewVersions: []string{"v1"}, NamespaceSelector: in})
	}
	validating.Webhooks = []admissionv1.ValidatingWebhook{{Name: "three.kms.hanzo.ai", ClientConfig: to, Rules: rules, SideEffects: &none,
		FailurePolicy: &fail, TimeoutSeconds: &patience, AdmissionReviewVersions: []string{"v1"}, NamespaceSelector: in}}
	for _, o := range []client.Object{mutating, validating} {
		c.must(c.Create(c.Context(), o))
		c.Cleanup(func() { c.Delete(context.Background(), o) })
	}
}

// bundles are the live caBundles, in order.
func (c *cluster) bundles() (bundles []string) {
	c.Helper()
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	c.must(c.Get(c.Context(), client.ObjectKey{Name: c.name}, &mutating))
	c.must(c.Get(c.Context(), client.ObjectKey{Name: c.name}, &validating))
	for _, w := range mutating.Webhooks {
		bundles = append(bundles, string(w.ClientConfig.CABundle))
	}
	return append(bundles, string(validating.Webhooks[0].ClientConfig.CABundle))
}

// setBundle is somebody who meddles with the second webhook.
func (c *cluster) setBundle(bundle []byte) {
	c.Helper()
	var mutating admissionv1.MutatingWebhookConfiguration
	c.must(c.Get(c.Context(), client.ObjectKey{Name: c.name}, &mutating))
	before := mutating.DeepCopy()
	mutating.Webhooks[1].ClientConfig.CABundle = bundle
	c.must(c.Patch(c.Context(), &mutating, client.StrategicMergeFrom(before)))
}

func (c *cluster) secret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.name, Name: secretName}}
}

func (c *cluster) read() secret {
	c.Helper()
	s := c.secret()
	c.must(c.Get(c.Context(), client.ObjectKeyFromObject(s), s))
	return s.Data
}

func (c *cluster) update(data secret) {
	c.Helper()
	s := c.secret()
	s.Data = data
	c.must(c.Update(c.Context(), s))
}

// touch makes an event, so that what the clock has changed is looked at.
func (c *cluster) touch() {
	c.Helper()
	text := fmt.Appendf(nil, `{"metadata":{"labels":{"touched":"%d"}}}`, time.Now().UnixNano())
	c.must(c.Patch(c.Context(), c.secret(), client.RawPatch("application/merge-patch+json", text)))
}

// replica is a Keeper that runs and serves.
type replica struct {
	*certs.Keeper
	address string
}

func (c *cluster) newKeeper(leaves ...certs.Leaf) *certs.Keeper {
	c.Helper()
	k, err := certs.New(c.keeper, certs.Config{Namespace: c.name, Secret: secretName, Webhooks: c.name,
		Leaves: leaves, Now: c.clock.now, Log: slog.New(slog.NewTextHandler(c.Output(), nil))})
	c.must(err)
	return k
}

// start starts a replica that serves by the first of the leaves.
func (c *cluster) start(leads bool, leaves ...certs.Leaf) replica {
	c.Helper()
	k := c.newKeeper(leaves...)
	c.run(k.Start)
	if leads {
		c.run(k.Rotator().Start)
	}
	return replica{k, c.serve(k.TLS(leaves[0].Name))}
}

func (c *cluster) run(start func(context.Context) error) { run(c.T, start) }

func run(t *testing.T, start func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// serve answers reviews, one for each connection.
func (c *cluster) serve(config *tls.Config) (address string) {
	c.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	c.must(err)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	server := &http.Server{Handler: http.HandlerFunc(allow), TLSConfig: config, Protocols: &protocols,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	server.SetKeepAlivesEnabled(false)
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	c.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			c.Error(err)
		}
	})
	return listener.Addr().String()
}

// connect is a client that trusts the live caBundles alone. It gives the
// serial number of the leaf.
func (c *cluster) connect(address, name string) (serial string, err error) {
	for _, bundle := range c.bundles() {
		if serial, err = dial(address, name, []byte(bundle), c.clock.now); err != nil {
			return "", err
		}
	}
	return serial, nil
}

func dial(address, name string, bundle []byte, now func() time.Time) (serial string, err error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: name, Time: now})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

// until tries again until there is no error. The limit ends a test that would
// hang, before a Keeper reads everything again for no reason.
func until(t *testing.T, what string, try func() error) {
	t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// metric is the sum of a metric over its labels.
func metric(t *testing.T, k *certs.Keeper, name, label string) (sum float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(k)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == name && (label == "" || m.Label[0].GetValue() == label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// configurations are for a change of both.
func (c *cluster) configurations() []client.Object {
	meta := metav1.ObjectMeta{Name: c.name}
	return []client.Object{
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: meta},
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: meta},
	}
}

// trust puts a bundle into all webhooks, as a leader does.
func (c *cluster) trust(bundle []byte) {
	c.Helper()
	for _, o := range c.configurations() {
		c.must(c.Get(c.Context(), client.ObjectKeyFromObject(o), o))
		switch o := o.(type) {
		case *admissionv1.MutatingWebhookConfiguration:
			for i := range o.Webhooks {
				o.Webhooks[i].ClientConfig.CABundle = bundle
			}
		case *admissionv1.ValidatingWebhookConfiguration:
			o.Webhooks[0].ClientConfig.CABundle = bundle
		}
		c.must(c.Update(c.Context(), o))
	}
}
