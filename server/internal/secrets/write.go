package secrets

import (
	"context"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/store"
)

// Write is what to do with one secret of a folder. A nil field of an update
// keeps what is there.
type Write struct {
	Key           string
	NewKey        *string
	Value         *api.Value
	Comment       *api.Value
	Metadata      []api.Metadata // nil: keep
	TagIDs        []string       // nil: keep
	SkipMultiline *bool
	ReminderNote  *string
	ReminderDays  *int64
	// IfVersion refuses the write unless this is the current version; 0: any.
	IfVersion int64
}

// Missing says what an update does with a key that is not there.
type Missing int

// What an update does with a key that is not there: refuse the whole request,
// create it, or pass over it.
const (
	MissingRefuse Missing = iota
	MissingCreate
	MissingIgnore
)

// Create adds secrets to a folder, all or none.
func (s *Service) Create(ctx context.Context, caller Caller, at Place, writes []Write) ([]api.Secret, error) {
	return s.write(ctx, caller, event{audit.Create, plural("create-secret", writes)}, at, writes, (*writer).create)
}

// Update changes secrets of a folder, all or none.
func (s *Service) Update(ctx context.Context, caller Caller, at Place, writes []Write, missing Missing) ([]api.Secret, error) {
	return s.write(ctx, caller, event{audit.Update, plural("update-secret", writes)}, at, writes, func(w *writer, ctx context.Context, write Write) error {
		return w.update(ctx, write, missing)
	})
}

// Delete removes secrets from a folder, all or none. Their history stays.
func (s *Service) Delete(ctx context.Context, caller Caller, at Place, keys []string) ([]api.Secret, error) {
	writes := make([]Write, len(keys))
	for i, key := range keys {
		writes[i].Key = key
	}
	return s.write(ctx, caller, event{audit.Delete, plural("delete-secret", writes)}, at, writes, (*writer).delete)
}

func plural(name string, writes []Write) string {
	if len(writes) == 1 {
		return name
	}
	return name + "s"
}

// MaxBatch bounds the secrets of one write.
const MaxBatch = 1000

// writer carries out writes in one folder, in one transaction.
type writer struct {
	c     *call
	tx    *store.Tx
	at    place
	ring  *seal.Keyring
	now   int64
	view  view                 // of what was written, for the answer
	items []store.ManifestItem // of what was written, for the audit row
}

