// Package secrets is the service: the one place where it is decided who asks
// (auth), whether he may (policy), what is stored (store), how it is opened
// (seal) and what is written down about it (audit).
//
// A request is resolved from entities: from the cache, in which the change feed
// keeps nothing stale for long, or from one transaction. What it was resolved
// from is noted, and the audit batch that it has to join (or the transaction
// that it writes in) sends it back if any of that has changed meanwhile; then
// it is resolved anew from one snapshot. So no answer, refusals included, is
// older than the request, on any replica.
//
// The cache holds ciphertext. Plaintext exists from Open to the response, as
// api.Value. The package must never log a value, put one into an error, or let
// a request pass whose audit row is not committed.
package secrets

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/store"
)

// Config is what a Service needs.
type Config struct {
	Store       *store.Store
	Root        *seal.Ring
	AuthSecrets []api.Value // newest first
	Log         *slog.Logger
	Now         func() time.Time // nil: time.Now
	SiteURL     string           // for links that people open; "" makes paths

	// TokenTTL is the default and the maximum life of an access token where an
	// identity does not say otherwise; 0 means 7200 s.
	TokenTTL time.Duration
	// CacheBytes bounds the cache of ciphertext; 0 means 64 MiB.
	CacheBytes int64
	// AuditRetentionDays is how long audit rows are kept; 0 means 365.
	AuditRetentionDays int
}

// Service answers requests. Run must be running.
type Service struct {
	store     *store.Store
	log       *slog.Logger
	now       func() time.Time
	keys      *keys
	tokens    *auth.Ring
	passwords *auth.Passwords
	throttle  *auth.Throttle
	cache     *cache
	audit     *audit.Log
	logins    logins
	siteURL   string
	tokenTTL  int64

	// Unchanged counts answers that disclosed nothing new (304).
	Unchanged atomic.Int64
}

// New opens the keys and starts to follow the change feed.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = 7200 * time.Second
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 64 << 20
	}
	s := &Service{store: cfg.Store, log: cfg.Log, now: cfg.Now, passwords: auth.NewPasswords(), throttle: auth.NewThrottle(0),
		cache: newCache(cfg.CacheBytes), siteURL: cfg.SiteURL, tokenTTL: int64(cfg.TokenTTL / time.Second)}
	var err error
	if s.keys, err = openKeys(ctx, cfg.Store, cfg.Root, cfg.Now); err != nil {
		return nil, err
	}
	if s.tokens, err = auth.NewRing(cfg.AuthSecrets, func(secret []byte) [32]byte {
		return s.keys.newest(seal.PurposeToken).Derive("kms access token", secret)
	}); err != nil {
		return nil, fmt.Errorf("read AUTH_SECRET: %w", err)
	}
	s.audit, err = audit.New(ctx, audit.Config{Store: cfg.Store, Keys: s.keys.audit(), Apply: s.apply, Log: cfg.Log, Now: cfg.Now,
		RetentionDays: cfg.AuditRetentionDays})
	if err != nil {
		return nil, err
	}
	// The feed is followed by now, so a revocation is either in this list or
	// comes by the feed.
	if err := s.loadRevoked(ctx); err != nil {
		return nil, err
	}
	return s, s.audit.Retain(ctx)
}

// Audit is the trail, for verification and metrics.
func (s *Service) Audit() *audit.Log { return s.audit }

// pollInterval is how often the change feed is read when no request does it.
const pollInterval = 500 * time.Millisecond

// upkeepInterval is how often expired tokens and old feed rows are dropped.
const upkeepInterval = 10 * time.Minute

// Run keeps the caches, the counters and the audit trail up to date until ctx
// is done, then finishes what is under way.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = s.audit.Run(ctx) })
	tasks.Go(func() {
		poll, upkeep := time.NewTicker(pollInterval), time.NewTicker(upkeepInterval)
		defer poll.Stop()
		defer upkeep.Stop()
		for {
			select {
			case <-ctx.Done():
				s.flushLogins(context.WithoutCancel(ctx))
				return
			case <-poll.C:
				s.poll(ctx)
			case <-upkeep.C:
				s.upkeep(ctx)
			}
		}
	})
	tasks.Wait()
	return nil
}

func (s *Service) poll(ctx context.Context) {
	if err := s.audit.Fence(ctx, pollInterval); err != nil && ctx.Err() == nil {
		s.log.Warn("change feed not read", "err", err.Error())
	}
	s.flushLogins(ctx)
}

// keepFeed is how long feed rows are kept. Caches follow within a second; the
// rest is for watchers that were away.
const keepFeed = 24 * time.Hour

func (s *Service) upkeep(ctx context.Context) {
	now := s.now()
	for _, drop := range []func(tx *store.Tx) (bool, error){
		func(tx *store.Tx) (bool, error) { return tx.DropExpiredTokens(ctx, now.UnixMicro(), 1000) },
		func(tx *store.Tx) (bool, error) { return tx.DropFeed(ctx, now.Add(-keepFeed).UnixMicro(), 1000) },
	} {
		for more := true; more; {
			err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
				more, err = drop(tx)
				return err
			})
			if err != nil {
				s.log.Warn("upkeep", "err", err.Error())
				break
			}
		}
	}
	if err := s.loadRevoked(ctx); err != nil {
		s.log.Warn("upkeep", "err", err.Error())
	}
}

// apply throws away what changes made stale.
func (s *Service) apply(changes []store.Change) {
	s.cache.apply(changes)
	for _, c := range changes {
		if c.Kind == store.KindKey {
			s.keys.renew(c.EntityID)
		}
	}
}

func (s *Service) loadRevoked(ctx context.Context) error {
	return s.store.View(ctx, func(tx *store.Tx) error {
		ids, err := tx.RevokedTokens(ctx, s.now().UnixMicro())
		if err == nil {
			s.cache.setRevoked(ids)
		}
		return err
	})
}

// Now is the server's time.
func (s *Service) Now() time.Time { return s.now() }

// Ready reports whether requests can be answered: the database is there.
func (s *Service) Ready(ctx context.Context) error { return s.store.Ping(ctx) }

// Caller is who asks, as the wire tells it.
type Caller struct {
	Token     api.Value // bearer token; empty where none was sent
	Addr      netip.Addr
	UserAgent string
	RequestID string

	proof *proof // what the token alone says; set by verify
}

// CacheSize is the number of entities in the cache and their bytes.
func (s *Service) CacheSize() (entities int, bytes int64) { return s.cache.size() }
