package store

import (
	"context"

	"github.com/hanzoai/kms/api"
)

// Tx is one transaction. It is valid until the function it was given to
// returns and must not be used by two goroutines at once.
type Tx struct {
	conn    conn
	dialect dialect
}

// conn is what a query needs of either driver.
type conn interface {
	query(ctx context.Context, sql string, args ...any) (rows, error)
	exec(ctx context.Context, sql string, args ...any) (affected int64, err error)
	// unique reports whether err says that a unique constraint was violated.
	unique(err error) bool
}

type rows interface {
	scanner
	Next() bool
	Err() error
	close()
}

type scanner interface{ Scan(dest ...any) error }

// list runs a query and collects its rows.
func list[T any](ctx context.Context, tx *Tx, what string, scan func(scanner, *T) error, sql string, args ...any) ([]T, error) {
	rows, err := tx.conn.query(ctx, sql, args...)
	if err != nil {
		return nil, unavailable(what, err)
	}
	defer rows.close()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, unavailable(what, err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(what, err)
	}
	return all, nil
}

// one runs a query that finds at most one row; none is api.ErrNotFound.
func one[T any](ctx context.Context, tx *Tx, what string, scan func(scanner, *T) error, sql string, args ...any) (T, error) {
	all, err := list(ctx, tx, what, scan, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	if len(all) == 0 {
		var zero T
		return zero, api.Errorf(api.ErrNotFound, "%s: not found", what)
	}
	return all[0], nil
}

// exec runs a statement; a violated unique constraint is api.ErrExists.
func (tx *Tx) exec(ctx context.Context, what, sql string, args ...any) (int64, error) {
	affected, err := tx.conn.exec(ctx, sql, args...)
	switch {
	case err == nil:
		return affected, nil
	case tx.conn.unique(err):
		return 0, api.Errorf(api.ErrExists, "%s: already exists", what)
	}
	return 0, unavailable(what, err)
}

// must runs a statement that has to change something; nothing changed is
// api.ErrNotFound.
func (tx *Tx) must(ctx context.Context, what, sql string, args ...any) error {
	affected, err := tx.exec(ctx, what, sql, args...)
	if err == nil && affected == 0 {
		err = api.Errorf(api.ErrNotFound, "%s: not found", what)
	}
	return err
}

func scanInt(s scanner, n *int64) error      { return s.Scan(n) }
func scanText(s scanner, text *string) error { return s.Scan(text) }
