package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
)

// certificates are those of the listeners.
type certificates struct {
	tls   func(name string) *tls.Config
	ready func() error
}

func openCertificates(c serveConfig) (*certificates, error) {
	if c.certificateDir == "" {
		return nil, errors.New("-certificate-dir: is missing")
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(filepath.Join(c.certificateDir, "tls.crt"), filepath.Join(c.certificateDir, "tls.key"))
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("-certificate-dir: %w", err)
	}
	return &certificates{
		tls: func(string) *tls.Config {
			return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() }}
		},
		ready: func() error {
			_, err := load()
			return err
		},
	}, nil
}
