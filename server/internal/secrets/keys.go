package secrets

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/store"
)

// keys holds the unwrapped keys: those of the instance from the start, those
// of projects as they are needed.
type keys struct {
	store *store.Store
	root  *seal.Ring
	now   func() time.Time

	instance map[seal.Purpose][]*seal.Key // newest first; never changes

	mu       sync.Mutex
	projects map[string]*projectKeys // guarded by mu
}

// projectKeys are the data keys of one project.
type projectKeys struct {
	ring  *seal.Keyring
	stale atomic.Bool // there may be a newer version

	mu     sync.Mutex // held while a block of encryptions is reserved
	newest store.Key
}

// purposes are the keys of the instance.
var purposes = []seal.Purpose{seal.PurposeClientSecret, seal.PurposeToken, seal.PurposeETag, seal.PurposeAudit, seal.PurposeBackup}

// CheckRoot tells, before anything is touched, whether the root keys are those
// of the database. An empty database takes any.
func CheckRoot(ctx context.Context, db *store.Store, root *seal.Ring) error {
	migrated, err := db.Migrated(ctx)
	if err != nil || !migrated {
		return err
	}
	return db.View(ctx, func(tx *store.Tx) error {
		known, err := tx.RootKeys(ctx)
		if err != nil {
			return err
		}
		if len(known) > 0 && !knowsAny(root, known) {
			return api.Errorf(api.ErrInvalid, "ROOT_ENCRYPTION_KEY is not the key of this database: none of the keys given was ever used with it: give the one that was (its id is %s)", known[len(known)-1].ID)
		}
		for _, k := range known {
			if err := root.Verify(k.ID, k.CheckValue); err != nil && !errors.Is(err, seal.ErrUnknownRoot) {
				return fmt.Errorf("check root key %s: %w", k.ID, err)
			}
		}
		return checkWraps(ctx, tx, root)
	})
}

func knowsAny(root *seal.Ring, known []store.RootKey) bool {
	for _, k := range known {
		if root.Verify(k.ID, k.CheckValue) == nil {
			return true
		}
	}
	return false
}

// checkWraps refuses a ring that lacks a root key which still wraps something.
func checkWraps(ctx context.Context, tx *store.Tx, root *seal.Ring) error {
	all, err := tx.AllKeys(ctx)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	for _, id := range root.IDs() {
		given[id] = true
	}
	for _, k := range all {
		if !given[k.RootID] {
			return api.Errorf(api.ErrInvalid, "ROOT_ENCRYPTION_KEY lacks the root key %s, which still wraps keys of this database: add it, and re-wrap before it is removed", k.RootID)
		}
	}
	return nil
}

