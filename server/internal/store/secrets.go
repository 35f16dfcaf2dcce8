package store

import (
	"context"
	"encoding/json"
)

// Secret is the head of a secret: where it is, and which version is current.
type Secret struct {
	ID, FolderID, Key    string
	Version              int64
	VersionID            string
	HeadMAC              []byte
	CreatedAt, UpdatedAt int64
	DeletedAt            int64 // 0: it is there
}

const secretColumns = "s.id, s.folder_id, s.key, s.version, s.version_id, s.head_mac, s.created_at, s.updated_at, s.deleted_at"

func (h *Secret) fields() []any {
	return []any{&h.ID, &h.FolderID, &h.Key, &h.Version, &h.VersionID, &h.HeadMAC, &h.CreatedAt, &h.UpdatedAt, &h.DeletedAt}
}

// SecretVersion is one version of a secret; what is secret is sealed.
type SecretVersion struct {
	ID, SecretID       string
	Version            int64
	Key                string // the secret's key at that time
	Value              []byte
	Comment, Metadata  []byte // nil: none
	Refs               []Reference
	Tags               []string // ids
	SkipMultiline      bool
	ReminderNote       string
	ReminderDays       int64
	ActorType, ActorID string
	ActorName          string
	CreatedAt          int64
}

// Reference is one ${...} of a value: the text between the braces and what it
// names. Environment "" and Path "" stand for the secret's own.
type Reference struct {
	Text        string `json:"text"`
	Environment string `json:"environment,omitempty"` // slug
	Path        string `json:"path,omitempty"`
	Key         string `json:"key"`
}

const versionColumns = "v.id, v.secret_id, v.version, v.key, v.value, v.comment, v.metadata, v.refs, v.tags, v.skip_multiline," +
	" v.reminder_note, v.reminder_days, v.actor_type, v.actor_id, v.actor_name, v.created_at"

// scan reads the columns of a version behind those in before.
func (v *SecretVersion) scan(s scanner, before ...any) error {
	var refs, tags string
	err := s.Scan(append(before, &v.ID, &v.SecretID, &v.Version, &v.Key, &v.Value, &v.Comment, &v.Metadata, &refs, &tags, &v.SkipMultiline,
		&v.ReminderNote, &v.ReminderDays, &v.ActorType, &v.ActorID, &v.ActorName, &v.CreatedAt)...)
	if err == nil && refs != "[]" {
		err = json.Unmarshal([]byte(refs), &v.Refs)
	}
	if err == nil && tags != "[]" {
		err = json.Unmarshal([]byte(tags), &v.Tags)
	}
	return err
}

// SecretRow is a secret with one of its versions.
type SecretRow struct {
	Secret  Secret
	Version SecretVersion
}

func scanSecretRow(s scanner, r *SecretRow) error { return r.Version.scan(s, r.Secret.fields()...) }

// FolderSecrets lists the secrets of a folder with their current versions, by
// key.
func (tx *Tx) FolderSecrets(ctx context.Context, folderID string) ([]SecretRow, error) {
	return list(ctx, tx, "list the secrets", scanSecretRow,
		"SELECT "+secretColumns+", "+versionColumns+" FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.version"+
			" WHERE s.folder_id = $1 AND s.deleted_at = 0 ORDER BY s.key", folderID)
}

// SecretByKey reads the current version of one secret of a folder.
func (tx *Tx) SecretByKey(ctx context.Context, folderID, key string) (SecretRow, error) {
	return one(ctx, tx, "secret "+key, scanSecretRow,
		"SELECT "+secretColumns+", "+versionColumns+" FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.version"+
			" WHERE s.folder_id = $1 AND s.key = $2 AND s.deleted_at = 0", folderID, key)
}

// SecretFolder is the folder of a secret that is there.
func (tx *Tx) SecretFolder(ctx context.Context, secretID string) (folderID string, err error) {
	return one(ctx, tx, "secret "+secretID, scanText, "SELECT folder_id FROM secrets WHERE id = $1 AND deleted_at = 0", secretID)
}

// CountSecrets is the number of secrets in a folder.
func (tx *Tx) CountSecrets(ctx context.Context, folderID string) (int64, error) {
	return one(ctx, tx, "count the secrets", scanInt, "SELECT count(*) FROM secrets WHERE folder_id = $1 AND deleted_at = 0", folderID)
}

// SecretVersion reads one version of a secret.
func (tx *Tx) SecretVersion(ctx context.Context, secretID string, version int64) (SecretVersion, error) {
	return one(ctx, tx, "that version", func(s scanner, v *SecretVersion) error { return v.scan(s) },
		"SELECT "+versionColumns+" FROM secret_versions v WHERE v.secret_id = $1 AND v.version = $2", secretID, version)
}

// SecretVersions lists the versions of a secret, newest first, from offset.
func (tx *Tx) SecretVersions(ctx context.Context, secretID string, offset, limit int64) ([]SecretVersion, error) {
	return list(ctx, tx, "list the versions", func(s scanner, v *SecretVersion) error { return v.scan(s) },
		"SELECT "+versionColumns+" FROM secret_versions v WHERE v.secret_id = $1 ORDER BY v.version DESC LIMIT $2 OFFSET $3", secretID, limit, offset)
}

// AddSecret stores a new secret with its first version; a key that the folder
// has is ErrExists.
func (tx *Tx) AddSecret(ctx context.Context, h Secret, v SecretVersion) error {
	_, err := tx.exec(ctx, "secret "+h.Key,
		"INSERT INTO secrets (id, folder_id, key, version, version_id, head_mac, created_at, updated_at, deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)",
		h.ID, h.FolderID, h.Key, h.Version, h.VersionID, h.HeadMAC, h.CreatedAt, h.UpdatedAt)
	if err != nil {
		return err
	}
	return tx.addVersion(ctx, v)
}

// UpdateSecret makes v the current version of a secret.
func (tx *Tx) UpdateSecret(ctx context.Context, h Secret, v SecretVersion) error {
	err := tx.must(ctx, "secret "+h.Key,
		"UPDATE secrets SET key = $1, version = $2, version_id = $3, head_mac = $4, updated_at = $5 WHERE id = $6 AND deleted_at = 0",
		h.Key, h.Version, h.VersionID, h.HeadMAC, h.UpdatedAt, h.ID)
	if err != nil {
		return err
	}
	return tx.addVersion(ctx, v)
}

func (tx *Tx) addVersion(ctx context.Context, v SecretVersion) error {
	refs, err := json.Marshal(v.Refs)
	if err != nil {
		return err
	}
	if v.Refs == nil {
		refs = []byte("[]")
	}
	_, err = tx.exec(ctx, "version of secret "+v.Key,
		"INSERT INTO secret_versions (id, secret_id, version, key, value, comment, metadata, refs, tags, skip_multiline, reminder_note, reminder_days,"+
			" actor_type, actor_id, actor_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		v.ID, v.SecretID, v.Version, v.Key, v.Value, v.Comment, v.Metadata, string(refs), texts(v.Tags), v.SkipMultiline, v.ReminderNote, v.ReminderDays,
		v.ActorType, v.ActorID, v.ActorName, v.CreatedAt)
	return err
}

// DeleteSecret deletes a secret; its history stays until its folder goes. The
// MAC goes too, so that the row cannot be brought back by its flag alone.
func (tx *Tx) DeleteSecret(ctx context.Context, id string, now int64) error {
	return tx.must(ctx, "secret "+id, "UPDATE secrets SET deleted_at = $1, head_mac = $2 WHERE id = $3 AND deleted_at = 0", now, []byte{}, id)
}
