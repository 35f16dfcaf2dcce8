package seal

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
)

// Head is what a secret is at present: where it is, what it is called, and
// which version is its current one. No member may be empty.
type Head struct {
	SecretID  string
	FolderID  string
	Key       string // the secret's name in its folder, such as DB_URL
	VersionID string
	Version   int64 // from 1
}

// HeadMAC authenticates a secret's head, so that nobody who can write the
// database silently puts an old version back in its place, or lets two secrets
// of a folder exchange their keys: the version of the newest key in 4 bytes,
// big endian, then 32 bytes of MAC. It verifies for as long as the keyring
// holds that key. A new version, a rename and a move each need a new one.
func (k *Keyring) HeadMAC(h Head) []byte {
	key := k.keys[0]
	head := binary.BigEndian.AppendUint32(make([]byte, 0, 4+32), key.version)
	return append(head, key.head(h)...)
}

// VerifyHead compares a stored HeadMAC with the head it was stored for: nil,
// ErrIntegrity, or ErrUnknownKey.
func (k *Keyring) VerifyHead(h Head, mac []byte) error {
	if len(mac) != 4+32 {
		return fmt.Errorf("verify the head of secret %s: its MAC has %d bytes: %w", h.SecretID, len(mac), ErrIntegrity)
	}
	key, err := k.find(mac[:4])
	if err != nil {
		return fmt.Errorf("verify the head of secret %s: %w", h.SecretID, err)
	}
	if !hmac.Equal(key.head(h), mac[4:]) {
		return fmt.Errorf("verify the head of secret %s: its MAC is not of this name, folder %s and version %d: %w",
			h.SecretID, h.FolderID, h.Version, ErrIntegrity)
	}
	return nil
}

func (k *Key) head(h Head) []byte {
	return k.MAC("secret head", []byte(h.SecretID), []byte(h.FolderID), []byte(h.Key), []byte(h.VersionID),
		binary.BigEndian.AppendUint64(nil, uint64(h.Version)))
}
