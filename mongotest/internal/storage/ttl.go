package storage

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// DeleteExpired is one pass of the TTL monitor: it deletes up to limit
// documents (0: all) whose TTL index or clustered collection says that they
// have expired at now, with plain delete entries, and returns how many. Those
// that an open transaction has written are left for the next pass, and so are
// those that owned, if not nil, says belong to somebody else. Transactions do
// not call it.
func (tx *Tx) DeleteExpired(now time.Time, limit int, owned Owned) (int, error) {
	x := expiry{now: now, limit: limit, owned: owned}
	for _, db := range tx.Databases() {
		for _, c := range tx.Collections(db) {
			if err := x.collection(tx, c); err != nil {
				return x.deleted, err
			}
		}
	}
	return x.deleted, nil
}

// Owned says whether a document of a collection belongs to this replica set. It
// is called under the engine's lock.
type Owned func(ns string, uuid value.UUID, doc bson.Raw) bool

// An expiry is one pass of the TTL monitor.
type expiry struct {
	now     time.Time
	limit   int
	owned   Owned
	deleted int
}

// expired returns the range of the values of an index that have expired. The
// index has an entry per array element, so the earliest date decides. A bucket
// expires when the last measurement that it may hold does; its _id begins with
// its time.
func (x *expiry) expired(c *Collection, ix *Index, after int64) (low, high bson.RawValue) {
	limit := x.now.UnixMilli() - after*1000
	if c.opts.series != nil {
		limit -= c.opts.series.MaxSpan * 1000
	}
	if c.opts.series != nil && ix.clustered {
		return value.ObjectID(bson.ObjectID{}), value.ObjectID(timeseries.FirstID(max(limit, 0)))
	}
	return value.DateTime(-1 << 63), value.DateTime(limit)
}

func (x *expiry) collection(tx *Tx, c *Collection) error {
	for _, ix := range c.indexes {
		after := ix.expireAfter
		if ix.clustered {
			after = c.opts.expireAfter
		}
		if after == nil || ix.isID() && !ix.clustered {
			continue
		}
		low, high := x.expired(c, ix, *after)
		for _, r := range tx.Scan(c, ix.Range(nil, &low, &high, true, true)) {
			if x.limit > 0 && x.deleted >= x.limit {
				return nil
			}
			if x.owned != nil && !x.owned(c.NS, c.UUID, r.Doc) {
				continue
			}
			err := tx.remove(c, r.ID, Meta{})
			if mongoerr.Is(err, mongoerr.WriteConflict) {
				continue
			}
			if err != nil {
				return err
			}
			x.deleted++
		}
	}
	return nil
}
