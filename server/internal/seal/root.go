package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// keySize is the length in bytes of every key here: 256 bits.
const keySize = 32

// What HKDF derives from a root key. A wrapping key's info ends in its
// purpose, so a key of one purpose cannot be passed off as one of another.
const (
	infoRootID    = "kms root key id"
	infoRootCheck = "kms root key check"
	infoWrap      = "kms wrap "
)

// Ring is the root keys of an instance, newest first: the newest wraps, all
// unwrap. It is immutable and safe for concurrent use.
type Ring struct {
	redacted
	roots []root
}

// root is what is left of a root key once it was read.
type root struct {
	id    string
	check []byte
	wrap  map[Purpose]cipher.AEAD
}

// GenerateRootKey makes a root key in the form that ParseRing reads: standard
// base64 of 32 random bytes.
func GenerateRootKey() string {
	raw := make([]byte, keySize)
	rand.Read(raw) // never fails: it ends the process instead
	defer clear(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

// ParseRing reads root keys separated by commas or line ends, newest first,
// each standard base64 of exactly 32 bytes. Blanks around a key and empty
// entries are ignored, since a file ends in a line end. The error reports
// every entry that is wrong by its place, and never holds any part of one.
func ParseRing(text string) (*Ring, error) {
	entries := splitRing(text)
	if len(entries) == 0 {
		return nil, errors.New("no root key is given: it is standard base64 of 32 random bytes, as made by openssl rand -base64 32")
	}
	ring := new(Ring)
	seen := make(map[string]int) // root id -> place
	var problems []error
	for i, entry := range entries {
		r, err := parseRoot(entry)
		if err == nil && seen[r.id] > 0 {
			err = fmt.Errorf("it is the same as key %d: remove one of them", seen[r.id])
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("root key %d of %d: %w", i+1, len(entries), err))
			continue
		}
		seen[r.id] = i + 1
		ring.roots = append(ring.roots, r)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return ring, nil
}

func splitRing(text string) []string {
	var entries []string
	for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}

// parseRoot reads one root key. The errors of encoding/base64 stay out of its
// own: a wrapped error is one change of the library away from quoting input.
func parseRoot(entry string) (root, error) {
	// 64 hex characters are also base64, of 48 bytes: the hint comes first.
	if _, err := hex.DecodeString(entry); err == nil && len(entry) == 2*keySize {
		return root{}, errors.New("it looks like hex, and standard base64 is needed: convert it with xxd -r -p | base64")
	}
	raw, err := base64.StdEncoding.DecodeString(entry)
	defer clear(raw)
	switch {
	case err != nil && strings.ContainsAny(entry, "-_"):
		return root{}, errors.New("it is not standard base64: '-' and '_' belong to the URL alphabet, write '+' and '/' instead")
	case err != nil && len(entry)%4 != 0:
		return root{}, fmt.Errorf("it is not standard base64: its length, %d, is no multiple of 4; is something cut off, such as the '=' at its end?", len(entry))
	case err != nil:
		return root{}, errors.New("it is not standard base64 (A-Z, a-z, 0-9, '+', '/', '=' at the end)")
	case len(raw) != keySize:
		return root{}, fmt.Errorf("it is base64 of %d bytes, and %d are needed: make one with openssl rand -base64 32", len(raw), keySize)
	}
	return newRoot(raw), nil
}

// newRoot derives all that is ever needed of a root key. The caller wipes raw.
func newRoot(raw []byte) root {
	r := root{
		id:   hex.EncodeToString(subkey(raw, infoRootID)[:8]),
		wrap: make(map[Purpose]cipher.AEAD),
	}
	r.check = mac(subkey(raw, infoRootCheck), r.id)
	for _, purpose := range purposes() {
		r.wrap[purpose] = newAEAD(subkey(raw, infoWrap+string(purpose)))
	}
	return r
}

// IDs are the ids of the root keys, newest first: 16 hex characters each,
// derived one-way, fit for logs and the store.
func (r *Ring) IDs() []string {
	ids := make([]string, 0, len(r.roots))
	for _, root := range r.roots {
		ids = append(ids, root.id)
	}
	return ids
}

// CheckValue is what the store keeps to tell the right root key from a wrong
// one before anything is unwrapped: a MAC under a key derived from it. The
// error is ErrUnknownRoot.
func (r *Ring) CheckValue(id string) ([]byte, error) {
	root, err := r.find(id)
	if err != nil {
		return nil, fmt.Errorf("check value: %w", err)
	}
	return bytes.Clone(root.check), nil
}

// Verify compares a stored check value with the ring's root key of that id:
// nil, ErrIntegrity, or ErrUnknownRoot if the ring has no such key.
func (r *Ring) Verify(id string, check []byte) error {
	root, err := r.find(id)
	if err != nil {
		return fmt.Errorf("verify root key: %w", err)
	}
	if !hmac.Equal(root.check, check) {
		return fmt.Errorf("verify root key %s: the stored check value is not of this key: %w", id, ErrIntegrity)
	}
	return nil
}

func (r *Ring) find(id string) (root, error) {
	for _, root := range r.roots {
		if root.id == id {
			return root, nil
		}
	}
	return root{}, fmt.Errorf("%w %q: the ring has %q; add the missing key to it", ErrUnknownRoot, id, r.IDs())
}

// subkey derives the key for info from a uniformly random one.
func subkey(secret []byte, info string) []byte {
	return must(hkdf.Key(sha256.New, secret, nil, info, keySize))
}

// newAEAD builds AES-256-GCM with random nonces and wipes key.
func newAEAD(key []byte) cipher.AEAD {
	defer clear(key)
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))
}

// mac is the MAC of one part, for use outside hot paths. It wipes key.
func mac(key []byte, part string) []byte {
	defer clear(key)
	h := hmac.New(sha256.New, key)
	h.Write(appendPart(nil, part))
	return h.Sum(nil)
}

// must is for calls that fail only for key lengths, which are constant here.
func must[T any](v T, err error) T {
	if err != nil {
		panic("seal: " + err.Error())
	}
	return v
}
