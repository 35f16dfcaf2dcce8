package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/server/internal/seal"
)

// The reference below writes every format out by hand, without the package:
// what databases hold today must open tomorrow. -update recomputes the
// outputs in the file from its inputs; after a release it may only add rows.
var update = flag.Bool("update", false, "rewrite the outputs in testdata/vectors.json")

const vectorsFile = "testdata/vectors.json"

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vectors struct {
	Roots  []rootVector
	Keys   []keyVector
	Fields []fieldVector
	Heads  []headVector
}

type rootVector struct {
	Root  string // base64
	ID    string
	Check hexBytes
}

type keyVector struct {
	Root       int // in Roots
	Purpose    string
	Scope      string
	Version    uint32
	Raw        hexBytes
	Nonce      hexBytes
	Ciphertext hexBytes
	MACLabel   string
	MACParts   []hexBytes
	MAC        hexBytes
	Label      string
	Secret     hexBytes
	Derived    hexBytes
}

type fieldVector struct {
	Key        int // in Keys
	Field      seal.Field
	Nonce      hexBytes
	Plaintext  hexBytes
	Ciphertext hexBytes
}

type headVector struct {
	Key  int // in Keys
	Head seal.Head
	MAC  hexBytes
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// hkdf256 is RFC 5869 for outputs of up to 32 bytes: one block.
func hkdf256(ikm, salt []byte, info string) []byte {
	return hmac256(hmac256(salt, ikm), []byte(info), []byte{1})
}

func hmac256(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(bytes.Join(parts, nil))
	return h.Sum(nil)
}

func gcm(key, nonce, plaintext, associated []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return append(bytes.Clone(nonce), aead.Seal(nil, nonce, plaintext, associated)...)
}

// parts is the encoding under every MAC and associated data.
func parts(list ...any) []byte {
	var b bytes.Buffer
	for _, part := range list {
		switch part := part.(type) {
		case string:
			binary.Write(&b, binary.BigEndian, uint64(len(part)))
			b.WriteString(part)
		case uint64:
			binary.Write(&b, binary.BigEndian, [2]uint64{8, part})
		default:
			panic(fmt.Sprintf("a part is a %T", part))
		}
	}
	return b.Bytes()
}

// compute fills in every output from the inputs.
func (v *vectors) compute() {
	raws := make([][]byte, len(v.Roots))
	for i := range v.Roots {
		r := &v.Roots[i]
		raws[i], _ = base64.StdEncoding.DecodeString(r.Root)
		r.ID = hex.EncodeToString(hkdf256(raws[i], nil, "kms root key id"))[:16]
		r.Check = hmac256(hkdf256(raws[i], nil, "kms root key check"), parts(r.ID))
	}
	for i := range v.Keys {
		k := &v.Keys[i]
		wrapping := hkdf256(raws[k.Root], nil, "kms wrap "+k.Purpose)
		associated := append([]byte{1}, parts(k.Purpose, k.Scope, uint64(k.Version), v.Roots[k.Root].ID)...)
		k.Ciphertext = append([]byte{1}, gcm(wrapping, k.Nonce, k.Raw, associated)...)
		list := []any{k.MACLabel}
		for _, part := range k.MACParts {
			list = append(list, string(part))
		}
		k.MAC = hmac256(hkdf256(k.Raw, nil, "kms key mac"), parts(list...))
		k.Derived = hkdf256(k.Secret, hkdf256(k.Raw, nil, "kms key derive"), k.Label)
	}
	for i := range v.Fields {
		x := &v.Fields[i]
		key, f := v.Keys[x.Key], x.Field
		associated := append([]byte{1}, parts(f.OrgID, f.ProjectID, f.EnvironmentID, f.FolderID, f.SecretID, uint64(f.Version), f.Name, uint64(key.Version))...)
		header := binary.BigEndian.AppendUint32([]byte{1}, key.Version)
		x.Ciphertext = append(header, gcm(hkdf256(key.Raw, nil, "kms key seal"), x.Nonce, x.Plaintext, associated)...)
	}
	for i := range v.Heads {
		x := &v.Heads[i]
		key, h := v.Keys[x.Key], x.Head
		sum := hmac256(hkdf256(key.Raw, nil, "kms key mac"), parts("secret head", h.SecretID, h.FolderID, h.Key, h.VersionID, uint64(h.Version)))
		x.MAC = append(binary.BigEndian.AppendUint32(nil, key.Version), sum...)
	}
}

func TestReferenceReproducesTheVectors(t *testing.T) {
	want, got := readVectors(t), readVectors(t)
	got.compute()
	if *update {
		data, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the reference makes other vectors (-file +reference):\n%s", diff)
	}
}

func (v vectors) ring(t testing.TB) *seal.Ring {
	t.Helper()
	var roots []string
	for _, r := range v.Roots {
		roots = append(roots, r.Root)
	}
	return mustRing(t, roots...)
}

func (v vectors) wrapped(i int) seal.Wrapped {
	k := v.Keys[i]
	return seal.Wrapped{Purpose: seal.Purpose(k.Purpose), Scope: k.Scope, Version: k.Version, RootID: v.Roots[k.Root].ID, Ciphertext: k.Ciphertext}
}

func (v vectors) keyring(t testing.TB, i int) *seal.Keyring {
	t.Helper()
	return mustKeyring(t, mustUnwrap(t, v.ring(t), v.wrapped(i)))
}

func TestRootVectors(t *testing.T) {
	v := readVectors(t)
	ring := v.ring(t)
	for i, r := range v.Roots {
		if got := ring.IDs()[i]; got != r.ID {
			t.Errorf("id of root %d is %s, want %s", i, got, r.ID)
		}
		if err := ring.Verify(r.ID, r.Check); err != nil {
			t.Errorf("check value of root %d: %v", i, err)
		}
		if got, err := ring.CheckValue(r.ID); err != nil || !bytes.Equal(got, r.Check) {
			t.Errorf("check value of root %d is %x, %v, want %x", i, got, err, r.Check)
		}
	}
}

func TestKeyVectors(t *testing.T) {
	v := readVectors(t)
	var seen []string
	for i, k := range v.Keys {
		key := mustUnwrap(t, v.ring(t), v.wrapped(i))
		var macParts [][]byte
		for _, part := range k.MACParts {
			macParts = append(macParts, part)
		}
		for range 3 { // the pooled state is used again
			if got := key.MAC(k.MACLabel, macParts...); !bytes.Equal(got, k.MAC) {
				t.Errorf("MAC of key %d is %x, want %x", i, got, k.MAC)
			}
		}
		if got := key.Derive(k.Label, k.Secret); !bytes.Equal(got[:], k.Derived) {
			t.Errorf("key %d derives %x, want %x", i, got, k.Derived)
		}
		if got := key.Version(); got != k.Version {
			t.Errorf("version of key %d is %d, want %d", i, got, k.Version)
		}
		seen = append(seen, k.Purpose)
	}
	want := []string{"audit", "backup", "client-secret", "etag", "project", "token"}
	if got := slices.Compact(slices.Sorted(slices.Values(seen))); !slices.Equal(got, want) {
		t.Errorf("the vectors cover %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func TestFieldVectors(t *testing.T) {
	v := readVectors(t)
	for i, x := range v.Fields {
		keyring := v.keyring(t, x.Key)
		if got, err := keyring.Open(x.Ciphertext, x.Field); err != nil || !bytes.Equal(got, x.Plaintext) {
			t.Errorf("field %d opens as %x, %v, want %x", i, got, err, x.Plaintext)
		}
	}
}

// What Seal makes is random, so the reference opens it instead: it seals the
// same plaintext with the same nonce, and gets the same bytes.
func TestSealWritesTheFormatOfTheVectors(t *testing.T) {
	v := readVectors(t)
	for i := range v.Fields {
		x := &v.Fields[i]
		keyring := v.keyring(t, x.Key)
		keyring.Grant(1)
		sealed := mustSeal(t, keyring, x.Plaintext, x.Field)
		x.Nonce = sealed[5:17]
		v.compute()
		if !bytes.Equal(sealed, x.Ciphertext) {
			t.Errorf("field %d is sealed as %x, the reference makes %x", i, sealed, x.Ciphertext)
		}
	}
}

func TestRewrapWritesTheFormatOfTheVectors(t *testing.T) {
	v := readVectors(t)
	ring := mustRing(t, v.Roots[1].Root, v.Roots[0].Root)
	for i := range v.Keys {
		if v.Keys[i].Root == 1 {
			continue
		}
		moved, changed, err := ring.Rewrap(v.wrapped(i))
		if err != nil || !changed {
			t.Fatalf("rewrap key %d: %v, %v", i, changed, err)
		}
		v.Keys[i].Root, v.Keys[i].Nonce = 1, moved.Ciphertext[1:13]
		v.compute()
		if diff := cmp.Diff(v.wrapped(i), moved); diff != "" {
			t.Errorf("key %d (-reference +got):\n%s", i, diff)
		}
	}
}

func TestHeadVectors(t *testing.T) {
	v := readVectors(t)
	for i, h := range v.Heads {
		keyring := v.keyring(t, h.Key)
		if got := keyring.HeadMAC(h.Head); !bytes.Equal(got, h.MAC) {
			t.Errorf("head %d has MAC %x, want %x", i, got, h.MAC)
		}
		if err := keyring.VerifyHead(h.Head, h.MAC); err != nil {
			t.Errorf("head %d: %v", i, err)
		}
	}
}
