package store

import "context"

// ClientSecret is one secret by which an identity logs in, known by the keyed
// hash of it alone.
type ClientSecret struct {
	ID, IdentityID       string
	Lookup               []byte
	Prefix, Description  string
	Uses, UsesLimit      int64 // limit 0: none
	TTL                  int64 // seconds, 0: none
	ExpiresAt            int64 // 0: never
	Revoked              bool
	LastUsedAt           int64
	CreatedAt, UpdatedAt int64
}

const clientSecretColumns = "id, identity_id, lookup, prefix, description, uses, uses_limit, ttl, expires_at, revoked, last_used_at, created_at, updated_at"

func scanClientSecret(s scanner, c *ClientSecret) error {
	return s.Scan(&c.ID, &c.IdentityID, &c.Lookup, &c.Prefix, &c.Description, &c.Uses, &c.UsesLimit, &c.TTL, &c.ExpiresAt,
		&c.Revoked, &c.LastUsedAt, &c.CreatedAt, &c.UpdatedAt)
}

// AddClientSecret stores a new client secret.
func (tx *Tx) AddClientSecret(ctx context.Context, c ClientSecret) error {
	_, err := tx.exec(ctx, "client secret",
		"INSERT INTO client_secrets ("+clientSecretColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
		c.ID, c.IdentityID, c.Lookup, c.Prefix, c.Description, c.Uses, c.UsesLimit, c.TTL, c.ExpiresAt, c.Revoked, c.LastUsedAt, c.CreatedAt, c.UpdatedAt)
	return err
}

// ClientSecrets lists the client secrets of an identity, oldest first.
func (tx *Tx) ClientSecrets(ctx context.Context, identityID string) ([]ClientSecret, error) {
	return list(ctx, tx, "list the client secrets", scanClientSecret,
		"SELECT "+clientSecretColumns+" FROM client_secrets WHERE identity_id = $1 ORDER BY created_at, id", identityID)
}

// ClientSecret reads one client secret by its id.
func (tx *Tx) ClientSecret(ctx context.Context, id string) (ClientSecret, error) {
	return one(ctx, tx, "client secret "+id, scanClientSecret, "SELECT "+clientSecretColumns+" FROM client_secrets WHERE id = $1", id)
}

// ClientSecretByLookup reads the client secret with a keyed hash.
func (tx *Tx) ClientSecretByLookup(ctx context.Context, lookup []byte) (ClientSecret, error) {
	return one(ctx, tx, "client secret", scanClientSecret, "SELECT "+clientSecretColumns+" FROM client_secrets WHERE lookup = $1", lookup)
}

// RevokeClientSecret ends a client secret and the tokens it gave.
func (tx *Tx) RevokeClientSecret(ctx context.Context, id string, now int64) error {
	err := tx.must(ctx, "client secret "+id, "UPDATE client_secrets SET revoked = $1, updated_at = $2 WHERE id = $3", true, now, id)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindClientSecret, EntityID: id, CreatedAt: now})
}

// LimitClientSecrets makes the live client secrets of an identity, but for
// one, end at a time if they do not end before.
func (tx *Tx) LimitClientSecrets(ctx context.Context, identityID, exceptID string, expiresAt, now int64) error {
	secrets, err := tx.ClientSecrets(ctx, identityID)
	if err != nil {
		return err
	}
	for _, secret := range secrets {
		if secret.ID == exceptID || secret.Revoked || secret.ExpiresAt != 0 && secret.ExpiresAt <= expiresAt {
			continue
		}
		if err := tx.must(ctx, "client secret "+secret.ID,
			"UPDATE client_secrets SET expires_at = $1, updated_at = $2 WHERE id = $3", expiresAt, now, secret.ID); err != nil {
			return err
		}
		if err := tx.Changed(ctx, Change{Kind: KindClientSecret, EntityID: secret.ID, CreatedAt: now}); err != nil {
			return err
		}
	}
	return nil
}

// UseClientSecret counts one login and reports whether the limit allowed it.
func (tx *Tx) UseClientSecret(ctx context.Context, id string, now int64) (bool, error) {
	changed, err := tx.exec(ctx, "count a use of a client secret",
		"UPDATE client_secrets SET uses = uses + 1, last_used_at = $1 WHERE id = $2 AND NOT revoked AND (uses_limit = 0 OR uses < uses_limit)", now, id)
	return changed > 0, err
}

