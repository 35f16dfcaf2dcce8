package secrets

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/store"
)

var (
	loginEvent       = event{audit.Login, "login-identity-universal-auth"}
	failedLoginEvent = "login-identity-universal-auth-failed"

	// The one answer to a wrong client id, a wrong secret, and a right one from
	// a network that is not trusted: it does not say which.
	errWrongLogin = api.Errorf(api.ErrUnauthenticated, "Invalid credentials")
)

// Login takes a client id and a client secret and gives an access token.
//
// The secret is looked up first, by its keyed hash: a right one is never
// refused by a lockout, and a wrong one costs the same work whether or not the
// client id exists.
func (s *Service) Login(ctx context.Context, caller Caller, clientID string, secret api.Value) (api.Login, error) {
	c := s.newCall(caller, loginEvent, nil, 0)
	found, ua, err := c.login(ctx, clientID, secret)
	if err != nil && found != nil {
		// A right secret is refused for what holds now, not for what did.
		if err := s.audit.Fence(ctx, 0); err != nil {
			return api.Login{}, err
		}
		if !s.cache.fresh(c.notes) {
			return s.Login(ctx, caller, clientID, secret)
		}
	}
	if err != nil {
		return api.Login{}, s.refuseLogin(ctx, c, ua, err)
	}
	claims := s.claims(found, ua, c.now)
	c.entry.Metadata = fields("identityUniversalAuthId", ua.ID, "clientSecretId", found.ID, "identityAccessTokenId", claims.TokenID)
	if err := s.admit(ctx, c, found); errors.Is(err, audit.ErrStale) {
		return s.Login(ctx, caller, clientID, secret) // revoked or changed this moment: look again
	} else if err != nil {
		return api.Login{}, err
	}
	return s.sign(claims)
}

// login finds the client secret and the Universal Auth that it belongs to. ua
// is set for a client id that exists, even when the secret is wrong.
func (c *call) login(ctx context.Context, clientID string, secret api.Value) (*store.ClientSecret, *store.UniversalAuth, error) {
	known, err := c.clientSecretID(ctx, secret)
	if err != nil {
		return nil, nil, err
	}
	if known == nil {
		return c.wrongSecret(ctx, clientID)
	}
	found, err := c.loadClientSecret(ctx, known.id)
	if err != nil {
		return nil, nil, orElse(gone(err), errWrongLogin)
	}
	a, err := c.loadActor(ctx, store.ActorIdentity, known.identityID)
	if err != nil {
		return nil, nil, orElse(gone(err), errWrongLogin)
	}
	if a.universalAuth == nil || !equal([]byte(a.universalAuth.ClientID), []byte(clientID)) {
		return c.wrongSecret(ctx, clientID)
	}
	c.become(a)
	return found, a.universalAuth, c.usable(found, a)
}

// wrongSecret refuses a secret that is not one of the client id; where that
// exists, the row of audit says whose login failed.
func (c *call) wrongSecret(ctx context.Context, clientID string) (*store.ClientSecret, *store.UniversalAuth, error) {
	ua, err := c.universalAuth(ctx, clientID)
	if err != nil || ua == nil {
		return nil, nil, orElse(err, errWrongLogin)
	}
	a, err := c.loadActor(ctx, store.ActorIdentity, ua.IdentityID)
	if err != nil {
		return nil, nil, orElse(gone(err), errWrongLogin)
	}
	c.become(a)
	return nil, ua, errWrongLogin
}

// usable says what stands against a right secret.
func (c *call) usable(secret *store.ClientSecret, a *actor) error {
	switch {
	case !auth.Contains(a.secretIPs, c.caller.Addr):
		c.entry.Metadata = fields("refusal", "address")
		return errWrongLogin
	case secret.Revoked:
		return errWrongLogin
	case secret.ExpiresAt != 0 && secret.ExpiresAt <= c.now.UnixMicro():
		return api.Errorf(api.ErrUnauthenticated, "Access denied due to expired client secret")
	case secret.UsesLimit != 0 && secret.Uses >= secret.UsesLimit:
		return errUsedUp
	}
	return nil
}

