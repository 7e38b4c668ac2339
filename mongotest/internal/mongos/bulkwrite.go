package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A bulkOp is one operation of a bulkWrite as a statement of the write command
// that does the same.
type bulkOp struct {
	index int
	name  string // insert, update or delete
	space int    // in nsInfo
	stmt  bson.Raw
}

// A bulk is a bulkWrite (server-facts 6.6) under way: runs of operations of one
// kind on one namespace are carried out as ordinary write commands.
type bulk struct {
	*op
	ops        []bulkOp
	spaces     []bson.Raw
	stmtID     func(int) int32
	ordered    bool
	errorsOnly bool

	results []bson.Raw
	sums    map[string]int32 // nErrors, nInserted, ...
	retried []int32
	concern bson.RawValue
}

func bulkWrite(ctx context.Context, o *op) (bson.Raw, error) {
	if !o.r.freeTargeting() { // the command and that freedom are both of 8.0
		return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", o.req.Name)
	}
	b, err := o.newBulk()
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(b.ops); {
		n := b.together(i)
		if err := b.carryOut(ctx, b.ops[i:i+n]); err != nil {
			return nil, err
		}
		if i += n; b.sums["nErrors"] > 0 && (b.ordered || b.txn != nil) {
			break
		}
	}
	return b.reply(ctx)
}

func (o *op) newBulk() (*bulk, error) {
	if o.req.DB != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "bulkWrite may only be run against the admin database.")
	}
	docs, err := o.req.Docs("ops")
	if err != nil {
		return nil, err
	}
	spaces, err := o.req.Docs("nsInfo")
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 || len(docs) > 100000 {
		return nil, mongoerr.New(mongoerr.InvalidLength, "Write batch sizes must be between 1 and 100000. Got %d operations.", len(docs))
	}
	b := &bulk{
		op: o, spaces: spaces, stmtID: stmtIDs(o.req.Body), sums: map[string]int32{},
		ordered: getBool(o.req.Body, "ordered", true), errorsOnly: getBool(o.req.Body, "errorsOnly", false),
	}
	for i, d := range docs {
		e, err := parseBulkOp(i, d)
		if err != nil {
			return nil, err
		}
		if e.space < 0 || e.space >= len(spaces) {
			return nil, mongoerr.New(mongoerr.BadValue, "BulkWrite ops entry %s has an invalid nsInfo index.", d)
		}
		b.ops = append(b.ops, e)
	}
	return b, nil
}

func parseBulkOp(i int, d bson.Raw) (bulkOp, error) {
	first, err := d.IndexErr(0)
	if err != nil {
		return bulkOp{}, mongoerr.New(mongoerr.FailedToParse, "bulkWrite operation %d is empty", i)
	}
	space, _ := value.AsInt64(first.Value())
	e := bulkOp{index: i, name: first.Key(), space: int(space)}
	rename := map[string]string{"filter": "q", "updateMods": "u"}
	switch e.name {
	case "insert":
		e.stmt = getDoc(d, "document")
		if e.stmt == nil {
			return bulkOp{}, mongoerr.New(mongoerr.IDLFailedToParse, "BSON field 'insert.document' is missing but a required field")
		}
		return e, nil
	case "update", "delete":
	default:
		return bulkOp{}, mongoerr.New(mongoerr.BadValue, "Unrecognized or empty bulkWrite operation type %s", e.name)
	}
	var stmt bson.D
	for name, v := range value.Elements(d) {
		switch {
		case name == e.name || e.name == "delete" && name == "multi":
		case rename[name] != "":
			stmt = append(stmt, bson.E{Key: rename[name], Value: v})
		default:
			stmt = append(stmt, bson.E{Key: name, Value: v})
		}
	}
	if e.name == "delete" {
		limit := int32(1)
		if getBool(d, "multi", false) {
			limit = 0
		}
		stmt = append(stmt, bson.E{Key: "limit", Value: limit})
	}
	e.stmt = rawDoc(stmt)
	return e, nil
}

// together returns how many operations from i on may share one command. The counts
// of updates and deletes cannot be told apart afterwards, so those share one
// only if nobody asks for them.
func (b *bulk) together(i int) int {
	first := b.ops[i]
	if first.name != "insert" && !b.errorsOnly {
		return 1
	}
	n := slices.IndexFunc(b.ops[i:], func(e bulkOp) bool { return e.name != first.name || e.space != first.space })
	if n < 0 {
		n = len(b.ops) - i
	}
	return n
}

