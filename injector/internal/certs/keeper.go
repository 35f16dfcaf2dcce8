package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// owner is who changes fields, as managedFields say it.
const owner = client.FieldOwner("kms-injector")

// Leaf is a certificate to serve by.
type Leaf struct {
	// Name is for TLS, for metrics, and for the keys of the Secret.
	Name string

	// DNSName is what its clients call the server.
	DNSName string

	// Directory holds tls.crt, tls.key and perhaps ca.crt, by somebody else.
	// Without it the leaf is our own, in the Secret.
	Directory string

	// Webhooks: API servers are the clients, and know it by the caBundles.
	Webhooks bool
}

// Config says what to keep.
type Config struct {
	// Namespace and Secret are where own certificates are.
	Namespace, Secret string

	// Webhooks is the name of the MutatingWebhookConfiguration and of the
	// ValidatingWebhookConfiguration.
	Webhooks string

	Leaves []Leaf
	Log    *slog.Logger

	// Now is the clock of certificates, nil for that of the machine.
	Now func() time.Time
}

// Keeper keeps certificates. Every replica starts it; the leader also starts
// its Rotator.
type Keeper struct {
	config   Config
	client   client.Client
	watches  cache.Cache
	view     atomic.Pointer[view]
	wakeRead wake
	wakeLead wake
	metrics  metrics
}

// view is how things were when they were last read.
type view struct {
	leaves   map[string]standing
	webhooks []trust
}

// New makes a Keeper, and asks the cluster for nothing yet.
func New(cluster *rest.Config, config Config) (*Keeper, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	k := &Keeper{config: config, wakeRead: newWake(), wakeLead: newWake(), metrics: newMetrics()}
	k.view.Store(&view{})
	if err := k.connect(cluster); err != nil {
		return nil, fmt.Errorf("keep certificates: %w", err)
	}
	return k, nil
}

func (c Config) validate() (err error) {
	names := map[string]bool{}
	for _, leaf := range c.Leaves {
		if leaf.Name == "" || leaf.DNSName == "" || leaf.Name == "ca" || names[leaf.Name] {
			err = errors.Join(err, fmt.Errorf("certs: the leaf %q wants a name of its own, which is not ca, and a DNS name", leaf.Name))
		}
		names[leaf.Name] = true
		if leaf.Directory == "" && (c.Namespace == "" || c.Secret == "") {
			err = errors.Join(err, fmt.Errorf("certs: the leaf %s wants a namespace and a Secret to be kept in", leaf.Name))
		}
		if leaf.Webhooks && c.Webhooks == "" {
			err = errors.Join(err, fmt.Errorf("certs: the leaf %s wants the name of the webhook configurations", leaf.Name))
		}
	}
	return err
}

// own are the leaves in the Secret.
func (c Config) own() (own []Leaf) {
	for _, leaf := range c.Leaves {
		if leaf.Directory == "" {
			own = append(own, leaf)
		}
	}
	return own
}

// forWebhooks tells whether API servers know any of the leaves.
func forWebhooks(leaves []Leaf) bool {
	return slices.ContainsFunc(leaves, func(l Leaf) bool { return l.Webhooks })
}

// TLS is for a server that serves by the named leaf, whichever is current at
// each handshake.
func (k *Keeper) TLS(name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if served := k.standing(name).served; served != nil {
				return served, nil
			}
			return nil, fmt.Errorf("there is no certificate %s yet", name)
		},
	}
}

// CA is the authorities by which to know the named leaf, as PEM: those that
// are valid now, the one that signs first. It is empty until there are any.
func (k *Keeper) CA(name string) []byte { return k.standing(name).authorities }

// Ready says why API servers would refuse what is served to them. Other leaves
// do not count: no pod waits for them.
func (k *Keeper) Ready() (err error) {
	for _, leaf := range k.config.Leaves {
		if !leaf.Webhooks {
			continue
		}
		if wrong := k.ready(leaf); wrong != nil {
			err = errors.Join(err, fmt.Errorf("certificate of %s: %w", leaf.DNSName, wrong))
		}
	}
	return err
}

func (k *Keeper) ready(leaf Leaf) error {
	v := k.view.Load()
	s := v.leaves[leaf.Name]
	switch {
	case s.served != nil:
		return leaf.trusted(s.served, s.authorities, v.webhooks, k.config.Now())
	case s.problem != nil:
		return s.problem
	case leaf.Directory != "":
		return fmt.Errorf("%s has not been read yet", leaf.Directory)
	}
	return fmt.Errorf("there is none yet: the leader makes it, in the Secret %s/%s", k.config.Namespace, k.config.Secret)
}

func (k *Keeper) standing(name string) standing { return k.view.Load().leaves[name] }
