package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NeedLeaderElection is for a manager: every replica serves.
func (k *Keeper) NeedLeaderElection() bool { return false }

// Start reads the certificates and follows them until ctx ends. It is for a
// manager, and goes before the servers.
func (k *Keeper) Start(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts.Go(func() { k.watchDirectories(ctx) })
	parts.Go(func() { repeat(ctx, k.wakeRead, k.config.Log, "reading certificates", k.read) })
	if err := k.watches.Start(ctx); err != nil {
		return fmt.Errorf("watch certificates: %w", err)
	}
	<-ctx.Done()
	return nil
}

// read takes up what is new. What cannot be read stays as it was.
func (k *Keeper) read(ctx context.Context) (next time.Duration, err error) {
	now, before := k.config.Now(), k.view.Load()
	after := view{leaves: map[string]standing{}}
	after.webhooks, err = k.readWebhooks(ctx, before.webhooks)
	offers, wrong := k.offers(ctx, now)
	next = reread
	for _, leaf := range k.config.Leaves {
		s := before.leaves[leaf.Name]
		if o, is := offers[leaf.Name]; is {
			s = k.advance(leaf, s, o, after.webhooks, now)
		}
		after.leaves[leaf.Name] = s
		if s.awaited != nil {
			next = min(next, settle-now.Sub(s.since))
		}
	}
	k.view.Store(&after)
	if err = errors.Join(err, wrong); err != nil {
		k.metrics.failures.Inc()
	}
	return next, err
}

func (k *Keeper) advance(leaf Leaf, s standing, o offer, webhooks []trust, now time.Time) standing {
	after := s.advance(o, func(c *tls.Certificate) error { return leaf.trusted(c, o.authorities, webhooks, now) }, now)
	if !same(s.served, after.served) && after.served != nil {
		k.config.Log.Info("certificate is served", "name", leaf.Name, "notAfter", after.served.Leaf.NotAfter)
	}
	return after
}

func (k *Keeper) readWebhooks(ctx context.Context, before []trust) ([]trust, error) {
	if !forWebhooks(k.config.Leaves) {
		return nil, nil
	}
	found, err := readConfigurations(ctx, k.client, k.config.Webhooks)
	if err != nil {
		return before, err
	}
	return found.trusts(), nil
}

// offers are the leaves of sources that can be read, by name.
func (k *Keeper) offers(ctx context.Context, now time.Time) (offers map[string]offer, err error) {
	offers = map[string]offer{}
	if own := k.config.own(); len(own) > 0 {
		err = k.offerOwn(ctx, own, offers, now)
	}
	for _, leaf := range k.config.Leaves {
		if leaf.Directory == "" {
			continue
		}
		o := readDirectory(leaf.Directory)
		offers[leaf.Name] = o
		err = errors.Join(err, o.problem)
	}
	return offers, err
}

func (k *Keeper) offerOwn(ctx context.Context, own []Leaf, offers map[string]offer, now time.Time) error {
	secret, err := k.readSecret(ctx)
	if err != nil {
		return err
	}
	has, err := readSecret(secret.Data, own)
	if err != nil {
		err = fmt.Errorf("the Secret %s/%s: %w", k.config.Namespace, k.config.Secret, err)
	}
	bundle := encodeBundle(trustedStill(has.authorities, now))
	for _, leaf := range own {
		offers[leaf.Name] = offer{has.leaves[leaf.Name], bundle, err}
	}
	return err
}

// readSecret is one without a version where there is none.
func (k *Keeper) readSecret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.config.Namespace, Name: k.config.Secret}}
	err := k.client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the Secret %s/%s: %w", k.config.Namespace, k.config.Secret, err)
	}
	return secret, nil
}

// readDirectory may meet files of two generations. Then an event comes after
// it, and they are read again.
func readDirectory(dir string) (o offer) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return offer{problem: fmt.Errorf("read the certificate in %s: %w", dir, err)}
	}
	o.certificate = &pair
	o.authorities, err = os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return offer{problem: fmt.Errorf("read the authorities in %s: %w", dir, err)}
	}
	return o
}
