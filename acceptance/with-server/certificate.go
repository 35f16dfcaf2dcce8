package main

import (
	"errors"
	"os"

	"github.com/hanzoai/kms/internal/pki"
)

// host is the name that the standard's snippets call.
const host = "kms.hanzo.ai"

// writeCertificate makes a certificate that vouches for itself.
func writeCertificate(certFile, keyFile string) error {
	pair, err := pki.SelfSigned(0, host, "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(certFile, pair.Certificate, 0o600), os.WriteFile(keyFile, pair.Key, 0o600))
}
