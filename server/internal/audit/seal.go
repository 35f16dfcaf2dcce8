package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

const (
	sealInterval  = 30 * time.Second
	headInterval  = time.Minute
	dailyInterval = time.Hour
	sealBatches   = 5000 // batches of one link at most
	daysAhead     = 14   // audit partitions made in advance
)

// upkeep seals, prints the head, writes the counted refusals, and once an hour
// makes new partitions and drops old ones, until ctx is done.
func (l *Log) upkeep(ctx context.Context) {
	seal := time.NewTicker(sealInterval)
	head := time.NewTicker(headInterval)
	daily := time.NewTicker(dailyInterval)
	defer seal.Stop()
	defer head.Stop()
	defer daily.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-seal.C:
			l.try(ctx, "count the refusals", l.countRefusals)
			l.try(ctx, "seal the audit trail", l.Seal)
		case <-head.C:
			l.try(ctx, "read the audit chain", l.printHead)
		case <-daily.C:
			l.try(ctx, "retain the audit trail", l.Retain)
		}
	}
}

func (l *Log) try(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		l.cfg.Log.Error(what, "err", err.Error())
	}
}

func (l *Log) countRefusals(ctx context.Context) error {
	for _, row := range l.lane.drain(l.cfg.Now()) {
		if err := l.lane.join(ctx, row, nil); err != nil {
			return err
		}
	}
	return nil
}

// Seal ties all settled batches into the chain. One replica does at a time.
func (l *Log) Seal(ctx context.Context) error {
	_, err := l.cfg.Store.TryLock(ctx, "audit-sealer", func(ctx context.Context) error {
		for {
			sealed, err := l.sealOne(ctx)
			if err != nil || !sealed {
				return err
			}
		}
	})
	return err
}

// sealOne adds one link, if there is something to seal. A link stays within a
// day, so that a day that is dropped takes whole links' batches with it.
func (l *Log) sealOne(ctx context.Context) (sealed bool, err error) {
	err = l.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		sealed = false
		head, err := tx.ChainHead(ctx)
		if err != nil && !errors.Is(err, api.ErrNotFound) {
			return err
		}
		batches, err := tx.BatchesAfter(ctx, head.LastXID, head.LastPosition, sealBatches, true)
		if err != nil {
			return err
		}
		if len(batches) == 0 {
			l.Stats.UnsealedSince.Store(0)
			return nil
		}
		l.Stats.UnsealedSince.Store(batches[0].CreatedAt)
		sealed = true
		return tx.AddChainLink(ctx, l.link(head, sameDay(batches)))
	})
	return sealed, err
}

func sameDay(batches []store.AuditBatch) []store.AuditBatch {
	for i, b := range batches {
		if store.Day(b.CreatedAt) != store.Day(batches[0].CreatedAt) {
			return batches[:i]
		}
	}
	return batches
}

func (l *Log) link(head store.ChainLink, batches []store.AuditBatch) store.ChainLink {
	last := batches[len(batches)-1]
	link := store.ChainLink{
		Number: head.Number + 1, Previous: head.Digest, Digest: digest(head.Digest, batches), Count: int64(len(batches)),
		FirstAt: batches[0].CreatedAt, LastAt: batches[0].CreatedAt, LastXID: last.XID, LastPosition: last.Position,
		CreatedAt: l.cfg.Now().UnixMicro(),
	}
	if link.Previous == nil {
		link.Previous = []byte{}
	}
	for _, b := range batches {
		link.FirstAt, link.LastAt = min(link.FirstAt, b.CreatedAt), max(link.LastAt, b.CreatedAt)
	}
	link.MAC = l.cfg.Keys.MAC("audit chain", encodeLink(&link))
	return link
}

// digest is SHA-256 over the digest of the link before and the batches.
func digest(previous []byte, batches []store.AuditBatch) []byte {
	hash := sha256.New()
	hash.Write(appendText(nil, string(previous)))
	for i := range batches {
		hash.Write(encodeBatch(&batches[i]))
		hash.Write(appendText(nil, string(batches[i].MAC)))
	}
	return hash.Sum(nil)
}

func encodeLink(l *store.ChainLink) []byte {
	b := appendText(nil, string(l.Previous))
	b = appendText(b, string(l.Digest))
	for _, n := range []int64{l.Number, l.Count, l.FirstAt, l.LastAt, l.LastXID, l.LastPosition, l.CreatedAt} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// printHead puts the signed head of the chain into the log, where whoever
// could change the database cannot take it back.
func (l *Log) printHead(ctx context.Context) error {
	return l.cfg.Store.View(ctx, func(tx *store.Tx) error {
		head, err := tx.ChainHead(ctx)
		if errors.Is(err, api.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		l.cfg.Log.Info("audit head", "number", head.Number, "digest", hex.EncodeToString(head.Digest), "mac", hex.EncodeToString(head.MAC))
		return nil
	})
}

// Retain makes the partitions of the coming days and drops the days that are
// past their time, once they are sealed.
func (l *Log) Retain(ctx context.Context) error {
	now := l.cfg.Now()
	if err := l.cfg.Store.PartitionAudit(ctx, now.UnixMicro(), now.AddDate(0, 0, daysAhead).UnixMicro()); err != nil {
		return err
	}
	_, err := l.cfg.Store.TryLock(ctx, "audit-retention", func(ctx context.Context) error {
		if err := l.Seal(ctx); err != nil {
			return err
		}
		// Another replica may be sealing, or an old transaction keep batches
		// from settling: what is not in the chain stays.
		oldest, err := l.oldestUnsealed(ctx)
		if err != nil {
			return err
		}
		return l.cfg.Store.DropAudit(ctx, min(oldest, now.AddDate(0, 0, -l.cfg.RetentionDays).UnixMicro()))
	})
	return err
}

// oldestUnsealed is when the oldest batch was written that is not in the chain.
func (l *Log) oldestUnsealed(ctx context.Context) (oldest int64, err error) {
	oldest = math.MaxInt64
	err = l.cfg.Store.View(ctx, func(tx *store.Tx) error {
		head, err := tx.ChainHead(ctx)
		if err != nil && !errors.Is(err, api.ErrNotFound) {
			return err
		}
		batches, err := tx.BatchesAfter(ctx, head.LastXID, head.LastPosition, sealBatches, false)
		for _, b := range batches {
			oldest = min(oldest, b.CreatedAt)
		}
		return err
	})
	return oldest, err
}
