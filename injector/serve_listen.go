package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// An API server waits 5 s for an answer: what takes longer is of no use.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 10 * time.Second
	maxHeaderBytes    = 16 << 10
)

// endpoint is a listener over TLS and what answers there.
type endpoint struct {
	server   *http.Server
	listener net.Listener
}

// newEndpoint opens the listener, so that a wrong address is an error at the start.
func newEndpoint(address string, handler http.Handler, tls *tls.Config, log *slog.Logger) (*endpoint, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return &endpoint{listener: listener, server: &http.Server{
		Handler:           handler,
		TLSConfig:         tls,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // mostly handshakes, which anybody can make fail
	}}, nil
}

// serve serves until the context ends, and finishes what is under way then.
func (e *endpoint) serve(ctx context.Context) error {
	finished := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		finished <- e.server.Shutdown(ctx)
	})
	if err := e.server.ServeTLS(e.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer on %s: %w", e.listener.Addr(), err)
	}
	return <-finished
}
