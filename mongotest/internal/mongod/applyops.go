package mongod

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// updateFailed is the code of an update whose document is not there.
const updateFailed = mongoerr.UnknownError

// runApplyOps carries out operations in the form of oplog entries, as a restore
// does that replays an oplog. Each is logged as one of its own; the first that
// fails ends the command.
func runApplyOps(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	for field, err := range map[string]error{
		"preCondition": mongoerr.New(6711600, "applyOps command no longer supports the 'preCondition' option"),
		"alwaysUpsert": mongoerr.New(6711601, "applyOps command no longer supports the 'alwaysUpsert' option"),
		"prepare":      mongoerr.New(mongoerr.BadValue, "cannot run applyOps with prepare"),
		"partialTxn":   mongoerr.New(31056, "applyOps command can't have 'partialTxn' field"),
		"count":        mongoerr.New(mongoerr.TypeMismatch, "applyOps command can't have 'count' field"),
	} {
		if v := a.lookup(field); v.Type != 0 && (field != "alwaysUpsert" || value.Truthy(v)) {
			return nil, err
		}
	}
	for i, v := range a.values("applyOps") {
		if v.Type == bson.TypeNull {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'applyOps.%d' is the wrong type 'null', expected type 'object'", i)
		}
	}
	ops := a.docs("applyOps")
	if a.err != nil {
		return nil, a.err
	}
	results := make([]bson.RawValue, 0, len(ops))
	applied := 0
	for i, entry := range ops {
		if err := op.apply(ctx, entry); err != nil {
			results = append(results, value.Bool(false))
			return nil, mongoerr.From(err).WithInfo("applied", int32(i+1)).WithInfo("results", value.ArrayOf(results...))
		}
		results = append(results, value.Bool(true))
		if kind, _ := entry.Lookup("op").StringValueOK(); kind != string(oplog.Noop) {
			applied++
		}
	}
	return value.D("applied", applied, "results", results), nil
}

// apply carries out one operation.
func (op *operation) apply(ctx context.Context, entry bson.Raw) error {
	a := &args{name: "applyOps", body: entry}
	if err := checkEntry(entry); err != nil {
		return err
	}
	kind, ns, o, o2 := a.string("op"), a.string("ns"), a.doc("o"), a.doc("o2")
	if a.err != nil {
		return a.err
	}
	if kind == string(oplog.Noop) {
		return nil
	}
	db, coll := oplog.SplitNS(ns)
	if err := checkNS(db, coll); err != nil {
		return err
	}
	switch kind {
	case string(oplog.Insert):
		return op.applyTo(ctx, ns, func(tx *storage.Tx, c *storage.Collection) error { return op.applyInsert(tx, c, o) })
	case string(oplog.Update):
		return op.applyTo(ctx, ns, func(tx *storage.Tx, c *storage.Collection) error { return op.applyUpdate(tx, c, o, o2) })
	case string(oplog.Delete):
		return op.applyTo(ctx, ns, func(tx *storage.Tx, c *storage.Collection) error { return op.applyDelete(tx, c, o) })
	case string(oplog.Command):
		return op.applyCommand(ctx, db, o, a.lookup("ui"))
	default:
		return mongoerr.New(mongoerr.BadValue, "%q is not a valid value for the enum OpType", kind)
	}
}

// checkEntry refuses an operation that lacks what every one has.
func checkEntry(entry bson.Raw) error {
	kind, ns := entry.Lookup("op"), entry.Lookup("ns")
	name, isName := ns.StringValueOK()
	switch {
	case kind.Type == 0:
		return mongoerr.New(mongoerr.NoSuchKey, "Missing expected field \"op\"")
	case kind.Type != bson.TypeString:
		return mongoerr.New(mongoerr.TypeMismatch, "\"op\" had the wrong type. Expected string, found %s", value.TypeName(kind.Type))
	case kind.StringValue() == "":
		return mongoerr.New(mongoerr.IllegalOperation, "op must not be empty")
	case kind.StringValue() == string(oplog.Noop):
		return nil
	case !isName || name == "":
		return mongoerr.New(mongoerr.IllegalOperation, "an operation needs a namespace")
	case entry.Lookup("o").Type == 0:
		return missingField("applyOps", "o")
	}
	return nil
}

