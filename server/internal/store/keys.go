package store

import (
	"context"

	"github.com/hanzoai/kms/api"
)

// RootKey is what the database remembers of a root key: enough to tell a
// wrong one from a right one.
type RootKey struct {
	ID         string
	CheckValue []byte
}

// RootKeys lists the root keys this database was opened with, oldest first.
func (tx *Tx) RootKeys(ctx context.Context) ([]RootKey, error) {
	return list(ctx, tx, "list the root keys", func(s scanner, k *RootKey) error { return s.Scan(&k.ID, &k.CheckValue) },
		"SELECT id, check_value FROM root_keys ORDER BY created_at, id")
}

// AddRootKey remembers a root key; one that is known stays as it is.
func (tx *Tx) AddRootKey(ctx context.Context, key RootKey, now int64) error {
	_, err := tx.exec(ctx, "store a root key's check value",
		"INSERT INTO root_keys (id, check_value, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING", key.ID, key.CheckValue, now)
	return err
}

// DeleteRootKey forgets a root key that wraps nothing any more.
func (tx *Tx) DeleteRootKey(ctx context.Context, id string) error {
	return tx.must(ctx, "forget root key "+id, "DELETE FROM root_keys WHERE id = $1", id)
}

// Key is a wrapped key. Scope is a project id, or "" for keys of the instance.
type Key struct {
	Purpose   string
	Scope     string
	Version   int64
	RootID    string
	Wrapped   []byte
	Seals     int64
	CreatedAt int64
}

const keyColumns = "purpose, scope, version, root_id, wrapped, seals, created_at"

func scanKey(s scanner, k *Key) error {
	return s.Scan(&k.Purpose, &k.Scope, &k.Version, &k.RootID, &k.Wrapped, &k.Seals, &k.CreatedAt)
}

// Keys lists the versions of one key, newest first.
func (tx *Tx) Keys(ctx context.Context, purpose, scope string) ([]Key, error) {
	return list(ctx, tx, "list the keys for "+purpose, scanKey,
		"SELECT "+keyColumns+" FROM keys WHERE purpose = $1 AND scope = $2 ORDER BY version DESC", purpose, scope)
}

// AllKeys lists every key, for re-wrapping.
func (tx *Tx) AllKeys(ctx context.Context) ([]Key, error) {
	return list(ctx, tx, "list the keys", scanKey, "SELECT "+keyColumns+" FROM keys ORDER BY purpose, scope, version")
}

// AddKey stores a new version of a key; a version that is there is ErrExists.
func (tx *Tx) AddKey(ctx context.Context, k Key) error {
	added, err := tx.exec(ctx, "store a key",
		"INSERT INTO keys ("+keyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (purpose, scope, version) DO NOTHING",
		k.Purpose, k.Scope, k.Version, k.RootID, k.Wrapped, k.Seals, k.CreatedAt)
	if err == nil && added == 0 {
		err = api.Errorf(api.ErrExists, "store version %d of the key for %s: already exists", k.Version, k.Purpose)
	}
	return err
}

// Rewrap replaces the wrapping of one key, if it is still wrapped by oldRoot.
func (tx *Tx) Rewrap(ctx context.Context, k Key, oldRoot string) error {
	return tx.must(ctx, "re-wrap a key",
		"UPDATE keys SET root_id = $1, wrapped = $2 WHERE purpose = $3 AND scope = $4 AND version = $5 AND root_id = $6",
		k.RootID, k.Wrapped, k.Purpose, k.Scope, k.Version, oldRoot)
}

// ReserveSeals takes a block of encryptions from a key's allowance and reports
// whether it was there: NIST SP 800-38D bounds the uses of one key under
// random nonces. A block that a crash leaves unused stays taken.
func (tx *Tx) ReserveSeals(ctx context.Context, purpose, scope string, version, block, limit int64) (bool, error) {
	changed, err := tx.exec(ctx, "reserve encryptions",
		"UPDATE keys SET seals = seals + $1 WHERE purpose = $2 AND scope = $3 AND version = $4 AND seals + $1 <= $5",
		block, purpose, scope, version, limit)
	return changed > 0, err
}
