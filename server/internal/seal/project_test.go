package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hanzoai/kms/server/internal/seal"
)

const plenty = 1 << 20

func mustKeyring(t testing.TB, keys ...*seal.Key) *seal.Keyring {
	t.Helper()
	keyring, err := seal.NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return keyring
}

func mustSeal(t testing.TB, keyring *seal.Keyring, plaintext []byte, f seal.Field) []byte {
	t.Helper()
	sealed, err := keyring.Seal(plaintext, f)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// newKeys makes one key of a project for each version.
func newKeys(t testing.TB, project string, versions ...uint32) []*seal.Key {
	t.Helper()
	ring := mustRing(t, seal.GenerateRootKey())
	var keys []*seal.Key
	for _, version := range versions {
		_, key := mustNewKey(t, ring, seal.PurposeProject, project, version)
		keys = append(keys, key)
	}
	return keys
}

func newKeyring(t testing.TB) *seal.Keyring {
	t.Helper()
	keyring := mustKeyring(t, newKeys(t, field.ProjectID, 1)...)
	keyring.Grant(plenty)
	return keyring
}

var field = seal.Field{
	OrgID:         "0192f1aa-0000-7000-8000-000000000001",
	ProjectID:     "0192f1aa-0000-7000-8000-000000000002",
	EnvironmentID: "0192f1aa-0000-7000-8000-000000000003",
	FolderID:      "0192f1aa-0000-7000-8000-000000000004",
	SecretID:      "0192f1aa-0000-7000-8000-000000000005",
	Version:       3,
	Name:          "value",
}

func TestWhatIsSealedOpens(t *testing.T) {
	keyring := newKeyring(t)
	for name, plaintext := range map[string][]byte{
		"empty":   {},
		"nil":     nil,
		"short":   []byte("hunter2"),
		"newline": []byte(" kept as it is \n"),
		"binary":  {0, 1, 0xff, 0xfe, 0},
		"1 MiB":   bytes.Repeat([]byte("0123456789abcdef"), 1<<16),
	} {
		sealed := mustSeal(t, keyring, plaintext, field)
		if len(sealed) != len(plaintext)+33 {
			t.Errorf("%s: %d bytes were sealed into %d, want 33 more", name, len(plaintext), len(sealed))
		}
		before := bytes.Clone(sealed)
		got, err := keyring.Open(sealed, field)
		if err != nil || got == nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%s: opens as %.20q, %v", name, got, err)
		}
		if !bytes.Equal(sealed, before) {
			t.Errorf("%s: Open changed the ciphertext", name)
		}
	}
	if bytes.Equal(mustSeal(t, keyring, []byte("same"), field), mustSeal(t, keyring, []byte("same"), field)) {
		t.Error("sealing the same twice gives the same bytes")
	}
}

// changes moves a field to another place, one part at a time.
var changes = map[string]func(*seal.Field){
	"organisation":       func(f *seal.Field) { f.OrgID = other(f.OrgID) },
	"project":            func(f *seal.Field) { f.ProjectID = other(f.ProjectID) },
	"environment":        func(f *seal.Field) { f.EnvironmentID = other(f.EnvironmentID) },
	"folder":             func(f *seal.Field) { f.FolderID = other(f.FolderID) },
	"secret":             func(f *seal.Field) { f.SecretID = other(f.SecretID) },
	"older version":      func(f *seal.Field) { f.Version-- },
	"newer version":      func(f *seal.Field) { f.Version++ },
	"negative version":   func(f *seal.Field) { f.Version = -f.Version },
	"name":               func(f *seal.Field) { f.Name = "comment" },
	"no organisation":    func(f *seal.Field) { f.OrgID = "" },
	"no project":         func(f *seal.Field) { f.ProjectID = "" },
	"no environment":     func(f *seal.Field) { f.EnvironmentID = "" },
	"no folder":          func(f *seal.Field) { f.FolderID = "" },
	"no secret":          func(f *seal.Field) { f.SecretID = "" },
	"no version":         func(f *seal.Field) { f.Version = 0 },
	"no name":            func(f *seal.Field) { f.Name = "" },
	"swapped ids":        func(f *seal.Field) { f.EnvironmentID, f.FolderID = f.FolderID, f.EnvironmentID },
	"a byte moved along": func(f *seal.Field) { f.FolderID, f.SecretID = f.FolderID[:35], f.FolderID[35:]+f.SecretID },
}

func other(id string) string { return id[:35] + "f" }

func TestACiphertextOpensOnlyInItsPlace(t *testing.T) {
	keyring := newKeyring(t)
	const secret = "correct-horse-battery"
	sealed := mustSeal(t, keyring, []byte(secret), field)
	for name, change := range changes {
		moved := field
		change(&moved)
		got, err := keyring.Open(sealed, moved)
		if !errors.Is(err, seal.ErrIntegrity) || got != nil {
			t.Errorf("%s: %q, %v, want ErrIntegrity", name, got, err)
			continue
		}
		assertNoPartOf(t, err.Error(), secret)
		if moved.SecretID != "" && !strings.Contains(err.Error(), moved.SecretID) {
			t.Errorf("%s: error %q does not name the secret's id", name, err)
		}
	}
}

func TestEveryByteOfACiphertextCounts(t *testing.T) {
	keyring := newKeyring(t)
	sealed := mustSeal(t, keyring, []byte("hunter2"), field)
	for i := range sealed {
		for _, flip := range []byte{0x01, 0x80} {
			changed := bytes.Clone(sealed)
			changed[i] ^= flip
			want := seal.ErrIntegrity
			if i >= 1 && i < 5 {
				want = seal.ErrUnknownKey
			}
			if got, err := keyring.Open(changed, field); !errors.Is(err, want) || got != nil {
				t.Errorf("byte %d flipped: %q, %v, want %v", i, got, err, want)
			}
		}
		if got, err := keyring.Open(sealed[:i], field); !errors.Is(err, seal.ErrIntegrity) || got != nil {
			t.Errorf("cut off at byte %d: %q, %v, want ErrIntegrity", i, got, err)
		}
	}
	if _, err := keyring.Open(append(bytes.Clone(sealed), 0), field); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("a byte more: %v, want ErrIntegrity", err)
	}
}