var errUsedUp = api.Errorf(api.ErrUnauthenticated, "Access denied due to client secret usage limit reached")

// secretName is what a client secret's keyed hash leads to. It never changes.
type secretName struct{ id, identityID string }

// kindLookup are entities that no feed row names: a hash leads to one secret
// for ever, and whether that may still be used is looked up by its id.
const kindLookup = "lookup"

// clientSecretID finds a client secret by its keyed hash; nil is none.
func (c *call) clientSecretID(ctx context.Context, secret api.Value) (*secretName, error) {
	lookups := c.s.keys.lookups("client secret", secret)
	for _, lookup := range lookups {
		if known, _, found := c.s.cache.get(entity{kindLookup, string(lookup)}); found {
			return known.(*secretName), nil
		}
	}
	var row store.ClientSecret
	err := c.view(ctx, func(tx *store.Tx) error {
		return firstFound(lookups, func(lookup []byte) (err error) {
			row, err = tx.ClientSecretByLookup(ctx, lookup)
			return err
		})
	})
	if errors.Is(err, api.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	name := &secretName{row.ID, row.IdentityID}
	c.s.cache.put(entity{kindLookup, string(row.Lookup)}, name, 256, c.s.cache.now())
	return name, nil
}

// universalAuth finds whether a client id exists; nil is that it does not.
func (c *call) universalAuth(ctx context.Context, clientID string) (*store.UniversalAuth, error) {
	if !api.IsID(clientID) {
		return nil, nil
	}
	var ua store.UniversalAuth
	err := c.view(ctx, func(tx *store.Tx) (err error) {
		ua, err = tx.UniversalAuthByClientID(ctx, clientID)
		return err
	})
	if errors.Is(err, api.ErrNotFound) {
		return nil, nil
	}
	return &ua, err
}

// admit commits the row of a login. A secret whose uses are limited is counted
// in a transaction with it; others are counted afterwards, in bulk.
func (s *Service) admit(ctx context.Context, c *call, secret *store.ClientSecret) error {
	if secret.UsesLimit == 0 {
		err := s.audit.Join(ctx, &c.entry, func() bool { return s.cache.fresh(c.notes) })
		if err == nil {
			s.logins.add(secret.ID, c.now)
		}
		return err
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if err := s.audit.FenceIn(ctx, tx); err != nil {
			return err
		}
		if !s.cache.fresh(c.notes) {
			return audit.ErrStale
		}
		allowed, err := tx.UseClientSecret(ctx, secret.ID, c.now.UnixMicro())
		if err != nil {
			return err
		}
		if !allowed {
			return errUsedUp
		}
		return s.audit.Write(ctx, tx, c.entry)
	})
	if errors.Is(err, errUsedUp) {
		return s.refuseLogin(ctx, c, c.actor.universalAuth, err)
	}
	return err
}

// refuseLogin counts a wrong attempt and writes it down.
func (s *Service) refuseLogin(ctx context.Context, c *call, ua *store.UniversalAuth, err error) error {
	if !errors.Is(err, api.ErrUnauthenticated) {
		return err
	}
	source := auth.SourcePrefix(c.caller.Addr)
	key, limits := auth.Key{ClientID: auth.UnknownClient, Source: source}, auth.Limits{}
	if ua != nil {
		key.ClientID = ua.ID
		limits = auth.Limits{Threshold: int(ua.LockoutThreshold), Reset: time.Duration(ua.LockoutCounterReset) * time.Second,
			Lock: time.Duration(ua.LockoutDuration) * time.Second}
	}
	c.entry.Event, c.entry.Outcome, c.entry.Reason = failedLoginEvent, audit.Denied, reason(err)
	if refused := s.audit.Refused(ctx, c.entry, source.String(), ua != nil); refused != nil {
		return refused
	}
	// A secret that has ended is known to whoever sends it: that is no guess.
	if !errors.Is(err, errWrongLogin) || ua != nil && !ua.LockoutEnabled {
		return err
	}
	if locked, retry := s.throttle.Wrong(key, limits, c.now); locked {
		return api.RetryLater(api.ErrRateLimited, retry, "This identity auth method is temporarily locked for wrong credentials from your address, please try again later")
	}
	return err
}

