package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// deleteStatement is one compiled statement of delete or findAndModify.
type deleteStatement struct {
	wanted wanted
	limit  int // 0: all
	meta   storage.Meta
	owned  func(bson.Raw) bool
	done   func(tx *storage.Tx, r stmtResult, last bson.Raw) // nil, or called with what was deleted
}

func runDelete(ctx context.Context, op *operation) (bson.Raw, error) {
	w, err := op.newBulk("deletes")
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(w.statements) && !w.stopped; i++ {
		r, err := w.deleteOne(ctx, i)
		w.n += r.n
		if err != nil {
			if err := w.fail(i, err); err != nil {
				return nil, err
			}
		}
	}
	return w.reply("n", int32(w.n)), nil
}

// deleteOne carries out the i-th statement.
func (w *bulk) deleteOne(ctx context.Context, i int) (stmtResult, error) {
	op := w.op
	if r, ok := op.recall(w.ids[i]); ok {
		w.retried = append(w.retried, w.ids[i])
		return r, nil
	}
	if err := op.node.cfg.FailPoints.CheckStatement(failpoint.Removes); err != nil {
		return stmtResult{}, err
	}
	st, err := w.compileDelete(i)
	if err != nil {
		return stmtResult{}, err
	}
	if st.limit == 0 && op.isRetryable() {
		return stmtResult{}, mongoerr.New(mongoerr.InvalidOptions, "Cannot use retryable writes with limit=0")
	}
	if err := op.restrict(w.coll, &st.wanted, nil); err != nil {
		return stmtResult{}, err
	}
	r, _, err := op.runDeleteStatement(ctx, w.coll, st)
	if err == nil {
		op.remember(w.ids[i], r)
	}
	return r, err
}

func (w *bulk) compileDelete(i int) (*deleteStatement, error) {
	a := &args{name: "delete.deletes", body: w.statements[i]}
	lang, err := w.language(a)
	st := &deleteStatement{
		wanted: wanted{filter: a.doc("q"), hint: a.lookup("hint")},
		limit:  int(a.int64("limit", -1)),
		meta:   w.op.meta(w.ids[i]),
		owned:  w.op.owned,
	}
	switch {
	case err != nil:
		return nil, err
	case a.err != nil:
		return nil, a.err
	case st.wanted.filter == nil:
		return nil, missingField("delete.deletes", "q")
	case !a.has("limit"):
		return nil, missingField("delete.deletes", "limit")
	case st.limit != 0 && st.limit != 1:
		return nil, mongoerr.New(mongoerr.FailedToParse, "The limit field in delete objects must be 0 or 1. Got %d", st.limit)
	}
	st.wanted.matcher, err = lang.filter(st.wanted.filter)
	return st, err
}

// runDeleteStatement deletes the matching documents of coll and returns the
// last of them. What was deleted before a failure stays deleted, and is counted.
func (op *operation) runDeleteStatement(ctx context.Context, coll string, st *deleteStatement) (stmtResult, bson.Raw, error) {
	var r stmtResult
	var failure error
	var last bson.Raw
	err := op.write(ctx, op.req.DB+"."+coll, func(tx *storage.Tx) error {
		r, failure, last = stmtResult{}, nil, nil
		c, err := op.writeTarget(tx, coll, false)
		if op.measures(c) {
			r.n, last, err = op.deleteMeasurements(ctx, tx, c, st)
			return err
		}
		if err != nil || c == nil {
			return err
		}
		recs, err := matching(ctx, tx, c, st.wanted, st.owned, st.limit)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if failure = tx.Delete(c, rec.ID, st.meta); failure != nil {
				return retryLater(failure)
			}
			r.n++
			last = rec.Doc
		}
		if st.done != nil && r.n > 0 {
			st.done(tx, r, last)
		}
		return nil
	})
	if err != nil {
		return stmtResult{}, nil, err
	}
	return r, last, failure
}
