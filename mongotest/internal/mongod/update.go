package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// updateStatement is one compiled statement of update or findAndModify.
type updateStatement struct {
	wanted wanted
	change *update.Update
	multi  bool
	upsert bool
	meta   storage.Meta
	owned  func(bson.Raw) bool

	// As compile was given them, for an update of a time-series collection.
	source  bson.RawValue
	filters []bson.Raw
	lang    *language
}

func runUpdate(ctx context.Context, op *operation) (bson.Raw, error) {
	w, err := op.newBulk("updates")
	if err != nil {
		return nil, err
	}
	var modified int64
	var upserted []bson.Raw
	for i := 0; i < len(w.statements) && !w.stopped; i++ {
		r, err := w.updateOne(ctx, i)
		w.n += r.n
		modified += r.modified
		if r.upserted.Type != 0 {
			upserted = append(upserted, value.D("index", int32(i), "_id", r.upserted))
		}
		if err != nil {
			if err := w.fail(i, err); err != nil {
				return nil, err
			}
		}
	}
	pairs := []any{"n", int32(w.n)}
	if len(upserted) > 0 {
		pairs = append(pairs, "upserted", upserted)
	}
	return w.reply(append(pairs, "nModified", int32(modified))...), nil
}

// updateOne carries out the i-th statement.
func (w *bulk) updateOne(ctx context.Context, i int) (stmtResult, error) {
	op := w.op
	if r, ok := op.recall(w.ids[i]); ok {
		w.retried = append(w.retried, w.ids[i])
		return r, nil
	}
	if err := op.node.cfg.FailPoints.CheckStatement(failpoint.Updates); err != nil {
		return stmtResult{}, err
	}
	st, err := w.compileUpdate(i)
	if err != nil {
		return stmtResult{}, err
	}
	if st.multi && op.isRetryable() {
		return stmtResult{}, mongoerr.New(mongoerr.InvalidOptions, "Cannot use retryable writes with multi=true")
	}
	if err := op.restrict(w.coll, &st.wanted, nil); err != nil {
		return stmtResult{}, err
	}
	r, err := op.runUpdateStatement(ctx, w.coll, st)
	if err == nil {
		op.remember(w.ids[i], r)
	}
	return r, err
}

func (w *bulk) compileUpdate(i int) (*updateStatement, error) {
	a := &args{name: "update.updates", body: w.statements[i]}
	lang, err := w.language(a)
	if err != nil {
		return nil, err
	}
	st := &updateStatement{
		wanted: wanted{filter: a.doc("q"), hint: a.lookup("hint"), sort: a.doc("sort")},
		multi:  a.bool("multi", false),
		upsert: a.bool("upsert", false),
		owned:  w.op.owned,
	}
	filters := a.docs("arrayFilters")
	if st.multi && !isEmpty(st.wanted.sort) {
		a.fail(mongoerr.FailedToParse, "Cannot specify sort with multi=true")
	}
	if st.wanted.filter == nil {
		a.err = missingField("update.updates", "q")
	}
	if a.err != nil {
		return nil, a.err
	}
	u := a.lookup("u")
	if u.Type == 0 {
		return nil, missingField("update.updates", "u")
	}
	if constants := a.doc("c"); constants != nil {
		if u.Type != bson.TypeArray {
			return nil, mongoerr.New(51198, "Constant values may only be specified for pipeline updates")
		}
		lang = lang.with(constants, w.op)
	}
	st.meta = w.op.meta(w.ids[i])
	st.meta.BypassValidation = w.bypassValidation
	err = st.compile(w.op, lang, u, filters, w.keepTimestamps)
	if err == nil && st.multi && st.change.IsReplacement() {
		err = mongoerr.New(mongoerr.FailedToParse, "multi update is not supported for replacement-style update")
	}
	return st, err
}

// compile compiles the filter and the update of the statement.
func (st *updateStatement) compile(op *operation, l *language, u bson.RawValue, filters []bson.Raw, keepTimestamps bool) error {
	st.source, st.filters, st.lang = u, filters, l
	var err error
	if st.wanted.matcher, err = l.filter(st.wanted.filter); err != nil {
		return err
	}
	l.script.expect(u.Value)
	st.change, err = update.Compile(u, update.Options{
		ArrayFilters: filters, Upsert: st.upsert, Query: st.wanted.filter, Let: l.let, Script: l.script, Collation: l.vars.Collation(), Now: op.node.now,
		Timestamp: func() bson.Timestamp { return op.node.cfg.Clock.Tick(1) }, KeepEmptyTimestamps: keepTimestamps,
	})
	if err != nil {
		return err
	}
	st.meta.KeepEmptyTimestamps = keepTimestamps
	switch st.change.Kind() {
	case update.Operators:
		st.meta.Form, st.meta.Diff = storage.FormDiff, st.change.LogDiff
	case update.Replacement:
		st.meta.Form = storage.FormReplacement
	default:
		st.meta.Form = storage.FormSmallest
	}
	return nil
}

