package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/hanzoai/kms/api"
)

// Lengths of a password in bytes. A stolen table of hashes is attacked by
// guessing, and length is what guessing costs; rules on kinds of characters
// only make passwords alike (NIST SP 800-63B). The upper end bounds what an
// anonymous caller can make the server hash, and leaves room for a passphrase.
const (
	MinPassword = 12
	MaxPassword = 256
)

// CheckPassword says what is wrong with a password that a person chose.
func CheckPassword(password api.Value) error {
	switch {
	case strings.TrimSpace(password.Reveal()) == "":
		return api.Errorf(api.ErrInvalid, "the password is blank: give %d to %d bytes", MinPassword, MaxPassword)
	case password.Len() < MinPassword:
		return api.Errorf(api.ErrInvalid, "the password has %d bytes: give at least %d, since length is what makes it hard to guess", password.Len(), MinPassword)
	case password.Len() > MaxPassword:
		return api.Errorf(api.ErrInvalid, "the password has %d bytes: give at most %d", password.Len(), MaxPassword)
	}
	return nil
}

// keyFunction is the signature of argon2.IDKey.
type keyFunction func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte

// Passwords hashes and verifies passwords with argon2id, at most one for each
// processor at a time: each takes 19 MiB and a core, and whoever can reach the
// login could otherwise spend all memory. It may be used from many goroutines.
type Passwords struct {
	slots   chan struct{}
	key     keyFunction
	unknown phc // stands in for the hash of a person who does not exist
}

// NewPasswords makes a Passwords with a slot for each processor.
func NewPasswords() *Passwords {
	return &Passwords{
		slots:   make(chan struct{}, runtime.GOMAXPROCS(0)),
		key:     argon2.IDKey,
		unknown: newPHC(randomKey(hashLength)),
	}
}

// Hash gives the hash of a password in the PHC string form, with a new salt.
// It waits for a slot and fails with ErrUnavailable when ctx ends first.
func (p *Passwords) Hash(ctx context.Context, password api.Value) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	hash := newPHC(nil)
	key, err := p.compute(ctx, hash, hashLength, password)
	if err != nil {
		return "", err
	}
	hash.key = key
	return hash.String(), nil
}

// Verify reports whether hash, which Hash made, is that of password. It waits
// for a slot and fails with ErrUnavailable when ctx ends first; a hash that
// does not parse is an internal error.
func (p *Passwords) Verify(ctx context.Context, hash string, password api.Value) (bool, error) {
	parsed, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	return p.verify(ctx, parsed, password)
}

// VerifyUnknown does the work of Verify where there is no hash to verify, so
// that the time of an answer does not tell which people exist. It fails only
// where Verify fails.
func (p *Passwords) VerifyUnknown(ctx context.Context, password api.Value) error {
	_, err := p.verify(ctx, p.unknown, password)
	return err
}

func (p *Passwords) verify(ctx context.Context, hash phc, password api.Value) (bool, error) {
	if password.Len() > MaxPassword {
		return false, nil // it was never accepted, and is not worth hashing
	}
	key, err := p.compute(ctx, hash, len(hash.key), password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, hash.key) == 1, nil
}

// compute is the one place that hashes.
func (p *Passwords) compute(ctx context.Context, hash phc, length int, password api.Value) ([]byte, error) {
	err := ctx.Err() // select takes either case when both are ready
	if err == nil {
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
			return p.key([]byte(password.Reveal()), hash.salt, hash.time, hash.memory, hash.threads, uint32(length)), nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return nil, api.Errorf(api.ErrUnavailable, "the server is busy with other log-ins, try again: %w", err)
}

func randomKey(length int) []byte {
	key := make([]byte, length)
	rand.Read(key)
	return key
}
