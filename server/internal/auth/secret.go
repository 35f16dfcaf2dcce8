package auth

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/hanzoai/kms/api"
)

// What credentials start with. A prefix lets a scanner of source code find one
// that was committed, and the server tell them apart. An access token never
// starts with "st.": clients of this dialect take such a token for a service
// token of the older kind and cut it into pieces.
const (
	clientSecretStart = "st."
	opaqueTokenStart  = "kms."
	linkTokenStart    = "kmsl."
)

// shownPrefix is how much of a credential is kept in clear to tell it from
// others in a list. Five characters of 43 leave 226 bits unknown.
const shownPrefix = 8

// NewClientSecret draws a client secret: "st." and the 43 base64url characters
// of 32 random bytes. prefix is its first 8 characters, which may be shown.
func NewClientSecret() (secret api.Value, prefix string) {
	text := clientSecretStart + random()
	return api.NewValue(text), text[:shownPrefix]
}

// NewOpaqueToken draws an access token without expiry, which is looked up
// instead of verified: "kms." and 43 base64url characters. prefix is its first
// 8 characters, which may be shown.
func NewOpaqueToken() (token api.Value, prefix string) {
	text := opaqueTokenStart + random()
	return api.NewValue(text), text[:shownPrefix]
}

// IsOpaqueToken reports whether s has the form of an opaque token. Whether
// there is such a token, only the store knows.
func IsOpaqueToken(s string) bool {
	encoded, found := strings.CutPrefix(s, opaqueTokenStart)
	if !found || len(encoded) != base64.RawURLEncoding.EncodedLen(randomBytes) {
		return false
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return err == nil && len(decoded) == randomBytes
}

// NewLinkToken draws the token of a one-time link to set a password.
func NewLinkToken() api.Value { return api.NewValue(linkTokenStart + random()) }

const randomBytes = 32

// random is 256 bits, so that a keyed hash is enough to store a credential and
// guessing needs no slow hash against it. crypto/rand ends the process rather
// than give fewer.
func random() string {
	var b [randomBytes]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
