package secrets

import (
	"context"
	"errors"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/store"
)

var (
	errNoToken = api.Errorf(api.ErrUnauthenticated, "Token missing: send the header Authorization: Bearer and an access token")
	errRevoked = api.Errorf(api.ErrUnauthenticated, "The access token was revoked, or its identity is gone. Please re-authenticate.")
)

// proof is what a bearer token says by itself, found out once a request: the
// claims of a signed one, and whether it is good as far as it tells.
type proof struct {
	claims auth.Claims
	opaque bool
	err    error
}

// verify checks the caller's token, and takes one use from it if its uses are
// limited. A request that is resolved anew is not verified, and does not pay,
// again; and it pays before it holds a snapshot, which has a connection.
func (s *Service) verify(ctx context.Context, caller Caller) Caller {
	if caller.proof != nil {
		return caller
	}
	p := &proof{}
	caller.proof = p
	switch token := caller.Token.Reveal(); {
	case token == "":
		p.err = errNoToken
	case auth.IsOpaqueToken(token):
		p.opaque = true
	default:
		if p.claims, p.err = s.tokens.Verify(token, s.now()); p.err == nil {
			p.err = s.spend(ctx, p.claims)
		}
	}
	return caller
}

// spend counts one use of a token that has a limit: a transaction of its own,
// so that the limit holds over all replicas.
func (s *Service) spend(ctx context.Context, claims auth.Claims) error {
	if claims.NumUsesLimit == 0 {
		return nil
	}
	allowed := false
	err := s.store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) (err error) {
		allowed, err = tx.UseToken(ctx, claims.TokenID, claims.NumUsesLimit, claims.MaxExpiresAt.UnixMicro())
		return err
	})
	if err == nil && !allowed {
		return api.Errorf(api.ErrUnauthenticated, "The access token has reached its limit of uses. Please re-authenticate.")
	}
	return err
}

// identify finds out who asks: the actor behind the bearer token, whatever
// kind of token it is.
func (c *call) identify(ctx context.Context) error {
	switch {
	case c.caller.proof.err != nil:
		return c.caller.proof.err
	case c.caller.proof.opaque:
		return c.identifyOpaque(ctx)
	}
	c.claims = c.caller.proof.claims
	return c.identifySigned(ctx)
}

func (c *call) identifySigned(ctx context.Context) (err error) {
	if revoked, err := c.revoked(ctx, c.claims.TokenID); err != nil || revoked {
		return orElse(err, errRevoked)
	}
	if c.claims.ClientSecretID != "" {
		secret, err := c.loadClientSecret(ctx, c.claims.ClientSecretID)
		if err != nil || secret.Revoked {
			return orElse(gone(err), errRevoked)
		}
	}
	return c.identifyAs(ctx)
}

// identifyAs loads the actor that the claims name, and checks from where.
func (c *call) identifyAs(ctx context.Context) error {
	kind, id := store.ActorIdentity, c.claims.IdentityID
	if c.claims.Kind == auth.KindUser {
		kind, id = store.ActorUser, c.claims.UserID
	}
	a, err := c.loadActor(ctx, kind, id)
	if err != nil {
		return orElse(gone(err), errRevoked)
	}
	if kind == store.ActorUser {
		if c.claims.OriginAt.Unix() <= a.user.PasswordSetAt/1_000_000 { // see sessionStart
			return errRevoked
		}
		c.become(a)
		return nil
	}
	if a.universalAuth == nil {
		return errRevoked // Universal Auth was taken from the identity
	}
	c.become(a)
	if !auth.Contains(a.tokenIPs, c.caller.Addr) {
		return api.Errorf(api.ErrDenied, "You are not allowed to use this access token from your address: it is not among the trusted networks of the identity")
	}
	return nil
}

// become makes a the one who asks, in the audit row too.
func (c *call) become(a *actor) {
	c.actor = a
	c.entry.ActorType, c.entry.ActorID, c.entry.ActorName = a.kind, a.id, a.name
	if a.kind == store.ActorIdentity {
		c.entry.OrganizationID = a.identity.OrganizationID
	}
}

// identifyOpaque looks a token up that is a row.
func (c *call) identifyOpaque(ctx context.Context) error {
	var found store.OpaqueToken
	err := c.view(ctx, func(tx *store.Tx) error {
		return firstFound(c.s.keys.lookups("opaque token", c.caller.Token), func(lookup []byte) (err error) {
			found, err = tx.OpaqueToken(ctx, lookup)
			return err
		})
	})
	if err != nil {
		return orElse(gone(err), auth.ErrMalformed)
	}
	if found.ExpiresAt != 0 && found.ExpiresAt <= c.now.UnixMicro() {
		return auth.ErrExpired
	}
	c.notes = append(c.notes, note{entity{store.KindToken, found.ID}, c.s.cache.now()})
	a, err := c.loadActor(ctx, store.ActorIdentity, found.IdentityID)
	if err != nil {
		return orElse(gone(err), errRevoked)
	}
	c.claims = auth.Claims{TokenID: found.ID, IdentityID: found.IdentityID, Kind: auth.KindIdentity}
	c.become(a)
	return nil
}

// view reads from the snapshot of the request, or from one of its own.
func (c *call) view(ctx context.Context, fn func(tx *store.Tx) error) error {
	if c.tx != nil {
		return fn(c.tx)
	}
	return c.s.store.View(ctx, fn)
}

// firstFound tries the keyed hashes of one credential, one for each version of
// the key, until one is found.
func firstFound(lookups [][]byte, find func(lookup []byte) error) error {
	err := error(api.Errorf(api.ErrNotFound, "credential: not found"))
	for _, lookup := range lookups {
		if err = find(lookup); err == nil || !errors.Is(err, api.ErrNotFound) {
			return err
		}
	}
	return err
}

func (c *call) revoked(ctx context.Context, tokenID string) (bool, error) {
	e := entity{store.KindToken, tokenID}
	if c.tx != nil {
		c.notes = append(c.notes, note{e, c.tick})
		return c.tx.RevokedToken(ctx, tokenID)
	}
	c.notes = append(c.notes, note{e, c.s.cache.now()})
	return c.s.cache.isRevoked(tokenID), nil
}

// gone turns not found into nil, so that another error can take its place.
func gone(err error) error {
	if errors.Is(err, api.ErrNotFound) {
		return nil
	}
	return err
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// live reports whether a role of a membership holds at a moment.
func live(expiresAt int64, now time.Time) bool { return expiresAt == 0 || expiresAt > now.UnixMicro() }
