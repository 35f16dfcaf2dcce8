package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/hanzoai/kms/api"
)

// Kind tells whose an access token is.
type Kind string

// The kinds of access token, as the claim authTokenType spells them.
const (
	KindIdentity Kind = "identityAccessToken"
	KindUser     Kind = "userAccessToken"
)

// Claims is what an access token says. Times are whole seconds on the wire;
// a fraction is cut off.
type Claims struct {
	Kind           Kind
	TokenID        string // stable over renewals, so that one revocation covers them all
	IdentityID     string // of a KindIdentity token, else empty
	UserID         string // of a KindUser token, else empty
	ClientSecretID string // the client secret it was minted from; empty for other ways to log in
	OrgID          string

	IssuedAt     time.Time // of this token: a renewal moves it
	ExpiresAt    time.Time // the first moment at which the token is refused
	OriginAt     time.Time // of the login that it goes back to
	MaxExpiresAt time.Time // no renewal reaches beyond it

	TTL          int64 // seconds that a renewal adds
	Period       int64 // seconds that a renewal of a periodic token adds, 0: not periodic
	NumUsesLimit int64 // 0: no limit
}

// wireClaims is the payload of a token. A claim is only ever added at the end,
// read from one release and written from the next.
type wireClaims struct {
	Kind           Kind   `json:"authTokenType"`
	TokenID        string `json:"identityAccessTokenId"`
	IdentityID     string `json:"identityId,omitempty"`
	UserID         string `json:"userId,omitempty"`
	ClientSecretID string `json:"clientSecretId,omitempty"`
	OrgID          string `json:"organizationId,omitempty"`
	IssuedAt       int64  `json:"iat"`
	ExpiresAt      int64  `json:"exp"`
	OriginAt       int64  `json:"kms_origin"`
	MaxExpiresAt   int64  `json:"kms_max"`
	TTL            int64  `json:"kms_ttl,omitempty"`
	Period         int64  `json:"kms_period,omitempty"`
	NumUsesLimit   int64  `json:"kms_uses,omitempty"`
}

// lastSecond is the end of the year 9999. A time beyond it cannot be written
// in RFC 3339, and far beyond it arithmetic on time.Time wraps around.
const lastSecond = 253402300799

// Renew is the claims of the token that replaces c at now: the same token id,
// origin and maximum, valid for Period or TTL seconds more and never beyond
// the maximum. It fails with ErrUnauthenticated once the maximum is reached,
// and with ErrInvalid for a token that has neither TTL nor Period.
//
// It does not ask whether c itself expired: Verify has answered that.
func (c Claims) Renew(now time.Time) (Claims, error) {
	seconds := c.TTL
	if c.Period > 0 {
		seconds = c.Period
	}
	left := c.MaxExpiresAt.Unix() - now.Unix()
	switch {
	case seconds <= 0:
		return Claims{}, api.Errorf(api.ErrInvalid, "this access token cannot be renewed: log in again")
	case left <= 0:
		return Claims{}, api.Errorf(api.ErrUnauthenticated, "the access token has reached its maximum lifetime: log in again")
	}
	c.IssuedAt = second(now.Unix())
	c.ExpiresAt = second(now.Unix() + min(seconds, left))
	return c, nil
}

func second(s int64) time.Time { return time.Unix(s, 0).UTC() }

// encode gives the payload of c. What it gives, decodeClaims takes: a claim
// that would make the token worthless is found here, not by the client.
func (c Claims) encode() ([]byte, error) {
	payload, err := json.Marshal(wireClaims{
		Kind:           c.Kind,
		TokenID:        c.TokenID,
		IdentityID:     c.IdentityID,
		UserID:         c.UserID,
		ClientSecretID: c.ClientSecretID,
		OrgID:          c.OrgID,
		IssuedAt:       c.IssuedAt.Unix(),
		ExpiresAt:      c.ExpiresAt.Unix(),
		OriginAt:       c.OriginAt.Unix(),
		MaxExpiresAt:   c.MaxExpiresAt.Unix(),
		TTL:            c.TTL,
		Period:         c.Period,
		NumUsesLimit:   c.NumUsesLimit,
	})
	if err != nil {
		return nil, err
	}
	_, err = decodeClaims(payload)
	return payload, err
}

