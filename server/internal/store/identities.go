package store

import (
	"context"
	"encoding/json"
)

// The types of actor.
const (
	ActorIdentity = "identity"
	ActorUser     = "user"
)

// Identity is a machine identity.
type Identity struct {
	ID, OrganizationID, Name        string
	DeleteProtection, InstanceAdmin bool
	CreatedAt, UpdatedAt            int64
}

const identityColumns = "id, organization_id, name, delete_protection, instance_admin, created_at, updated_at"

func scanIdentity(s scanner, i *Identity) error {
	return s.Scan(&i.ID, &i.OrganizationID, &i.Name, &i.DeleteProtection, &i.InstanceAdmin, &i.CreatedAt, &i.UpdatedAt)
}

// AddIdentity stores a machine identity.
func (tx *Tx) AddIdentity(ctx context.Context, i Identity) error {
	_, err := tx.exec(ctx, "identity", "INSERT INTO identities ("+identityColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7)",
		i.ID, i.OrganizationID, i.Name, i.DeleteProtection, i.InstanceAdmin, i.CreatedAt, i.UpdatedAt)
	return err
}

// Identity reads one machine identity.
func (tx *Tx) Identity(ctx context.Context, id string) (Identity, error) {
	return one(ctx, tx, "identity "+id, scanIdentity, "SELECT "+identityColumns+" FROM identities WHERE id = $1", id)
}

// Identities lists the machine identities of an organisation by name.
func (tx *Tx) Identities(ctx context.Context, organizationID string) ([]Identity, error) {
	return list(ctx, tx, "list the identities", scanIdentity,
		"SELECT "+identityColumns+" FROM identities WHERE organization_id = $1 ORDER BY name, id", organizationID)
}

// UpdateIdentity stores the name and the protection of an identity.
func (tx *Tx) UpdateIdentity(ctx context.Context, i Identity) error {
	err := tx.must(ctx, "identity "+i.ID, "UPDATE identities SET name = $1, delete_protection = $2, updated_at = $3 WHERE id = $4",
		i.Name, i.DeleteProtection, i.UpdatedAt, i.ID)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: i.ID, CreatedAt: i.UpdatedAt})
}

// DeleteIdentity deletes an identity with its credentials and memberships. Its
// tokens end with it: each request looks its identity up.
func (tx *Tx) DeleteIdentity(ctx context.Context, id string, now int64) error {
	secrets, err := tx.ClientSecrets(ctx, id)
	if err != nil {
		return err
	}
	for _, table := range []string{"project_memberships", "organization_memberships"} {
		if _, err := tx.exec(ctx, "delete the memberships", "DELETE FROM "+table+" WHERE actor_type = 'identity' AND actor_id = $1", id); err != nil {
			return err
		}
	}
	if err := tx.must(ctx, "identity "+id, "DELETE FROM identities WHERE id = $1", id); err != nil {
		return err
	}
	for _, secret := range secrets {
		if err := tx.Changed(ctx, Change{Kind: KindClientSecret, EntityID: secret.ID, CreatedAt: now}); err != nil {
			return err
		}
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: id, CreatedAt: now})
}

// UniversalAuth is how an identity logs in. Times to live are seconds.
type UniversalAuth struct {
	IdentityID, ID, ClientID          string
	TTL, MaxTTL, Period, UsesLimit    int64
	SecretTrustedIPs, TokenTrustedIPs []string
	LockoutEnabled                    bool
	LockoutThreshold, LockoutDuration int64
	LockoutCounterReset               int64
	CreatedAt, UpdatedAt              int64
}

const universalAuthColumns = "identity_id, id, client_id, token_ttl, token_max_ttl, token_period, token_uses_limit," +
	" secret_trusted_ips, token_trusted_ips, lockout_enabled, lockout_threshold, lockout_duration, lockout_counter_reset, created_at, updated_at"

func scanUniversalAuth(s scanner, u *UniversalAuth) error {
	var secretIPs, tokenIPs string
	err := s.Scan(&u.IdentityID, &u.ID, &u.ClientID, &u.TTL, &u.MaxTTL, &u.Period, &u.UsesLimit, &secretIPs, &tokenIPs,
		&u.LockoutEnabled, &u.LockoutThreshold, &u.LockoutDuration, &u.LockoutCounterReset, &u.CreatedAt, &u.UpdatedAt)
	if err == nil {
		err = json.Unmarshal([]byte(secretIPs), &u.SecretTrustedIPs)
	}
	if err == nil {
		err = json.Unmarshal([]byte(tokenIPs), &u.TokenTrustedIPs)
	}
	return err
}

// SetUniversalAuth stores the Universal Auth of an identity, in the place of
// what it had; ids and creation time stay what they first were.
func (tx *Tx) SetUniversalAuth(ctx context.Context, u UniversalAuth) error {
	_, err := tx.exec(ctx, "store universal auth",
		"INSERT INTO universal_auths ("+universalAuthColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"+
			" ON CONFLICT (identity_id) DO UPDATE SET token_ttl = excluded.token_ttl, token_max_ttl = excluded.token_max_ttl,"+
			" token_period = excluded.token_period, token_uses_limit = excluded.token_uses_limit,"+
			" secret_trusted_ips = excluded.secret_trusted_ips, token_trusted_ips = excluded.token_trusted_ips,"+
			" lockout_enabled = excluded.lockout_enabled, lockout_threshold = excluded.lockout_threshold,"+
			" lockout_duration = excluded.lockout_duration, lockout_counter_reset = excluded.lockout_counter_reset, updated_at = excluded.updated_at",
		u.IdentityID, u.ID, u.ClientID, u.TTL, u.MaxTTL, u.Period, u.UsesLimit, texts(u.SecretTrustedIPs), texts(u.TokenTrustedIPs),
		u.LockoutEnabled, u.LockoutThreshold, u.LockoutDuration, u.LockoutCounterReset, u.CreatedAt, u.UpdatedAt)
	if err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: u.IdentityID, CreatedAt: u.UpdatedAt})
}

// UniversalAuth reads the Universal Auth of an identity.
func (tx *Tx) UniversalAuth(ctx context.Context, identityID string) (UniversalAuth, error) {
	return one(ctx, tx, "universal auth of identity "+identityID, scanUniversalAuth,
		"SELECT "+universalAuthColumns+" FROM universal_auths WHERE identity_id = $1", identityID)
}

// DeleteUniversalAuth takes Universal Auth, and all client secrets, from an identity.
func (tx *Tx) DeleteUniversalAuth(ctx context.Context, identityID string, now int64) error {
	secrets, err := tx.ClientSecrets(ctx, identityID)
	if err != nil {
		return err
	}
	if err := tx.must(ctx, "universal auth of identity "+identityID, "DELETE FROM universal_auths WHERE identity_id = $1", identityID); err != nil {
		return err
	}
	for _, secret := range secrets {
		if err := tx.Changed(ctx, Change{Kind: KindClientSecret, EntityID: secret.ID, CreatedAt: now}); err != nil {
			return err
		}
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: identityID, CreatedAt: now})
}

// texts is the JSON form of a list of texts, "[]" for none.
func texts(list []string) string {
	if list == nil {
		list = []string{}
	}
	text, _ := json.Marshal(list) // strings always marshal
	return string(text)
}

// UniversalAuthByClientID reads the Universal Auth with a client id.
func (tx *Tx) UniversalAuthByClientID(ctx context.Context, clientID string) (UniversalAuth, error) {
	return one(ctx, tx, "universal auth", scanUniversalAuth, "SELECT "+universalAuthColumns+" FROM universal_auths WHERE client_id = $1", clientID)
}
