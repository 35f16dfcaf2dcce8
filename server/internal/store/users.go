package store

import "context"

// User is a person. PasswordHash is empty until a password is set.
type User struct {
	ID, Email, FirstName, LastName, PasswordHash string
	PasswordSetAt                                int64 // sessions that began before it have ended
	SuperAdmin                                   bool
	CreatedAt, UpdatedAt                         int64
}

const userColumns = "id, email, first_name, last_name, password_hash, password_set_at, super_admin, created_at, updated_at"

func scanUser(s scanner, u *User) error {
	return s.Scan(&u.ID, &u.Email, &u.FirstName, &u.LastName, &u.PasswordHash, &u.PasswordSetAt, &u.SuperAdmin, &u.CreatedAt, &u.UpdatedAt)
}

// AddUser stores a person; an e-mail address that is taken is ErrExists.
func (tx *Tx) AddUser(ctx context.Context, u User) error {
	_, err := tx.exec(ctx, "user", "INSERT INTO users ("+userColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		u.ID, u.Email, u.FirstName, u.LastName, u.PasswordHash, u.PasswordSetAt, u.SuperAdmin, u.CreatedAt, u.UpdatedAt)
	return err
}

// User reads one person.
func (tx *Tx) User(ctx context.Context, id string) (User, error) {
	return one(ctx, tx, "user "+id, scanUser, "SELECT "+userColumns+" FROM users WHERE id = $1", id)
}

// UserByEmail reads the person with an e-mail address in lower case.
func (tx *Tx) UserByEmail(ctx context.Context, email string) (User, error) {
	return one(ctx, tx, "user", scanUser, "SELECT "+userColumns+" FROM users WHERE email = $1", email)
}

// AnyUser reports whether there is any person: the instance is bootstrapped.
func (tx *Tx) AnyUser(ctx context.Context) (bool, error) {
	count, err := one(ctx, tx, "count the users", scanInt, "SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS u")
	return count > 0, err
}

// SetPassword replaces a person's password hash and throws his links away.
func (tx *Tx) SetPassword(ctx context.Context, userID, hash string, now int64) error {
	if err := tx.must(ctx, "user "+userID, "UPDATE users SET password_hash = $1, password_set_at = $2, updated_at = $2 WHERE id = $3", hash, now, userID); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "delete the links", "DELETE FROM password_links WHERE user_id = $1", userID); err != nil {
		return err
	}
	return tx.Changed(ctx, Change{Kind: KindActor, EntityID: userID, CreatedAt: now})
}

// AddPasswordLink stores a one-time link by the keyed hash of its token.
func (tx *Tx) AddPasswordLink(ctx context.Context, lookup []byte, userID string, expiresAt int64) error {
	_, err := tx.exec(ctx, "store a link", "INSERT INTO password_links (lookup, user_id, expires_at) VALUES ($1, $2, $3)", lookup, userID, expiresAt)
	return err
}

// PasswordLink looks a link up; one that is not there or has expired is
// ErrNotFound.
func (tx *Tx) PasswordLink(ctx context.Context, lookup []byte, now int64) error {
	_, err := one(ctx, tx, "link", scanText, "SELECT user_id FROM password_links WHERE lookup = $1 AND expires_at > $2", lookup, now)
	return err
}

// TakePasswordLink deletes the link and gives whose it was; one that is not
// there or has expired is ErrNotFound.
func (tx *Tx) TakePasswordLink(ctx context.Context, lookup []byte, now int64) (userID string, err error) {
	return one(ctx, tx, "link", scanText, "DELETE FROM password_links WHERE lookup = $1 AND expires_at > $2 RETURNING user_id", lookup, now)
}

// FirstBootstrap succeeds once in the life of a database; then it is ErrExists.
func (tx *Tx) FirstBootstrap(ctx context.Context) error {
	_, err := tx.exec(ctx, "bootstrap", "INSERT INTO meta (name, value) VALUES ('bootstrapped', 'yes')")
	return err
}
