package seal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

const (
	formatField = 0x01
	headerSize  = 1 + 4                // format, key version
	fieldSize   = headerSize + 12 + 16 // of an empty field: header, nonce, tag
)

// MaxSeals is how many fields one version of a project's key may seal before
// a new version must be made. With random nonces of 96 bits NIST SP 800-38D
// (section 8.3) allows 2^32; half of that leaves room for blocks of the
// budget that were granted twice or lost in a restore.
const MaxSeals = 1 << 31

// Field is the place that a ciphertext belongs to. Every member is immutable
// for as long as the ciphertext is, and none may be empty.
type Field struct {
	OrgID         string
	ProjectID     string
	EnvironmentID string
	FolderID      string
	SecretID      string
	Version       int64  // of the secret, from 1
	Name          string // "value", "comment" or "metadata"
}

// check refuses a field with a member left out: both Seal and Open would
// agree on it, and the ciphertext would open in places it does not belong to.
func (f Field) check() error {
	switch {
	case f.OrgID == "", f.ProjectID == "", f.EnvironmentID == "", f.FolderID == "", f.SecretID == "", f.Name == "":
		return errors.New("a part of its place is empty")
	case f.Version < 1:
		return errors.New("versions count from 1")
	}
	return nil
}

func (f Field) String() string {
	return fmt.Sprintf("%s of secret %s version %d (organisation %s, project %s, environment %s, folder %s)",
		f.Name, f.SecretID, f.Version, f.OrgID, f.ProjectID, f.EnvironmentID, f.FolderID)
}

func (f Field) associated(keyVersion uint32) []byte {
	b := make([]byte, 1, 384) // six UUIDs and the rest need less
	b[0] = formatField
	b = appendPart(b, f.OrgID)
	b = appendPart(b, f.ProjectID)
	b = appendPart(b, f.EnvironmentID)
	b = appendPart(b, f.FolderID)
	b = appendPart(b, f.SecretID)
	b = appendNumber(b, uint64(f.Version))
	b = appendPart(b, f.Name)
	return appendNumber(b, uint64(keyVersion))
}

// Keyring is all versions of one project's key: the newest seals, all open.
// It is made by NewKeyring and safe for concurrent use.
type Keyring struct {
	redacted
	project string
	keys    []*Key       // newest first
	budget  atomic.Int64 // seals that the newest key may still make
}

// NewKeyring makes a keyring of the unwrapped keys of one project, in any
// order. Its budget is empty: Open works, Seal needs a Grant.
func NewKeyring(keys ...*Key) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("make keyring: no key is given")
	}
	sorted := slices.SortedFunc(slices.Values(keys), func(a, b *Key) int { return cmp.Compare(b.version, a.version) })
	k := &Keyring{project: sorted[0].scope, keys: sorted}
	for i, key := range sorted {
		switch {
		case key.purpose != PurposeProject:
			return nil, fmt.Errorf("make keyring of project %s: a key is for %s", k.project, key.purpose)
		case key.scope != k.project:
			return nil, fmt.Errorf("make keyring of project %s: a key is of project %s", k.project, key.scope)
		case i > 0 && key.version == sorted[i-1].version:
			return nil, fmt.Errorf("make keyring of project %s: version %d is given twice", k.project, key.version)
		}
	}
	return k, nil
}

// Newest is the version of the key that seals.
func (k *Keyring) Newest() uint32 { return k.keys[0].version }

// Grant adds seals to the budget of the newest key. The caller has reserved
// them in the store before, so that all replicas together stay below MaxSeals.
func (k *Keyring) Grant(seals int64) { k.budget.Add(seals) }

// Budget is how many seals are left.
func (k *Keyring) Budget() int64 { return k.budget.Load() }

func (k *Keyring) spend() error {
	for {
		left := k.budget.Load()
		if left <= 0 {
			return ErrBudget
		}
		if k.budget.CompareAndSwap(left, left-1) {
			return nil
		}
	}
}

// Seal encrypts plaintext for the place f under the newest key, with a fresh
// random nonce, into 33 bytes more. The error is ErrBudget if the budget is
// used up, in which case nothing was sealed; any other is a caller's mistake.
func (k *Keyring) Seal(plaintext []byte, f Field) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("seal %v: %w", f, err)
	}
	if f.ProjectID != k.project {
		return nil, fmt.Errorf("seal %v: the keyring is of project %s", f, k.project)
	}
	if err := k.spend(); err != nil {
		return nil, fmt.Errorf("seal %v: %w", f, err)
	}
	key := k.keys[0]
	out := append(make([]byte, 0, fieldSize+len(plaintext)), formatField)
	out = binary.BigEndian.AppendUint32(out, key.version)
	return key.aead.Seal(out, nil, plaintext, f.associated(key.version)), nil
}

// Open decrypts what Seal made for the same place. The error is ErrUnknownKey
// if the keyring lacks the version that sealed it, otherwise ErrIntegrity; it
// names the place, never what was found there.
func (k *Keyring) Open(ciphertext []byte, f Field) ([]byte, error) {
	switch {
	case len(ciphertext) < fieldSize:
		return nil, fmt.Errorf("open %v: it is cut off at %d bytes: %w", f, len(ciphertext), ErrIntegrity)
	case ciphertext[0] != formatField:
		return nil, fmt.Errorf("open %v: unknown format %d: %w", f, ciphertext[0], ErrIntegrity)
	}
	key, err := k.find(ciphertext[1:headerSize])
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", f, err)
	}
	plaintext := make([]byte, 0, len(ciphertext)-fieldSize) // an empty field is not nil
	plaintext, err = key.aead.Open(plaintext, nil, ciphertext[headerSize:], f.associated(key.version))
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", f, ErrIntegrity)
	}
	return plaintext, nil
}

// find is the key whose version is written in version, four bytes.
func (k *Keyring) find(version []byte) (*Key, error) {
	n := binary.BigEndian.Uint32(version)
	for _, key := range k.keys {
		if key.version == n {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: %d of project %s", ErrUnknownKey, n, k.project)
}
