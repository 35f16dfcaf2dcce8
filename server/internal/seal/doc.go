// Package seal is envelope encryption: a ring of root keys wraps random keys,
// and a project's random keys seal what its secrets hold.
//
//	root key ─HKDF→ wrapping key of one purpose ─AES-256-GCM→ random key (a row)
//	random key ─HKDF→ AES-256-GCM of fields, HMAC-SHA-256, salt of token keys
//
// It holds the wrapping keys of the ring and the working keys that it was
// asked to unwrap, as ready ciphers; raw keys are overwritten once those are
// built, as far as Go lets a program do that. It computes and does nothing
// else: it must never log, reach a file, the network or the store, put key
// bytes or plaintext into an error, or let a Ring, Key or Keyring print
// anything but [redacted].
//
// Two formats are stored, both with a random nonce:
//
//	wrapped key  0x01 | nonce 12 | sealed key 32 | tag 16
//	field        0x01 | key version 4, big endian | nonce 12 | sealed field | tag 16
//
// What a ciphertext belongs to is authenticated with it, as associated data:
// the format byte, then each part as its length (8 bytes, big endian) and its
// bytes; numbers are parts of 8 bytes, big endian.
//
//	wrapped key  purpose, scope, version, id of the root key
//	field        organisation, project, environment, folder, secret, version,
//	             name of the field, key version
//
// All of these are immutable, so a ciphertext opens only in the place that it
// was sealed for, and renaming folders, environments or projects costs nothing.
//
// Which key and version a secret has may change, so a MAC under the project's
// key vouches for them, and each change of them computes it again:
//
//	head MAC  key version 4, big endian | MAC 32
//
// It is over parts as above, without a format byte: "secret head", secret,
// folder, key (the secret's name), id of the current version, its number.
//
// testdata/vectors.json fixes every byte of all this.
package seal

// SPDX-License-Identifier: Apache-2.0

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

// The errors to tell apart. None is a kind of package api: each means that
// the database, the root keys or the caller is wrong, never the request.
var (
	// ErrIntegrity: the bytes were altered, or belong to another place.
	ErrIntegrity = errors.New("integrity check failed")
	// ErrUnknownKey: no version of the project's key that was given fits. A
	// caller that caches keys loads them again before it reports this.
	ErrUnknownKey = errors.New("unknown key version")
	// ErrUnknownRoot: the root key that wrapped this is not in the ring.
	ErrUnknownRoot = errors.New("unknown root key")
	// ErrBudget: the seals granted to the key are used up; nothing was sealed.
	ErrBudget = errors.New("seal budget used up")
)

// appendPart adds one part of associated data or of a MAC's input. Its length
// in front keeps ("ab", "c") and ("a", "bc") apart.
func appendPart(b []byte, part string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(part))), part...)
}

// appendNumber adds n as a part of 8 bytes.
func appendNumber(b []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, 8), n)
}

// redacted, embedded, makes whatever holds keys print [redacted] through fmt,
// slog and encoding/json alike: %+v would otherwise walk into key schedules.
type redacted struct{}

const redactedText = "[redacted]"

func (redacted) Format(f fmt.State, verb rune) { fmt.Fprint(f, redactedText) }
func (redacted) LogValue() slog.Value          { return slog.StringValue(redactedText) }
func (redacted) MarshalText() ([]byte, error)  { return []byte(redactedText), nil }
