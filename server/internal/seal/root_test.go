package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/seal"
)

func mustRing(t testing.TB, keys ...string) *seal.Ring {
	t.Helper()
	ring, err := seal.ParseRing(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestGeneratedRootKeysAreReadAndDiffer(t *testing.T) {
	first, second := seal.GenerateRootKey(), seal.GenerateRootKey()
	if first == second {
		t.Fatal("two generated root keys are the same")
	}
	if got := mustRing(t, first, second).IDs(); len(got) != 2 || len(got[0]) != 16 || got[0] == got[1] {
		t.Errorf("ids are %q, want two different ones of 16 characters", got)
	}
}

func TestParseRingReadsWhatPeopleWrite(t *testing.T) {
	first, second := seal.GenerateRootKey(), seal.GenerateRootKey()
	one, two := mustRing(t, first).IDs(), mustRing(t, first, second).IDs()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"one key":                      {first, one},
		"a file with one line":         {first + "\n", one},
		"a file from Windows":          {first + "\r\n" + second + "\r\n", two},
		"a variable with two keys":     {first + "," + second, two},
		"blanks and empty entries":     {"\n ,\t" + first + " , \n\n , " + second + " ,\n", two},
		"a comma and a line end mixed": {first + ",\n" + second, two},
	} {
		t.Run(name, func(t *testing.T) {
			ring, err := seal.ParseRing(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := ring.IDs(); !slices.Equal(got, test.want) {
				t.Errorf("ids are %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseRingSaysWhatIsWrongAndQuotesNothing(t *testing.T) {
	good := seal.GenerateRootKey()
	raw, _ := base64.StdEncoding.DecodeString(good)
	canary := bytes.Repeat([]byte{0xfb, 0xef, 0xbe, 0x5a}, 8) // "++++..." in base64, "----..." in its URL alphabet
	hexKey := hex.EncodeToString(canary)
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"nothing":                {"", []string{"no root key is given"}},
		"only separators":        {" \n,\r\n ", []string{"no root key is given"}},
		"hex":                    {hexKey, []string{"root key 1 of 1", "looks like hex", "xxd -r -p | base64"}},
		"hex in upper case":      {good + "," + strings.ToUpper(hexKey), []string{"root key 2 of 2", "looks like hex"}},
		"URL alphabet":           {base64.URLEncoding.EncodeToString(canary), []string{"root key 1 of 1", "URL alphabet"}},
		"without padding":        {base64.RawStdEncoding.EncodeToString(canary), []string{"root key 1 of 1", "43", "'='"}},
		"quoted":                 {`"` + base64.StdEncoding.EncodeToString(canary) + `"`, []string{"root key 1 of 1", "not standard base64"}},
		"with its variable name": {"KEY=" + base64.StdEncoding.EncodeToString(canary), []string{"root key 1 of 1", "not standard base64"}},
		"16 bytes":               {base64.StdEncoding.EncodeToString(canary[:16]), []string{"root key 1 of 1", "base64 of 16 bytes, and 32"}},
		"31 bytes":               {base64.StdEncoding.EncodeToString(canary[:31]), []string{"root key 1 of 1", "base64 of 31 bytes, and 32"}},
		"33 bytes":               {base64.StdEncoding.EncodeToString(append(canary[:32:32], 7)), []string{"base64 of 33 bytes, and 32"}},
		"a passphrase":           {"correct horse battery staple!!!!", []string{"root key 1 of 1", "not standard base64"}},
		"the same key twice":     {good + "," + seal.GenerateRootKey() + ",," + good, []string{"root key 3 of 3", "same as key 1"}},
		"two wrong keys":         {hexKey + "\n" + good + "\n" + hexKey[:60], []string{"root key 1 of 3", "root key 3 of 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			ring, err := seal.ParseRing(test.text)
			if err == nil {
				t.Fatalf("accepted: %q", ring.IDs())
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			assertNoPartOf(t, err.Error(), test.text, good, hex.EncodeToString(raw), string(raw))
		})
	}
}

// assertNoPartOf fails if any 6 bytes in a row of a secret occur in text.
func assertNoPartOf(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for i := range max(len(secret)-5, 0) {
			if strings.Contains(text, secret[i:i+6]) {
				t.Fatalf("%q holds %q", text, secret[i:i+6])
			}
		}
	}
}

func TestVerifyTellsTheRightRootKeyFromAWrongOne(t *testing.T) {
	ring, other := mustRing(t, seal.GenerateRootKey()), mustRing(t, seal.GenerateRootKey())
	id := ring.IDs()[0]
	check, err := ring.CheckValue(id)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.CheckValue(other.IDs()[0])
	if err != nil {
		t.Fatal(err)
	}
	check[0] ^= 1 // the caller's copy: the ring must not change with it
	for name, test := range map[string]struct {
		ring  *seal.Ring
		check []byte
		want  error
	}{
		"altered":         {ring, check, seal.ErrIntegrity},
		"of another key":  {ring, foreign, seal.ErrIntegrity},
		"cut off":         {ring, check[:31], seal.ErrIntegrity},
		"missing":         {ring, nil, seal.ErrIntegrity},
		"key not in ring": {other, check, seal.ErrUnknownRoot},
		"zero ring":       {new(seal.Ring), check, seal.ErrUnknownRoot},
	} {
		if err := test.ring.Verify(id, test.check); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	check[0] ^= 1
	if err := ring.Verify(id, check); err != nil {
		t.Errorf("the ring's own check value: %v", err)
	}
	if _, err := other.CheckValue(id); !errors.Is(err, seal.ErrUnknownRoot) {
		t.Errorf("check value of a key not in the ring: %v, want ErrUnknownRoot", err)
	}
}

func TestWhatHoldsKeysPrintsRedacted(t *testing.T) {
	ring := mustRing(t, seal.GenerateRootKey())
	_, key, err := ring.NewKey(seal.PurposeProject, "p", 1)
	if err != nil {
		t.Fatal(err)
	}
	keyring := mustKeyring(t, key)
	for _, holder := range []slog.LogValuer{ring, key, keyring} { // for handlers that encode in their own way
		if got := slog.AnyValue(holder).Resolve(); got.Kind() != slog.KindString || got.String() != "[redacted]" {
			t.Errorf("%T is logged as a %v", holder, got.Kind())
		}
	}
	for name, holder := range map[string]any{
		"Ring": ring, "Key": key, "Keyring": keyring,
		"Ring by value": *ring, "in a struct": struct{ Keys *seal.Keyring }{keyring}, "in a slice": []*seal.Key{key},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+"\n", holder)
			}
			if err := json.NewEncoder(&out).Encode(holder); err != nil {
				t.Fatal(err)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("m", "holder", holder)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "holder", holder)
			for line := range strings.Lines(out.String()) {
				if !strings.Contains(line, "[redacted]") {
					t.Errorf("printed %q", line)
				}
			}
			for _, leak := range []string{"0x", "map[", "aead", "salt", "roots"} {
				if strings.Contains(out.String(), leak) {
					t.Errorf("printed %q in %q", leak, out.String())
				}
			}
		})
	}
}
