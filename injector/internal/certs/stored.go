package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// The keys of the Secret. A leaf has NAME.crt and NAME.key.
const (
	bundleKey    = "ca.crt" // authorities, the one that signs first
	authorityKey = "ca.key"
)

// stored is what a Secret holds that is of use: what is missing or broken in
// it is missing here.
type stored struct {
	authorities []*x509.Certificate // the one that signs first
	key         crypto.Signer       // of that one
	leaves      map[string]*tls.Certificate
}

// readSecret also says what is broken. To be missing is no error: somebody has
// to be the first.
func readSecret(data map[string][]byte, leaves []Leaf) (s stored, err error) {
	s.leaves = map[string]*tls.Certificate{}
	s.authorities = parseBundle(data[bundleKey])
	if len(s.authorities) > 0 {
		s.key = parseKey(data[authorityKey], s.authorities[0])
	}
	for _, leaf := range leaves {
		certificate, key := data[leaf.Name+".crt"], data[leaf.Name+".key"]
		if certificate == nil && key == nil {
			continue
		}
		pair, wrong := tls.X509KeyPair(certificate, key)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("read %s.crt and %s.key: %w", leaf.Name, leaf.Name, wrong))
			continue
		}
		s.leaves[leaf.Name] = &pair
	}
	return s, err
}

// parseBundle passes over what is no authority.
func parseBundle(bundle []byte) (authorities []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return authorities
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" && c.IsCA {
			authorities = append(authorities, c)
		}
	}
}

// parseKey is nil for a key that is not the certificate's.
func parseKey(text []byte, of *x509.Certificate) crypto.Signer {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil
	}
	key, is := parsed.(crypto.Signer)
	if !is {
		return nil
	}
	if public, is := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !is || !public.Equal(of.PublicKey) {
		return nil
	}
	return key
}

func same(a, b *tls.Certificate) bool {
	return a != nil && b != nil && bytes.Equal(a.Leaf.Raw, b.Leaf.Raw)
}
