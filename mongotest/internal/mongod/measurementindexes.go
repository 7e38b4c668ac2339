package mongod

import (
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// holder is what holds the documents of a collection: of a time-series
// collection that of its buckets, which may be gone.
func holder(tx *storage.Tx, c *storage.Collection) *storage.Collection {
	if c != nil && c.IsTimeseries() {
		return tx.Buckets(c)
	}
	return c
}

// shownIndexes returns the indexes that clients see, with their specs: of a
// time-series collection those of its buckets, as indexes on measurements. The
// clustered index of buckets is not shown.
func shownIndexes(tx *storage.Tx, c *storage.Collection) iter.Seq2[*storage.Index, bson.Raw] {
	return func(yield func(*storage.Index, bson.Raw) bool) {
		home := holder(tx, c)
		if home == nil {
			return
		}
		for _, ix := range home.Indexes() {
			spec := ix.Spec
			if c.Timeseries() != nil && ix == home.IDIndex() {
				continue
			}
			if c.IsTimeseries() {
				spec = c.Timeseries().MeasurementIndex(spec)
			}
			if spec != nil && !yield(ix, spec) {
				return
			}
		}
	}
}

// bucketIndexToDrop turns the index argument of dropIndexes on a time-series
// collection into one on its buckets.
func bucketIndexToDrop(tx *storage.Tx, c *storage.Collection, target bson.RawValue) (*storage.Collection, bson.RawValue, error) {
	if pattern, ok := target.DocumentOK(); ok {
		key, err := c.Timeseries().BucketKey(pattern)
		if err != nil {
			return nil, target, mongoerr.New(mongoerr.IndexNotFound, "%s", mongoerr.From(err).Message)
		}
		target = value.Doc(key)
	}
	home, err := bucketsOf(tx, c)
	return home, target, err
}
