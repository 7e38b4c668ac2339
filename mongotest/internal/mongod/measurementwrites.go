package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// deleteMeasurements deletes the matching measurements of a time-series
// collection and returns how many, and the last of them.
func (op *operation) deleteMeasurements(ctx context.Context, tx *storage.Tx, c *storage.Collection, st *deleteStatement) (n int64, last bson.Raw, err error) {
	if err := op.refuseSeriesInTxn("perform a delete on", c); err != nil {
		return 0, nil, err
	}
	if !op.node.cfg.Version.AtLeast(7, 0) {
		if _, err := c.Timeseries().MetaQuery(st.wanted.filter); err != nil {
			return 0, nil, err
		}
		if st.limit != 0 {
			return 0, nil, mongoerr.New(mongoerr.InvalidOptions, "Cannot perform a non-multi delete on a time-series collection")
		}
	}
	if !isEmpty(st.wanted.sort) {
		return 0, nil, mongoerr.New(mongoerr.InvalidOptions, "Cannot perform findAndModify with sort on a time-series collection.")
	}
	home, err := bucketsOf(tx, c)
	if err != nil {
		return 0, nil, err
	}
	unpacker := c.Timeseries().Unpacker()
	for _, rec := range tx.Scan(home, storage.ScanSpec{}) {
		if err := ctx.Err(); err != nil {
			return 0, nil, interrupted(ctx, err)
		}
		if st.owned != nil && !st.owned(rec.Doc) {
			continue
		}
		docs, err := unpacker.Unpack(rec.Doc)
		if err != nil {
			return 0, nil, err
		}
		var kept []bson.Raw
		for _, d := range docs {
			match := false
			if st.limit == 0 || n < int64(st.limit) {
				if match, err = st.wanted.matcher.Match(d); err != nil {
					return 0, nil, err
				}
			}
			if match {
				n++
				last = d
			} else {
				kept = append(kept, d)
			}
		}
		if err := op.keepMeasurements(tx, home, rec, kept, len(docs), st.meta); err != nil {
			return 0, nil, err
		}
		if st.limit > 0 && n >= int64(st.limit) {
			break
		}
	}
	return n, last, nil
}

// keepMeasurements stores what is left of the measurements of a bucket.
func (op *operation) keepMeasurements(tx *storage.Tx, home *storage.Collection, rec storage.Rec, kept []bson.Raw, before int, m storage.Meta) error {
	switch len(kept) {
	case before:
		return nil
	case 0:
		return tx.Delete(home, rec.ID, m)
	}
	doc, err := home.Timeseries().Rebuild(rec.Doc, kept)
	if err != nil {
		return err
	}
	m.Form, m.KeepEmptyTimestamps = storage.FormReplacement, true
	_, err = tx.Replace(home, rec.ID, doc, m)
	return err
}

// updateMeasurements updates the metadata of whole buckets: no other update of
// measurements is possible. What is counted are their measurements.
func (op *operation) updateMeasurements(ctx context.Context, tx *storage.Tx, c *storage.Collection, st *updateStatement) (stmtResult, error) {
	if err := op.refuseSeriesInTxn("perform an update on", c); err != nil {
		return stmtResult{}, err
	}
	mapped, err := op.bucketUpdate(*c.Timeseries(), st)
	if err != nil {
		return stmtResult{}, err
	}
	home, err := bucketsOf(tx, c)
	if err != nil {
		return stmtResult{}, err
	}
	recs, err := matching(ctx, tx, home, mapped.wanted, st.owned, 0)
	if err != nil {
		return stmtResult{}, err
	}
	var r stmtResult
	unpacker := c.Timeseries().Unpacker()
	for _, rec := range recs {
		changed, _, err := mapped.apply(tx, home, rec)
		if err != nil {
			return stmtResult{}, err
		}
		n := int64(unpacker.Count(rec.Doc))
		r.n += n
		if changed {
			r.modified += n
		}
	}
	return r, nil
}

// bucketUpdate turns an update of measurements into one of buckets.
func (op *operation) bucketUpdate(o timeseries.Options, st *updateStatement) (*updateStatement, error) {
	refused := func(why string) (*updateStatement, error) {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "Cannot perform %s", why)
	}
	switch {
	case !st.multi:
		return refused("a non-multi update on a time-series collection")
	case st.upsert:
		return refused("an upsert on a time-series collection")
	case o.MetaField == "":
		return refused("an update on a time-series collection that does not have a metaField")
	}
	filter, err := o.MetaQuery(st.wanted.filter)
	if err != nil {
		return nil, err
	}
	u, err := o.MetaUpdate(st.source)
	if err != nil {
		return nil, err
	}
	out := &updateStatement{wanted: wanted{filter: filter}, multi: true, meta: st.meta}
	if hint, ok := st.wanted.hint.DocumentOK(); ok && firstStage([]bson.Raw{hint}) != "$natural" {
		key, err := o.BucketKey(hint)
		if err != nil {
			return nil, err
		}
		out.wanted.hint = value.Doc(key)
	} else {
		out.wanted.hint = st.wanted.hint
	}
	return out, out.compile(op, st.lang, u, st.filters, true)
}
