package certs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/certs"
)

const service = "https://kms-injector.kms.svc/pods"

func TestTheFirstStartNeedsNothingByHand(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	replica := c.start(true, both...)
	until(t, "ready", replica.Ready)
	if _, err := c.connect(replica.address, webhooks.DNSName); err != nil {
		t.Error(err)
	}
	data := c.read()
	for _, key := range []string{"ca.crt", "ca.key", "webhooks.crt", "webhooks.key", "reports.crt", "reports.key"} {
		if len(data[key]) == 0 {
			t.Errorf("the Secret has no %s", key)
		}
	}
	if got := string(replica.CA("reports")); got != string(data["ca.crt"]) {
		t.Errorf("CA is %s, want what the Secret has", got)
	}
	want := float64(parse(t, data["webhooks.crt"])[0].NotAfter.Unix())
	if got := metric(t, replica.Keeper, "kms_injector_certificate_expiry_seconds", "webhooks"); got != want {
		t.Errorf("expiry is %v, want %v", got, want)
	}
}

func TestReplicasThatAllBelieveTheyLeadMakeOneAuthority(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	var replicas []replica
	for range 4 {
		replicas = append(replicas, c.start(true, webhooks))
	}
	made := 0.0
	for _, r := range replicas {
		until(t, "ready", r.Ready)
		made += metric(t, r.Keeper, "kms_injector_certificate_rotations_total", "authority")
	}
	if made != 1 {
		t.Errorf("%v authorities were made", made)
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	c := newCluster(t)
	follower := c.start(false, webhooks)
	wants := func(what string) {
		t.Helper()
		until(t, "the reason", func() error {
			if err := follower.Ready(); err == nil || !strings.Contains(err.Error(), what) {
				return fmt.Errorf("got %v, want %q", err, what)
			}
			return nil
		})
	}
	wants("the leader makes it, in the Secret " + c.name + "/" + secretName)
	broken := secret{"webhooks.crt": []byte("c4nary"), "webhooks.key": []byte("c4nary")}
	s := c.secret()
	s.Data = broken
	c.must(c.Create(t.Context(), s))
	wants("read webhooks.crt and webhooks.key")
	if strings.Contains(follower.Ready().Error(), "c4nary") {
		t.Errorf("the Secret's content is in the error: %v", follower.Ready())
	}
	fresh := secret(nil).next(t, []certs.Leaf{webhooks}, c.clock.now())
	c.update(fresh)
	wants("there is no webhook yet")
	c.install(service)
	wants("the caBundle of the webhook one.kms.hanzo.ai of the MutatingWebhookConfiguration " + c.name)
	wants("API servers refuse the certificate: x509: certificate signed by unknown authority")
	c.run(c.newKeeper(webhooks).Rotator().Start)
	until(t, "ready", follower.Ready)
	c.clock.advance(61 * day)
	wants("expired")
}

func TestWhateverSomebodyDoesIsUndone(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	leader, follower := c.start(true, both...), c.start(false, both...)
	for _, test := range []struct {
		name string
		does func()
	}{
		{"wipes a caBundle", func() { c.setBundle(nil) }},
		{"puts garbage into a caBundle", func() { c.setBundle([]byte("garbage")) }},
		{"puts another authority into a caBundle", func() { c.setBundle(secret(nil).next(t, both, c.clock.now())["ca.crt"]) }},
		{"deletes the Secret", func() { c.must(c.Delete(t.Context(), c.secret())) }},
		{"empties the Secret", func() { c.update(secret{}) }},
		{"puts garbage into the authority", func() { c.update(c.read().with("ca.crt", []byte("garbage"))) }},
		{"puts garbage into a leaf", func() { c.update(c.read().with("webhooks.crt", []byte("garbage"))) }},
		{"restores an old Secret", func() { c.update(secret(nil).next(t, both, c.clock.now().Add(-100*day))) }},
		{"deletes the webhooks and installs them again", func() {
			for _, o := range c.configurations() {
				c.must(c.Delete(t.Context(), o))
			}
			c.install(service)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			until(t, "ready", leader.Ready)
			until(t, "ready", follower.Ready)
			test.does()
			until(t, "all is well", func() error { return c.wrong(leader, follower) })
		})
	}
}

// wrong says what is not as it should be, in the cluster and at replicas.
func (c *cluster) wrong(replicas ...replica) error {
	s := c.secret()
	if err := c.Get(c.Context(), client.ObjectKeyFromObject(s), s); err != nil {
		return err
	}
	if why, _, _, _ := certs.Plan(both, s.Data, nil, c.clock.now()); why != nil {
		return fmt.Errorf("the Secret has to be changed: %v", why)
	}
	for i, bundle := range c.bundles() {
		if bundle != string(s.Data["ca.crt"]) {
			return fmt.Errorf("caBundle %d is another than the Secret's", i)
		}
	}
	for _, r := range replicas {
		if err := r.Ready(); err != nil {
			return err
		}
		if _, err := c.connect(r.address, webhooks.DNSName); err != nil {
			return err
		}
	}
	return nil
}

func TestARenamedServiceGetsALeafOfItsName(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	before := c.newKeeper(webhooks)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- before.Rotator().Start(ctx) }()
	until(t, "the Secret", func() error { return c.Get(t.Context(), client.ObjectKeyFromObject(c.secret()), c.secret()) })
	cancel()
	<-ended
	renamed := certs.Leaf{Name: "webhooks", DNSName: "secrets.kms.svc", Webhooks: true}
	replica := c.start(true, renamed)
	until(t, "ready", replica.Ready)
	if _, err := c.connect(replica.address, renamed.DNSName); err != nil {
		t.Error(err)
	}
}

func TestAFollowerKeepsWhatItHasWhenTheSecretIsGarbage(t *testing.T) {
	c := newCluster(t)
	c.install(service)
	s := c.secret()
	s.Data = secret(nil).next(t, both, c.clock.now())
	c.must(c.Create(t.Context(), s))
	c.trust(s.Data["ca.crt"])
	follower := c.start(false, both...)
	until(t, "ready", follower.Ready)
	if failures := metric(t, follower.Keeper, "kms_injector_certificate_reload_failures_total", ""); failures != 0 {
		t.Fatalf("%v failures before there was one", failures)
	}
	c.update(secret{"webhooks.crt": []byte("garbage"), "ca.crt": []byte("garbage")})
	until(t, "a failure", func() error {
		if metric(t, follower.Keeper, "kms_injector_certificate_reload_failures_total", "") == 0 {
			return errors.New("none is counted")
		}
		return nil
	})
	if err := follower.Ready(); err != nil {
		t.Error(err)
	}
	if _, err := c.connect(follower.address, webhooks.DNSName); err != nil {
		t.Error(err)
	}
	if len(follower.CA("reports")) == 0 {
		t.Error("the authorities are forgotten")
	}
}
