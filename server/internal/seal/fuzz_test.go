package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/seal"
)

// Nothing but what Seal made opens, and only in its place.
func FuzzOpen(f *testing.F) {
	v := readVectors(f)
	keyring := v.keyring(f, v.Fields[0].Key)
	for _, x := range v.Fields {
		f.Add([]byte(x.Ciphertext), x.Field.SecretID, x.Field.Version, x.Field.Name)
	}
	f.Add([]byte{}, "", int64(0), "")
	f.Add([]byte{1, 0, 0, 0, 1}, "s", int64(-1), "value")
	f.Fuzz(func(t *testing.T, ciphertext []byte, secretID string, version int64, name string) {
		place := v.Fields[0].Field
		place.SecretID, place.Version, place.Name = secretID, version, name
		got, err := keyring.Open(ciphertext, place)
		if err != nil {
			if got != nil || !errors.Is(err, seal.ErrIntegrity) && !errors.Is(err, seal.ErrUnknownKey) {
				t.Fatalf("%x, %v", got, err)
			}
			return
		}
		for _, x := range v.Fields {
			if x.Field == place && bytes.Equal(x.Ciphertext, ciphertext) && bytes.Equal(x.Plaintext, got) {
				return
			}
		}
		t.Fatalf("%x opens at %v", ciphertext, place)
	})
}

// Every ring that is read holds as many keys as entries, and every refusal
// keeps the input to itself.
func FuzzParseRing(f *testing.F) {
	v := readVectors(f)
	f.Add(v.Roots[0].Root + "\n" + v.Roots[1].Root + "\n")
	f.Add(v.Roots[0].Root + "," + v.Roots[0].Root)
	f.Add(strings.Repeat("0f", 32))
	f.Add(" ,\r\n,=")
	f.Add("-_-_")
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := seal.ParseRing(text)
		if (ring == nil) == (err == nil) {
			t.Fatalf("%v, %v", ring, err)
		}
		if err != nil {
			return
		}
		entries := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' })
		var ids []string
		for _, entry := range entries {
			entry = strings.TrimSpace(entry)
			if raw, err := base64.StdEncoding.DecodeString(entry); err == nil && len(raw) == 32 {
				ids = append(ids, mustRing(t, entry).IDs()...)
			}
		}
		if got := strings.Join(ring.IDs(), " "); got != strings.Join(ids, " ") || got == "" {
			t.Fatalf("ids are %q, want %q", got, ids)
		}
	})
}

// Nothing but what a ring wrapped unwraps.
func FuzzUnwrap(f *testing.F) {
	v := readVectors(f)
	ring := v.ring(f)
	for i := range v.Keys {
		w := v.wrapped(i)
		f.Add(string(w.Purpose), w.Scope, w.Version, w.RootID, w.Ciphertext)
	}
	f.Add("", "", uint32(0), "", []byte{})
	f.Fuzz(func(t *testing.T, purpose, scope string, version uint32, rootID string, ciphertext []byte) {
		w := seal.Wrapped{Purpose: seal.Purpose(purpose), Scope: scope, Version: version, RootID: rootID, Ciphertext: ciphertext}
		key, err := ring.Unwrap(w)
		if err != nil {
			if key != nil || !errors.Is(err, seal.ErrIntegrity) && !errors.Is(err, seal.ErrUnknownRoot) {
				t.Fatalf("%v, %v", key, err)
			}
			return
		}
		for i := range v.Keys {
			known := v.wrapped(i)
			if bytes.Equal(known.Ciphertext, ciphertext) && known.String() == w.String() && known.RootID == rootID {
				return
			}
		}
		t.Fatalf("unwrapped %v", w)
	})
}