// applyTo runs fn on a collection that must be there.
func (op *operation) applyTo(ctx context.Context, ns string, fn func(*storage.Tx, *storage.Collection) error) error {
	return op.write(ctx, ns, func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		switch {
		case c == nil:
			return mongoerr.New(mongoerr.NamespaceNotFound, "Failed to apply operation due to missing collection (%s)", ns)
		case c.IsView():
			return viewError(c)
		}
		return fn(tx, c)
	})
}

// applyInsert inserts a document, or replaces the one that has its _id.
func (op *operation) applyInsert(tx *storage.Tx, c *storage.Collection, doc bson.Raw) error {
	id, err := idOf(doc)
	if err != nil {
		return err
	}
	m := op.applyMeta()
	if rec, ok := tx.FindID(c, id); ok {
		m.Form = storage.FormReplacement
		_, err := tx.Replace(c, rec.ID, doc, m)
		return err
	}
	_, err = tx.Insert(c, doc, m)
	return err
}

// idOf returns the _id that the document of an operation must have.
func idOf(doc bson.Raw) (bson.RawValue, error) {
	id, err := doc.LookupErr("_id")
	if err != nil {
		return id, mongoerr.New(mongoerr.NoSuchKey, "Missing expected field \"_id\"")
	}
	return id, nil
}

// applyUpdate applies {$v: 2, diff: ...} or replaces the document.
func (op *operation) applyUpdate(tx *storage.Tx, c *storage.Collection, o, o2 bson.Raw) error {
	id, err := idOf(o2)
	if err != nil {
		return err
	}
	rec, ok := tx.FindID(c, id)
	if !ok {
		return mongoerr.New(updateFailed, "Failed to apply update: %s", o2)
	}
	m := op.applyMeta()
	m.Form = storage.FormReplacement
	doc := o
	if v, err := o.LookupErr("$v"); err == nil {
		diff, isDiff := o.Lookup("diff").DocumentOK()
		if n, _ := value.AsInt64(v); n != 2 || !isDiff {
			return mongoerr.New(4772604, "Unsupported or missing oplog version, $v: %s", v)
		}
		if doc, err = update.ApplyDiff(rec.Doc, diff); err != nil {
			return err
		}
		m.Form = storage.FormDiff
	} else if first, err := o.IndexErr(0); err == nil && strings.HasPrefix(first.Key(), "$") {
		return mongoerr.New(4772604, "Unsupported or missing oplog version, $v: missing")
	}
	_, err = tx.Replace(c, rec.ID, doc, m)
	return err
}

// applyDelete deletes the document with the _id; that it is gone is no error.
func (op *operation) applyDelete(tx *storage.Tx, c *storage.Collection, o bson.Raw) error {
	id, err := idOf(o)
	if err != nil {
		return err
	}
	rec, ok := tx.FindID(c, id)
	if !ok {
		return nil
	}
	return tx.Delete(c, rec.ID, op.applyMeta())
}

// applyMeta is meta for operations that were checked when they were logged.
func (op *operation) applyMeta() storage.Meta {
	m := op.ddlMeta()
	m.BypassValidation, m.KeepEmptyTimestamps = true, true
	return m
}

// appliedCommands are the commands of oplog entries that are carried out as
// they are.
var appliedCommands = []string{"create", "drop", "dropDatabase", "renameCollection", "dropIndexes", "deleteIndexes", "collMod"}

// applyCommand carries out a command entry. The UUID of a new collection is
// kept.
func (op *operation) applyCommand(ctx context.Context, db string, o bson.Raw, ui bson.RawValue) error {
	first, err := o.IndexErr(0)
	if err != nil {
		return mongoerr.New(mongoerr.FailedToParse, "an operation of type c is empty")
	}
	name := first.Key()
	routed := &command.Routed{FromMigrate: op.ddlMeta().FromMigrate}
	switch {
	case name == "startIndexBuild" || name == "abortIndexBuild":
		return nil // an index is there when its build is committed
	case name == "createIndexes":
		o = value.D(name, first.Value(), "indexes", []bson.Raw{without(o, func(field string) bool { return field == name })})
	case name == "commitIndexBuild":
		name = "createIndexes"
		o = value.D(name, first.Value(), "indexes", o.Lookup("indexes"))
	case !slices.Contains(appliedCommands, name):
		return mongoerr.New(mongoerr.CommandNotSupported, "applyOps does not support the command %s", name)
	}
	if id, ok := value.ParseUUID(ui); ok && name == "create" {
		routed.UUID = id
	}
	_, err = op.node.Handle(ctx, &command.Request{Name: name, DB: db, Body: o, Client: op.req.Client, Routed: routed})
	return err
}
