package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A bulk is a command of many write statements with the outcome so far.
type bulk struct {
	op         *operation
	ns         string
	coll       string
	statements []bson.Raw
	ids        []int32 // statement ids
	ordered    bool
	lang       *language
	own        *collationArg // the collection's collation, once it is known

	bypassValidation bool
	keepTimestamps   bool

	n       int64
	errors  []bson.Raw
	retried []int32
	stopped bool
}

// newBulk reads the arguments that insert, update and delete share.
func (op *operation) newBulk(field string) (*bulk, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	statements, err := op.req.Docs(field)
	if err != nil {
		return nil, err
	}
	if len(statements) == 0 || len(statements) > maxWriteBatchSize {
		return nil, mongoerr.New(mongoerr.InvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatchSize, len(statements))
	}
	ids, err := op.stmtIDs(len(statements))
	if err != nil {
		return nil, err
	}
	a := op.args()
	w := &bulk{
		op: op, ns: op.req.DB + "." + coll, coll: coll, statements: statements, ids: ids,
		ordered:          a.bool("ordered", true),
		bypassValidation: a.bool("bypassDocumentValidation", false),
		keepTimestamps:   a.bool("bypassEmptyTsReplacement", false),
	}
	let := a.doc("let")
	if a.err != nil {
		return nil, a.err
	}
	w.lang, err = op.language(let, nil)
	return w, err
}

// language is that of one statement, which may have a collation of its own.
func (w *bulk) language(a *args) (*language, error) {
	arg := a.collation()
	if a.err != nil {
		return nil, a.err
	}
	if !arg.given && w.own != nil {
		return w.lang.collated(w.own.coll), nil
	}
	coll, err := w.op.collationOn(w.coll, arg)
	if mongoerr.Is(err, mongoerr.OptionNotSupportedOnView) {
		err = nil // that it is a view is said when it is written to
	}
	if !arg.given {
		w.own = &collationArg{coll: coll}
	}
	return w.lang.collated(coll), err
}

// target returns the collection to write to. If it does not exist, it is
// created or, without create, nil.
func (w *bulk) target(tx *storage.Tx, create bool) (*storage.Collection, error) {
	return w.op.writeTarget(tx, w.coll, create)
}

// writeTarget is target. A view it returns together with the error: only those
// who know what to do with a time-series collection look at it.
func (op *operation) writeTarget(tx *storage.Tx, coll string, create bool) (*storage.Collection, error) {
	if err := op.checkUUID(tx, coll); err != nil {
		return nil, err
	}
	ns := op.req.DB + "." + coll
	c := tx.Collection(ns)
	switch {
	case c != nil && c.IsView():
		return c, viewError(c)
	case c != nil || !create:
		return c, nil
	default:
		return tx.Create(ns, storage.CollectionSpec{Options: emptyDoc()}, op.ddlMeta())
	}
}

// fail notes the failure of the i-th statement. It returns the errors that end
// the whole command instead.
func (w *bulk) fail(i int, err error) error {
	e := mongoerr.From(err)
	if endsCommand(e.Code) || errlabel.EndsTransaction(e.Code) {
		return e
	}
	w.errors = append(w.errors, writeError(i, e))
	w.stopped = w.ordered || w.op.txn != nil
	return nil
}

// endsCommand reports whether an error concerns the running of the command
// rather than one of its statements.
func endsCommand(c mongoerr.Code) bool {
	switch c {
	case mongoerr.CommandNotSupportedOnView, mongoerr.InvalidNamespace, mongoerr.OperationNotSupportedInTransaction,
		mongoerr.Interrupted, mongoerr.InterruptedDueToReplStateChange, mongoerr.MaxTimeMSExpired,
		mongoerr.ClientDisconnect, mongoerr.CursorKilled, mongoerr.InterruptedAtShutdown:
		return true
	default:
		return false
	}
}

// writeError renders an element of writeErrors.
func writeError(i int, e *mongoerr.Error) bson.Raw {
	pairs := []any{"index", int32(i), "code", int32(e.Code)}
	for _, f := range e.Info {
		pairs = append(pairs, f.Key, f.Value)
	}
	return value.D(append(pairs, "errmsg", e.Message)...)
}

// reply renders the reply of the command with its own fields first.
func (w *bulk) reply(pairs ...any) bson.Raw {
	if len(w.errors) > 0 {
		pairs = append(pairs, "writeErrors", w.errors)
	}
	s := w.op.node.topo.state()
	pairs = append(pairs, "electionId", s.electionID(), "opTime", value.D("ts", w.op.line.log.Last(), "t", s.term))
	if len(w.retried) > 0 {
		ids := make([]bson.RawValue, len(w.retried))
		for i, id := range w.retried {
			ids[i] = value.Int32(id)
		}
		pairs = append(pairs, "retriedStmtIds", ids)
	}
	return value.D(pairs...)
}
