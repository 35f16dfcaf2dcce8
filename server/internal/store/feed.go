package store

import (
	"context"
	"sync"
)

// The kinds of change: what sort of entity is not what it was.
const (
	KindInstance     = "instance"      // the list of organisations
	KindOrganization = "organization"  // its name, its list of projects
	KindProject      = "project"       // its name, environments, roles, tags
	KindEnvironment  = "environment"   // its tree of folders
	KindFolder       = "folder"        // its secrets
	KindActor        = "actor"         // an identity or a person: credentials, roles, memberships
	KindClientSecret = "client_secret" // revoked, or its end moved
	KindToken        = "token"         // revoked
	KindKey          = "key"           // a project got a new data key; the entity is the project
)

// Change is one row of the change feed.
type Change struct {
	Position      int64
	Kind          string
	EntityID      string
	EnvironmentID string // "" where the change is in none
	Revision      int64  // of the environment after the change
	CreatedAt     int64
}

// Changed adds a row to the feed. It is visible when the transaction commits.
func (tx *Tx) Changed(ctx context.Context, c Change) error {
	_, err := tx.exec(ctx, "tell the feed", "INSERT INTO feed (kind, entity_id, environment_id, revision, created_at) VALUES ($1, $2, $3, $4, $5)",
		c.Kind, c.EntityID, c.EnvironmentID, c.Revision, c.CreatedAt)
	return err
}

// DropFeed deletes rows of the feed older than before, at most limit, and
// reports whether there may be more.
func (tx *Tx) DropFeed(ctx context.Context, before, limit int64) (more bool, err error) {
	dropped, err := tx.exec(ctx, "drop old feed rows",
		"DELETE FROM feed WHERE position IN (SELECT position FROM feed WHERE created_at < $1 LIMIT $2)", before, limit)
	return dropped == limit, err
}

// Feed follows the change feed from the moment it is made. It is safe for
// concurrent use.
//
// Rows become visible when their transaction commits, which is not the order
// of their positions. So on PostgreSQL the cursor is a transaction id: the
// oldest one that was still running at the last read. Every row of a
// transaction before it has been seen; rows at or after it are handled as soon
// as they are visible, remembered, and read again until the cursor has passed
// them. Nothing that commits late is lost, nothing is handled twice.
type Feed struct {
	store *Store

	mu     sync.Mutex
	cursor int64
	seen   map[int64]int64 // position -> transaction id, at or after the cursor
}

// feedEnd is a cursor beyond all rows: reading there tells where now is.
const feedEnd = 1 << 62

type feedRow struct {
	Change
	xid  int64
	next int64 // the cursor after this read
}

// Follow makes a Feed that starts now.
func (s *Store) Follow(ctx context.Context) (*Feed, error) {
	f := &Feed{store: s, seen: map[int64]int64{}}
	rows, err := s.engine.feed(ctx, feedEnd)
	if err != nil {
		return nil, unavailable("follow the feed", err)
	}
	f.cursor = rows[0].next
	// Rows beyond the cursor that are committed already belong to the past.
	_, err = f.Read(ctx)
	return f, err
}

// Read gives the changes that became visible since the last Read. All that was
// committed before the call are among what the calls up to this one returned.
func (f *Feed) Read(ctx context.Context) ([]Change, error) { return f.read(ctx, f.store.engine.feed) }

// ReadIn is Read on the connection of a transaction, for one that must not
// wait for a second connection while it holds locks. It comes before anything
// that the transaction tells the feed itself, which a rollback would take back.
func (f *Feed) ReadIn(ctx context.Context, tx *Tx) ([]Change, error) { return f.read(ctx, tx.feed) }

func (f *Feed) read(ctx context.Context, feed func(context.Context, int64) ([]feedRow, error)) ([]Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows, err := feed(ctx, f.cursor)
	if err != nil {
		return nil, unavailable("read the feed", err)
	}
	var changes []Change
	for _, row := range rows {
		if row.Position == 0 { // the row that carries the cursor alone
			continue
		}
		if _, known := f.seen[row.Position]; !known {
			f.seen[row.Position] = row.xid
			changes = append(changes, row.Change)
		}
	}
	// A View sees less than what was read since it began: the cursor never goes
	// back, or what is behind it would be handled twice.
	f.cursor = max(f.cursor, rows[0].next)
	for position, xid := range f.seen {
		if xid < f.cursor {
			delete(f.seen, position)
		}
	}
	return changes, nil
}

const pgFeed = `SELECT s.xmin::text::bigint, coalesce(f.position, 0), coalesce(f.xid::text::bigint, 0), coalesce(f.kind, ''),
	coalesce(f.entity_id, ''), coalesce(f.environment_id, ''), coalesce(f.revision, 0), coalesce(f.created_at, 0)
	FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin) s LEFT JOIN feed f ON f.xid >= $1::bigint::text::xid8
	ORDER BY f.xid, f.position`

// On SQLite there is one writer, so positions become visible in their order
// and stand for transaction ids. The last row carries the cursor alone.
const sqliteFeed = `SELECT 0, position, position, kind, entity_id, environment_id, revision, created_at FROM feed WHERE position >= $1
	UNION ALL SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0) + 1, 0, 0, '', '', '', 0, 0
	ORDER BY 1, 2`

// feed reads the rows of the feed of transactions at or after cursor, in
// order; there is at least one row, and all say the next cursor.
func (tx *Tx) feed(ctx context.Context, cursor int64) ([]feedRow, error) {
	sql := sqliteFeed
	if tx.dialect.Postgres {
		sql = pgFeed
	}
	rows, err := list(ctx, tx, "read the feed", func(s scanner, r *feedRow) error {
		return s.Scan(&r.next, &r.Position, &r.xid, &r.Kind, &r.EntityID, &r.EnvironmentID, &r.Revision, &r.CreatedAt)
	}, sql, cursor)
	if err == nil && !tx.dialect.Postgres {
		rows[0].next = rows[len(rows)-1].next
	}
	return rows, err
}
