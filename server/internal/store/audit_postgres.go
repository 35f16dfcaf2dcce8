package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// append sends the whole batch in one round trip: the statements of a pipeline
// without BEGIN are one transaction. Rows travel as one array a column, which
// the server takes apart: the statement is the same for any number of rows.
func (p *postgres) append(ctx context.Context, batch AuditBatch, rows []AuditRow, manifests []Manifest) error {
	var pipeline pgx.Batch
	if len(rows) > 0 {
		pipeline.Queue(pgInsertAuditRows, auditArrays(rows)...)
	}
	if len(manifests) > 0 {
		pipeline.Queue(pgInsertManifests, manifestArrays(manifests)...)
	}
	pipeline.Queue(insertAuditBatch, batch.Run, batch.Number, batch.Count, batch.MAC, batch.CreatedAt)
	return p.pool.SendBatch(ctx, &pipeline).Close()
}

var (
	pgInsertAuditRows = "INSERT INTO audit_log (" + auditColumns + ") SELECT * FROM unnest(" + pgArrays(
		"text", "bigint", "text", "bigint", "bigint", "text", "text", "text", "text", "text", "text", "bigint", "bytea", "text", "text", "text", "text",
		"bigint", "text", "text", "text", "text", "text", "text", "text", "bytea") + ")"
	pgInsertManifests = "INSERT INTO audit_manifests (day, hash, ordinal, environment, path, secret_key, secret_version) SELECT * FROM unnest(" +
		pgArrays("bigint", "bytea", "bigint", "text", "text", "text", "bigint") + ") ON CONFLICT (day, hash, ordinal) DO NOTHING"
)

func pgArrays(types ...string) string {
	var args []string
	for i, t := range types {
		args = append(args, fmt.Sprintf("$%d::%s[]", i+1, t))
	}
	return strings.Join(args, ", ")
}

func auditArrays(rows []AuditRow) []any {
	return []any{
		column(rows, func(r *AuditRow) string { return r.ID }), column(rows, func(r *AuditRow) int64 { return r.CreatedAt }),
		column(rows, func(r *AuditRow) string { return r.Run }), column(rows, func(r *AuditRow) int64 { return r.Batch }),
		column(rows, func(r *AuditRow) int64 { return r.Ordinal }), column(rows, func(r *AuditRow) string { return r.OrganizationID }),
		column(rows, func(r *AuditRow) string { return r.ProjectID }), column(rows, func(r *AuditRow) string { return r.ProjectSlug }),
		column(rows, func(r *AuditRow) string { return r.Environment }), column(rows, func(r *AuditRow) string { return r.Path }),
		column(rows, func(r *AuditRow) string { return r.SecretKey }), column(rows, func(r *AuditRow) int64 { return r.SecretVersion }),
		column(rows, func(r *AuditRow) []byte { return r.Manifest }), column(rows, func(r *AuditRow) string { return r.Action }),
		column(rows, func(r *AuditRow) string { return r.Event }), column(rows, func(r *AuditRow) string { return r.Outcome }),
		column(rows, func(r *AuditRow) string { return r.Reason }), column(rows, func(r *AuditRow) int64 { return r.Repeats }),
		column(rows, func(r *AuditRow) string { return r.ActorType }), column(rows, func(r *AuditRow) string { return r.ActorID }),
		column(rows, func(r *AuditRow) string { return r.ActorName }), column(rows, func(r *AuditRow) string { return r.IP }),
		column(rows, func(r *AuditRow) string { return r.UserAgent }), column(rows, func(r *AuditRow) string { return r.RequestID }),
		column(rows, func(r *AuditRow) string { return r.Metadata }), column(rows, func(r *AuditRow) []byte { return r.MAC }),
	}
}

func column[R, T any](rows []R, get func(*R) T) []T {
	all := make([]T, len(rows))
	for i := range rows {
		all[i] = get(&rows[i])
	}
	return all
}

func manifestArrays(manifests []Manifest) []any {
	type line struct {
		day     int64
		hash    []byte
		ordinal int64
		item    ManifestItem
	}
	var lines []line
	for _, m := range manifests {
		for i, item := range m.Items {
			lines = append(lines, line{m.Day, m.Hash, int64(i), item})
		}
	}
	// Two batches in flight may insert the same manifests: the same order of
	// keys in both keeps them from waiting for each other.
	slices.SortStableFunc(lines, func(a, b line) int {
		return strings.Compare(string(a.hash), string(b.hash))
	})
	return []any{
		column(lines, func(l *line) int64 { return l.day }), column(lines, func(l *line) []byte { return l.hash }),
		column(lines, func(l *line) int64 { return l.ordinal }), column(lines, func(l *line) string { return l.item.Environment }),
		column(lines, func(l *line) string { return l.item.Path }), column(lines, func(l *line) string { return l.item.Key }),
		column(lines, func(l *line) int64 { return l.item.Version }),
	}
}

func partitionName(table string, day int64) string {
	return table + "_" + time.UnixMicro(day).UTC().Format("20060102")
}

// partition makes the tables of the days, a few replicas at once perhaps, so
// under a lock.
func (p *postgres) partition(ctx context.Context, from, to int64) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockID("partition")); err != nil {
			return err
		}
		for day := from; day <= to; day += microsPerDay {
			for _, table := range []string{"audit_log", "audit_manifests"} {
				if err := makePartition(ctx, tx, table, day); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// makePartition makes the table of one day, unless rows of that day lie in the
// rest: PostgreSQL would refuse, so they and those to come stay there.
func makePartition(ctx context.Context, tx pgx.Tx, table string, day int64) error {
	column := "created_at"
	if table == "audit_manifests" {
		column = "day"
	}
	var strayed bool
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s_rest WHERE %s >= %d AND %[2]s < %[4]d)",
		table, column, day, day+microsPerDay)).Scan(&strayed)
	if err != nil || strayed {
		return err
	}
	_, err = tx.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%d) TO (%d)",
		partitionName(table, day), table, day, day+microsPerDay))
	return err
}

// dropDays drops whole partitions, which costs nothing however many rows they
// have, and deletes what strayed into the rest.
func (p *postgres) dropDays(ctx context.Context, before int64) error {
	rows, err := p.pool.Query(ctx, "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"+
		" WHERE i.inhparent IN ('audit_log'::regclass, 'audit_manifests'::regclass)")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		day, err := time.Parse("20060102", name[strings.LastIndexByte(name, '_')+1:])
		if err != nil || day.UnixMicro() >= before {
			continue // the rest, or young enough
		}
		if _, err := p.pool.Exec(ctx, "DROP TABLE IF EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil {
			return err
		}
	}
	for _, sql := range []string{"DELETE FROM audit_log_rest WHERE created_at < $1", "DELETE FROM audit_manifests_rest WHERE day < $1",
		"DELETE FROM audit_batches WHERE created_at < $1"} {
		if _, err := p.pool.Exec(ctx, sql, before); err != nil {
			return err
		}
	}
	return nil
}