// claims is the token that a login gives.
func (s *Service) claims(secret *store.ClientSecret, ua *store.UniversalAuth, now time.Time) auth.Claims {
	ttl, maxTTL := ua.TTL, ua.MaxTTL
	if ua.Period > 0 {
		ttl, maxTTL = ua.Period, periodicMaxTTL
	}
	return auth.Claims{Kind: auth.KindIdentity, TokenID: store.NewID(), IdentityID: ua.IdentityID, ClientSecretID: secret.ID,
		IssuedAt: now, OriginAt: now, ExpiresAt: now.Add(time.Duration(ttl) * time.Second), MaxExpiresAt: now.Add(time.Duration(maxTTL) * time.Second),
		TTL: ttl, Period: ua.Period, NumUsesLimit: ua.UsesLimit}
}

// periodicMaxTTL is the maximum life of a token that is renewed for ever, in seconds.
const periodicMaxTTL = 1_000_000_000

func (s *Service) sign(claims auth.Claims) (api.Login, error) {
	token, err := s.tokens.Sign(claims)
	return api.Login{AccessToken: token, TokenType: "Bearer",
		ExpiresIn:         claims.ExpiresAt.Unix() - claims.IssuedAt.Unix(),
		AccessTokenMaxTTL: claims.MaxExpiresAt.Unix() - claims.OriginAt.Unix()}, err
}

// Renew gives a token that replaces the one of the caller and lives longer.
func (s *Service) Renew(ctx context.Context, caller Caller) (answer api.Login, err error) {
	var claims auth.Claims
	err = s.read(ctx, caller, event{audit.Login, "renew-identity-access-token"}, func(ctx context.Context, c *call) (err error) {
		if c.claims.TTL == 0 && c.claims.Period == 0 {
			return api.Errorf(api.ErrInvalid, "This access token does not expire: there is nothing to renew")
		}
		claims, err = c.claims.Renew(c.now)
		c.entry.Metadata = fields("identityAccessTokenId", c.claims.TokenID)
		return err
	})
	if err != nil {
		return answer, err
	}
	return s.sign(claims)
}

// Revoke ends the caller's token at once, on every replica.
func (s *Service) Revoke(ctx context.Context, caller Caller) error {
	return s.change(ctx, caller, event{audit.Logout, "revoke-identity-access-token"}, func(ctx context.Context, c *call) (work, error) {
		claims, opaque := c.claims, auth.IsOpaqueToken(caller.Token.Reveal())
		c.entry.Metadata = fields("identityAccessTokenId", claims.TokenID)
		return work{apply: func(ctx context.Context, tx *store.Tx) error {
			if opaque {
				return tx.DeleteOpaqueToken(ctx, claims.TokenID, c.now.UnixMicro())
			}
			return tx.RevokeToken(ctx, claims.TokenID, claims.MaxExpiresAt.UnixMicro(), c.now.UnixMicro())
		}}, nil
	})
}

// logins counts the uses of client secrets without a limit, until they are
// written in bulk.
type logins struct {
	mu     sync.Mutex
	counts map[string]*loginCount // guarded by mu
}

type loginCount struct{ logins, last int64 }

func (l *logins) add(secretID string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]*loginCount{}
	}
	count := l.counts[secretID]
	if count == nil {
		count = &loginCount{}
		l.counts[secretID] = count
	}
	count.logins++
	count.last = now.UnixMicro()
}

func (l *logins) take() map[string]*loginCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.counts
	l.counts = nil
	return taken
}

// flushLogins writes the counted uses. They are for people to look at: a crash
// may lose the last second of them.
func (s *Service) flushLogins(ctx context.Context) {
	counts := s.logins.take()
	if len(counts) == 0 {
		return
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range sortedKeys(counts) { // one order, so that two replicas cannot wait for each other
			if err := tx.CountLogins(ctx, id, counts[id].logins, counts[id].last); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.log.Warn("uses of client secrets not counted", "err", err.Error())
	}
}
