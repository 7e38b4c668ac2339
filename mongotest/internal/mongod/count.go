package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// selection returns the documents that a filter selects from a collection or
// view: what count and distinct work on.
func (op *operation) selection(coll string, filter bson.Raw, hint bson.RawValue, arg collationArg) (aggregate.Source, error) {
	f := findCommand{coll: coll, wanted: wanted{filter: filter, hint: hint}, collation: arg}
	c, err := op.openFind(f)
	if err != nil {
		return nil, err
	}
	feed, ok := c.feed.(*docFeed)
	if !ok {
		return nil, mongoerr.New(mongoerr.InternalError, "unexpected feed %T", c.feed)
	}
	return feed.src, nil
}

// runCount counts. Without a filter it takes the collection's own number, which
// includes orphans, as the server does.
func runCount(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.nameOrUUID(op.req.Body.Lookup(op.req.Name))
	if err != nil {
		return nil, err
	}
	a := op.args()
	arg := a.collation()
	filter, hint := a.doc("query"), a.lookup("hint")
	skip, limit := a.count("skip", 0), a.int64("limit", 0)
	if a.err != nil {
		return nil, a.err
	}
	n, err := op.countDocs(ctx, coll, filter, hint, arg)
	if err != nil {
		return nil, err
	}
	n = max(n-skip, 0)
	if limit < 0 {
		limit = -limit
	}
	if limit > 0 {
		n = min(n, limit)
	}
	return value.D("n", int32(n)), nil
}

func (op *operation) countDocs(ctx context.Context, coll string, filter bson.Raw, hint bson.RawValue, arg collationArg) (int64, error) {
	if isEmpty(filter) && isNone(hint) {
		if n, ok, err := op.fastCount(coll); ok || err != nil {
			return n, err
		}
	}
	src, err := op.selection(coll, filter, hint, arg)
	if err != nil {
		return 0, err
	}
	var n int64
	for {
		d, err := src.Next(ctx)
		if err != nil || d == nil {
			return n, err
		}
		n++
	}
}

// fastCount is the number of documents the collection has; not ok if it must
// be counted.
func (op *operation) fastCount(coll string) (n int64, ok bool, err error) {
	ns := op.req.DB + "." + coll
	if ns == oplogNS {
		return int64(op.line.log.Len()), true, nil
	}
	err = op.view(func(tx *storage.Tx) error {
		if err := op.checkUUID(tx, coll); err != nil {
			return err
		}
		if c := tx.Collection(ns); c != nil && !c.IsView() {
			n, ok = c.Count(), true
		}
		return nil
	})
	return n, ok, err
}

// runDistinct returns the distinct values of a field, arrays by their elements.
func runDistinct(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.nameOrUUID(op.req.Body.Lookup(op.req.Name))
	if err != nil {
		return nil, err
	}
	a := op.args()
	arg := a.collation()
	key, filter, hint := a.string("key"), a.doc("query"), a.lookup("hint")
	if a.err != nil {
		return nil, a.err
	}
	src, err := op.selection(coll, filter, hint, arg)
	if err != nil {
		return nil, err
	}
	docs, err := drain(ctx, src)
	if err != nil {
		return nil, err
	}
	var vals []bson.RawValue
	for _, d := range docs {
		for _, v := range value.LookupAll(d, key) {
			if arr, ok := v.ArrayOK(); ok {
				elems, err := arr.Values()
				if err != nil {
					return nil, mongoerr.New(mongoerr.InvalidBSON, "%v", err)
				}
				vals = append(vals, elems...)
				continue
			}
			vals = append(vals, v)
		}
	}
	by, err := op.collationOn(coll, arg)
	if err != nil {
		return nil, err
	}
	return op.distinctReply(vals, by)
}

func (op *operation) distinctReply(vals []bson.RawValue, by *collation.Collation) (bson.Raw, error) {
	slices.SortStableFunc(vals, by.Compare)
	vals = slices.CompactFunc(vals, by.Equal)
	size := 0
	for _, v := range vals {
		size += len(v.Value)
	}
	if size > maxBSONObjectSize {
		return nil, mongoerr.New(17217, "distinct too big, 16mb cap")
	}
	pairs := []any{"values", value.ArrayOf(vals...)}
	if op.snapshot != nil && !op.concern.at.IsZero() {
		pairs = append(pairs, "atClusterTime", op.concern.at)
	}
	return value.D(pairs...), nil
}