// carryOut runs operations of one kind on one namespace.
func (b *bulk) carryOut(ctx context.Context, ops []bulkOp) error {
	first := ops[0]
	db, coll, ok := splitNS(getString(b.spaces[first.space], "ns"))
	if !ok {
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s'", getString(b.spaces[first.space], "ns"))
	}
	ids := make([]int32, len(ops))
	docs := make([]bson.Raw, len(ops))
	for i, e := range ops {
		ids[i], docs[i] = b.stmtID(e.index), e.stmt
	}
	cmd := bson.D{{first.name, coll}, {"ordered", b.ordered}, {"stmtIds", ids}}
	if v, ok := value.Get(b.spaces[first.space], "collectionUUID"); ok {
		cmd = append(cmd, bson.E{Key: "collectionUUID", Value: v})
	}
	for _, name := range []string{"lsid", "txnNumber", "autocommit", "writeConcern", "comment", "bypassDocumentValidation", "bypassEmptyTsReplacement"} {
		if v, ok := value.Get(b.req.Body, name); ok {
			cmd = append(cmd, bson.E{Key: name, Value: v})
		}
	}
	if v, ok := value.Get(b.req.Body, "let"); ok && first.name != "insert" {
		cmd = append(cmd, bson.E{Key: "let", Value: v})
	}
	in := &op{r: b.r, txn: b.txn, req: &command.Request{
		Name: first.name, DB: db, Client: b.req.Client, Body: rawDoc(cmd),
		Sequences: []command.Sequence{{ID: sequenceOf[first.name], Docs: docs}},
	}}
	body, err := runWrite(ctx, in)
	b.keep(in.time)
	if err != nil {
		return err
	}
	b.count(ops, body)
	return nil
}

// count adds the reply of one command to that of the bulkWrite.
func (b *bulk) count(ops []bulkOp, body bson.Raw) {
	n, ups, errs := int32(getInt(body, "n", 0)), getDocs(body, "upserted"), getDocs(body, "writeErrors")
	switch ops[0].name {
	case "insert":
		b.sums["nInserted"] += n
	case "update":
		b.sums["nUpserted"] += int32(len(ups))
		b.sums["nMatched"] += n - int32(len(ups))
		b.sums["nModified"] += int32(getInt(body, "nModified", 0))
	default:
		b.sums["nDeleted"] += n
	}
	b.sums["nErrors"] += int32(len(errs))
	if v, ok := value.Get(body, "retriedStmtIds"); ok {
		for _, e := range value.Elements(bson.Raw(v.Array())) {
			id, _ := value.AsInt64(e)
			b.retried = append(b.retried, int32(id))
		}
	}
	if v, ok := value.Get(body, "writeConcernError"); ok && b.concern.Type == 0 {
		b.concern = v
	}
	b.describe(ops, body, errs, ups)
}

// describe makes the entries of the reply's cursor: one for each operation that
// ran, or for each that failed.
func (b *bulk) describe(ops []bulkOp, body bson.Raw, errs, ups []bson.Raw) {
	failed := map[int64]bson.Raw{}
	for _, e := range errs {
		failed[getInt(e, "index", -1)] = e
	}
	for i, e := range ops {
		if f := failed[int64(i)]; f != nil {
			d := bson.D{{"ok", 0.0}, {"idx", int32(e.index)}, {"n", int32(0)}}
			for name, v := range value.Elements(f) {
				if name != "index" {
					d = append(d, bson.E{Key: name, Value: v})
				}
			}
			b.results = append(b.results, rawDoc(d))
			if b.ordered {
				return
			}
			continue
		}
		if b.errorsOnly {
			continue
		}
		d := bson.D{{"ok", 1.0}, {"idx", int32(e.index)}}
		if e.name == "insert" {
			d = append(d, bson.E{Key: "n", Value: int32(1)})
		} else {
			d = append(d, bson.E{Key: "n", Value: int32(getInt(body, "n", 0))})
		}
		if e.name == "update" {
			d = append(d, bson.E{Key: "nModified", Value: int32(getInt(body, "nModified", 0))})
			if len(ups) > 0 {
				id, _ := value.Get(ups[0], "_id")
				d = append(d, bson.E{Key: "upserted", Value: bson.D{{"_id", id}}})
			}
		}
		b.results = append(b.results, rawDoc(d))
	}
}

func (b *bulk) reply(ctx context.Context) (bson.Raw, error) {
	size := getInt(getDoc(b.req.Body, "cursor"), "batchSize", -1)
	f := &sourceFeed{bound: &binding{op: b.op}, src: &docsSource{docs: b.results}}
	body, err := b.start(ctx, "admin.$cmd.bulkWrite", f, size, false, nil)
	if err != nil {
		return nil, err
	}
	var d bson.D
	for _, name := range []string{"nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted"} {
		d = append(d, bson.E{Key: name, Value: b.sums[name]})
	}
	if len(b.retried) > 0 {
		d = append(d, bson.E{Key: "retriedStmtIds", Value: b.retried})
	}
	if b.concern.Type != 0 {
		d = append(d, bson.E{Key: "writeConcernError", Value: b.concern})
	}
	return edit(body, nil, d...), nil
}