func (s *Service) write(ctx context.Context, caller Caller, ev event, at Place, writes []Write, do func(*writer, context.Context, Write) error) ([]api.Secret, error) {
	if len(writes) == 0 || len(writes) > MaxBatch {
		return nil, api.Errorf(api.ErrInvalid, "the request names %d secrets: give 1 to %d", len(writes), MaxBatch)
	}
	for i := range writes {
		if err := writes[i].check(); err != nil {
			return nil, err
		}
	}
	var done *writer
	err := s.change(ctx, caller, ev, func(ctx context.Context, c *call) (work, error) {
		if len(writes) == 1 {
			c.entry.SecretKey = writes[0].Key
		}
		found, err := c.place(ctx, at, func(held policy.Access, env policy.Environment, path string) error {
			return mayWrite(held, ev.action, env, path, writes)
		})
		if err == nil {
			err = c.mayRefer(found, writes)
		}
		if err != nil {
			return work{}, err
		}
		var ring *seal.Keyring
		return work{
			prepare: func(ctx context.Context) (err error) {
				ring, err = s.keys.sealer(ctx, found.ID, sealsOf(writes))
				return err
			},
			lock: func(ctx context.Context, tx *store.Tx) error { return tx.LockEnvironments(ctx, found.env.ID) },
			apply: func(ctx context.Context, tx *store.Tx) error {
				done = &writer{c: c, tx: tx, at: found, ring: ring, now: c.now.UnixMicro(),
					view: view{reach: found.reach, asked: found.asked, options: viewOptions{values: true}}}
				return done.all(ctx, writes, do)
			},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	// The row of the write names what the answer shows.
	written, err := s.open(ctx, &done.view)
	if err != nil && ev.action == audit.Delete { // broken ones can be deleted, too
		for _, i := range done.view.items {
			i.hidden = true
		}
		return s.open(ctx, &done.view)
	}
	return written, err
}

// sealsOf is how many encryptions writes take at most: value, comment and
// metadata of each.
func sealsOf(writes []Write) int64 { return 3 * int64(len(writes)) }

// actionOf is the policy action of a write.
func actionOf(action string) policy.Action {
	switch action {
	case audit.Create:
		return policy.CreateSecret
	case audit.Delete:
		return policy.DeleteSecret
	}
	return policy.EditSecret
}

func mayWrite(held policy.Access, action string, env policy.Environment, path string, writes []Write) error {
	for _, w := range writes {
		keys := []string{w.Key}
		if w.NewKey != nil {
			keys = append(keys, *w.NewKey) // a rename makes the new name, too
		}
		for _, key := range keys {
			if a := actionOf(action); !held.Allows(a, policy.Target{Environment: env, Path: path, Key: key}) {
				return errRefused(a, "secret '"+key+"' in "+path)
			}
		}
	}
	return nil
}

// mayRefer refuses references to what the writer may not read: the value would
// show it to whoever reads the value.
func (c *call) mayRefer(at place, writes []Write) error {
	for _, w := range writes {
		if w.Value == nil {
			continue
		}
		refs, err := parseReferences(w.Value.Reveal())
		if err != nil {
			return err
		}
		for _, ref := range refs {
			env, path := at.env.policy, at.folder.path
			if ref.Environment != "" {
				path, env = ref.Path, policy.Environment{Slugs: []string{ref.Environment}}
				if named := at.bySlug[ref.Environment]; named != nil {
					env = named.policy
				}
			}
			if !at.access.Allows(policy.ReadSecret, policy.Target{Environment: env, Path: path, Key: ref.Key}) {
				return api.Errorf(api.ErrDenied, "You are not allowed to refer to a secret that you are not allowed to read: the value of '%s' does", w.Key)
			}
		}
	}
	return nil
}

// check finds what is wrong with a write before anything is looked up.
func (w *Write) check() error {
	if _, err := api.ParseKey(w.Key); err != nil {
		return err
	}
	if w.NewKey != nil {
		if _, err := api.ParseKey(*w.NewKey); err != nil {
			return err
		}
	}
	for _, text := range []struct {
		what string
		v    *api.Value
		max  int
	}{{"value", w.Value, api.MaxValue}, {"comment", w.Comment, api.MaxComment}} {
		if text.v == nil {
			continue
		}
		if text.v.Len() > text.max {
			return api.Errorf(api.ErrTooLarge, "the %s of '%s' has %d bytes: give at most %d", text.what, w.Key, text.v.Len(), text.max)
		}
		if !utf8.ValidString(text.v.Reveal()) {
			return api.Errorf(api.ErrInvalid, "the %s of '%s' is not UTF-8: encode binary values as base64", text.what, w.Key)
		}
	}
	if w.ReminderNote != nil {
		if _, err := api.ParseText("secretReminderNote", *w.ReminderNote, api.MaxDescription); err != nil {
			return err
		}
	}
	if w.ReminderDays != nil && (*w.ReminderDays < 0 || *w.ReminderDays > 365) {
		return api.Errorf(api.ErrInvalid, "secretReminderRepeatDays is %d: give 1 to 365, or 0 for none", *w.ReminderDays)
	}
	return w.checkMetadata()
}

func (w *Write) checkMetadata() error {
	size := 0
	for _, m := range w.Metadata {
		if m.Key.Len() == 0 {
			return api.Errorf(api.ErrInvalid, "an entry of secretMetadata of '%s' has no key", w.Key)
		}
		size += m.Key.Len() + m.Value.Len()
	}
	if size > api.MaxMetadata {
		return api.Errorf(api.ErrTooLarge, "the metadata of '%s' has %d bytes: give at most %d", w.Key, size, api.MaxMetadata)
	}
	return nil
}

func (w *writer) all(ctx context.Context, writes []Write, do func(*writer, context.Context, Write) error) error {
	for _, write := range writes {
		if err := do(w, ctx, write); err != nil {
			return err
		}
	}
	w.c.entry.Items = w.items
	if len(w.items) == 0 {
		return nil // all were passed over
	}
	return w.tx.FolderChanged(ctx, w.at.env.ID, w.at.folder.ID, w.now)
}

func (w *writer) create(ctx context.Context, write Write) error {
	if _, err := w.tx.SecretByKey(ctx, w.at.folder.ID, write.Key); !errors.Is(err, api.ErrNotFound) {
		return orElse(err, api.Errorf(api.ErrExists, "Secret already exists: '%s' in %s", write.Key, w.at.folder.path))
	}
	count, err := w.tx.CountSecrets(ctx, w.at.folder.ID)
	if err != nil {
		return err
	}
	if count >= api.MaxFolderKeys {
		return api.Errorf(api.ErrInvalid, "the folder %s has %d secrets: one folder holds at most %d", w.at.folder.path, count, api.MaxFolderKeys)
	}
	if write.Value == nil {
		write.Value = &api.Value{}
	}
	row := store.SecretRow{Secret: store.Secret{ID: store.NewID(), FolderID: w.at.folder.ID, Key: write.Key, CreatedAt: w.now}}
	if err := w.next(&row, write, sealed{}); err != nil {
		return err
	}
	if err := w.tx.AddSecret(ctx, row.Secret, row.Version); err != nil {
		return err
	}
	w.wrote(row)
	return nil
}

func (w *writer) update(ctx context.Context, write Write, missing Missing) error {
	row, err := w.tx.SecretByKey(ctx, w.at.folder.ID, write.Key)
	if errors.Is(err, api.ErrNotFound) {
		switch missing {
		case MissingIgnore:
			return nil
		case MissingCreate:
			return w.createMissing(ctx, write)
		}
		return api.Errorf(api.ErrNotFound, "Secret with name '%s' not found", write.Key)
	}
	if err != nil {
		return err
	}
	if write.IfVersion != 0 && write.IfVersion != row.Secret.Version {
		return api.Errorf(api.ErrConflict, "Secret '%s' is at version %d, not %d: read it again", write.Key, row.Secret.Version, write.IfVersion)
	}
	old, err := w.plaintext(ctx, row, write)
	if err != nil {
		return err
	}
	if write.NewKey != nil && *write.NewKey != write.Key {
		if err := w.rename(ctx, &row, *write.NewKey); err != nil {
			return err
		}
	}
	if err := w.next(&row, write, old); err != nil {
		return err
	}
	if err := w.tx.UpdateSecret(ctx, row.Secret, row.Version); err != nil {
		return err
	}
	w.wrote(row)
	return nil
}

// createMissing creates what an update did not find, if the caller may create.
func (w *writer) createMissing(ctx context.Context, write Write) error {
	if !w.at.access.Allows(policy.CreateSecret, policy.Target{Environment: w.at.env.policy, Path: w.at.folder.path, Key: write.Key}) {
		return errRefused(policy.CreateSecret, "secret '"+write.Key+"' in "+w.at.folder.path)
	}
	return w.create(ctx, write)
}

func (w *writer) rename(ctx context.Context, row *store.SecretRow, key string) error {
	if _, err := w.tx.SecretByKey(ctx, w.at.folder.ID, key); !errors.Is(err, api.ErrNotFound) {
		return orElse(err, api.Errorf(api.ErrExists, "Secret with the new name already exists: '%s' in %s", key, w.at.folder.path))
	}
	row.Secret.Key = key
	return nil
}

func (w *writer) delete(ctx context.Context, write Write) error {
	row, err := w.tx.SecretByKey(ctx, w.at.folder.ID, write.Key)
	if err != nil {
		return orElse(gone(err), api.Errorf(api.ErrNotFound, "Secret with name '%s' not found", write.Key))
	}
	if err := w.tx.DeleteSecret(ctx, row.Secret.ID, w.now); err != nil {
		return err
	}
	w.wrote(row)
	w.view.items[len(w.view.items)-1].old = true // no head speaks for it any more
	return nil
}

// wrote notes a secret for the answer and the audit row.
func (w *writer) wrote(row store.SecretRow) {
	readable := w.at.access.Allows(policy.ReadSecret, policy.Target{Environment: w.at.env.policy, Path: w.at.folder.path, Key: row.Secret.Key})
	w.view.items = append(w.view.items, &item{env: w.at.env, folder: w.at.folder, row: &row, hidden: !readable})
	w.items = append(w.items, store.ManifestItem{Environment: w.at.env.Slug, Path: w.at.folder.path, Key: row.Secret.Key, Version: row.Secret.Version})
}

// sealed is the plaintext of a version on its way from one version to the next.
type sealed struct{ value, comment, metadata []byte }

// plaintext opens what the next version keeps of the current one: it is sealed
// anew, since the version is part of what a ciphertext is bound to. The head is
// checked first, or an old version that was put back would be carried on.
func (w *writer) plaintext(ctx context.Context, row store.SecretRow, write Write) (old sealed, err error) {
	o := opener{view: &w.view, ring: w.ring}
	i := &item{env: w.at.env, folder: w.at.folder, row: &row}
	if err := w.ring.VerifyHead(headOf(&row.Secret), row.Secret.HeadMAC); err != nil {
		return old, w.broken(ctx, i, err)
	}
	for _, field := range []struct {
		name     string
		sealed   []byte
		replaced bool
		plain    *[]byte
	}{{"value", row.Version.Value, write.Value != nil, &old.value}, {"comment", row.Version.Comment, write.Comment != nil, &old.comment},
		{"metadata", row.Version.Metadata, write.Metadata != nil, &old.metadata}} {
		if field.replaced || field.sealed == nil && field.name != "value" { // there is always a value
			continue
		}
		if *field.plain, err = w.ring.Open(field.sealed, o.field(i, field.name)); err != nil {
			return old, w.broken(ctx, i, err)
		}
	}
	return old, nil
}

// broken is Service.broken, unless it is only that another replica has made a
// new version of the key: then the request is planned anew.
func (w *writer) broken(ctx context.Context, i *item, err error) error {
	if errors.Is(err, seal.ErrUnknownKey) && w.c.tx == nil {
		w.c.s.keys.renew(w.at.ID)
		return audit.ErrStale
	}
	return w.c.s.broken(ctx, &w.view, i, err)
}

// next makes the next version of a secret: what the write gives, and the old
// where it gives nothing.
func (w *writer) next(row *store.SecretRow, write Write, old sealed) error {
	plain := old
	if write.Value != nil {
		plain.value = []byte(write.Value.Reveal())
	}
	if write.Comment != nil {
		plain.comment = []byte(write.Comment.Reveal())
	}
	var err error
	if write.Metadata != nil {
		if plain.metadata, err = encodeMetadata(write.Metadata); err != nil {
			return err
		}
	}
	h, ver := &row.Secret, &row.Version
	h.Version++
	h.VersionID = store.NewID()
	h.UpdatedAt = w.now
	ver.ID, ver.SecretID, ver.Version, ver.Key, ver.CreatedAt = h.VersionID, h.ID, h.Version, h.Key, w.now
	ver.ActorType, ver.ActorID, ver.ActorName = w.c.actor.kind, w.c.actor.id, w.c.actor.name
	if ver.Refs, err = parseReferences(string(plain.value)); err != nil {
		return err
	}
	if err := w.attributes(ver, write); err != nil {
		return err
	}
	h.HeadMAC = w.ring.HeadMAC(headOf(h))
	return w.seal(row, plain)
}

// attributes takes over what of a write is not sealed.
func (w *writer) attributes(ver *store.SecretVersion, write Write) error {
	if write.SkipMultiline != nil {
		ver.SkipMultiline = *write.SkipMultiline
	}
	if write.ReminderNote != nil {
		ver.ReminderNote = *write.ReminderNote
	}
	if write.ReminderDays != nil {
		ver.ReminderDays = *write.ReminderDays
	}
	if write.TagIDs == nil {
		return nil
	}
	for _, id := range write.TagIDs {
		if _, ok := w.at.tags[id]; !ok {
			return api.Errorf(api.ErrNotFound, "Tag not found: '%s'", named(id))
		}
	}
	ver.Tags = slices.Clone(write.TagIDs)
	slices.Sort(ver.Tags)
	ver.Tags = slices.Compact(ver.Tags) // the same id twice is one tag
	return nil
}

func (w *writer) seal(row *store.SecretRow, plain sealed) (err error) {
	o := opener{view: &w.view, ring: w.ring}
	i := &item{env: w.at.env, folder: w.at.folder, row: row}
	ver := &row.Version
	// The value comes last: its place says whether there are the other two.
	if ver.Comment, err = w.sealOptional(plain.comment, o.field(i, "comment")); err == nil {
		ver.Metadata, err = w.sealOptional(plain.metadata, o.field(i, "metadata"))
	}
	if err == nil {
		ver.Value, err = w.ring.Seal(plain.value, o.field(i, "value"))
	}
	if errors.Is(err, seal.ErrBudget) { // others took the room that was made
		return audit.ErrStale
	}
	return err
}

func (w *writer) sealOptional(plain []byte, field seal.Field) ([]byte, error) {
	if len(plain) == 0 {
		return nil, nil
	}
	return w.ring.Seal(plain, field)
}
