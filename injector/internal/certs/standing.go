package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// settle is how long API servers have to hear of a new authority. One of
// several may do so a little later than the one we asked.
const settle = 10 * time.Second

// offer is what the source of a leaf holds: the Secret or a directory.
type offer struct {
	certificate *tls.Certificate // nil if there is none that can be read
	authorities []byte           // that sign it, as PEM
	problem     error            // why there is no certificate, if it is no matter of waiting
}

// standing is how a replica stands with one leaf. It is never changed, only
// followed by another.
type standing struct {
	offer   // the last one
	served  *tls.Certificate
	awaited *tls.Certificate // is served when it has been trusted for a while
	since   time.Time
}

// advance takes up an offer as far as that breaks no connection: for as long
// as what is served is trusted, the next leaf has to be too, and for a while.
func (s standing) advance(o offer, trusted func(*tls.Certificate) error, now time.Time) standing {
	if len(o.authorities) == 0 {
		o.authorities = s.authorities
	}
	s.offer = o
	switch next := o.certificate; {
	case next == nil || same(next, s.served):
		s.awaited = nil
	case s.served == nil || trusted(s.served) != nil:
		s.served, s.awaited = next, nil
	case trusted(next) != nil:
		s.awaited = nil
	case !same(next, s.awaited) || now.Before(s.since):
		s.awaited, s.since = next, now
	case now.Sub(s.since) >= settle:
		s.served, s.awaited = next, nil
	}
	return s
}

// trusted says why a client would refuse a certificate of the leaf.
func (l Leaf) trusted(c *tls.Certificate, authorities []byte, webhooks []trust, now time.Time) error {
	if !l.Webhooks {
		return l.verify(c, authorities, now)
	}
	for _, w := range webhooks {
		if l.Directory != "" && len(w.bundle) == 0 {
			continue // whoever runs the API server has it know the authority
		}
		if err := l.verifyBy(c, w.roots, now); err != nil {
			return fmt.Errorf("by the caBundle of the webhook %s, API servers refuse the certificate: %w", w.webhook, err)
		}
	}
	if l.Directory != "" {
		return l.verify(c, nil, now)
	}
	if len(webhooks) == 0 {
		return errors.New("there is no webhook yet: the chart makes the webhook configurations")
	}
	return nil
}

// verify uses authorities if there are any; the certificate's name and time
// count without.
func (l Leaf) verify(c *tls.Certificate, authorities []byte, now time.Time) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		roots.AddCert(c.Leaf)
	}
	return l.verifyBy(c, roots, now)
}

func (l Leaf) verifyBy(c *tls.Certificate, roots *x509.CertPool, now time.Time) error {
	options := x509.VerifyOptions{DNSName: l.DNSName, Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, der := range c.Certificate[1:] {
		if intermediate, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(intermediate)
		}
	}
	_, err := c.Leaf.Verify(options)
	return err
}
