package storage

import (
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// DeleteExpired is one pass of the TTL monitor: it deletes up to limit
// documents (0: all) whose TTL index or clustered collection says that they
// have expired at now, with plain delete entries, and returns how many. Those
// that an open transaction has written are left for the next pass. Transactions
// do not call it.
func (tx *Tx) DeleteExpired(now time.Time, limit int) (int, error) {
	deleted := 0
	for _, db := range tx.Databases() {
		for _, c := range tx.Collections(db) {
			if err := tx.expire(c, now, limit, &deleted); err != nil {
				return deleted, err
			}
		}
	}
	return deleted, nil
}

func (tx *Tx) expire(c *Collection, now time.Time, limit int, deleted *int) error {
	for _, ix := range c.indexes {
		after := ix.expireAfter
		if ix.clustered {
			after = c.opts.expireAfter
		}
		if after == nil || ix.isID() && !ix.clustered {
			continue
		}
		// The index has an entry per array element, so the earliest date decides.
		low, high := value.DateTime(-1<<63), value.DateTime(now.UnixMilli()-*after*1000)
		for _, r := range tx.Scan(c, ix.Range(nil, &low, &high, true, true)) {
			if limit > 0 && *deleted >= limit {
				return nil
			}
			err := tx.remove(c, r.ID, Meta{})
			if mongoerr.Is(err, mongoerr.WriteConflict) {
				continue
			}
			if err != nil {
				return err
			}
			*deleted++
		}
	}
	return nil
}
