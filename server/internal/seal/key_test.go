package seal_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/server/internal/seal"
)

func mustNewKey(t testing.TB, ring *seal.Ring, p seal.Purpose, scope string, version uint32) (seal.Wrapped, *seal.Key) {
	t.Helper()
	w, key, err := ring.NewKey(p, scope, version)
	if err != nil {
		t.Fatal(err)
	}
	return w, key
}

func mustUnwrap(t testing.TB, ring *seal.Ring, w seal.Wrapped) *seal.Key {
	t.Helper()
	key, err := ring.Unwrap(w)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fingerprint tells whether two keys are the same.
func fingerprint(k *seal.Key) string { return string(k.MAC("fingerprint")) }

var allPurposes = []seal.Purpose{
	seal.PurposeProject, seal.PurposeClientSecret, seal.PurposeToken,
	seal.PurposeETag, seal.PurposeAudit, seal.PurposeBackup,
}

func TestAWrappedKeyUnwrapsToItself(t *testing.T) {
	root := seal.GenerateRootKey()
	for _, purpose := range allPurposes {
		w, key := mustNewKey(t, mustRing(t, root), purpose, "scope", 7)
		again := mustUnwrap(t, mustRing(t, root), w) // as after a restart
		if fingerprint(key) != fingerprint(again) || again.Version() != 7 {
			t.Errorf("%s: unwrapped to another key", purpose)
		}
		_, other := mustNewKey(t, mustRing(t, root), purpose, "scope", 7)
		if fingerprint(key) == fingerprint(other) {
			t.Errorf("%s: two new keys are the same", purpose)
		}
	}
}

func TestNewKeyRefusesMistakes(t *testing.T) {
	ring := mustRing(t, seal.GenerateRootKey())
	for name, attempt := range map[string]func() (seal.Wrapped, *seal.Key, error){
		"version 0":               func() (seal.Wrapped, *seal.Key, error) { return ring.NewKey(seal.PurposeETag, "", 0) },
		"unknown purpose":         func() (seal.Wrapped, *seal.Key, error) { return ring.NewKey("purpose", "", 1) },
		"no purpose":              func() (seal.Wrapped, *seal.Key, error) { return ring.NewKey("", "", 1) },
		"project without its id":  func() (seal.Wrapped, *seal.Key, error) { return ring.NewKey(seal.PurposeProject, "", 1) },
		"a ring without root key": func() (seal.Wrapped, *seal.Key, error) { return new(seal.Ring).NewKey(seal.PurposeETag, "", 1) },
	} {
		if w, key, err := attempt(); err == nil || key != nil || w.Ciphertext != nil {
			t.Errorf("%s: %v, %v, %v, want an error alone", name, w, key, err)
		}
	}
}

func TestAWrappedKeyOpensOnlyAsWhatItWasMadeFor(t *testing.T) {
	ring := mustRing(t, seal.GenerateRootKey(), seal.GenerateRootKey())
	w, _ := mustNewKey(t, ring, seal.PurposeProject, "ab", 1)
	for name, test := range map[string]struct {
		change func(*seal.Wrapped)
		want   error
	}{
		"purpose":             {func(w *seal.Wrapped) { w.Purpose = seal.PurposeAudit }, seal.ErrIntegrity},
		"unknown purpose":     {func(w *seal.Wrapped) { w.Purpose = "projecta" }, seal.ErrIntegrity},
		"no purpose":          {func(w *seal.Wrapped) { w.Purpose = "" }, seal.ErrIntegrity},
		"scope":               {func(w *seal.Wrapped) { w.Scope = "ac" }, seal.ErrIntegrity},
		"shorter scope":       {func(w *seal.Wrapped) { w.Scope = "a" }, seal.ErrIntegrity},
		"no scope":            {func(w *seal.Wrapped) { w.Scope = "" }, seal.ErrIntegrity},
		"version":             {func(w *seal.Wrapped) { w.Version = 2 }, seal.ErrIntegrity},
		"other root key":      {func(w *seal.Wrapped) { w.RootID = ring.IDs()[1] }, seal.ErrIntegrity},
		"unknown root key":    {func(w *seal.Wrapped) { w.RootID = "0123456789abcdef" }, seal.ErrUnknownRoot},
		"no root key":         {func(w *seal.Wrapped) { w.RootID = "" }, seal.ErrUnknownRoot},
		"no ciphertext":       {func(w *seal.Wrapped) { w.Ciphertext = nil }, seal.ErrIntegrity},
		"a byte more":         {func(w *seal.Wrapped) { w.Ciphertext = append(w.Ciphertext, 0) }, seal.ErrIntegrity},
		"another key's bytes": {func(w *seal.Wrapped) { o, _ := mustNewKey(t, ring, w.Purpose, "cd", 1); w.Ciphertext = o.Ciphertext }, seal.ErrIntegrity},
	} {
		changed := w
		changed.Ciphertext = bytes.Clone(w.Ciphertext)
		test.change(&changed)
		if _, err := ring.Unwrap(changed); !errors.Is(err, test.want) {
			t.Errorf("%s: unwrap: %v, want %v", name, err, test.want)
		}
		if _, moved, err := ring.Rewrap(changed); !errors.Is(err, test.want) || moved {
			t.Errorf("%s: rewrap: %v, %v, want %v", name, moved, err, test.want)
		}
	}
}

func TestEveryByteOfAWrappedKeyCounts(t *testing.T) {
	ring := mustRing(t, seal.GenerateRootKey())
	w, _ := mustNewKey(t, ring, seal.PurposeToken, "", 1)
	for i := range w.Ciphertext {
		changed := w
		changed.Ciphertext = bytes.Clone(w.Ciphertext)
		changed.Ciphertext[i] ^= 0x80
		if _, err := ring.Unwrap(changed); !errors.Is(err, seal.ErrIntegrity) {
			t.Errorf("byte %d flipped: %v, want ErrIntegrity", i, err)
		}
		changed.Ciphertext = w.Ciphertext[:i]
		if _, err := ring.Unwrap(changed); !errors.Is(err, seal.ErrIntegrity) {
			t.Errorf("cut off at byte %d: %v, want ErrIntegrity", i, err)
		}
	}
}

// The documented rotation, one step of one replica at a time: whatever mix of
// configurations runs, each replica opens what every other one wrapped.
func TestRootKeysRotateWhileReplicasDiffer(t *testing.T) {
	oldRoot, newRoot := seal.GenerateRootKey(), seal.GenerateRootKey()
	for name, replicas := range map[string][2]*seal.Ring{
		"the new key is added last":  {mustRing(t, oldRoot), mustRing(t, oldRoot)},
		"one replica has both":       {mustRing(t, oldRoot, newRoot), mustRing(t, oldRoot)},
		"one replica moved it first": {mustRing(t, newRoot, oldRoot), mustRing(t, oldRoot, newRoot)},
		"both moved it first":        {mustRing(t, newRoot, oldRoot), mustRing(t, newRoot, oldRoot)},
	} {
		t.Run(name, func(t *testing.T) {
			for i, writer := range replicas {
				w, key := mustNewKey(t, writer, seal.PurposeProject, "p", 1)
				if w.RootID != writer.IDs()[0] {
					t.Errorf("wrapped by %s, want the newest of %q", w.RootID, writer.IDs())
				}
				if got := mustUnwrap(t, replicas[1-i], w); fingerprint(got) != fingerprint(key) {
					t.Error("the other replica unwraps another key")
				}
			}
		})
	}
}

func TestAfterRewrapTheOldRootKeyCanBeRemoved(t *testing.T) {
	oldRoot, newRoot := seal.GenerateRootKey(), seal.GenerateRootKey()
	w, key := mustNewKey(t, mustRing(t, oldRoot), seal.PurposeProject, "p", 3)
	alone := mustRing(t, newRoot)
	if _, err := alone.Unwrap(w); !errors.Is(err, seal.ErrUnknownRoot) {
		t.Fatalf("unwrap before rewrap: %v, want ErrUnknownRoot", err)
	}
	ring := mustRing(t, newRoot, oldRoot)
	before := bytes.Clone(w.Ciphertext)
	moved, changed, err := ring.Rewrap(w)
	if err != nil || !changed || !bytes.Equal(before, w.Ciphertext) {
		t.Fatalf("rewrap: %v, %v", changed, err)
	}
	if got := mustUnwrap(t, alone, moved); fingerprint(got) != fingerprint(key) || got.Version() != 3 {
		t.Error("rewrapping changed the key")
	}
	again, changed, err := ring.Rewrap(moved)
	if err != nil || changed {
		t.Errorf("rewrap again: %v, %v, want no change", changed, err)
	}
	if diff := cmp.Diff(moved, again); diff != "" {
		t.Errorf("rewrap again (-first +second):\n%s", diff)
	}
}

func TestMACKeepsLabelsAndPartsApart(t *testing.T) {
	_, key := mustNewKey(t, mustRing(t, seal.GenerateRootKey()), seal.PurposeETag, "", 1)
	inputs := [][]string{ // a label, then parts
		{"label", "ab", "c"}, {"label", "a", "bc"}, {"label", "abc"}, {"label", "abc", ""}, {"label", "", "abc"},
		{"labela", "b", "c"}, {"label"}, {"label", ""}, {""}, {"", "label"}, {"label", "ab", "c", ""},
	}
	seen := make(map[string][]string)
	for _, input := range inputs {
		var parts [][]byte
		for _, part := range input[1:] {
			parts = append(parts, []byte(part))
		}
		mac := string(key.MAC(input[0], parts...))
		if len(mac) != 32 {
			t.Errorf("MAC of %q has %d bytes, want 32", input, len(mac))
		}
		if other, twice := seen[mac]; twice {
			t.Errorf("%q and %q have the same MAC", input, other)
		}
		seen[mac] = input
	}
}

func TestDeriveDependsOnKeyLabelAndSecret(t *testing.T) {
	ring := mustRing(t, seal.GenerateRootKey())
	_, one := mustNewKey(t, ring, seal.PurposeToken, "", 1)
	_, two := mustNewKey(t, ring, seal.PurposeToken, "", 2)
	secret, other := bytes.Repeat([]byte("s"), 32), bytes.Repeat([]byte("t"), 32)
	keys := [][32]byte{one.Derive("a", secret), two.Derive("a", secret), one.Derive("b", secret), one.Derive("a", other)}
	for i, key := range keys {
		if slices.Contains(keys[:i], key) {
			t.Errorf("derivation %d repeats an earlier one", i)
		}
	}
	if one.Derive("a", secret) != keys[0] {
		t.Error("the same derivation gives another key")
	}
}
