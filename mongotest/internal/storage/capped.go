package storage

import "github.com/shardferry/shardferry/mongotest/internal/oplog"

// evict deletes a capped collection's oldest documents until it is within its
// limits, but never the record keep. The server has logged these deletes since
// FCV 5.0, without a session.
func (tx *Tx) evict(c *Collection, keep int64) {
	for c.bytes > c.opts.size || c.opts.maxDocs > 0 && c.Count() > c.opts.maxDocs {
		rid, _, ok := c.records.Min()
		if !ok || rid == keep {
			return
		}
		if err := tx.remove(c, rid, Meta{Txn: oplog.TxnInfo{}}); err != nil {
			return // nothing but a transaction could be in the way, and those cannot write here
		}
	}
}
