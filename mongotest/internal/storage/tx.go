package storage

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Tx is the view of the data inside one Engine.View, Engine.Update or
// Transaction.Do. Like the collections and indexes it returns, it is valid
// until that call returns. It is not safe for concurrent use.
type Tx struct {
	e        *Engine
	cat      *catalog
	txn      *Transaction // nil outside transactions
	writable bool
	undo     []undoRecord
	staged   []*oplog.Entry
	scratch  plan     // of the latest change; its memory is used again
	changes  *changes // for the journal; nil without one, and in transactions, whose Commit writes them
}

// Meta says on whose behalf a change is made.
type Meta struct {
	// FromMigrate marks the oplog entries, so that change streams hide them.
	FromMigrate bool
	// Txn is the session of a retryable write. Inside a Transaction it is
	// ignored: the transaction's own counts.
	Txn oplog.TxnInfo
	// Now is the wall time of the oplog entries; zero means the time of logging.
	Now time.Time
	// Form says how an update is logged.
	Form UpdateForm
	// Diff makes the diff of FormDiff, update.DiffAnySize if nil; not ok logs
	// the full document.
	Diff func(pre, post bson.Raw) (bson.Raw, bool)
	// BypassValidation skips the collection's validator.
	BypassValidation bool
	// KeepEmptyTimestamps leaves top-level Timestamp(0, 0) values alone
	// (bypassEmptyTsReplacement, 8.0).
	KeepEmptyTimestamps bool
}

// An UpdateForm says how the oplog describes an update (package update knows
// which kind of update statement the server logs in which form).
type UpdateForm int

// The forms of updates in the oplog.
const (
	FormSmallest    UpdateForm = iota // a $v:2 diff unless the full document is smaller: pipelines
	FormDiff                          // what Meta.Diff makes: update operators
	FormReplacement                   // always the full document, whose empty timestamps are filled in: replacements
)

// A Rec is a stored document and its place in the natural order.
type Rec struct {
	ID  int64 // record id, > 0; never reused within a collection
	Doc bson.Raw
}

// ValidateFunc decides whether doc fulfils validator, a query document that
// compares strings by coll. If it
// does not, info is the errInfo.details of the server's error. It is called
// with the engine locked.
type ValidateFunc func(validator, doc bson.Raw, coll *collation.Collation) (ok bool, info bson.Raw, err error)

// Changed reports whether the call has logged a change.
func (tx *Tx) Changed() bool { return len(tx.staged) > 0 }

// Collection returns the collection or view with this "db.coll" namespace, nil
// if there is none.
func (tx *Tx) Collection(ns string) *Collection { return tx.cat.get(ns) }

// CollectionByUUID returns the collection with this UUID, nil if there is none.
func (tx *Tx) CollectionByUUID(id value.UUID) *Collection { return tx.cat.byUUID[id] }

// Collections returns the collections and views of a database, by name. The
// system collections, such as system.views, are among them.
func (tx *Tx) Collections(db string) []*Collection { return tx.cat.collections(db) }

// Databases returns the names of the databases that have collections, in order.
func (tx *Tx) Databases() []string { return tx.cat.databases() }
