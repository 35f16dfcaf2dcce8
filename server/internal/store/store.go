// Package store keeps everything that the server knows in SQL: PostgreSQL in
// production, SQLite as the embedded default. One text of SQL serves both; the
// few things that differ are in postgres.go and sqlite.go.
//
// All access goes through View, one snapshot, and Update, one transaction;
// every query is a method of the Tx that they hand out. What is secret arrives
// here sealed: the store never holds a key that opens it, never sees plaintext
// and decides nothing about who may do what.
package store

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hanzoai/kms/api"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// Config says which database to open: URI for PostgreSQL, else Dir for SQLite.
type Config struct {
	URI      string // postgres://...; may hold a password, is never printed
	Dir      string // data directory of SQLite, made if it is not there
	MaxConns int    // size of the connection pool; 0 means 16
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	engine engine
}

// engine is what differs between the two databases.
type engine interface {
	view(ctx context.Context, fn func(*Tx) error) error
	update(ctx context.Context, fn func(*Tx) error) error
	// retryable reports whether a transaction that failed with err may be run again.
	retryable(err error) bool
	ping(ctx context.Context) error
	// lock runs fn while holding a lock that one process in all can hold; it
	// reports false, and does not run fn, when another process holds it.
	lock(ctx context.Context, name string, fn func(ctx context.Context) error) (bool, error)
	// feed reads the rows of the feed of transactions at or after cursor, in
	// order; there is at least one row, all say the next cursor.
	feed(ctx context.Context, cursor int64) ([]feedRow, error)
	// append commits a batch of audit rows with what belongs to it.
	append(ctx context.Context, batch AuditBatch, rows []AuditRow, manifests []Manifest) error
	// partition makes the audit partitions of the days from..to.
	partition(ctx context.Context, from, to int64) error
	// dropDays drops the audit rows of all days before the given one.
	dropDays(ctx context.Context, before int64) error
	dialect() dialect
	close() error
}

// dialect is the differences in the SQL text.
type dialect struct {
	Postgres           bool
	Text, Blob, Serial string
}

// Open connects to the database; it changes nothing in it. Migrate does.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	switch {
	case cfg.URI != "" && cfg.Dir != "":
		return nil, api.Errorf(api.ErrInvalid, "open the store: both a database URI and a data directory are given: give one")
	case cfg.URI != "":
		engine, err := openPostgres(ctx, cfg)
		return &Store{engine}, err
	case cfg.Dir != "":
		engine, err := openSQLite(ctx, cfg)
		return &Store{engine}, err
	}
	return nil, api.Errorf(api.ErrInvalid, "open the store: neither a database URI nor a data directory is given")
}

// Close waits for the transactions under way and lets go of the database.
func (s *Store) Close() error { return s.engine.close() }

// Engine is "postgres" or "sqlite", for logs and metrics.
func (s *Store) Engine() string {
	if s.engine.dialect().Postgres {
		return "postgres"
	}
	return "sqlite"
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.engine.ping(ctx); err != nil {
		return unavailable("ping the database", err)
	}
	return nil
}

// View runs fn on one snapshot of the database, read only.
func (s *Store) View(ctx context.Context, fn func(tx *Tx) error) error {
	return s.run(ctx, s.engine.view, fn)
}

// Update runs fn in one transaction and commits it when fn returns nil. The
// transaction reads what is committed at each statement, so fn first calls
// LockEnvironments for what it will touch and checks everything after that.
// fn may run more than once and must have no effect outside tx.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return s.run(ctx, s.engine.update, fn)
}

// TryLock runs fn while this process alone holds the named lock, and reports
// whether it got it. It never waits for it.
func (s *Store) TryLock(ctx context.Context, name string, fn func(ctx context.Context) error) (bool, error) {
	return s.engine.lock(ctx, name, fn)
}

// attempts bounds how often a transaction that lost a race is run.
const attempts = 5

func (s *Store) run(ctx context.Context, do func(context.Context, func(*Tx) error) error, fn func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := do(ctx, fn)
		if err == nil || !s.engine.retryable(err) || attempt == attempts || ctx.Err() != nil {
			return err
		}
	}
}

// unavailable wraps a failure of the database itself. The text of err may name
// hosts and tables and goes to the log only; the caller sees the message. A
// deadline counts as one: the database did not answer in time (every timeout
// of the network says that it is a context.DeadlineExceeded, too).
func unavailable(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, err)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "22021" { // text with a NUL in it
		return api.Errorf(api.ErrInvalid, "the request has a text that cannot be stored: take the control characters out")
	}
	return &dbError{what: what, err: err}
}

// dbError is a failure of the database: ErrUnavailable to callers, with the
// driver's error kept for the log.
type dbError struct {
	what string
	err  error
}

func (e *dbError) Error() string   { return e.what + ": " + e.err.Error() }
func (e *dbError) Unwrap() []error { return []error{api.ErrUnavailable, e.err} }

// NewID makes the id of a new entity: a UUIDv7, so that ids sort by age.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// micros is t in the store's form.
func micros(t time.Time) int64 { return t.UnixMicro() }
