package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"
)

const (
	day = 24 * time.Hour

	authorityLife = 3650 * day
	leafLife      = 60 * day

	// backdated is how much older a certificate is than it says, for machines
	// whose clocks differ.
	backdated = time.Hour
)

// created is when a certificate of ours was made.
func created(c *x509.Certificate) time.Time { return c.NotBefore.Add(backdated) }

// due is when a certificate is renewed: two thirds into its time. What is left
// is for trouble to be noticed in.
func due(c *x509.Certificate) time.Time { return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2) }

// validAt also holds at the two moments themselves, as in RFC 5280.
func validAt(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// authority signs leaves.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// newAuthority makes one that can sign no further authorities.
func newAuthority(now time.Time) (a authority, err error) {
	template := newTemplate("kms-injector", now, authorityLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return a, fmt.Errorf("make a certificate authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return a, fmt.Errorf("make a certificate authority: %w", err)
	}
	a.certificate, err = x509.ParseCertificate(der)
	return a, err
}

// issue makes a leaf and its key, as PEM.
func (a authority) issue(leaf Leaf, now time.Time) (certificate, key []byte, err error) {
	template := newTemplate("kms-injector "+leaf.Name, now, leafLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{leaf.DNSName}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate for %s: %w", leaf.DNSName, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, signer.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate for %s: %w", leaf.DNSName, err)
	}
	key, err = encodeKey(signer)
	return encode("CERTIFICATE", der), key, err
}

// newTemplate leaves the serial number to x509.
func newTemplate(name string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdated),
		NotAfter:  now.Add(life),
	}
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return encode("PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeBundle(certificates []*x509.Certificate) (bundle []byte) {
	for _, c := range certificates {
		bundle = append(bundle, encode("CERTIFICATE", c.Raw)...)
	}
	return bundle
}
