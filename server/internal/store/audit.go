package store

import (
	"context"
	"fmt"
	"strings"
)

// AuditRow is one row of the audit trail. It never holds a value.
type AuditRow struct {
	ID                                 string
	CreatedAt                          int64
	Run                                string
	Batch, Ordinal                     int64
	OrganizationID, ProjectID          string
	ProjectSlug, Environment, Path     string
	SecretKey                          string
	SecretVersion                      int64
	Manifest                           []byte // hash of the manifest; nil where the row is about one secret or none
	Action, Event, Outcome, Reason     string
	Repeats                            int64
	ActorType, ActorID, ActorName      string
	IP, UserAgent, RequestID, Metadata string
	MAC                                []byte
}

const auditColumns = "id, created_at, run, batch, ordinal, organization_id, project_id, project_slug, environment, path, secret_key, secret_version," +
	" manifest, action, event, outcome, reason, repeats, actor_type, actor_id, actor_name, ip, user_agent, request_id, metadata, mac"

func (r *AuditRow) fields() []any {
	return []any{&r.ID, &r.CreatedAt, &r.Run, &r.Batch, &r.Ordinal, &r.OrganizationID, &r.ProjectID, &r.ProjectSlug, &r.Environment, &r.Path,
		&r.SecretKey, &r.SecretVersion, &r.Manifest, &r.Action, &r.Event, &r.Outcome, &r.Reason, &r.Repeats, &r.ActorType, &r.ActorID, &r.ActorName,
		&r.IP, &r.UserAgent, &r.RequestID, &r.Metadata, &r.MAC}
}

func (r *AuditRow) values() []any {
	return []any{r.ID, r.CreatedAt, r.Run, r.Batch, r.Ordinal, r.OrganizationID, r.ProjectID, r.ProjectSlug, r.Environment, r.Path,
		r.SecretKey, r.SecretVersion, r.Manifest, r.Action, r.Event, r.Outcome, r.Reason, r.Repeats, r.ActorType, r.ActorID, r.ActorName,
		r.IP, r.UserAgent, r.RequestID, r.Metadata, r.MAC}
}

func scanAuditRow(s scanner, r *AuditRow) error { return s.Scan(r.fields()...) }

// AuditBatch is what one commit of audit rows is sealed by: its MAC covers the
// MACs of its rows in order.
type AuditBatch struct {
	Run       string
	Number    int64
	Count     int64
	MAC       []byte
	CreatedAt int64

	XID, Position int64 // set when read
}

// Manifest is the list of secrets that reads of one day disclosed.
type Manifest struct {
	Day   int64 // its first microsecond
	Hash  []byte
	Items []ManifestItem
}

// ManifestItem is one secret of a manifest.
type ManifestItem struct {
	Environment, Path, Key string
	Version                int64
}

// AppendAudit commits a batch: its rows, its manifests where they are new, and
// the batch row, all or nothing.
func (s *Store) AppendAudit(ctx context.Context, batch AuditBatch, rows []AuditRow, manifests []Manifest) error {
	if err := s.engine.append(ctx, batch, rows, manifests); err != nil {
		return unavailable("write the audit trail", err)
	}
	return nil
}

// AppendAudit adds a batch to the transaction of a change, so that both commit
// or neither does.
func (tx *Tx) AppendAudit(ctx context.Context, batch AuditBatch, rows []AuditRow, manifests []Manifest) error {
	for _, row := range rows {
		if _, err := tx.exec(ctx, "write the audit trail", insertAuditRow, row.values()...); err != nil {
			return err
		}
	}
	for _, m := range manifests {
		for i, item := range m.Items {
			if _, err := tx.exec(ctx, "write the audit trail", insertManifestItem, m.Day, m.Hash, int64(i), item.Environment, item.Path, item.Key, item.Version); err != nil {
				return err
			}
		}
	}
	_, err := tx.exec(ctx, "write the audit trail", insertAuditBatch, batch.Run, batch.Number, batch.Count, batch.MAC, batch.CreatedAt)
	return err
}

const (
	insertAuditRow = "INSERT INTO audit_log (" + auditColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15," +
		" $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)"
	insertManifestItem = "INSERT INTO audit_manifests (day, hash, ordinal, environment, path, secret_key, secret_version) VALUES ($1, $2, $3, $4, $5, $6, $7)" +
		" ON CONFLICT (day, hash, ordinal) DO NOTHING"
	insertAuditBatch = "INSERT INTO audit_batches (run, number, count, mac, created_at) VALUES ($1, $2, $3, $4, $5)"
)

