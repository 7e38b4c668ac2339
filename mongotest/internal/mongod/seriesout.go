package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes for $out into a time-series collection that is none, or
// another one.
const (
	codeNoSeries    mongoerr.Code = 7268700
	codeOtherSeries mongoerr.Code = 7406103
)

// intoSeries reports whether $out writes a time-series collection: one that
// exists, or one that its option timeseries asks for.
func (w writer) intoSeries(target string, series bson.Raw) (is bool, err error) {
	err = w.op.view(func(tx *storage.Tx) error {
		c := tx.Collection(target)
		if c == nil || series == nil {
			is = series != nil || c != nil && c.IsTimeseries()
			return nil
		}
		if !c.IsTimeseries() {
			return mongoerr.New(codeNoSeries, "Cannot create a time-series collection from a non time-series collection.")
		}
		is = true
		if asked, err := timeseries.Parse(series); err != nil || asked != *c.Timeseries() {
			return mongoerr.New(codeOtherSeries, "Time-series options inputted must match the existing time-series collection: %s", c.Timeseries().Document())
		}
		return nil
	})
	return is, err
}

// replaceSeries fills new buckets and puts them in the place of the old ones.
func (w writer) replaceSeries(ctx context.Context, db, coll string, series bson.Raw, docs []bson.Raw) error {
	target := db + "." + coll
	temp := "tmp.agg_out." + value.NewUUID().String()
	m := w.meta()
	return w.op.write(ctx, target, func(tx *storage.Tx) error {
		c := tx.Collection(target)
		options := value.D("timeseries", series)
		if c != nil {
			options = c.Options
		}
		filled, err := tx.Create(db+"."+temp, storage.CollectionSpec{Options: options, MetaIndex: c == nil}, m)
		if err != nil {
			return err
		}
		buckets := tx.Buckets(filled)
		if err := w.insertInto(tx, filled, buckets, docs, m); err != nil {
			return err
		}
		if c != nil {
			if _, err := tx.CreateIndexes(buckets, tx.Buckets(c).IndexSpecs(), m); err != nil {
				return err
			}
			if err := tx.Drop(c, m); err != nil {
				return err
			}
		}
		return tx.RenameTimeseries(filled, target, m)
	})
}

func (w writer) insertInto(tx *storage.Tx, c, buckets *storage.Collection, docs []bson.Raw, m storage.Meta) error {
	ms := make([]timeseries.Measurement, len(docs))
	for i, d := range docs {
		var err error
		if ms[i], err = c.Timeseries().Measure(d); err != nil {
			return err
		}
	}
	return w.op.fillBuckets(tx, buckets, ms, m)
}
