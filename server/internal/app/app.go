// Package app wires the server together and decides nothing. New reads as the
// server's diagram: the store below, the service on it, the API in front, the
// admin listener beside.
package app

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hanzoai/kms/internal/app/serve"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/httpapi"
	"github.com/hanzoai/kms/server/internal/secrets"
	"github.com/hanzoai/kms/server/internal/store"
)

// App is a server that was put together. Run makes it serve.
type App struct {
	cfg     Config
	log     *slog.Logger
	store   *store.Store
	service *secrets.Service
	metrics *metrics
	api     *serve.Server
	admin   *serve.Server // nil: none

	// SeedTo, where it is set, makes Run fill an empty instance before it
	// serves, and receives how to log in.
	SeedTo io.Writer
}

// New puts a server together: it checks the root key before it touches
// anything, brings the schema up to date, and listens. cfg must have been
// validated. now is the clock; nil is the real one.
func New(ctx context.Context, cfg Config, log *slog.Logger, now func() time.Time) (*App, error) {
	db, err := OpenStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: log, store: db}
	if err := a.wire(ctx, now); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return a, nil
}

// OpenStore opens the database, if the root key belongs to it, and brings its
// schema up to date.
func OpenStore(ctx context.Context, cfg Config) (*store.Store, error) {
	db, err := store.Open(ctx, store.Config{URI: cfg.DatabaseURI.Reveal(), Dir: cfg.Data, MaxConns: cfg.MaxConns})
	if err != nil {
		return nil, err
	}
	if err := secrets.CheckRoot(ctx, db, cfg.root); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (a *App) wire(ctx context.Context, now func() time.Time) (err error) {
	a.service, err = NewService(ctx, a.cfg, a.store, a.log, now)
	if err != nil {
		return err
	}
	a.metrics = newMetrics(a.service, a.store)
	handler := httpapi.New(httpapi.Config{Service: a.service, Log: a.log, TrustedProxies: a.cfg.proxies, Observe: a.metrics.observe, Redis: a.cfg.RedisURL.Len() > 0})
	a.api, err = serve.Listen(serve.Config{Addr: a.cfg.Listen, CertFile: a.cfg.TLSCert, KeyFile: a.cfg.TLSKey, Handler: handler, Logger: a.log, Grace: a.cfg.Grace})
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	if a.cfg.AdminListen == "" {
		return nil
	}
	a.admin, err = serve.Listen(serve.Config{Addr: a.cfg.AdminListen, Handler: a.adminHandler(), Logger: a.log, Grace: time.Second})
	if err != nil {
		return fmt.Errorf("listen for metrics and health: %w", errors.Join(err, a.api.Close()))
	}
	return nil
}

// NewService makes the service on an open store.
func NewService(ctx context.Context, cfg Config, db *store.Store, log *slog.Logger, now func() time.Time) (*secrets.Service, error) {
	return secrets.New(ctx, secrets.Config{Store: db, Root: cfg.root, AuthSecrets: cfg.authSecrets, Log: log, Now: now, SiteURL: cfg.SiteURL,
		TokenTTL: cfg.TokenTTL, CacheBytes: int64(cfg.CacheMiB) << 20, AuditRetentionDays: cfg.AuditDays})
}

// Addr is the address of the API.
func (a *App) Addr() net.Addr { return a.api.Addr() }

// AdminAddr is the address of the admin listener, nil where there is none.
func (a *App) AdminAddr() net.Addr {
	if a.admin == nil {
		return nil
	}
	return a.admin.Addr()
}

// Service is the service behind the API.
func (a *App) Service() *secrets.Service { return a.service }

// Store is the database.
func (a *App) Store() *store.Store { return a.store }

// Run serves until ctx is done. Then it stops listening, lets the requests
// under way end, writes what they have to write, and closes the database.
func (a *App) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var service, listeners sync.WaitGroup
	service.Go(func() { _ = a.service.Run(background) })
	if a.SeedTo != nil {
		if err := a.seed(ctx); err != nil {
			stop()
			service.Wait()
			return errors.Join(err, a.Close())
		}
	}
	errs := make(chan error, 2)
	ctx, cancel := context.WithCancel(ctx)
	serve := func(s interface{ Run(context.Context) error }) {
		listeners.Go(func() {
			defer cancel() // one that fails takes the others along
			errs <- s.Run(ctx)
		})
	}
	a.log.Info("serving", "address", a.api.Addr().String(), "engine", a.store.Engine())
	serve(a.api)
	if a.admin != nil {
		serve(a.admin)
	}
	listeners.Wait()
	cancel()
	stop()
	service.Wait()
	close(errs)
	var failed []error
	for err := range errs {
		failed = append(failed, err)
	}
	a.log.Info("stopped")
	return errors.Join(append(failed, a.store.Close())...)
}

// Verify recomputes the audit trail of a database.
func Verify(ctx context.Context, cfg Config, log *slog.Logger, seen []audit.Head) (report audit.Report, err error) {
	err = withService(ctx, cfg, log, func(s *secrets.Service) (err error) {
		report, err = s.Audit().Verify(ctx, seen)
		return err
	})
	return report, err
}

// Rewrap wraps all keys of a database under the newest root key.
func Rewrap(ctx context.Context, cfg Config, log *slog.Logger) (moved int, err error) {
	err = withService(ctx, cfg, log, func(s *secrets.Service) (err error) {
		moved, err = s.Rewrap(ctx)
		return err
	})
	return moved, err
}

// RotateDataKeys gives every project of a database a new data key.
func RotateDataKeys(ctx context.Context, cfg Config, log *slog.Logger) (rotated int, err error) {
	err = withService(ctx, cfg, log, func(s *secrets.Service) (err error) {
		rotated, err = s.RotateDataKeys(ctx)
		return err
	})
	return rotated, err
}

// withService does one thing with the service of a database that nobody need
// be serving.
func withService(ctx context.Context, cfg Config, log *slog.Logger, do func(*secrets.Service) error) error {
	db, err := OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	service, err := NewService(ctx, cfg, db, log, nil)
	if err == nil {
		err = do(service)
	}
	return errors.Join(err, db.Close())
}

// Close lets go of a server that was never run.
func (a *App) Close() error {
	errs := []error{a.api.Close()}
	if a.admin != nil {
		errs = append(errs, a.admin.Close())
	}
	return errors.Join(append(errs, a.store.Close())...)
}
