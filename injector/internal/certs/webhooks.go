package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// configurations are the MutatingWebhookConfiguration and the
// ValidatingWebhookConfiguration of one name, those of them that exist.
type configurations []client.Object

func readConfigurations(ctx context.Context, from client.Reader, name string) (found configurations, err error) {
	for _, o := range []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
		err := from.Get(ctx, types.NamespacedName{Name: name}, o)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the %s %s: %w", kind(o), name, err)
		}
		found = append(found, o)
	}
	return found, nil
}

// trust is one webhook, and what API servers know its server by.
type trust struct {
	webhook string
	bundle  []byte
	roots   *x509.CertPool
}

func (all configurations) trusts() (trusts []trust) {
	for _, o := range all {
		each(o, func(name string, c *admissionv1.WebhookClientConfig) {
			t := trust{fmt.Sprintf("%s of the %s %s", name, kind(o), o.GetName()), c.CABundle, x509.NewCertPool()}
			t.roots.AppendCertsFromPEM(c.CABundle)
			trusts = append(trusts, t)
		})
	}
	return trusts
}

func kind(o client.Object) string {
	if _, is := o.(*admissionv1.MutatingWebhookConfiguration); is {
		return "MutatingWebhookConfiguration"
	}
	return "ValidatingWebhookConfiguration"
}

// each visits the webhooks of a configuration.
func each(o client.Object, visit func(name string, c *admissionv1.WebhookClientConfig)) {
	switch o := o.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		for i := range o.Webhooks {
			visit(o.Webhooks[i].Name, &o.Webhooks[i].ClientConfig)
		}
	case *admissionv1.ValidatingWebhookConfiguration:
		for i := range o.Webhooks {
			visit(o.Webhooks[i].Name, &o.Webhooks[i].ClientConfig)
		}
	}
}

// authorities are those that any webhook is trusted by.
func (all configurations) authorities() (found []*x509.Certificate) {
	for _, t := range all.trusts() {
		found = append(found, parseBundle(t.bundle)...)
	}
	return found
}

// write puts the bundle into every webhook, and says how many were changed.
// The patch names nothing else, and is refused if somebody else was faster.
func (all configurations) write(ctx context.Context, to client.Client, bundle []byte) (changed int, err error) {
	for _, o := range all {
		before := o.DeepCopyObject().(client.Object)
		different := 0
		each(o, func(_ string, c *admissionv1.WebhookClientConfig) {
			if !bytes.Equal(c.CABundle, bundle) {
				c.CABundle = bundle
				different++
			}
		})
		if different == 0 {
			continue
		}
		patch := client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
		if wrong := to.Patch(ctx, o, patch, owner); wrong != nil {
			err = errors.Join(err, fmt.Errorf("put the authorities into the %s %s: %w", kind(o), o.GetName(), wrong))
			continue
		}
		changed += different
	}
	return changed, err
}
