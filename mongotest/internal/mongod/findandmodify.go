package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// findAndModify is a parsed findAndModify command.
type findAndModify struct {
	op         *operation
	coll       string
	lang       *language
	wanted     wanted
	projection *query.Projection
	remove     bool
	returnNew  bool
	upsert     bool
	bypass     bool
	keepTS     bool
	stmtID     int32
}

func runFindAndModify(ctx context.Context, op *operation) (bson.Raw, error) {
	f, err := parseFindAndModify(op)
	if err != nil {
		return nil, err
	}
	if r, ok := op.recall(f.stmtID); ok {
		return appendFields(r.reply, "retriedStmtId", f.stmtID), nil
	}
	var reply bson.Raw
	if f.remove {
		reply, err = f.runRemove(ctx)
	} else {
		reply, err = f.runUpdate(ctx)
	}
	if err != nil {
		return nil, err
	}
	op.remember(f.stmtID, stmtResult{reply: reply})
	return reply, nil
}

func parseFindAndModify(op *operation) (*findAndModify, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	a := op.args()
	arg := a.collation()
	f := &findAndModify{
		op: op, coll: coll,
		wanted:    wanted{filter: a.doc("query"), sort: a.doc("sort"), hint: a.lookup("hint")},
		remove:    a.bool("remove", false),
		returnNew: a.bool("new", false),
		upsert:    a.bool("upsert", false),
		bypass:    a.bool("bypassDocumentValidation", false),
		keepTS:    a.bool("bypassEmptyTsReplacement", false),
	}
	fields, let := a.doc("fields"), a.doc("let")
	switch hasUpdate := a.has("update"); {
	case f.remove && hasUpdate:
		a.fail(mongoerr.FailedToParse, "Cannot specify both an update and remove=true")
	case f.remove && f.upsert:
		a.fail(mongoerr.FailedToParse, "Cannot specify both upsert=true and remove=true")
	case f.remove && f.returnNew:
		a.fail(mongoerr.FailedToParse, "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document")
	case !f.remove && !hasUpdate:
		a.fail(mongoerr.FailedToParse, "Either an update or remove=true must be specified")
	}
	if a.err != nil {
		return nil, a.err
	}
	ids, err := op.stmtIDs(1)
	if err != nil {
		return nil, err
	}
	f.stmtID = ids[0]
	by, err := op.collationOn(coll, arg)
	if err != nil {
		return nil, err
	}
	if f.lang, err = op.language(let, by); err != nil {
		return nil, err
	}
	if f.wanted.filter == nil {
		f.wanted.filter = emptyDoc()
	}
	if f.wanted.matcher, err = f.lang.filter(f.wanted.filter); err != nil {
		return nil, err
	}
	if err := op.restrict(f.coll, &f.wanted, fields); err != nil {
		return nil, err
	}
	f.projection, err = f.lang.projection(fields, f.wanted.matcher)
	return f, err
}

func (f *findAndModify) runRemove(ctx context.Context) (bson.Raw, error) {
	st := &deleteStatement{wanted: f.wanted, limit: 1, meta: f.op.meta(f.stmtID), owned: f.op.owned}
	st.done = func(tx *storage.Tx, r stmtResult, doc bson.Raw) {
		reply, err := f.reply(value.D("n", int32(r.n)), doc, doc)
		f.keep(tx, reply, err)
	}
	r, doc, err := f.op.runDeleteStatement(ctx, f.coll, st)
	if err != nil {
		return nil, err
	}
	return f.reply(value.D("n", int32(r.n)), doc, doc)
}

func (f *findAndModify) runUpdate(ctx context.Context) (bson.Raw, error) {
	a := f.op.args()
	st := &updateStatement{wanted: f.wanted, upsert: f.upsert, meta: f.op.meta(f.stmtID), owned: f.op.owned}
	st.meta.BypassValidation = f.bypass
	filters := a.docs("arrayFilters")
	if a.err != nil {
		return nil, a.err
	}
	if err := st.compile(f.op, f.lang, a.lookup("update"), filters, f.keepTS); err != nil {
		return nil, err
	}
	var before, after bson.Raw
	err := f.op.write(ctx, f.op.req.DB+"."+f.coll, func(tx *storage.Tx) error {
		before, after = nil, nil
		c, err := f.op.writeTarget(tx, f.coll, f.upsert)
		if f.op.measures(c) {
			_, err = f.op.updateMeasurements(ctx, tx, c, st)
		}
		if err != nil || c == nil {
			return err
		}
		recs, err := matching(ctx, tx, c, f.wanted, st.owned, 1)
		if err != nil {
			return err
		}
		if len(recs) > 0 {
			before = recs[0].Doc
			_, after, err = st.apply(tx, c, recs[0])
		} else if f.upsert {
			var rec storage.Rec
			rec, err = st.insert(tx, c)
			after = rec.Doc
		}
		if err == nil && tx.Changed() {
			reply, replyErr := f.updateReply(before, after)
			f.keep(tx, reply, replyErr)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f.updateReply(before, after)
}

// keep has the reply written together with what it tells of. One that cannot be
// made is none.
func (f *findAndModify) keep(tx *storage.Tx, reply bson.Raw, err error) {
	if err == nil {
		f.op.keep(tx, f.stmtID, stmtResult{reply: reply})
	}
}

func (f *findAndModify) updateReply(before, after bson.Raw) (bson.Raw, error) {
	last := value.D("n", 0, "updatedExisting", false)
	switch {
	case before != nil:
		last = value.D("n", 1, "updatedExisting", true)
	case after != nil:
		last = value.D("n", 1, "updatedExisting", false, "upserted", after.Lookup("_id"))
	}
	doc := before
	if f.returnNew {
		doc = after
	}
	return f.reply(last, doc, before)
}

// reply renders {lastErrorObject, value}; matched is the document the filter
// has matched, which a positional projection refers to.
func (f *findAndModify) reply(last, doc, matched bson.Raw) (bson.Raw, error) {
	if doc == nil {
		return value.D("lastErrorObject", last, "value", nil), nil
	}
	if f.projection != nil {
		idx := -1
		if matched != nil {
			_, idx = f.wanted.matcher.MatchArrayIndex(matched)
		}
		var err error
		if doc, err = f.projection.Apply(doc, idx); err != nil {
			return nil, err
		}
	}
	return value.D("lastErrorObject", last, "value", doc), nil
}