// runUpdateStatement updates the matching documents of coll. What was updated
// before a failure stays updated, and is counted.
func (op *operation) runUpdateStatement(ctx context.Context, coll string, st *updateStatement) (stmtResult, error) {
	var r stmtResult
	var failure error
	err := op.write(ctx, op.req.DB+"."+coll, func(tx *storage.Tx) error {
		r, failure = stmtResult{}, nil
		c, err := op.writeTarget(tx, coll, st.upsert)
		if op.measures(c) {
			r, err = op.updateMeasurements(ctx, tx, c, st)
			return err
		}
		if err != nil || c == nil {
			return err
		}
		limit := 1
		if st.multi {
			limit = 0
		}
		recs, err := matching(ctx, tx, c, st.wanted, st.owned, limit)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			changed, _, err := st.apply(tx, c, rec)
			if err != nil {
				failure = err
				return retryLater(err)
			}
			r.n++
			if changed {
				r.modified++
			}
		}
		if len(recs) == 0 && st.upsert {
			var rec storage.Rec
			if rec, failure = st.insert(tx, c); failure != nil {
				return retryLater(failure)
			}
			r.n, r.upserted = 1, rec.Doc.Lookup("_id")
		}
		return nil
	})
	if err != nil {
		return stmtResult{}, err
	}
	return r, failure
}

// apply updates one record. It reports whether the document changed, and the
// document after that.
func (st *updateStatement) apply(tx *storage.Tx, c *storage.Collection, rec storage.Rec) (bool, bson.Raw, error) {
	_, idx := st.wanted.matcher.MatchArrayIndex(rec.Doc)
	doc, err := st.change.Apply(rec.Doc, idx)
	if err != nil {
		return false, nil, err
	}
	if len(doc) > maxBSONObjectSize {
		return false, nil, mongoerr.New(mongoerr.BSONObjectTooLarge, "Resulting document after update is larger than %d", maxBSONObjectSize)
	}
	after, err := tx.Replace(c, rec.ID, doc, st.meta)
	if err != nil {
		return false, nil, err
	}
	return !value.Identical(value.Doc(after.Doc), value.Doc(rec.Doc)), after.Doc, nil
}

// insert is the upsert of a statement that matches nothing.
func (st *updateStatement) insert(tx *storage.Tx, c *storage.Collection) (storage.Rec, error) {
	doc, err := st.change.Apply(nil, -1)
	if err != nil {
		return storage.Rec{}, err
	}
	return tx.Insert(c, doc, st.meta)
}

// matching returns up to limit (0: all) records of c that w wants, in its order.
func matching(ctx context.Context, tx *storage.Tx, c *storage.Collection, w wanted, owned func(bson.Raw) bool, limit int) ([]storage.Rec, error) {
	if err := bindText(c, &w); err != nil {
		return nil, err
	}
	p, err := makePlan(c, w)
	if err != nil {
		return nil, err
	}
	inside := func(fn func(*storage.Tx) error) error { return fn(tx) }
	scan := newScanSource(inside, c, p, w.matcher, owned)
	scan.undecided = failAtPrepared
	var recs []storage.Rec
	for limit == 0 || len(recs) < limit || !p.sorted {
		doc, err := scan.Next(ctx)
		if err != nil {
			return nil, err
		}
		if doc == nil {
			break
		}
		recs = append(recs, storage.Rec{ID: scan.lastID, Doc: doc})
	}
	if p.sorted {
		return recs, nil
	}
	return sortRecs(recs, w, limit)
}

func sortRecs(recs []storage.Rec, w wanted, limit int) ([]storage.Rec, error) {
	s, err := query.CompileSort(w.sort, w.matcher.Collation())
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(recs, func(a, b storage.Rec) int { return s.Compare(a.Doc, b.Doc) })
	if limit > 0 && len(recs) > limit {
		recs = recs[:limit]
	}
	return recs, nil
}