// PartitionAudit makes room for the audit rows of the days from..to, both
// given by a microsecond in them.
func (s *Store) PartitionAudit(ctx context.Context, from, to int64) error {
	if err := s.engine.partition(ctx, Day(from), Day(to)); err != nil {
		return unavailable("make the audit partitions", err)
	}
	return nil
}

// DropAudit deletes the audit rows, manifests and batches of all days before
// the day of the given microsecond, and the links that sealed them but for the
// last, from which the chain goes on.
func (s *Store) DropAudit(ctx context.Context, before int64) error {
	if err := s.engine.dropDays(ctx, Day(before)); err != nil {
		return unavailable("drop old audit rows", err)
	}
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, "drop old links of the audit chain",
			"DELETE FROM audit_chain WHERE last_at < $1 AND number < (SELECT max(number) FROM audit_chain WHERE last_at < $1)", Day(before))
		return err
	})
}

const microsPerDay = 24 * 60 * 60 * 1_000_000

// Day is the first microsecond of the day, in UTC, that us is in.
func Day(us int64) int64 { return us - us%microsPerDay }

// AuditQuery narrows a reading of the audit trail; zero fields do not.
type AuditQuery struct {
	OrganizationIDs              []string // required: rows of no other are seen; "" among them for rows of none
	ProjectID                    string
	From, To                     int64 // created_at in [From, To)
	ActorType, ActorID           string
	Actions, Events              []string
	Environment, Path, SecretKey string
	Outcome, IP, UserAgent       string
	BeforeAt                     int64 // the page begins behind the row of BeforeAt and BeforeID
	BeforeID                     string
	Offset, Limit                int64
}

// Audit reads rows of the audit trail, newest first.
func (tx *Tx) Audit(ctx context.Context, q AuditQuery) ([]AuditRow, error) {
	w := &where{}
	w.oneOf("organization_id", q.OrganizationIDs)
	w.equal("project_id", q.ProjectID)
	w.equal("actor_type", q.ActorType)
	w.equal("actor_id", q.ActorID)
	w.equal("environment", q.Environment)
	w.equal("path", q.Path)
	w.equal("outcome", q.Outcome)
	w.equal("ip", q.IP)
	w.equal("user_agent", q.UserAgent)
	if len(q.Actions) > 0 {
		w.oneOf("action", q.Actions)
	}
	if len(q.Events) > 0 {
		w.oneOf("event", q.Events)
	}
	if q.SecretKey != "" {
		key := w.arg(q.SecretKey)
		// By its day a manifest is found in the index; by its hash alone it is not.
		w.and("(secret_key = " + key + " OR EXISTS (SELECT 1 FROM audit_manifests m WHERE m.day = audit_log.created_at - audit_log.created_at % " +
			w.arg(int64(microsPerDay)) + " AND m.hash = audit_log.manifest AND m.secret_key = " + key + "))")
	}
	if q.From != 0 {
		w.and("created_at >= " + w.arg(q.From))
	}
	if q.To != 0 {
		w.and("created_at < " + w.arg(q.To))
	}
	if q.BeforeID != "" {
		w.and("(created_at, id) < (" + w.arg(q.BeforeAt) + ", " + w.arg(q.BeforeID) + ")")
	}
	sql := "SELECT " + auditColumns + " FROM audit_log WHERE " + strings.Join(w.terms, " AND ") +
		" ORDER BY created_at DESC, id DESC LIMIT " + w.arg(q.Limit) + " OFFSET " + w.arg(q.Offset)
	return list(ctx, tx, "read the audit trail", scanAuditRow, sql, w.args...)
}

// where collects the terms of a WHERE clause and their arguments.
type where struct {
	terms []string
	args  []any
}

func (w *where) arg(value any) string {
	w.args = append(w.args, value)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *where) and(term string) { w.terms = append(w.terms, term) }

func (w *where) equal(column, value string) {
	if value != "" {
		w.and(column + " = " + w.arg(value))
	}
}

func (w *where) oneOf(column string, values []string) {
	var args []string
	for _, value := range values {
		args = append(args, w.arg(value))
	}
	if len(args) == 0 {
		w.and("1 = 0")
		return
	}
	w.and(column + " IN (" + strings.Join(args, ", ") + ")")
}

