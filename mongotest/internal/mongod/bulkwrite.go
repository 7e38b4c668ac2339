package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// bulkWrite is a bulkWrite command (8.0, server-facts 6.6) as it runs: each of
// its operations becomes a statement of an insert, update or delete.
type bulkWrite struct {
	op         *operation
	namespaces []bson.Raw
	ops        []bson.Raw
	ids        []int32
	ordered    bool
	errorsOnly bool
	let        bson.Raw

	results  []bson.Raw
	retried  []int32
	nErrors  int32
	inserted int64
	matched  int64
	modified int64
	upserted int64
	deleted  int64
}

func runBulkWrite(ctx context.Context, op *operation) (bson.Raw, error) {
	b, err := parseBulkWrite(op)
	if err != nil {
		return nil, err
	}
	for i := range b.ops {
		failed, err := b.one(ctx, i)
		if err != nil {
			return nil, err
		}
		if failed && (b.ordered || op.txn != nil) {
			break
		}
	}
	return b.reply(ctx)
}

func parseBulkWrite(op *operation) (*bulkWrite, error) {
	if op.req.DB != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "bulkWrite may only be run against the admin database.")
	}
	ops, err := op.req.Docs("ops")
	if err != nil {
		return nil, err
	}
	namespaces, err := op.req.Docs("nsInfo")
	if err != nil {
		return nil, err
	}
	if len(ops) == 0 || len(ops) > maxWriteBatchSize {
		return nil, mongoerr.New(mongoerr.InvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatchSize, len(ops))
	}
	ids, err := op.stmtIDs(len(ops))
	if err != nil {
		return nil, err
	}
	a := op.args()
	b := &bulkWrite{
		op: op, ops: ops, namespaces: namespaces, ids: ids,
		ordered: a.bool("ordered", true), errorsOnly: a.bool("errorsOnly", false), let: a.doc("let"),
	}
	return b, a.err
}

// one carries out the i-th operation and notes its result. It reports whether
// the operation failed.
func (b *bulkWrite) one(ctx context.Context, i int) (bool, error) {
	w, kind, err := b.statement(i)
	if err != nil {
		return false, err
	}
	var r stmtResult
	switch kind {
	case "insert":
		if _, err = w.insertRun(ctx, 0, 1); err == nil {
			r.n = w.n
		}
		b.inserted += r.n
	case "update":
		if r, err = w.updateOne(ctx, 0); err != nil {
			err = w.fail(0, err)
		}
		b.modified += r.modified
		if r.upserted.Type != 0 {
			b.upserted++
		} else {
			b.matched += r.n
		}
	default:
		if r, err = w.deleteOne(ctx, 0); err != nil {
			err = w.fail(0, err)
		}
		b.deleted += r.n
	}
	if err != nil {
		return false, err
	}
	b.retried = append(b.retried, w.retried...)
	b.note(i, kind, r, w.errors)
	return len(w.errors) > 0, nil
}

// note adds the result of the i-th operation to the reply.
func (b *bulkWrite) note(i int, kind string, r stmtResult, failures []bson.Raw) {
	ok := 1.0
	if len(failures) > 0 {
		ok = 0
		b.nErrors++
	} else if b.errorsOnly {
		return
	}
	pairs := []any{"ok", ok, "idx", int32(i), "n", int32(r.n)}
	if kind == "update" {
		pairs = append(pairs, "nModified", int32(r.modified))
		if r.upserted.Type != 0 {
			pairs = append(pairs, "upserted", value.D("_id", r.upserted))
		}
	}
	for _, f := range failures {
		for name, v := range value.Elements(f) {
			if name != "index" {
				pairs = append(pairs, name, v)
			}
		}
	}
	b.results = append(b.results, value.D(pairs...))
}

