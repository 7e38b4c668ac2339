package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/update"
)

// Insert adds a document and returns it as stored: with an _id as its first
// field and top-level empty timestamps filled in (server-facts 6.5). In a
// capped collection the oldest documents make room. Errors: DuplicateKey with
// keyPattern and keyValue, BadValue for an impossible _id or a document over
// 16 MiB, DocumentValidationFailure, WriteConflict.
func (tx *Tx) Insert(c *Collection, doc bson.Raw, m Meta) (Rec, error) {
	if err := tx.holdsDocuments(c); err != nil {
		return Rec{}, err
	}
	doc, err := tx.prepareInsert(doc, m)
	if err != nil {
		return Rec{}, err
	}
	if c.Capped() && int64(len(doc)) > c.opts.size {
		return Rec{}, mongoerr.New(mongoerr.BadValue, "object to insert exceeds cappedMaxSize")
	}
	if err := tx.validate(c, nil, doc, m); err != nil {
		return Rec{}, err
	}
	rid := c.nextID.Add(1)
	if doc, err = tx.change(c, rid, doc); err != nil {
		return Rec{}, err
	}
	tx.stage(c, &oplog.Entry{
		Op: oplog.Insert, NS: c.NS, UUID: c.UUID, O: doc, O2: c.DocumentKey(doc),
	}, m)
	if c.Capped() {
		tx.evict(c, rid)
	}
	return Rec{ID: rid, Doc: doc}, nil
}

// Replace gives a record a new document, which keeps its _id (and gets it if
// it has none), and returns it as stored. Equal bytes are no change and not
// logged. How the change is logged is m.Form. Errors are those of Insert and
// ImmutableField for another _id.
func (tx *Tx) Replace(c *Collection, rid int64, doc bson.Raw, m Meta) (Rec, error) {
	if err := tx.holdsDocuments(c); err != nil {
		return Rec{}, err
	}
	old, err := c.require(rid)
	if err != nil {
		return Rec{}, err
	}
	if doc, err = tx.prepareReplace(old, doc); err != nil {
		return Rec{}, err
	}
	if sameBytes(old, doc) {
		return Rec{ID: rid, Doc: old}, nil
	}
	if err := tx.validate(c, old, doc, m); err != nil {
		return Rec{}, err
	}
	key := c.DocumentKey(old)
	if doc, err = tx.change(c, rid, doc); err != nil {
		return Rec{}, err
	}
	e := &oplog.Entry{Op: oplog.Update, NS: c.NS, UUID: c.UUID, O: updateOp(old, doc, m), O2: key}
	if c.Images() {
		e.Pre, e.Post = old, doc
	}
	tx.stage(c, e, m)
	return Rec{ID: rid, Doc: doc}, nil
}

// updateOp returns what the oplog says about an update: {$v: 2, diff: ...} or
// the new document.
func updateOp(old, doc bson.Raw, m Meta) bson.Raw {
	var diff bson.Raw
	ok := false
	switch m.Form {
	case FormDiff:
		if m.Diff == nil {
			m.Diff = update.DiffAnySize
		}
		diff, ok = m.Diff(old, doc)
	case FormSmallest:
		diff, ok = update.Diff(old, doc)
	case FormReplacement:
	}
	if !ok {
		return doc
	}
	return diffOp(diff)
}

// Delete removes a record. Errors: WriteConflict, and KeyNotFound if there is
// no such record.
func (tx *Tx) Delete(c *Collection, rid int64, m Meta) error {
	if err := tx.holdsDocuments(c); err != nil {
		return err
	}
	return tx.remove(c, rid, m)
}

func (tx *Tx) remove(c *Collection, rid int64, m Meta) error {
	old, err := c.require(rid)
	if err != nil {
		return err
	}
	if _, err := tx.change(c, rid, nil); err != nil {
		return err
	}
	e := &oplog.Entry{Op: oplog.Delete, NS: c.NS, UUID: c.UUID, O: c.DocumentKey(old)}
	if c.Images() {
		e.Pre = old
	}
	tx.stage(c, e, m)
	return nil
}

func (c *Collection) require(rid int64) (bson.Raw, error) {
	r, ok := c.records.Get(rid)
	if !ok {
		return nil, mongoerr.New(mongoerr.KeyNotFound, "%s has no record %d", c.NS, rid)
	}
	return r.doc, nil
}

// holdsDocuments refuses writes of documents to views and, in a transaction,
// to capped collections.
func (tx *Tx) holdsDocuments(c *Collection) error {
	switch {
	case c.IsView():
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", c.NS)
	case c.Capped() && tx.txn != nil:
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Collection '%s' is a capped collection. "+
			"Writes in transactions are not allowed on capped collections.", c.NS)
	}
	return nil
}