// ManifestItems reads one manifest in its order.
func (tx *Tx) ManifestItems(ctx context.Context, day int64, hash []byte) ([]ManifestItem, error) {
	return list(ctx, tx, "read a manifest", func(s scanner, i *ManifestItem) error { return s.Scan(&i.Environment, &i.Path, &i.Key, &i.Version) },
		"SELECT environment, path, secret_key, secret_version FROM audit_manifests WHERE day = $1 AND hash = $2 ORDER BY ordinal", day, hash)
}

const batchColumns = "run, number, count, mac, created_at, position"

func (d dialect) batchXID() string {
	if d.Postgres {
		return "xid::text::bigint"
	}
	return "xid"
}

// BatchesAfter lists, in the order in which they are sealed, batches behind
// the one given by its transaction id and position. settled leaves out those
// that a transaction still running could yet come before.
func (tx *Tx) BatchesAfter(ctx context.Context, xid, position, limit int64, settled bool) ([]AuditBatch, error) {
	sql := "SELECT " + batchColumns + ", " + tx.dialect.batchXID() + " FROM audit_batches WHERE "
	if tx.dialect.Postgres {
		sql += "(xid, position) > ($1::bigint::text::xid8, $2)"
		if settled {
			sql += " AND xid < pg_snapshot_xmin(pg_current_snapshot())"
		}
	} else {
		sql += "(xid, position) > ($1, $2)"
	}
	return list(ctx, tx, "list the audit batches", func(s scanner, b *AuditBatch) error {
		return s.Scan(&b.Run, &b.Number, &b.Count, &b.MAC, &b.CreatedAt, &b.Position, &b.XID)
	}, sql+" ORDER BY xid, position LIMIT $3", xid, position, limit)
}

// BatchRows reads the rows of one batch in their order.
func (tx *Tx) BatchRows(ctx context.Context, b AuditBatch) ([]AuditRow, error) {
	// Rows of a batch carry its time: the partition, and the index, are found by it.
	return list(ctx, tx, "read an audit batch", scanAuditRow,
		"SELECT "+auditColumns+" FROM audit_log WHERE created_at = $1 AND run = $2 AND batch = $3 ORDER BY ordinal", b.CreatedAt, b.Run, b.Number)
}

// CountAudit counts the rows and the batches of the audit trail.
func (tx *Tx) CountAudit(ctx context.Context) (rows, batched int64, err error) {
	if rows, err = one(ctx, tx, "count the audit rows", scanInt, "SELECT count(*) FROM audit_log"); err != nil {
		return 0, 0, err
	}
	batched, err = one(ctx, tx, "count the audit batches", scanInt, "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM audit_batches")
	return rows, batched, err
}

// ChainLink seals a run of batches: a hash over the link before it and their MACs.
type ChainLink struct {
	Number                int64
	Previous, Digest      []byte
	Count                 int64
	FirstAt, LastAt       int64
	LastXID, LastPosition int64
	MAC                   []byte
	CreatedAt             int64
}

const chainColumns = "number, previous, digest, count, first_at, last_at, last_xid, last_position, mac, created_at"

func scanChainLink(s scanner, l *ChainLink) error {
	return s.Scan(&l.Number, &l.Previous, &l.Digest, &l.Count, &l.FirstAt, &l.LastAt, &l.LastXID, &l.LastPosition, &l.MAC, &l.CreatedAt)
}

// AddChainLink appends a link; a number that is taken is ErrExists.
func (tx *Tx) AddChainLink(ctx context.Context, l ChainLink) error {
	_, err := tx.exec(ctx, "link of the audit chain", "INSERT INTO audit_chain ("+chainColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		l.Number, l.Previous, l.Digest, l.Count, l.FirstAt, l.LastAt, l.LastXID, l.LastPosition, l.MAC, l.CreatedAt)
	return err
}

// ChainHead reads the last link; ErrNotFound where there is none.
func (tx *Tx) ChainHead(ctx context.Context) (ChainLink, error) {
	return one(ctx, tx, "head of the audit chain", scanChainLink, "SELECT "+chainColumns+" FROM audit_chain ORDER BY number DESC LIMIT 1")
}

// ChainAfter lists links behind a number, in order.
func (tx *Tx) ChainAfter(ctx context.Context, number, limit int64) ([]ChainLink, error) {
	return list(ctx, tx, "read the audit chain", scanChainLink,
		"SELECT "+chainColumns+" FROM audit_chain WHERE number > $1 ORDER BY number LIMIT $2", number, limit)
}
