package store

import "context"

func (s *sqlite) append(ctx context.Context, batch AuditBatch, rows []AuditRow, manifests []Manifest) error {
	return s.update(ctx, func(tx *Tx) error { return tx.AppendAudit(ctx, batch, rows, manifests) })
}

// partition: one table holds all days.
func (s *sqlite) partition(ctx context.Context, from, to int64) error { return nil }

// dropChunk bounds how long one deletion holds the writer.
const dropChunk = 500

func (s *sqlite) dropDays(ctx context.Context, before int64) error {
	for _, sql := range []string{
		"DELETE FROM audit_log WHERE rowid IN (SELECT rowid FROM audit_log WHERE created_at < $1 LIMIT $2)",
		"DELETE FROM audit_manifests WHERE rowid IN (SELECT rowid FROM audit_manifests WHERE day < $1 LIMIT $2)",
		"DELETE FROM audit_batches WHERE rowid IN (SELECT rowid FROM audit_batches WHERE created_at < $1 LIMIT $2)",
	} {
		for dropped := int64(dropChunk); dropped == dropChunk; {
			err := s.update(ctx, func(tx *Tx) (err error) {
				dropped, err = tx.exec(ctx, "drop old audit rows", sql, before, int64(dropChunk))
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
