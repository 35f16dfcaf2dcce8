package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hanzoai/kms/server/internal/seal"
)

var head = seal.Head{
	SecretID:  field.SecretID,
	FolderID:  field.FolderID,
	Key:       "DB_URL",
	VersionID: "0192f1aa-0000-7000-8000-000000000006",
	Version:   4,
}

func TestAHeadVerifiesAfterRotation(t *testing.T) {
	keys := newKeys(t, field.ProjectID, 1, 2)
	first, both := mustKeyring(t, keys[0]), mustKeyring(t, keys...)
	mac := first.HeadMAC(head)
	for name, keyring := range map[string]*seal.Keyring{"before rotation": first, "after rotation": both} {
		if err := keyring.VerifyHead(head, mac); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := first.VerifyHead(head, both.HeadMAC(head)); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("made after rotation, verified without the new key: %v, want ErrUnknownKey", err)
	}
}

func TestAHeadVerifiesOnlyAsItIs(t *testing.T) {
	keyring := newKeyring(t)
	mac := keyring.HeadMAC(head)
	for name, change := range map[string]func(*seal.Head){
		"another secret":                 func(h *seal.Head) { h.SecretID = other(h.SecretID) },
		"another folder":                 func(h *seal.Head) { h.FolderID = other(h.FolderID) },
		"another key":                    func(h *seal.Head) { h.Key = "API_KEY" },
		"the key in another case":        func(h *seal.Head) { h.Key = "db_url" },
		"another version row":            func(h *seal.Head) { h.VersionID = other(h.VersionID) },
		"an older version":               func(h *seal.Head) { h.Version-- },
		"a newer version":                func(h *seal.Head) { h.Version++ },
		"no secret":                      func(h *seal.Head) { h.SecretID = "" },
		"no folder":                      func(h *seal.Head) { h.FolderID = "" },
		"no key":                         func(h *seal.Head) { h.Key = "" },
		"no version row":                 func(h *seal.Head) { h.VersionID = "" },
		"no version":                     func(h *seal.Head) { h.Version = 0 },
		"swapped ids":                    func(h *seal.Head) { h.SecretID, h.FolderID = h.FolderID, h.SecretID },
		"a byte moved to the folder":     func(h *seal.Head) { h.SecretID, h.FolderID = h.SecretID[:35], h.SecretID[35:]+h.FolderID },
		"a byte moved to the key":        func(h *seal.Head) { h.FolderID, h.Key = h.FolderID[:35], h.FolderID[35:]+h.Key },
		"a byte moved to the version id": func(h *seal.Head) { h.Key, h.VersionID = h.Key[:5], h.Key[5:]+h.VersionID },
	} {
		changed := head
		change(&changed)
		if err := keyring.VerifyHead(changed, mac); !errors.Is(err, seal.ErrIntegrity) {
			t.Errorf("%s: %v, want ErrIntegrity", name, err)
		}
	}
}

func TestTwoSecretsOfAFolderCannotExchangeTheirKeys(t *testing.T) {
	keyring := newKeyring(t)
	url, token := head, head
	token.SecretID, token.VersionID, token.Key = other(head.SecretID), other(head.VersionID), "API_KEY"
	urlMAC, tokenMAC := keyring.HeadMAC(url), keyring.HeadMAC(token)
	url.Key, token.Key = token.Key, url.Key
	for _, h := range []seal.Head{url, token} {
		for name, mac := range map[string][]byte{"DB_URL": urlMAC, "API_KEY": tokenMAC} {
			if err := keyring.VerifyHead(h, mac); !errors.Is(err, seal.ErrIntegrity) {
				t.Errorf("secret %s as %s with the MAC of %s: %v, want ErrIntegrity", h.SecretID, h.Key, name, err)
			}
		}
	}
}

func TestAnAlteredHeadMACIsRefused(t *testing.T) {
	keys := newKeys(t, field.ProjectID, 1, 2)
	first, both := mustKeyring(t, keys[0]), mustKeyring(t, keys...)
	mac := first.HeadMAC(head)
	for name, test := range map[string]struct {
		mac  []byte
		want error
	}{
		"no MAC":               {nil, seal.ErrIntegrity},
		"MAC cut off":          {mac[:35], seal.ErrIntegrity},
		"MAC with a byte more": {append(bytes.Clone(mac), 0), seal.ErrIntegrity},
		"MAC of the other key": {append([]byte{0, 0, 0, 2}, mac[4:]...), seal.ErrIntegrity},
		"unknown key":          {append([]byte{0, 0, 0, 3}, mac[4:]...), seal.ErrUnknownKey},
	} {
		if err := both.VerifyHead(head, test.mac); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for i := range mac {
		changed := bytes.Clone(mac)
		changed[i] ^= 1
		if err := first.VerifyHead(head, changed); err == nil {
			t.Errorf("byte %d flipped: verified", i)
		}
	}
	another := mustKeyring(t, newKeys(t, field.ProjectID, 1)...)
	if err := another.VerifyHead(head, mac); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("under another key of the same version: %v, want ErrIntegrity", err)
	}
}
