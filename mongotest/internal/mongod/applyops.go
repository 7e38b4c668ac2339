package mongod

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes for options that applyOps does not have any longer.
const (
	noPreCondition mongoerr.Code = 6711600
	noAlwaysUpsert mongoerr.Code = 6711601
	noPartialTxn   mongoerr.Code = 31056
)

// runApplyOps carries out oplog entries: changes of documents, and the commands
// create and drop. Changes of documents alone happen all or none, unless
// allowAtomic is false.
func runApplyOps(ctx context.Context, op *operation) (bson.Raw, error) {
	entries, err := op.entriesToApply()
	if err != nil {
		return nil, err
	}
	atomic := !op.args().has("allowAtomic") || value.Truthy(op.args().lookup("allowAtomic"))
	results := []bson.RawValue{}
	for _, e := range entries {
		switch e.kind {
		case "n":
			continue
		case "c":
			atomic = false
		}
		results = append(results, value.Bool(true))
	}
	runs := [][]entryToApply{entries}
	if !atomic {
		runs = nil
		for _, e := range entries {
			runs = append(runs, []entryToApply{e})
		}
	}
	for _, run := range runs {
		if err := op.applyRun(ctx, run); err != nil {
			return nil, err
		}
	}
	return value.D("applied", len(results), "results", value.ArrayOf(results...)), nil
}

// applyRun applies entries as one change of the data.
func (op *operation) applyRun(ctx context.Context, run []entryToApply) error {
	if len(run) == 0 {
		return nil
	}
	return op.write(ctx, run[0].ns, func(tx *storage.Tx) error {
		for _, e := range run {
			if err := op.checkWritable(e.ns); err != nil {
				return err
			}
			if err := e.apply(tx, op.ddlMeta()); err != nil {
				return err
			}
		}
		return nil
	})
}

// An entryToApply is one oplog entry of applyOps.
type entryToApply struct {
	kind, ns string
	o, o2    bson.Raw
}

// entriesToApply reads the entries and refuses options that have gone.
func (op *operation) entriesToApply() ([]entryToApply, error) {
	a := op.args()
	for field, code := range map[string]mongoerr.Code{"preCondition": noPreCondition, "prepare": mongoerr.BadValue, "partialTxn": noPartialTxn} {
		if a.has(field) {
			a.fail(code, "applyOps does not support '%s'", field)
		}
	}
	if a.bool("alwaysUpsert", false) {
		a.fail(noAlwaysUpsert, "The 'alwaysUpsert' option is no longer supported")
	}
	a.count("count", 0)
	if v := a.lookup("count"); v.Type == bson.TypeBoolean {
		a.mismatch("count", "long", v)
	}
	var entries []entryToApply
	for _, v := range a.values("applyOps") {
		d, ok := v.DocumentOK()
		if !ok {
			a.mismatch("applyOps", "object", v)
			break
		}
		e, err := parseEntryToApply(d)
		if err != nil && a.err == nil {
			a.err = err
		}
		entries = append(entries, e)
	}
	return entries, a.err
}

func parseEntryToApply(d bson.Raw) (entryToApply, error) {
	kind := d.Lookup("op")
	e := entryToApply{}
	e.o, _ = d.Lookup("o").DocumentOK()
	e.o2, _ = d.Lookup("o2").DocumentOK()
	var ok bool
	if e.kind, ok = kind.StringValueOK(); !ok {
		if kind.Type == 0 {
			return e, mongoerr.New(mongoerr.NoSuchKey, "op does not contain required \"op\" field: %s", d)
		}
		return e, mongoerr.New(mongoerr.TypeMismatch, "op does not contain required \"op\" field as a string: %s", d)
	}
	e.ns, _ = d.Lookup("ns").StringValueOK()
	switch {
	case e.kind == "":
		return e, mongoerr.New(mongoerr.IllegalOperation, "found empty string in \"op\" field: %s", d)
	case e.ns == "":
		return e, mongoerr.New(mongoerr.IllegalOperation, "namespaces in ops must be strings that are not empty: %s", d)
	case !strings.Contains("iudcn", e.kind) || len(e.kind) != 1:
		return e, mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field 'applyOps.op' is not a valid value.", e.kind)
	case e.o == nil:
		return e, missingField("applyOps", "o")
	}
	return e, nil
}

// apply carries the entry out, as one that may have been carried out before: an
// insert replaces a document that is there, a delete needs none.
func (e entryToApply) apply(tx *storage.Tx, m storage.Meta) error {
	switch e.kind {
	case "n":
		return nil
	case "c":
		return e.applyCommand(tx, m)
	}
	c := tx.Collection(e.ns)
	if c == nil {
		return mongoerr.New(mongoerr.NamespaceNotFound, "Failed to apply operation due to missing collection %s", e.ns)
	}
	key := e.o
	if e.kind == "u" {
		key = e.o2
	}
	id := key.Lookup("_id")
	if id.Type == 0 {
		return mongoerr.New(mongoerr.NoSuchKey, "Failed to apply an entry that names no _id: %s", key)
	}
	rec, found := tx.FindID(c, id)
	switch {
	case e.kind == "d" && !found:
		return nil
	case e.kind == "d":
		return tx.Delete(c, rec.ID, m)
	case e.kind == "i" && !found:
		_, err := tx.Insert(c, e.o, m)
		return err
	case !found:
		return mongoerr.New(mongoerr.UnknownError, "Failed to apply update to %s: no document with _id %s", e.ns, id)
	}
	changed := e.o
	if diff, ok := e.o.Lookup("diff").DocumentOK(); ok && e.kind == "u" {
		var err error
		if changed, err = update.ApplyDiff(rec.Doc, diff); err != nil {
			return err
		}
	} else {
		m.Form = storage.FormReplacement
	}
	_, err := tx.Replace(c, rec.ID, changed, m)
	return err
}

// applyCommand carries out a create or a drop.
func (e entryToApply) applyCommand(tx *storage.Tx, m storage.Meta) error {
	db, _ := oplog.SplitNS(e.ns)
	name := firstStage([]bson.Raw{e.o})
	coll, _ := e.o.Lookup(name).StringValueOK()
	ns := db + "." + coll
	switch name {
	case "create":
		options := without(e.o, func(field string) bool { return field == "create" })
		_, err := tx.Create(ns, storage.CollectionSpec{Options: options}, m)
		return err
	case "drop":
		if c := tx.Collection(ns); c != nil {
			return tx.Drop(c, m)
		}
		return mongoerr.New(mongoerr.NamespaceNotFound, "ns not found: %s", ns)
	default:
		return mongoerr.New(mongoerr.CommandNotSupported, "applyOps of the command %s is not supported", name)
	}
}
