package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanzoai/kms/api"

	sqlitedriver "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// sqlite is one database file in WAL mode, synced in full at every commit,
// with one writer and several readers. The directory is locked for the life of
// the process: there is no second replica.
type sqlite struct {
	writer *sql.DB // one connection; transactions begin immediate
	reader *sql.DB
	lease  *os.File // holds the lock of the directory
}

func openSQLite(ctx context.Context, cfg Config) (engine, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the store: make the data directory: %w", err)
	}
	lease, err := lockDirectory(cfg.Dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.Dir, "kms.db")
	s := &sqlite{lease: lease}
	if err = makePrivate(path); err == nil {
		s.writer, err = openFile(ctx, path, "_txlock=immediate", 1)
	}
	if err == nil {
		readers := cfg.MaxConns
		if readers == 0 {
			readers = 8
		}
		s.reader, err = openFile(ctx, path, "_pragma=query_only(1)", readers)
	}
	if err != nil {
		s.close()
		return nil, unavailable("open the store: open "+path, err)
	}
	return s, nil
}

// makePrivate makes the database file, if it is not there, for its owner only:
// it holds ciphertext, but nobody else has any business with it. SQLite itself
// would go by the umask; its log files get the mode that this one has when
// they are made, which is at the first connection.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o600), file.Close())
}

func lockDirectory(dir string) (*os.File, error) {
	lease, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the store: lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(lease.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lease.Close()
		return nil, api.Errorf(api.ErrConflict, "open the store: another process uses the data directory %s: one server at a time can; for several replicas use PostgreSQL", dir)
	}
	return lease, nil
}

func openFile(ctx context.Context, path, option string, conns int) (*sql.DB, error) {
	uri := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-8192)&_pragma=temp_store(MEMORY)&" + option
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func (s *sqlite) dialect() dialect {
	return dialect{
		Text:   "TEXT", // BINARY collation: by bytes
		Blob:   "BLOB",
		Serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
	}
}

func (s *sqlite) view(ctx context.Context, fn func(*Tx) error) error {
	return s.transact(ctx, s.reader, fn)
}

func (s *sqlite) update(ctx context.Context, fn func(*Tx) error) error {
	return s.transact(ctx, s.writer, fn)
}

func (s *sqlite) transact(ctx context.Context, db *sql.DB, fn func(*Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return unavailable("begin a transaction", err)
	}
	defer tx.Rollback() // no effect after Commit
	if err := fn(&Tx{conn: sqliteConn{tx}, dialect: s.dialect()}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return unavailable("commit", err)
	}
	return nil
}

func (s *sqlite) retryable(err error) bool {
	var refused *sqlitedriver.Error
	return errors.As(err, &refused) && refused.Code()&0xff == sqlitelib.SQLITE_BUSY
}

func (s *sqlite) ping(ctx context.Context) error {
	var n int
	return s.reader.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
}

// lock: this process is the only one, and each name is used by one goroutine.
func (s *sqlite) lock(ctx context.Context, name string, fn func(context.Context) error) (bool, error) {
	return true, fn(ctx)
}

func (s *sqlite) feed(ctx context.Context, cursor int64) (rows []feedRow, err error) {
	err = s.view(ctx, func(tx *Tx) error {
		rows, err = tx.feed(ctx, cursor)
		return err
	})
	return rows, err
}

func (s *sqlite) close() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lease.Close())...)
}

type sqliteConn struct{ tx *sql.Tx }

func (c sqliteConn) query(ctx context.Context, text string, args ...any) (rows, error) {
	rows, err := c.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return sqliteRows{rows}, nil
}

func (c sqliteConn) exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := c.tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c sqliteConn) unique(err error) bool {
	var refused *sqlitedriver.Error
	return errors.As(err, &refused) &&
		(refused.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || refused.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY)
}

type sqliteRows struct{ *sql.Rows }

func (r sqliteRows) close() { r.Rows.Close() }
