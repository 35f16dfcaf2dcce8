// Package pki makes certificates for tests: those by which the parts of a
// cluster know each other, and such as vouch for themselves. They last a week:
// whatever a test starts lives shorter.
//
// It holds an authority's key in memory and must never write one anywhere: that
// is for the caller to do.
package pki

// SPDX-License-Identifier: Apache-2.0

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Pair is a certificate and its key, as PEM.
type Pair struct{ Certificate, Key []byte }

// Authority signs certificates.
type Authority struct {
	Pair

	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes an authority that is trusted for itself alone.
func NewAuthority(name string) (Authority, error) {
	template := newTemplate(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("make the authority %s: %w", name, err)
	}
	pair, certificate, err := sign(template, template, key, key)
	if err != nil {
		return Authority{}, fmt.Errorf("make the authority %s: %w", name, err)
	}
	return Authority{Pair: pair, certificate: certificate, key: key}, nil
}

// Issue makes a certificate for user, who is in group if that is given, and who
// serves under hosts, which are names and addresses.
func (a Authority) Issue(user, group string, hosts ...string) (Pair, error) {
	template := newTemplate(user)
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	serveAs(template, hosts)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("issue a certificate for %s: %w", user, err)
	}
	pair, _, err := sign(template, a.certificate, key, a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue a certificate for %s: %w", user, err)
	}
	return pair, nil
}

// SelfSigned makes a certificate that is its own authority, for hosts, which
// are names and addresses. A serial of 0 is a random one.
func SelfSigned(serial int64, hosts ...string) (Pair, error) {
	template := newTemplate("self-signed")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	if serial != 0 {
		template.SerialNumber = big.NewInt(serial)
	}
	serveAs(template, hosts)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	pair, _, err := sign(template, template, key, key)
	if err != nil {
		return Pair{}, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	return pair, nil
}

// TLS is the pair as a server or a client of crypto/tls takes it.
func (p Pair) TLS() (tls.Certificate, error) { return tls.X509KeyPair(p.Certificate, p.Key) }

// serveAs lets a certificate stand for hosts.
func serveAs(template *x509.Certificate, hosts []string) {
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
}

// newTemplate begins an hour ago, for clocks that differ. x509 chooses the
// serial number.
func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().AddDate(0, 0, 7),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

func sign(template, parent *x509.Certificate, key, by crypto.Signer) (Pair, *x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return Pair{}, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, nil, err
	}
	private, err := encodeKey(key)
	return Pair{Certificate: encode("CERTIFICATE", der), Key: private}, certificate, err
}

// encodeKey is the private key as PEM.
func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return encode("PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// NewKey makes a key pair that no certificate goes with, as tokens are signed
// by. The first result is the public key.
func NewKey() (public, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	private, err = encodeKey(key)
	return encode("PUBLIC KEY", der), private, err
}
