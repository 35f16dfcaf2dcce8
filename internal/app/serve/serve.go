package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config says where and how to listen. Only Addr and Handler are needed.
type Config struct {
	// Addr is host:port; an empty host is all addresses, port 0 a free one.
	Addr string

	// CertFile and KeyFile are PEM files, both or neither. With them only
	// TLS 1.3 is spoken, and HTTP/2 to clients that offer it. They may be
	// replaced at any time: new handshakes use the new pair within a second.
	CertFile, KeyFile string

	// TLS has the certificates where somebody else keeps them, in place of
	// files.
	TLS *tls.Config

	Handler http.Handler

	// Logger is told of certificates, panics and what net/http says. Nil is
	// silence.
	Logger *slog.Logger

	// ReadHeaderTimeout bounds the TLS handshake and the headers, 0 is 5 s.
	ReadHeaderTimeout time.Duration

	// ReadTimeout bounds headers and body together, 0 is 30 s. It does not
	// bound what a handler does after it has read the body.
	ReadTimeout time.Duration

	// WriteTimeout bounds a response from the end of the headers on, 0 is
	// 60 s. A handler that streams moves it along with SetWriteDeadline of
	// http.ResponseController before each write.
	WriteTimeout time.Duration

	// Grace is how long Run waits for requests that are under way when it
	// shall end, 0 is 25 s: below the 30 s after which Kubernetes kills.
	Grace time.Duration
}

const (
	idleTimeout    = 120 * time.Second
	maxHeaderBytes = 16 << 10 // net/http reads 4 KiB more before it answers 431
)

// Server is a listener that is open and a server that Run starts on it.
type Server struct {
	http     *http.Server
	listener net.Listener
	grace    time.Duration
	log      *slog.Logger
}

// Listen opens the listener, so that a wrong address or certificate is an
// error at the start. Connections wait for Run; without it, Close.
func Listen(cfg Config) (*Server, error) {
	if cfg.Handler == nil {
		// net/http would serve its global mux, where pprof may be.
		return nil, errors.New("serve: Handler is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	tlsConfig, err := newTLS(cfg)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	return &Server{
		http:     newHTTP(cfg, tlsConfig),
		listener: listener,
		grace:    cmp.Or(cfg.Grace, 25*time.Second),
		log:      cfg.Logger,
	}, nil
}

func newHTTP(cfg Config, tlsConfig *tls.Config) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(tlsConfig != nil)
	return &http.Server{
		Handler:           aborting(cfg.Handler, cfg.Logger),
		TLSConfig:         tlsConfig,
		Protocols:         &protocols,
		ReadHeaderTimeout: cmp.Or(cfg.ReadHeaderTimeout, 5*time.Second),
		ReadTimeout:       cmp.Or(cfg.ReadTimeout, 30*time.Second),
		WriteTimeout:      cmp.Or(cfg.WriteTimeout, 60*time.Second),
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          newErrorLog(cfg.Logger),
	}
}

// newTLS is nil for plain HTTP.
func newTLS(cfg Config) (*tls.Config, error) {
	switch {
	case cfg.TLS != nil && (cfg.CertFile != "" || cfg.KeyFile != ""):
		return nil, errors.New("serve: TLS and certificate files are given: one of them is too much")
	case cfg.TLS != nil:
		return cfg.TLS, nil
	case cfg.CertFile == "" && cfg.KeyFile == "":
		return nil, nil
	case cfg.CertFile == "" || cfg.KeyFile == "":
		return nil, errors.New("TLS needs a certificate file and a key file: one of them is missing")
	}
	pair, err := openPair(cfg.CertFile, cfg.KeyFile, cfg.Logger)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.current(), nil },
	}, nil
}

// Addr is the address that the server listens on, with the real port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends the listener and all connections at once.
func (s *Server) Close() error {
	return errors.Join(s.http.Close(), ignoreClosed(s.listener.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Run serves until ctx is done, then drains: it stops accepting, lets requests
// under way finish, and after the grace cuts the rest off. It returns nil
// after a drain, and an error if serving ended for another reason. Shutdown
// does not tell handlers: one that streams without end must watch ctx itself,
// or each drain takes the whole grace.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("serve %s: %w", s.Addr(), err), s.Close())
	case <-ctx.Done():
	}
	s.drain(context.WithoutCancel(ctx))
	<-served
	return nil
}

func (s *Server) serve() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

func (s *Server) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.grace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("drain ended with requests under way", "addr", s.Addr().String(), "grace", s.grace.String(), "err", err)
		s.http.Close()
	}
}