// openKeys records the root keys and opens the keys of the instance, making
// those that are not there yet.
func openKeys(ctx context.Context, db *store.Store, root *seal.Ring, now func() time.Time) (*keys, error) {
	if err := CheckRoot(ctx, db, root); err != nil {
		return nil, err
	}
	k := &keys{store: db, root: root, now: now, instance: map[seal.Purpose][]*seal.Key{}, projects: map[string]*projectKeys{}}
	err := db.Update(ctx, func(tx *store.Tx) error {
		for _, id := range root.IDs() {
			check, err := root.CheckValue(id)
			if err != nil {
				return err
			}
			if err := tx.AddRootKey(ctx, store.RootKey{ID: id, CheckValue: check}, now().UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	for _, purpose := range purposes {
		if err == nil {
			_, k.instance[purpose], err = k.load(ctx, purpose, "")
		}
	}
	return k, err
}

// load reads and unwraps all versions of a key, newest first. If there is none
// it makes the first; of several replicas that do so at once, one wins.
func (k *keys) load(ctx context.Context, purpose seal.Purpose, scope string) ([]store.Key, []*seal.Key, error) {
	rows, err := k.rows(ctx, purpose, scope)
	if err == nil && len(rows) == 0 {
		if err = k.make(ctx, purpose, scope, 1); err == nil {
			rows, err = k.rows(ctx, purpose, scope)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	opened := make([]*seal.Key, len(rows))
	for i, row := range rows {
		if opened[i], err = k.root.Unwrap(wrapped(row)); err != nil {
			return nil, nil, fmt.Errorf("unwrap the key for %s: %w", purpose, err)
		}
	}
	return rows, opened, nil
}

func (k *keys) rows(ctx context.Context, purpose seal.Purpose, scope string) (rows []store.Key, err error) {
	err = k.store.View(ctx, func(tx *store.Tx) error {
		rows, err = tx.Keys(ctx, string(purpose), scope)
		return err
	})
	return rows, err
}

func wrapped(row store.Key) seal.Wrapped {
	return seal.Wrapped{Purpose: seal.Purpose(row.Purpose), Scope: row.Scope, Version: uint32(row.Version), RootID: row.RootID, Ciphertext: row.Wrapped}
}

// make stores a new version of a key and tells the feed.
func (k *keys) make(ctx context.Context, purpose seal.Purpose, scope string, version int64) error {
	fresh, _, err := k.root.NewKey(purpose, scope, uint32(version))
	if err != nil {
		return err
	}
	now := k.now().UnixMicro()
	err = k.store.Update(ctx, func(tx *store.Tx) error {
		row := store.Key{Purpose: string(purpose), Scope: scope, Version: version, RootID: fresh.RootID, Wrapped: fresh.Ciphertext, CreatedAt: now}
		if err := tx.AddKey(ctx, row); err != nil {
			return err
		}
		return tx.Changed(ctx, store.Change{Kind: store.KindKey, EntityID: scope, CreatedAt: now})
	})
	if errors.Is(err, api.ErrExists) {
		return nil // another replica made it
	}
	return err
}

// newest is the key of the instance that signs.
func (k *keys) newest(purpose seal.Purpose) *seal.Key { return k.instance[purpose][0] }

// lookups are the keyed hashes by which a credential may be stored, the one
// of the newest key first.
func (k *keys) lookups(label string, credential api.Value) [][]byte {
	var all [][]byte
	for _, key := range k.instance[seal.PurposeClientSecret] {
		all = append(all, key.MAC(label, []byte(credential.Reveal())))
	}
	return all
}

// project gives the data keys of a project.
func (k *keys) project(ctx context.Context, projectID string) (*projectKeys, error) {
	k.mu.Lock()
	known := k.projects[projectID]
	k.mu.Unlock()
	if known != nil && !known.stale.CompareAndSwap(true, false) {
		return known, nil
	}
	rows, opened, err := k.load(ctx, seal.PurposeProject, projectID)
	if err != nil {
		k.renew(projectID)
		return nil, err
	}
	ring, err := seal.NewKeyring(opened...)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.projects[projectID]; known != nil && known.newest.Version >= rows[0].Version {
		return known, nil // nothing new; its budget is kept
	}
	k.projects[projectID] = &projectKeys{ring: ring, newest: rows[0]}
	return k.projects[projectID], nil
}

// renew makes the next request of a project look for new versions of its key.
func (k *keys) renew(projectID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.projects[projectID]; known != nil {
		known.stale.Store(true)
	}
}

const (
	sealBlock  = 1 << 16 // encryptions reserved at once
	maxKeyDays = 365     // after which new encryptions use a new version
	keyLife    = maxKeyDays * 24 * time.Hour
)

// sealer gives the data keys of a project with room for n encryptions, making
// a new version when the newest is used up or a year old.
func (k *keys) sealer(ctx context.Context, projectID string, n int64) (*seal.Keyring, error) {
	for range 4 {
		p, err := k.project(ctx, projectID)
		if err != nil {
			return nil, err
		}
		renewed, err := k.reserve(ctx, projectID, p, n)
		if err != nil {
			return nil, err
		}
		if !renewed {
			return p.ring, nil
		}
	}
	return nil, fmt.Errorf("reserve encryptions of project %s: a new key is used up at once", projectID)
}

// reserve makes room for n encryptions; renewed says that there is a new
// version to use instead.
func (k *keys) reserve(ctx context.Context, projectID string, p *projectKeys, n int64) (renewed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := k.now().Sub(time.UnixMicro(p.newest.CreatedAt)) > keyLife
	if !old && p.ring.Budget() >= n {
		return false, nil
	}
	reserved := false
	if !old {
		block := max(n, sealBlock)
		err = k.store.Update(ctx, func(tx *store.Tx) error {
			reserved, err = tx.ReserveSeals(ctx, string(seal.PurposeProject), projectID, p.newest.Version, block, seal.MaxSeals)
			return err
		})
		if err == nil && reserved {
			p.ring.Grant(block)
		}
		if err != nil || reserved {
			return false, err
		}
	}
	if err := k.make(ctx, seal.PurposeProject, projectID, p.newest.Version+1); err != nil {
		return false, err
	}
	k.renew(projectID)
	return true, nil
}

// RotateDataKeys gives every project that has data keys a new version, under
// which everything is sealed from now on; older versions still open what they
// sealed. Replicas hear of it by the change feed, within half a second. It
// reports how many projects there were.
func (s *Service) RotateDataKeys(ctx context.Context) (rotated int, err error) {
	var all []store.Key
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllKeys(ctx)
		return err
	})
	newest := map[string]int64{}
	for _, key := range all {
		if key.Purpose == string(seal.PurposeProject) {
			newest[key.Scope] = max(newest[key.Scope], key.Version)
		}
	}
	for _, projectID := range sortedKeys(newest) {
		if err == nil {
			err = s.keys.make(ctx, seal.PurposeProject, projectID, newest[projectID]+1)
			rotated++
		}
	}
	return rotated, err
}

// Rewrap wraps every key under the newest root key, so that older ones can be
// removed from the configuration, and forgets those. It reports how many keys
// it moved.
func (s *Service) Rewrap(ctx context.Context) (moved int, err error) {
	return rewrap(ctx, s.store, s.keys.root)
}

func rewrap(ctx context.Context, db *store.Store, root *seal.Ring) (moved int, err error) {
	err = db.Update(ctx, func(tx *store.Tx) error {
		moved = 0
		all, err := tx.AllKeys(ctx)
		if err != nil {
			return err
		}
		for _, row := range all {
			fresh, changed, err := root.Rewrap(wrapped(row))
			if err != nil {
				return fmt.Errorf("re-wrap the key for %s: %w", row.Purpose, err)
			}
			if !changed {
				continue
			}
			oldRoot := row.RootID
			row.RootID, row.Wrapped = fresh.RootID, fresh.Ciphertext
			if err := tx.Rewrap(ctx, row, oldRoot); err != nil {
				return err
			}
			moved++
		}
		known, err := tx.RootKeys(ctx)
		if err != nil {
			return err
		}
		for _, k := range known {
			if k.ID == root.IDs()[0] {
				continue
			}
			if err := tx.DeleteRootKey(ctx, k.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return moved, err
}

// auditKeys signs with the newest audit key and checks with any: the MAC
// carries the version of its key in front.
type auditKeys struct{ keys []*seal.Key }

func (k *keys) audit() auditKeys { return auditKeys{k.instance[seal.PurposeAudit]} }

func (a auditKeys) MAC(label string, parts ...[]byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, a.keys[0].Version()), a.keys[0].MAC(label, parts...)...)
}

func (a auditKeys) Check(mac []byte, label string, parts ...[]byte) bool {
	if len(mac) < 4 {
		return false
	}
	version := binary.BigEndian.Uint32(mac)
	for _, key := range a.keys {
		if key.Version() == version {
			return equal(mac[4:], key.MAC(label, parts...))
		}
	}
	return false
}
