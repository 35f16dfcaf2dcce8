package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hanzoai/kms/api"
)

// MaxToken is the longest access token, in bytes. Ours have about 600.
const MaxToken = 4 << 10

// What Verify refuses a token with. Both are ErrUnauthenticated, and neither
// tells more: the holder's next step is the same.
var (
	ErrMalformed = api.Errorf(api.ErrUnauthenticated, "The access token is malformed or was not issued by this server. Please re-authenticate.")
	ErrExpired   = api.Errorf(api.ErrUnauthenticated, "Your token has expired. Please re-authenticate.")
)

// Ring is the keys that sign access tokens: the newest signs, all verify. It
// does not change after NewRing and may be used from many goroutines. The zero
// Ring signs nothing and verifies nothing.
type Ring struct {
	newest signingKey
	keys   map[string]signingKey // by header
	known  claimsMemory
}

// signingKey is one HS256 key with the one header that its tokens have. The
// header names algorithm and key, so to look up the whole header is to refuse
// "none", RS256, HS512, an unknown key and a missing one before anything of
// the token is parsed.
type signingKey struct {
	header string // base64url
	secret [32]byte
}

// NewRing makes the signing keys of secrets, newest first. derive turns a
// secret into its key; every replica must derive alike.
func NewRing(secrets []api.Value, derive func(secret []byte) [32]byte) (*Ring, error) {
	if len(secrets) == 0 {
		return nil, api.Errorf(api.ErrInvalid, "there is no secret to sign access tokens with: give at least one")
	}
	ring := &Ring{keys: make(map[string]signingKey, len(secrets))}
	for i, secret := range secrets {
		key := newSigningKey(derive([]byte(secret.Reveal())))
		if _, twice := ring.keys[key.header]; twice {
			return nil, api.Errorf(api.ErrInvalid, "secret %d to sign access tokens with repeats an earlier one: give each once", i+1)
		}
		ring.keys[key.header] = key
		if i == 0 {
			ring.newest = key
		}
	}
	return ring, nil
}

// newSigningKey names the key by a MAC under itself: the name tells nothing of
// the key. What is signed for a token always has a dot in it, so no token's
// signature is ever computed over this text.
func newSigningKey(secret [32]byte) signingKey {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("kms access token key id"))
	kid := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:9])
	header := `{"alg":"HS256","kid":"` + kid + `","typ":"JWT"}`
	return signingKey{header: base64.RawURLEncoding.EncodeToString([]byte(header)), secret: secret}
}

// signature is the base64url signature of a token's header and payload.
func (k signingKey) signature(signed string) []byte {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.AppendEncode(nil, mac.Sum(nil))
}

// Sign makes the access token that says c: a JWT under the newest key. It
// fails on claims that Verify would refuse.
func (r *Ring) Sign(c Claims) (string, error) {
	if r.newest.header == "" {
		return "", errors.New("sign an access token: the ring holds no key")
	}
	payload, err := c.encode()
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	signed := r.newest.header + "." + base64.RawURLEncoding.EncodeToString(payload)
	token := signed + "." + string(r.newest.signature(signed))
	if len(token) > MaxToken {
		return "", fmt.Errorf("sign an access token: it would have %d bytes, more than %d", len(token), MaxToken)
	}
	return token, nil
}

// Verify gives what a token says that is signed by a key of the ring and not
// yet expired at now, and ErrMalformed or ErrExpired for any other. There is
// no leeway: a token ends at the same moment on every replica, as far as their
// clocks agree.
func (r *Ring) Verify(token string, now time.Time) (Claims, error) {
	payload, ok := r.authentic(token)
	if !ok {
		return Claims{}, ErrMalformed
	}
	claims, err := r.known.decode(payload)
	if err != nil {
		return Claims{}, ErrMalformed
	}
	if !now.Before(claims.ExpiresAt) {
		return Claims{}, ErrExpired
	}
	return claims, nil
}

// authentic gives the payload of a token whose signature is right. Signatures
// are compared as text: base64 decodes several texts to the same bytes, and a
// token should have one spelling.
func (r *Ring) authentic(token string) (payload []byte, ok bool) {
	if len(token) > MaxToken {
		return nil, false
	}
	dot := max(strings.LastIndexByte(token, '.'), 0)
	signed, signature := token[:dot], strings.TrimPrefix(token[dot:], ".")
	header, encoded, _ := strings.Cut(signed, ".")
	key, known := r.keys[header]
	if !known || !hmac.Equal([]byte(signature), key.signature(signed)) {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	return payload, err == nil
}

// minAuthSecret is the shortest secret, in bytes: 32 random bytes are the
// strength of HS256, and any text form of them is longer.
const minAuthSecret = 32

// ParseAuthSecrets reads the text of AUTH_SECRET: secrets of 32 bytes or more,
// newest first, separated by commas or one a line, with white space around
// them ignored. All problems are reported together, by position and never by
// value.
func ParseAuthSecrets(text string) ([]api.Value, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, api.Errorf(api.ErrInvalid, "AUTH_SECRET is empty: give a random text of %d bytes or more", minAuthSecret)
	}
	var secrets []api.Value
	var problems []error
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		for field := range strings.SplitSeq(line, ",") {
			secret := api.NewValue(strings.TrimSpace(field))
			if err := checkAuthSecret(secret, secrets); err != nil {
				problems = append(problems, api.Errorf(api.ErrInvalid, "AUTH_SECRET: secret %d %w", len(secrets)+1, err))
			}
			secrets = append(secrets, secret)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return secrets, nil
}

func checkAuthSecret(secret api.Value, earlier []api.Value) error {
	if secret.Len() < minAuthSecret {
		return fmt.Errorf("has %d bytes: give %d or more", secret.Len(), minAuthSecret)
	}
	for i, other := range earlier {
		if subtle.ConstantTimeCompare([]byte(secret.Reveal()), []byte(other.Reveal())) == 1 {
			return fmt.Errorf("is the same as secret %d: give each once", i+1)
		}
	}
	return nil
}
