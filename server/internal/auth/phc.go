package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of new hashes: OWASP's first choice for argon2id.
const (
	hashMemory  = 19 << 10 // KiB
	hashTime    = 2
	hashThreads = 1
	hashLength  = 32
	saltLength  = 16
)

// Bounds of the parameters that a stored hash may ask for. They are what one
// changed row could make each login cost.
const (
	maxHashMemory  = 64 << 10 // KiB
	maxHashTime    = 10
	maxHashThreads = 4
	minSalt        = 8
	minKey         = 16
	maxSaltOrKey   = 64
	maxPHC         = 256 // bytes of the string
)

// phc is a password hash: $argon2id$v=19$m=19456,t=2,p=1$salt$hash, both in
// standard base64 without padding.
type phc struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
	salt    []byte
	key     []byte
}

// newPHC is key under the present parameters and a new salt.
func newPHC(key []byte) phc {
	return phc{memory: hashMemory, time: hashTime, threads: hashThreads, salt: randomKey(saltLength), key: key}
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

var errPHC = errors.New("read a stored password hash: it is not of the form $argon2id$v=19$m=...,t=...,p=...$salt$hash")

// parsePHC reads a hash, and only in the very bytes that String writes: that
// one comparison refuses signs, leading zeros, padding, line ends and trailing
// bits. Its errors do not repeat the hash.
func parsePHC(text string) (phc, error) {
	fields := strings.Split(text[:min(len(text), maxPHC+1)], "$")
	if len(text) > maxPHC || len(fields) != 6 {
		return phc{}, errPHC
	}
	var h phc
	if n, _ := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); n != 3 {
		return phc{}, errPHC
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil {
		return phc{}, errPHC
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil {
		return phc{}, errPHC
	}
	if h.String() != text {
		return phc{}, errPHC
	}
	return h, h.check()
}

func (h phc) check() error {
	switch {
	case h.threads < 1 || h.threads > maxHashThreads:
		return fmt.Errorf("read a stored password hash: p=%d is not 1 to %d", h.threads, maxHashThreads)
	case h.time < 1 || h.time > maxHashTime:
		return fmt.Errorf("read a stored password hash: t=%d is not 1 to %d", h.time, maxHashTime)
	case h.memory < 8*uint32(h.threads) || h.memory > maxHashMemory: // 8: RFC 9106 section 3.1
		return fmt.Errorf("read a stored password hash: m=%d is not %d to %d", h.memory, 8*h.threads, maxHashMemory)
	case len(h.salt) < minSalt || len(h.salt) > maxSaltOrKey:
		return fmt.Errorf("read a stored password hash: the salt has %d bytes, not %d to %d", len(h.salt), minSalt, maxSaltOrKey)
	case len(h.key) < minKey || len(h.key) > maxSaltOrKey:
		return fmt.Errorf("read a stored password hash: the hash has %d bytes, not %d to %d", len(h.key), minKey, maxSaltOrKey)
	}
	return nil
}
