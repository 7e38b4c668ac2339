package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Drop removes a collection with all it has, or a view. Dropping system.views
// removes the database's views. A time-series collection goes with its buckets,
// whichever of the two is named.
func (tx *Tx) Drop(c *Collection, m Meta) error {
	if view := tx.seriesOf(c); view != nil {
		c = view
	}
	home := tx.Buckets(c)
	if err := tx.DropAlone(c, m); err != nil || home == nil {
		return err
	}
	return tx.DropAlone(home, m)
}

// DropAlone is Drop that leaves the buckets of a time-series collection, and
// the time-series collection of buckets.
func (tx *Tx) DropAlone(c *Collection, m Meta) error {
	if err := tx.mayAlter(c, "drop"); err != nil {
		return err
	}
	if c.IsView() {
		return tx.dropView(c, m)
	}
	if c.Name() == viewsName {
		for _, v := range tx.Collections(c.DB()) {
			if v.IsView() {
				tx.take(v)
			}
		}
	}
	tx.take(c)
	tx.stageCommand(c, value.D("drop", c.Name()), numRecords(c), m)
	return nil
}

// DropDatabase drops every collection of a database and then the database,
// even if it is empty.
func (tx *Tx) DropDatabase(db string, m Meta) error {
	if tx.txn != nil || !tx.writable {
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction,
			"Cannot run 'dropDatabase' in a multi-document transaction.")
	}
	all := tx.Collections(db)
	for _, c := range all {
		if tx.e.locks.users[c.UUID] > 0 {
			return tx.conflict()
		}
	}
	for _, c := range all {
		if c.IsView() {
			continue // goes with system.views
		}
		if err := tx.DropAlone(c, m); err != nil {
			return err
		}
	}
	home := &Collection{entry: entry{NS: db + ".$cmd"}}
	tx.stageCommand(home, value.D("dropDatabase", int32(1)), nil, m)
	return nil
}

// numRecords is the o2 of entries that drop a collection.
func numRecords(c *Collection) bson.Raw { return value.D("numRecords", c.Count()) }

// Rename gives a collection another name, in any database. An existing target
// is dropped if dropTarget, which is part of the rename's entry. Across
// databases the documents are copied into a new collection, as the server
// does, and the oplog tells that story.
func (tx *Tx) Rename(from, to string, dropTarget bool, m Meta) error {
	c := tx.Collection(from)
	target := tx.Collection(to)
	switch {
	case c == nil:
		return mongoerr.New(mongoerr.NamespaceNotFound, "Source collection %s does not exist", from)
	case c.IsView():
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "cannot rename view: %s", from)
	case from == to:
		return mongoerr.New(mongoerr.IllegalOperation, "Can't rename a collection to itself")
	case target != nil && target.IsView():
		return mongoerr.New(mongoerr.NamespaceExists, "a view already exists with that name: %s", to)
	case target != nil && !dropTarget:
		return mongoerr.New(mongoerr.NamespaceExists, "target namespace exists")
	}
	if err := tx.mayAlter(c, "renameCollection"); err != nil {
		return err
	}
	if target != nil {
		if err := tx.mayAlter(target, "renameCollection"); err != nil {
			return err
		}
	} else if err := tx.checkNew(to); err != nil {
		return err
	}
	if db, _ := oplog.SplitNS(to); db != c.DB() {
		return tx.renameAcross(c, to, m)
	}
	tx.renameWithin(c, to, target, m)
	return nil
}

func (tx *Tx) renameWithin(c *Collection, to string, target *Collection, m Meta) {
	o := value.Append(make([]byte, 4, 128), "renameCollection", value.String(c.NS))
	o = value.Append(o, "to", value.String(to))
	o = value.Append(o, "stayTemp", value.Bool(false))
	var o2 bson.Raw
	if target != nil {
		o = value.Append(o, "dropTarget", value.Binary(4, target.UUID[:]))
		o2 = numRecords(target)
		tx.take(target)
	}
	old := c.entry
	tx.cat.remove(c)
	c.NS, c.Options, c.schema = to, without(c.Options, "temp"), tx.e.seq
	tx.cat.add(c)
	tx.noteChange(altered, c, old)
	tx.stageCommand(c, finishDoc(o), o2, m)
}

// renameAcross copies c to a temporary collection in the other database,
// renames that one and drops c.
func (tx *Tx) renameAcross(c *Collection, to string, m Meta) error {
	db, _ := oplog.SplitNS(to)
	temp, err := tx.Create(db+".tmp"+value.NewUUID().String()[:5]+".renameCollection",
		CollectionSpec{Options: with(without(c.Options, "temp"), "temp", value.Bool(true))}, m)
	if err != nil {
		return err
	}
	if _, err := tx.CreateIndexes(temp, c.IndexSpecs(), m); err != nil {
		return err
	}
	m.BypassValidation, m.KeepEmptyTimestamps = true, true
	for _, r := range tx.Scan(c, ScanSpec{}) {
		if _, err := tx.Insert(temp, r.Doc, m); err != nil {
			return err
		}
	}
	tx.renameWithin(temp, to, tx.Collection(to), m)
	return tx.Drop(c, m)
}