// statement turns the i-th operation into a bulk of one statement.
func (b *bulkWrite) statement(i int) (*bulk, string, error) {
	doc := b.ops[i]
	kind := firstStage([]bson.Raw{doc})
	nsIdx, ok := value.AsInt64(doc.Lookup(kind))
	if !ok || nsIdx < 0 || int(nsIdx) >= len(b.namespaces) {
		return nil, "", mongoerr.New(mongoerr.BadValue, "BulkWrite ops entry %s has an invalid nsInfo index.", doc)
	}
	info := b.namespaces[nsIdx]
	ns, _ := info.Lookup("ns").StringValueOK()
	db, coll := oplog.SplitNS(ns)
	if err := checkNS(db, coll); err != nil {
		return nil, "", err
	}
	statement, err := translateOp(kind, doc)
	if err != nil {
		return nil, "", err
	}
	lang, err := b.op.language(b.let, nil)
	if err != nil {
		return nil, "", err
	}
	a := b.op.args()
	return &bulk{
		op: b.op.on(db, kind, info), ns: ns, coll: coll, statements: []bson.Raw{statement}, ids: b.ids[i : i+1], ordered: true, lang: lang,
		bypassValidation: a.bool("bypassDocumentValidation", false), keepTimestamps: a.bool("bypassEmptyTsReplacement", false),
	}, kind, a.err
}

// on returns op as if it were a command of another name on another database,
// with the collectionUUID of nsInfo.
func (op *operation) on(db, name string, nsInfo bson.Raw) *operation {
	sub := *op
	sub.req = &command.Request{
		Name: name, DB: db, Client: op.req.Client, Routed: op.req.Routed,
		Body: value.D("collectionUUID", nsInfo.Lookup("collectionUUID")),
	}
	return &sub
}

// translateOp turns an operation of bulkWrite into a statement of insert,
// update or delete.
func translateOp(kind string, doc bson.Raw) (bson.Raw, error) {
	multi := doc.Lookup("multi")
	switch kind {
	case "insert":
		d, ok := doc.Lookup("document").DocumentOK()
		if !ok {
			return nil, missingField("bulkWrite.ops", "document")
		}
		return d, nil
	case "update":
		return value.D("q", doc.Lookup("filter"), "u", doc.Lookup("updateMods"), "multi", multi, "upsert", doc.Lookup("upsert"),
			"arrayFilters", doc.Lookup("arrayFilters"), "hint", doc.Lookup("hint"), "collation", doc.Lookup("collation"), "sort", doc.Lookup("sort"), "c", doc.Lookup("constants")), nil
	case "delete":
		limit := 1
		if value.Truthy(multi) {
			limit = 0
		}
		return value.D("q", doc.Lookup("filter"), "limit", limit, "hint", doc.Lookup("hint"), "collation", doc.Lookup("collation")), nil
	default:
		return nil, mongoerr.New(mongoerr.BadValue, "BulkWrite ops entry has an unknown operation '%s'", kind)
	}
}

func (b *bulkWrite) reply(ctx context.Context) (bson.Raw, error) {
	c := &cursor{ns: "admin.$cmd.bulkWrite", number: noNumber, feed: &docFeed{src: &sliceSource{docs: b.results}, left: -1}}
	size := int64(noLimit)
	if v, err := b.op.req.Body.LookupErr("cursor", "batchSize"); err == nil {
		size, _ = value.AsInt64(v)
	}
	first, err := b.op.firstReply(ctx, c, size, false)
	if err != nil {
		return nil, err
	}
	pairs := []any{
		"nErrors", b.nErrors, "nInserted", int32(b.inserted), "nMatched", int32(b.matched),
		"nModified", int32(b.modified), "nUpserted", int32(b.upserted), "nDeleted", int32(b.deleted),
	}
	if len(b.retried) > 0 {
		ids := make([]bson.RawValue, len(b.retried))
		for i, id := range b.retried {
			ids[i] = value.Int32(id)
		}
		pairs = append(pairs, "retriedStmtIds", ids)
	}
	return appendFields(first, pairs...), nil
}