// decodeClaims reads a payload, and only in the very bytes that encode writes.
// That one comparison refuses duplicate claims, other spellings of a claim's
// name, numbers written as floats or strings, and claims that this release
// does not know: one of those might narrow the token, and to ignore it would
// widen it.
func decodeClaims(payload []byte) (Claims, error) {
	var w wireClaims
	if err := json.Unmarshal(payload, &w); err != nil {
		return Claims{}, err
	}
	canonical, err := json.Marshal(w)
	if err != nil {
		return Claims{}, err
	}
	if !bytes.Equal(canonical, payload) {
		return Claims{}, errors.New("the claims are not in the one form that they are written in")
	}
	if err := w.check(); err != nil {
		return Claims{}, err
	}
	return Claims{
		Kind:           w.Kind,
		TokenID:        w.TokenID,
		IdentityID:     w.IdentityID,
		UserID:         w.UserID,
		ClientSecretID: w.ClientSecretID,
		OrgID:          w.OrgID,
		IssuedAt:       second(w.IssuedAt),
		ExpiresAt:      second(w.ExpiresAt),
		OriginAt:       second(w.OriginAt),
		MaxExpiresAt:   second(w.MaxExpiresAt),
		TTL:            w.TTL,
		Period:         w.Period,
		NumUsesLimit:   w.NumUsesLimit,
	}, nil
}

// claimsMemory remembers what payloads say. A token is sent many times, and to
// parse it costs more than to check its signature, which is done each time:
// only payloads that are authentic come here.
type claimsMemory struct {
	mu    sync.RWMutex
	known map[string]Claims // guarded by mu
}

// maxClaims bounds the memory of claims, about 1 KiB each; beyond it all are
// forgotten at once.
const maxClaims = 4096

func (m *claimsMemory) decode(payload []byte) (Claims, error) {
	m.mu.RLock()
	claims, found := m.known[string(payload)]
	m.mu.RUnlock()
	if found {
		return claims, nil
	}
	claims, err := decodeClaims(payload)
	if err != nil {
		return claims, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxClaims {
		m.known = map[string]Claims{}
	}
	m.known[string(payload)] = claims
	return claims, nil
}

// check asks of the claims only what holds on every replica. The clocks of
// two replicas differ a little, so a renewal may be issued before its origin.
func (w wireClaims) check() error {
	switch w.Kind {
	case KindIdentity:
		if w.IdentityID == "" || w.UserID != "" {
			return errors.New("an identity's token names an identity and no user")
		}
	case KindUser:
		if w.UserID == "" || w.IdentityID != "" || w.ClientSecretID != "" {
			return errors.New("a user's token names a user, no identity and no client secret")
		}
	default:
		return errors.New("the kind of the token is unknown")
	}
	switch {
	case w.TokenID == "":
		return errors.New("the token id is missing")
	case w.IssuedAt <= 0 || w.OriginAt <= 0:
		return errors.New("the time of issue or origin is missing")
	case w.ExpiresAt <= w.IssuedAt:
		return errors.New("the token expires before it is issued")
	case w.MaxExpiresAt < w.ExpiresAt || w.MaxExpiresAt > lastSecond:
		return errors.New("the maximum lifetime ends before the token, or after the year 9999")
	case w.OriginAt > w.MaxExpiresAt:
		return errors.New("the maximum lifetime ends before its origin")
	case w.TTL < 0 || w.Period < 0 || w.NumUsesLimit < 0:
		return errors.New("a limit is negative")
	}
	return nil
}
