package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// Purpose is what a key is for. Each purpose has a wrapping key of its own.
type Purpose string

// The purposes. All but PurposeProject are keys of the whole instance.
const (
	PurposeProject      Purpose = "project"       // seals the secrets of one project
	PurposeClientSecret Purpose = "client-secret" // looks up client secrets
	PurposeToken        Purpose = "token"         // salts the signing keys of access tokens
	PurposeETag         Purpose = "etag"          // makes ETags
	PurposeAudit        Purpose = "audit"         // authenticates audit rows
	PurposeBackup       Purpose = "backup"        // seals backups
)

func purposes() [6]Purpose {
	return [...]Purpose{PurposeProject, PurposeClientSecret, PurposeToken, PurposeETag, PurposeAudit, PurposeBackup}
}

const (
	formatWrapped = 0x01
	wrappedSize   = 1 + 12 + keySize + 16 // format, nonce, key, tag
)

// Wrapped is a key as the store keeps it: useless without the root key.
type Wrapped struct {
	Purpose    Purpose
	Scope      string // the project's id for PurposeProject, otherwise "" or what the caller tells keys apart by
	Version    uint32 // from 1
	RootID     string // the root key that wraps it
	Ciphertext []byte
}

func (w Wrapped) String() string {
	return fmt.Sprintf("%s key %q version %d", w.Purpose, w.Scope, w.Version)
}

func (w Wrapped) associated() []byte {
	b := []byte{formatWrapped}
	b = appendPart(b, string(w.Purpose))
	b = appendPart(b, w.Scope)
	b = appendNumber(b, uint64(w.Version))
	return appendPart(b, w.RootID)
}

// NewKey makes a random key, wrapped under the newest root key. Versions
// count from 1; a project's key has the project's id as its scope.
func (r *Ring) NewKey(p Purpose, scope string, version uint32) (Wrapped, *Key, error) {
	w := Wrapped{Purpose: p, Scope: scope, Version: version}
	switch {
	case version == 0:
		return Wrapped{}, nil, fmt.Errorf("make %v: versions count from 1", w)
	case p == PurposeProject && scope == "":
		return Wrapped{}, nil, fmt.Errorf("make %v: its scope must be the project's id", w)
	}
	raw := make([]byte, keySize)
	rand.Read(raw) // never fails: it ends the process instead
	defer clear(raw)
	w, err := r.wrap(w, raw)
	if err != nil {
		return Wrapped{}, nil, fmt.Errorf("make %v: %w", w, err)
	}
	return w, newKey(w, raw), nil
}

// Unwrap opens a stored key. The error is ErrUnknownRoot if the ring lacks
// its root key, or ErrIntegrity if anything about it was changed.
func (r *Ring) Unwrap(w Wrapped) (*Key, error) {
	raw, err := r.unwrap(w)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	return newKey(w, raw), nil
}

// Rewrap moves a stored key under the newest root key; false if it is there
// already. The key stays the same, so nothing that it sealed changes. It
// fails as Unwrap does.
func (r *Ring) Rewrap(w Wrapped) (Wrapped, bool, error) {
	raw, err := r.unwrap(w)
	if err != nil {
		return w, false, err
	}
	defer clear(raw)
	if w.RootID == r.roots[0].id {
		return w, false, nil
	}
	moved, err := r.wrap(w, raw)
	if err != nil {
		return w, false, fmt.Errorf("rewrap %v: %w", w, err)
	}
	return moved, true, nil
}

func (r *Ring) wrap(w Wrapped, raw []byte) (Wrapped, error) {
	if len(r.roots) == 0 {
		return w, errors.New("the ring has no root key")
	}
	newest := r.roots[0]
	aead, known := newest.wrap[w.Purpose]
	if !known {
		return w, errors.New("unknown purpose")
	}
	w.RootID = newest.id
	w.Ciphertext = aead.Seal([]byte{formatWrapped}, nil, raw, w.associated())
	return w, nil
}

func (r *Ring) unwrap(w Wrapped) ([]byte, error) {
	root, err := r.find(w.RootID)
	if err != nil {
		return nil, fmt.Errorf("unwrap %v: %w", w, err)
	}
	aead, known := root.wrap[w.Purpose]
	switch {
	case !known:
		return nil, fmt.Errorf("unwrap %v: unknown purpose: %w", w, ErrIntegrity)
	case len(w.Ciphertext) != wrappedSize:
		return nil, fmt.Errorf("unwrap %v: it has %d bytes, not %d: %w", w, len(w.Ciphertext), wrappedSize, ErrIntegrity)
	case w.Ciphertext[0] != formatWrapped:
		return nil, fmt.Errorf("unwrap %v: unknown format %d: %w", w, w.Ciphertext[0], ErrIntegrity)
	}
	raw, err := aead.Open(nil, nil, w.Ciphertext[1:], w.associated())
	if err != nil {
		return nil, fmt.Errorf("unwrap %v under root key %s: %w", w, w.RootID, ErrIntegrity)
	}
	return raw, nil
}

// What HKDF derives from an unwrapped key: no key has two uses.
const (
	infoSeal   = "kms key seal"
	infoMAC    = "kms key mac"
	infoDerive = "kms key derive"
)

// Key is an unwrapped key, ready for use and safe for concurrent use. It is
// made by a Ring, and must not be copied.
type Key struct {
	redacted
	purpose Purpose
	scope   string
	version uint32
	aead    cipher.AEAD
	salt    []byte
	macs    sync.Pool // of *macState: a fresh HMAC costs four allocations and two more blocks of SHA-256
}

type macState struct {
	hash   hash.Hash
	buffer []byte // labels and lengths; never a part, which may be a secret
}

// newKey derives all that is ever needed of a key. The caller wipes raw.
func newKey(w Wrapped, raw []byte) *Key {
	macKey := subkey(raw, infoMAC)
	return &Key{
		purpose: w.Purpose,
		scope:   w.Scope,
		version: w.Version,
		aead:    newAEAD(subkey(raw, infoSeal)),
		salt:    subkey(raw, infoDerive),
		macs: sync.Pool{New: func() any {
			return &macState{hash: hmac.New(sha256.New, macKey), buffer: make([]byte, 0, 64)}
		}},
	}
}

// Version is the key's version, from 1.
func (k *Key) Version() uint32 { return k.version }

// MAC is HMAC-SHA-256, 32 bytes, over label and parts, each with its length
// in front. The label names the use, so that a MAC of one use is never one of
// another; it is a constant of the caller, not input. Compare with hmac.Equal.
func (k *Key) MAC(label string, parts ...[]byte) []byte {
	s := k.macs.Get().(*macState)
	defer k.macs.Put(s)
	s.hash.Reset()
	s.buffer = appendPart(s.buffer[:0], label)
	s.hash.Write(s.buffer)
	for _, part := range parts {
		s.buffer = binary.BigEndian.AppendUint64(s.buffer[:0], uint64(len(part)))
		s.hash.Write(s.buffer)
		s.hash.Write(part)
	}
	return s.hash.Sum(nil)
}

// Derive mixes this key with a secret that the instance was given, which must
// have 32 bytes or more: HKDF-SHA-256 with a salt derived from this key and
// label as info. Neither the database and the root key, nor the secret alone,
// is enough to compute it.
func (k *Key) Derive(label string, secret []byte) [32]byte {
	return [32]byte(must(hkdf.Key(sha256.New, secret, k.salt, label, 32)))
}
