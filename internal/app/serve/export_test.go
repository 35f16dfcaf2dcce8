package serve

import (
	"crypto/tls"
	"io"
	"log/slog"
)

// OpenPair lets tests follow a pair over fake time, which sockets cannot.
func OpenPair(certFile, keyFile string, log io.Writer) (current func() *tls.Certificate, err error) {
	p, err := openPair(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		return nil, err
	}
	return p.current, nil
}
