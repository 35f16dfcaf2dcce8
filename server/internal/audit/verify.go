package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

// Head is a link of the chain that was seen before, as the log printed it.
type Head struct {
	Number int64
	Digest string // hex
}

// Report is what Verify found. The trail is intact if Problems is empty.
type Report struct {
	Links, Batches, Rows int64
	Unsealed             int64         // batches that are not in the chain yet
	UnsealedAge          time.Duration // of the oldest of them
	Head                 Head
	Problems             []string
}

// maxProblems bounds a report: after so many, one more says nothing new.
const maxProblems = 100

// verifier walks the trail once.
type verifier struct {
	log       *Log
	report    Report
	runs      map[string]int64 // highest batch number seen of each run
	manifests map[string]bool  // (day, hash) found intact
	cutoff    int64            // days before it may have been dropped
	anchor    int64            // number of the first link, where older ones were dropped
}

func (v *verifier) problem(format string, args ...any) {
	if len(v.report.Problems) < maxProblems {
		v.report.Problems = append(v.report.Problems, fmt.Sprintf(format, args...))
	}
}

// Verify recomputes the whole trail and reports what does not hold: edited,
// forged, missing or reordered rows, batches or links, and a chain that does
// not contain a head seen before.
func (l *Log) Verify(ctx context.Context, seen []Head) (Report, error) {
	v := &verifier{log: l, runs: map[string]int64{}, manifests: map[string]bool{},
		cutoff: store.Day(l.cfg.Now().AddDate(0, 0, -l.cfg.RetentionDays).UnixMicro())}
	err := l.cfg.Store.View(ctx, func(tx *store.Tx) error {
		last, err := v.chain(ctx, tx, seen)
		if err != nil {
			return err
		}
		if err := v.unsealed(ctx, tx, last); err != nil {
			return err
		}
		return v.strays(ctx, tx)
	})
	return v.report, err
}

// chain walks the links and what they seal.
func (v *verifier) chain(ctx context.Context, tx *store.Tx, seen []Head) (last store.ChainLink, err error) {
	heads := map[int64]string{}
	for _, head := range seen {
		heads[head.Number] = head.Digest
	}
	for {
		links, err := tx.ChainAfter(ctx, last.Number, 100)
		if err != nil {
			return last, err
		}
		if len(links) == 0 {
			break
		}
		for _, link := range links {
			if err := v.link(ctx, tx, last, link); err != nil {
				return last, err
			}
			if digest, asked := heads[link.Number]; asked && digest != hex.EncodeToString(link.Digest) {
				v.problem("link %d of the chain is not the one seen before: the chain was rewritten", link.Number)
			}
			delete(heads, link.Number)
			last = link
		}
	}
	for number := range heads {
		if number < v.anchor {
			continue // dropped with its days
		}
		v.problem("link %d of the chain, seen before, is missing: the chain was cut off", number)
	}
	v.report.Head = Head{Number: last.Number, Digest: hex.EncodeToString(last.Digest)}
	return last, nil
}

func (v *verifier) link(ctx context.Context, tx *store.Tx, last, link store.ChainLink) error {
	v.report.Links++
	switch {
	case !v.log.cfg.Keys.Check(link.MAC, "audit chain", encodeLink(&link)):
		v.problem("link %d of the chain was edited or forged", link.Number)
	case last.Number == 0 && link.LastAt < v.cutoff: // what came before was dropped with its days
		v.anchor = link.Number
	case link.Number != last.Number+1:
		v.problem("link %d of the chain is missing", last.Number+1)
	case !bytes.Equal(link.Previous, last.Digest):
		v.problem("link %d of the chain does not follow link %d", link.Number, last.Number)
	}
	batches, err := tx.BatchesAfter(ctx, last.LastXID, last.LastPosition, link.Count, false)
	if err != nil {
		return err
	}
	batches = upTo(batches, link)
	if len(batches) == 0 && link.LastAt < v.cutoff {
		return nil // dropped with its days; the link is the anchor of the next
	}
	if int64(len(batches)) != link.Count || !bytes.Equal(digest(link.Previous, batches), link.Digest) {
		v.problem("the batches of link %d are not those that were sealed: %d were, %d are there", link.Number, link.Count, len(batches))
	}
	return v.batches(ctx, tx, batches)
}