func TestSwappedCiphertextsDoNotOpen(t *testing.T) {
	keyring := newKeyring(t)
	next, comment := field, field
	next.Version++
	comment.Name = "comment"
	places := []seal.Field{field, next, comment}
	for i, from := range places {
		sealed := mustSeal(t, keyring, []byte("hunter2"), from)
		for j, to := range places {
			if _, err := keyring.Open(sealed, to); (err == nil) != (i == j) {
				t.Errorf("sealed as %s version %d, opened as %s version %d: %v", from.Name, from.Version, to.Name, to.Version, err)
			}
		}
	}
}

func TestProjectKeysRotate(t *testing.T) {
	keys := newKeys(t, field.ProjectID, 1, 2)
	first, both := mustKeyring(t, keys[0]), mustKeyring(t, keys...)
	first.Grant(plenty)
	both.Grant(plenty)
	if first.Newest() != 1 || both.Newest() != 2 {
		t.Errorf("newest versions are %d and %d, want 1 and 2", first.Newest(), both.Newest())
	}
	early, late := mustSeal(t, first, []byte("early"), field), mustSeal(t, both, []byte("late"), field)
	if got, err := both.Open(early, field); err != nil || string(got) != "early" {
		t.Errorf("after rotation the older opens as %q, %v", got, err)
	}
	if _, err := first.Open(late, field); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("a replica without the newest key: %v, want ErrUnknownKey", err)
	}
	relabelled := append([]byte{late[0], 0, 0, 0, 1}, late[5:]...)
	if _, err := both.Open(relabelled, field); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("relabelled with another key's version: %v, want ErrIntegrity", err)
	}
}

func TestNewKeyringRefusesKeysThatDoNotBelongTogether(t *testing.T) {
	ring := mustRing(t, seal.GenerateRootKey())
	_, audit := mustNewKey(t, ring, seal.PurposeAudit, field.ProjectID, 9)
	key := newKeys(t, field.ProjectID, 1)[0]
	for name, keys := range map[string][]*seal.Key{
		"none":               nil,
		"a version twice":    {key, newKeys(t, field.ProjectID, 1)[0]},
		"another project":    {key, newKeys(t, "another", 2)[0]},
		"another purpose":    {key, audit},
		"no project's key":   {audit},
		"the same key twice": {key, key},
	} {
		if keyring, err := seal.NewKeyring(keys...); err == nil {
			t.Errorf("%s: made %v", name, keyring)
		}
	}
}

func TestSealRefusesAPlaceThatIsIncompleteOrOfAnotherProject(t *testing.T) {
	keyring := newKeyring(t)
	for _, name := range []string{
		"no organisation", "no project", "no environment", "no folder",
		"no secret", "no version", "negative version", "no name", "project",
	} {
		moved := field
		changes[name](&moved)
		if sealed, err := keyring.Seal([]byte("hunter2"), moved); err == nil || sealed != nil {
			t.Errorf("%s: sealed %x", name, sealed)
		} else {
			assertNoPartOf(t, err.Error(), "hunter2")
		}
	}
	if got := keyring.Budget(); got != plenty {
		t.Errorf("refusals left a budget of %d, want %d", got, plenty)
	}
}

func TestSealStopsWhenItsBudgetIsUsedUp(t *testing.T) {
	keyring := mustKeyring(t, newKeys(t, field.ProjectID, 1)...)
	if sealed, err := keyring.Seal([]byte("x"), field); !errors.Is(err, seal.ErrBudget) || sealed != nil {
		t.Fatalf("without a grant: %x, %v, want ErrBudget", sealed, err)
	}
	keyring.Grant(2)
	keyring.Grant(1)
	for want := int64(2); want >= 0; want-- {
		mustSeal(t, keyring, []byte("x"), field)
		if got := keyring.Budget(); got != want {
			t.Errorf("budget is %d, want %d", got, want)
		}
	}
	sealed, err := keyring.Seal([]byte("x"), field)
	if !errors.Is(err, seal.ErrBudget) || sealed != nil || keyring.Budget() != 0 {
		t.Errorf("used up: %x, %v, budget %d, want ErrBudget and 0", sealed, err, keyring.Budget())
	}
}

func TestConcurrentUseSpendsExactlyTheBudget(t *testing.T) {
	keys := newKeys(t, field.ProjectID, 1)
	keyring := mustKeyring(t, keys...)
	const workers, grant = 8, 400
	keyring.Grant(grant)
	want := fingerprint(keys[0])
	var sealed atomic.Int64
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := 0; ; i++ {
				plaintext := fmt.Appendf(nil, "worker %d turn %d", worker, i)
				ciphertext, err := keyring.Seal(plaintext, field)
				if errors.Is(err, seal.ErrBudget) {
					return
				}
				sealed.Add(1)
				if got, err := keyring.Open(ciphertext, field); err != nil || !bytes.Equal(got, plaintext) {
					t.Errorf("opens as %q, %v, want %q", got, err, plaintext)
				}
				if got := fingerprint(keys[0]); got != want {
					t.Errorf("MAC is %x, want %x", got, want)
				}
			}
		})
	}
	group.Wait()
	if got := sealed.Load(); got != grant || keyring.Budget() != 0 {
		t.Errorf("%d seals, %d left, want %d and 0", got, keyring.Budget(), grant)
	}
}
