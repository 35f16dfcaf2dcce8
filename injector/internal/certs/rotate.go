package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Rotator makes and renews the own certificates and keeps the caBundles. A
// manager starts it in the replica that leads. Two that both believe they do
// agree all the same: the API server takes the change of one of them.
func (k *Keeper) Rotator() manager.Runnable { return rotator{k} }

type rotator struct{ *Keeper }

// NeedLeaderElection is for a manager: one replica rotates.
func (r rotator) NeedLeaderElection() bool { return true }

// Start works until ctx ends.
func (r rotator) Start(ctx context.Context) error {
	if len(r.config.own()) > 0 {
		repeat(ctx, r.wakeLead, r.config.Log, "rotating certificates", r.rotate)
	}
	<-ctx.Done()
	return nil
}

// rotate makes the Secret and then the caBundles what they should be. A
// conflict is no error: another was faster, and what it did is looked at.
func (r rotator) rotate(ctx context.Context) (next time.Duration, err error) {
	next, err = r.mend(ctx)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return 0, nil
	}
	return next, err
}

func (r rotator) mend(ctx context.Context) (next time.Duration, err error) {
	own, now := r.config.own(), r.config.Now()
	var webhooks configurations
	if forWebhooks(own) {
		if webhooks, err = readConfigurations(ctx, r.client, r.config.Webhooks); err != nil {
			return 0, err
		}
	}
	secret, err := r.readSecret(ctx)
	if err != nil {
		return 0, err
	}
	has, _ := readSecret(secret.Data, own) // what is broken is made anew
	c := plan(own, has, webhooks.authorities(), now)
	if c.needed() {
		if err := r.change(ctx, c, own, has, secret, now); err != nil {
			return 0, err
		}
		has, _ = readSecret(secret.Data, own)
		c = plan(own, has, nil, now)
	}
	return c.due.Sub(now), r.writeBundles(ctx, webhooks, has.authorities)
}

// change writes the Secret on the condition that it is still the one that was
// read.
func (r rotator) change(ctx context.Context, c change, own []Leaf, has stored, secret *corev1.Secret, now time.Time) (err error) {
	if secret.Data, err = c.apply(own, has, secret.Data, now); err != nil {
		return err
	}
	if secret.ResourceVersion == "" {
		err = r.client.Create(ctx, secret, owner)
	} else {
		err = r.client.Update(ctx, secret, owner)
	}
	if err != nil {
		return fmt.Errorf("write the Secret %s/%s: %w", r.config.Namespace, r.config.Secret, err)
	}
	r.tell(c, len(has.authorities))
	return nil
}

func (r rotator) tell(c change, before int) {
	if c.authority != "" {
		r.metrics.rotations.WithLabelValues(ofAuthority).Inc()
		r.config.Log.Info("certificate authority is new", "reason", c.authority, "old", len(c.old))
	}
	if c.pruned {
		r.config.Log.Info("old certificate authorities are gone", "count", before-1-len(c.old))
	}
	for name, why := range c.issue {
		r.metrics.rotations.WithLabelValues(ofLeaf).Inc()
		r.config.Log.Info("certificate is new", "name", name, "reason", why)
	}
}

func (r rotator) writeBundles(ctx context.Context, webhooks configurations, trusted []*x509.Certificate) error {
	changed, err := webhooks.write(ctx, r.client, encodeBundle(trusted))
	if changed > 0 {
		r.config.Log.Info("webhooks have the certificate authorities", "count", changed)
	}
	return err
}