// CountLogins adds logins that needed no limit check to a client secret's counter.
func (tx *Tx) CountLogins(ctx context.Context, id string, logins, lastUsedAt int64) error {
	_, err := tx.exec(ctx, "count the uses of a client secret",
		"UPDATE client_secrets SET uses = uses + $1, last_used_at = $2 WHERE id = $3", logins, lastUsedAt, id)
	return err
}

// OpaqueToken is a bearer token that is a row, known by its keyed hash alone.
type OpaqueToken struct {
	ID, IdentityID string
	Lookup         []byte
	Prefix         string
	ExpiresAt      int64 // 0: never
	CreatedAt      int64
}

const opaqueTokenColumns = "id, identity_id, lookup, prefix, expires_at, created_at"

func scanOpaqueToken(s scanner, t *OpaqueToken) error {
	return s.Scan(&t.ID, &t.IdentityID, &t.Lookup, &t.Prefix, &t.ExpiresAt, &t.CreatedAt)
}

// AddOpaqueToken stores an opaque token.
func (tx *Tx) AddOpaqueToken(ctx context.Context, t OpaqueToken) error {
	_, err := tx.exec(ctx, "token", "INSERT INTO opaque_tokens ("+opaqueTokenColumns+") VALUES ($1, $2, $3, $4, $5, $6)",
		t.ID, t.IdentityID, t.Lookup, t.Prefix, t.ExpiresAt, t.CreatedAt)
	return err
}

// OpaqueToken reads the opaque token with a keyed hash.
func (tx *Tx) OpaqueToken(ctx context.Context, lookup []byte) (OpaqueToken, error) {
	return one(ctx, tx, "token", scanOpaqueToken, "SELECT "+opaqueTokenColumns+" FROM opaque_tokens WHERE lookup = $1", lookup)
}

// DeleteOpaqueToken revokes an opaque token.
func (tx *Tx) DeleteOpaqueToken(ctx context.Context, id string, now int64) error {
	if err := tx.must(ctx, "token "+id, "DELETE FROM opaque_tokens WHERE id = $1", id); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindToken, EntityID: id, CreatedAt: now})
}

// RevokeToken revokes a signed token until it would have expired anyway.
func (tx *Tx) RevokeToken(ctx context.Context, tokenID string, expiresAt, now int64) error {
	_, err := tx.exec(ctx, "revoke a token",
		"INSERT INTO revoked_tokens (token_id, expires_at) VALUES ($1, $2) ON CONFLICT (token_id) DO NOTHING", tokenID, expiresAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindToken, EntityID: tokenID, CreatedAt: now})
}

// RevokedToken reports whether a token is revoked.
func (tx *Tx) RevokedToken(ctx context.Context, tokenID string) (bool, error) {
	count, err := one(ctx, tx, "look a token up", scanInt, "SELECT count(*) FROM revoked_tokens WHERE token_id = $1", tokenID)
	return count > 0, err
}

// RevokedTokens lists the ids of all revoked tokens that have not expired yet.
func (tx *Tx) RevokedTokens(ctx context.Context, now int64) ([]string, error) {
	return list(ctx, tx, "list the revoked tokens", scanText, "SELECT token_id FROM revoked_tokens WHERE expires_at > $1", now)
}

// UseToken counts one use of a token and reports whether the limit allowed it.
func (tx *Tx) UseToken(ctx context.Context, tokenID string, limit, expiresAt int64) (bool, error) {
	changed, err := tx.exec(ctx, "count a use of a token",
		"INSERT INTO token_uses (token_id, uses, expires_at) VALUES ($1, 1, $2)"+
			" ON CONFLICT (token_id) DO UPDATE SET uses = token_uses.uses + 1, expires_at = excluded.expires_at WHERE token_uses.uses < $3",
		tokenID, expiresAt, limit)
	return changed > 0, err
}

// DropExpiredTokens deletes what is remembered of tokens that have expired, at
// most limit rows of each kind, and reports whether there may be more.
func (tx *Tx) DropExpiredTokens(ctx context.Context, now, limit int64) (more bool, err error) {
	for _, table := range []string{"revoked_tokens", "token_uses"} {
		dropped, err := tx.exec(ctx, "drop expired tokens",
			"DELETE FROM "+table+" WHERE token_id IN (SELECT token_id FROM "+table+" WHERE expires_at <= $1 LIMIT $2)", now, limit)
		if err != nil {
			return false, err
		}
		more = more || dropped == limit
	}
	return more, nil
}
