package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hanzoai/kms/server/internal/store"
)

func benchmarkBoth(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) { bench(b, newStore(b, engine.migrated(b))) })
	}
}

// BenchmarkAppendAudit is what a read waits for: one durable commit.
func BenchmarkAppendAudit(b *testing.B) {
	for _, size := range []int64{1, 32} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			benchmarkBoth(b, func(b *testing.B, s *store.Store) {
				rows := make([]store.AuditRow, size)
				for n := int64(0); b.Loop(); n++ {
					for i := range size {
						rows[i] = auditRow("run", n, i)
					}
					appendAudit(b, s, batch("run", n), rows)
				}
			})
		})
	}
}

// BenchmarkFeedRead is the fence of a read when nothing has changed.
func BenchmarkFeedRead(b *testing.B) {
	benchmarkBoth(b, func(b *testing.B, s *store.Store) {
		for range 1000 {
			update(b, s, tell("past"))
		}
		feed := follow(b, s)
		for b.Loop() {
			readFeed(b, feed)
		}
	})
}

// BenchmarkFolderSecrets is a read that no cache answers.
func BenchmarkFolderSecrets(b *testing.B) {
	benchmarkBoth(b, func(b *testing.B, s *store.Store) {
		w := seed(b, s)
		update(b, s, func(ctx context.Context, tx *store.Tx) error {
			for n := range 100 {
				if err := add(newSecret(w.root.ID, fmt.Sprintf("KEY_%03d", n)))(ctx, tx); err != nil {
					return err
				}
			}
			return nil
		})
		for b.Loop() {
			if got := folderSecrets(b, s, w.root.ID); len(got) != 100 {
				b.Fatalf("secrets: %d, want 100", len(got))
			}
		}
	})
}