// upTo leaves out batches behind the last one of the link.
func upTo(batches []store.AuditBatch, link store.ChainLink) []store.AuditBatch {
	for i, b := range batches {
		if b.XID > link.LastXID || b.XID == link.LastXID && b.Position > link.LastPosition {
			return batches[:i]
		}
	}
	return batches
}

// unsealed checks the batches behind the chain.
func (v *verifier) unsealed(ctx context.Context, tx *store.Tx, last store.ChainLink) error {
	xid, position := last.LastXID, last.LastPosition
	for {
		batches, err := tx.BatchesAfter(ctx, xid, position, sealBatches, false)
		if err != nil || len(batches) == 0 {
			return err
		}
		if v.report.Unsealed == 0 {
			v.report.UnsealedAge = v.log.cfg.Now().Sub(time.UnixMicro(batches[0].CreatedAt))
		}
		v.report.Unsealed += int64(len(batches))
		if err := v.batches(ctx, tx, batches); err != nil {
			return err
		}
		end := batches[len(batches)-1]
		xid, position = end.XID, end.Position
	}
}

func (v *verifier) batches(ctx context.Context, tx *store.Tx, batches []store.AuditBatch) error {
	for _, b := range batches {
		v.report.Batches++
		if highest := v.runs[b.Run]; b.Number != highest+1 {
			v.problem("batch %d of run %s is missing", highest+1, b.Run)
		}
		v.runs[b.Run] = b.Number
		rows, err := tx.BatchRows(ctx, b)
		if err != nil {
			return err
		}
		if err := v.rows(ctx, tx, b, rows); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) rows(ctx context.Context, tx *store.Tx, b store.AuditBatch, rows []store.AuditRow) error {
	parts := [][]byte{encodeBatch(&b)}
	for i := range rows {
		row := &rows[i]
		v.report.Rows++
		if !v.log.cfg.Keys.Check(row.MAC, "audit row", encodeRow(row)) {
			v.problem("row %s of batch %d of run %s was edited or forged", row.ID, b.Number, b.Run)
		}
		parts = append(parts, row.MAC)
		if err := v.manifest(ctx, tx, row); err != nil {
			return err
		}
	}
	if int64(len(rows)) != b.Count || !v.log.cfg.Keys.Check(b.MAC, "audit batch", parts...) {
		v.problem("batch %d of run %s does not hold: %d rows were written, %d are there", b.Number, b.Run, b.Count, len(rows))
	}
	return nil
}

func (v *verifier) manifest(ctx context.Context, tx *store.Tx, row *store.AuditRow) error {
	if row.Manifest == nil {
		return nil
	}
	m := store.Manifest{Day: store.Day(row.CreatedAt), Hash: row.Manifest}
	if v.manifests[manifestKey(m)] {
		return nil
	}
	items, err := tx.ManifestItems(ctx, m.Day, m.Hash)
	if err != nil {
		return err
	}
	if !bytes.Equal(hashItems(items), m.Hash) {
		v.problem("the list of secrets of row %s was edited or removed", row.ID)
		return nil
	}
	v.manifests[manifestKey(m)] = true
	return nil
}

// strays counts rows that are in no batch.
func (v *verifier) strays(ctx context.Context, tx *store.Tx) error {
	rows, batched, err := tx.CountAudit(ctx)
	if err == nil && rows != v.report.Rows {
		v.problem("%d rows are in no batch: they were forged", rows-v.report.Rows)
	}
	if err == nil && batched != rows && len(v.report.Problems) == 0 {
		v.problem("the batches count %d rows, %d are there", batched, rows)
	}
	return err
}

// Flush waits until all refusals that are only counted so far are rows. It is
// for tests and for shutdown.
func (l *Log) Flush(ctx context.Context) error {
	for _, row := range l.lane.drain(l.cfg.Now().Add(laneInterval)) {
		if err := l.lane.join(ctx, row, nil); err != nil && !errors.Is(err, api.ErrUnavailable) {
			return err
		}
	}
	return nil
}
