package certs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	admission "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/certs"
)

// TestNoConnectionFailsWhileCertificatesAreRotated also has a follower, that
// is told by nobody but the cluster.
func TestNoConnectionFailsWhileCertificatesAreRotated(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	leaves := []certs.Leaf{webhooks}
	old := secret(nil).next(t, leaves, c.clock.now().Add(-3650*day/3*2+50*day))
	s := c.secret()
	s.Data = old.next(t, leaves, c.clock.now())
	c.must(c.Create(t.Context(), s))
	leader, follower := c.start(true, leaves...), c.start(false, leaves...)
	until(t, "ready", leader.Ready)
	until(t, "ready", follower.Ready)
	clients := c.keepConnecting(leader.address, follower.address)

	c.rotate("leaf", 41*day, clients)
	if got := len(parse(t, c.read()["ca.crt"])); got != 1 {
		t.Errorf("a new leaf made it %d authorities", got)
	}
	c.rotate("authority and leaf", 20*day, clients)
	if got := len(parse(t, c.read()["ca.crt"])); got != 2 {
		t.Errorf("in the overlap there are %d authorities, want 2", got)
	}
	c.clock.advance(certs.Overlap)
	until(t, "the old authority goes", func() error {
		c.touch()
		for _, bundle := range c.bundles() {
			if n := len(parse(t, []byte(bundle))); n != 1 {
				return fmt.Errorf("there are %d", n)
			}
		}
		return nil
	})
	clients.goOn(t)
	clients.stop()
}

// rotate waits until the time has come and replicas serve by another leaf.
func (c *cluster) rotate(what string, in time.Duration, clients *clients) {
	c.Helper()
	before := c.read()
	c.clock.advance(in)
	until(c.T, what, func() error {
		c.touch()
		if string(c.read()["webhooks.crt"]) == string(before["webhooks.crt"]) {
			return errors.New("is the old one")
		}
		for _, bundle := range c.bundles() {
			if bundle != string(c.read()["ca.crt"]) {
				return errors.New("is not in the caBundle")
			}
		}
		return nil
	})
	clients.goOn(c.T) // they have all heard of a new authority
	serial := parse(c.T, c.read()["webhooks.crt"])[0].SerialNumber.String()
	until(c.T, what, func() error {
		c.clock.advance(certs.Settle)
		c.touch()
		return clients.see(serial)
	})
	clients.goOn(c.T)
}

// clients connect to replicas again and again, by the live caBundles.
type clients struct {
	stop    func()
	mu      sync.Mutex
	rounds  int
	serials []string // of the last round
}

func (c *cluster) keepConnecting(addresses ...string) *clients {
	all := &clients{}
	done := make(chan struct{})
	var running sync.WaitGroup
	all.stop = sync.OnceFunc(func() { close(done); running.Wait() })
	c.Cleanup(all.stop)
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				c.round(all, addresses)
			}
		}
	})
	return all
}

func (c *cluster) round(all *clients, addresses []string) {
	var serials []string
	for _, address := range addresses {
		serial, err := c.connect(address, webhooks.DNSName)
		if err != nil {
			c.Errorf("a connection failed: %v", err)
		}
		serials = append(serials, serial)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.rounds, all.serials = all.rounds+1, serials
}

// goOn waits for two rounds: the second begins later than now.
func (a *clients) goOn(t *testing.T) {
	t.Helper()
	rounds := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.rounds
	}
	until(t, "clients go on", func(start int) func() error {
		return func() error {
			if rounds() < start+2 {
				return errors.New("they do not")
			}
			return nil
		}
	}(rounds()))
}

func (a *clients) see(serial string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.serials {
		if s != serial {
			return fmt.Errorf("got leaf %s, want %s", s, serial)
		}
	}
	return nil
}

// TestTheAPIServerIsServedWhileTheSecretIsDeleted has the API server itself
// ask, under failurePolicy Fail.
func TestTheAPIServerIsServedWhileTheSecretIsDeleted(t *testing.T) {
	c := newCluster(t)
	leaf := certs.Leaf{Name: "webhooks", DNSName: "localhost", Webhooks: true}
	replica := c.start(true, leaf)
	_, port, _ := net.SplitHostPort(replica.address)
	c.install("https://localhost:" + port + "/")
	until(t, "ready", replica.Ready)
	create := func() error {
		return c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-", Namespace: c.name}})
	}
	until(t, "the API server has heard of the authority", create)
	served, _ := c.connect(replica.address, leaf.DNSName)
	c.must(c.Delete(t.Context(), c.secret()))
	until(t, "the Secret is back and trusted", func() error {
		c.must(create())
		s := c.secret()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
			return err
		}
		if c.bundles()[2] != string(s.Data["ca.crt"]) {
			return errors.New("it is not trusted")
		}
		return nil
	})
	for range 10 {
		c.must(create())
	}
	until(t, "another leaf is served", func() error {
		c.clock.advance(certs.Settle)
		c.touch()
		c.must(create())
		if now, err := c.connect(replica.address, leaf.DNSName); err != nil || now == served {
			return fmt.Errorf("it is the old one, %v", err)
		}
		return nil
	})
	c.must(create())
}

// allow is a webhook.
func allow(w http.ResponseWriter, r *http.Request) {
	var review admission.AdmissionReview
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &review) != nil || review.Request == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	review.Response = &admission.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(review)
}
