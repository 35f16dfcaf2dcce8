package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/hanzoai/kms/api"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres reads the change feed on a connection that nothing else may take:
// transactions wait for such a read while they hold all others of the pool.
type postgres struct{ pool, feeds *pgxpool.Pool }

func openPostgres(ctx context.Context, cfg Config) (engine, error) {
	parsed, err := pgxpool.ParseConfig(cfg.URI)
	if err != nil {
		// The driver's error quotes the URI, which may hold a password.
		return nil, api.Errorf(api.ErrInvalid, "open the store: the database URI cannot be parsed: give postgres://user:password@host:5432/database")
	}
	parsed.MaxConns = int32(cfg.MaxConns)
	if cfg.MaxConns == 0 {
		parsed.MaxConns = 16
	}
	parsed.ConnConfig.RuntimeParams["application_name"] = "kms-server"
	parsed.ConnConfig.RuntimeParams["timezone"] = "UTC"
	pool, err := pgxpool.NewWithConfig(ctx, parsed)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", scrub(err))
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unavailable("open the store: connect to PostgreSQL", scrub(err))
	}
	follow := parsed.Copy()
	follow.MinConns, follow.MaxConns = 0, 1
	feeds, err := pgxpool.NewWithConfig(ctx, follow)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the store: %w", scrub(err))
	}
	return &postgres{pool, feeds}, nil
}

// scrub keeps of a connection error what the server or the network said.
func scrub(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return fmt.Errorf("%s (SQLSTATE %s)", refused.Message, refused.Code)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

func (p *postgres) dialect() dialect {
	return dialect{
		Postgres: true,
		Text:     `TEXT COLLATE "C"`, // by bytes: bodies and ETags must not depend on a locale
		Blob:     "BYTEA",
		Serial:   "BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
	}
}

func (p *postgres) view(ctx context.Context, fn func(*Tx) error) error {
	return p.transact(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func (p *postgres) update(ctx context.Context, fn func(*Tx) error) error {
	return p.transact(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}

func (p *postgres) transact(ctx context.Context, options pgx.TxOptions, fn func(*Tx) error) error {
	var tx pgx.Tx
	err := p.overLost(ctx, func() (err error) {
		tx, err = p.pool.BeginTx(ctx, options)
		return err
	})
	if err != nil {
		return unavailable("begin a transaction", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // no effect after Commit
	if err := fn(&Tx{conn: pgConn{tx}, dialect: p.dialect()}); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return unavailable("commit", err)
	}
	return nil
}

// retryable: a deadlock or a serialization failure rolled everything back.
func (p *postgres) retryable(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == "40001" || refused.Code == "40P01")
}

func (p *postgres) ping(ctx context.Context) error {
	return p.overLost(ctx, func() error { return p.pool.Ping(ctx) })
}

// overLost begins something anew when it met a connection of the pool that the
// server has closed meanwhile, as all of them are after a failover. Each try
// takes such a one out of the pool. A failure to connect is final: the database
// is away.
func (p *postgres) overLost(ctx context.Context, begin func() error) error {
	for attempt := int32(0); ; attempt++ {
		err := begin()
		var away *pgconn.ConnectError
		if err == nil || errors.As(err, &away) || ctx.Err() != nil || attempt >= p.pool.Config().MaxConns {
			return err
		}
	}
}

func (p *postgres) lock(ctx context.Context, name string, fn func(context.Context) error) (bool, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return false, unavailable("take the lock "+name, err)
	}
	defer conn.Release()
	var got bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockID(name)).Scan(&got); err != nil {
		return false, unavailable("take the lock "+name, err)
	}
	if !got {
		return false, nil
	}
	defer conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lockID(name))
	return true, fn(ctx)
}

// lockID is the number of an advisory lock.
func lockID(name string) int64 {
	hash := fnv.New64a()
	hash.Write([]byte("kms " + name))
	return int64(hash.Sum64() >> 1)
}

func (p *postgres) feed(ctx context.Context, cursor int64) (rows []feedRow, err error) {
	err = p.overLost(ctx, func() (err error) {
		rows, err = (&Tx{conn: pgConn{p.feeds}, dialect: p.dialect()}).feed(ctx, cursor)
		return err
	})
	return rows, err
}

func (p *postgres) close() error {
	p.feeds.Close()
	p.pool.Close()
	return nil
}

// pgConn runs queries in a transaction, or each on its own through the pool.
type pgConn struct{ pgQuerier }

type pgQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (c pgConn) query(ctx context.Context, sql string, args ...any) (rows, error) {
	rows, err := c.Query(ctx, sql, args...)
	return pgRows{rows}, err
}

func (c pgConn) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	// Migrations hold several statements, which only the simple protocol takes.
	if tx, ok := c.pgQuerier.(pgx.Tx); ok && len(args) == 0 && strings.Contains(sql, ";") {
		_, err := tx.Conn().PgConn().Exec(ctx, sql).ReadAll()
		return 0, err
	}
	tag, err := c.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

func (c pgConn) unique(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "23505"
}

type pgRows struct{ pgx.Rows }

func (r pgRows) close() { r.Rows.Close() }
