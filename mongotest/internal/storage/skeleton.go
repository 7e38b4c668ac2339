package storage

import (
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var errSkeleton = mongoerr.New(mongoerr.InternalError, "storage is being written")

type (
	lockTable  struct{}
	undoRecord struct{}
	catalog    struct{ byUUID map[value.UUID]*Collection }
)

func newCatalog() *catalog                        { return &catalog{} }
func (*catalog) get(string) *Collection           { return nil }
func (*catalog) collections(string) []*Collection { return nil }
func (*catalog) databases() []string              { return nil }
func (lockTable) empty() bool                     { return true }
func (tx *Tx) rollback()                          {}

// ---- collections

// A Collection is a collection or a view.
type Collection struct {
	NS       string
	UUID     value.UUID // zero for views
	Options  bson.Raw   // as listCollections shows them
	ShardKey bson.Raw   // key pattern, nil if not sharded
}

// DB returns the database's name.
func (c *Collection) DB() string { return "" }

// Name returns the name without the database.
func (c *Collection) Name() string { return "" }

// IsView reports whether it is a view.
func (c *Collection) IsView() bool { return false }

// View returns a view's source collection name and pipeline (array).
func (c *Collection) View() (on string, pipeline bson.Raw) { return "", nil }

// Capped reports whether it is capped.
func (c *Collection) Capped() bool { return false }

// CappedLimits returns the limits of a capped collection.
func (c *Collection) CappedLimits() (size, maxDocs int64) { return 0, 0 }

// Clustered reports whether it has a clusteredIndex.
func (c *Collection) Clustered() bool { return false }

// Images reports whether changeStreamPreAndPostImages is enabled.
func (c *Collection) Images() bool { return false }

// Count returns the number of documents.
func (c *Collection) Count() int64 { return 0 }

// Size returns the documents' bytes.
func (c *Collection) Size() int64 { return 0 }

// Indexes returns all indexes, _id first.
func (c *Collection) Indexes() []*Index { return nil }

// Index returns the index with this name, nil if none.
func (c *Collection) Index(name string) *Index { return nil }

// IDIndex returns the index on _id.
func (c *Collection) IDIndex() *Index { return nil }

// IndexesByKey returns those with this key pattern.
func (c *Collection) IndexesByKey(pattern bson.Raw) []*Index { return nil }

// DocumentKey returns shard key fields + _id of doc.
func (c *Collection) DocumentKey(doc bson.Raw) bson.Raw { return nil }

// ---- indexes

// An Index is an index.
type Index struct {
	Name    string
	Spec    bson.Raw // as listIndexes shows it
	Key     bson.Raw // key pattern
	Unique  bool
	Sparse  bool
	Hidden  bool
	Partial bson.Raw // partialFilterExpression or nil
}

// Multikey reports whether some document had an array in an indexed field. A
// scan then yields a record once per key; the caller removes duplicates.
func (ix *Index) Multikey() bool { return false }

// Hashed returns the position of the hashed field, -1 if none.
func (ix *Index) Hashed() int { return -1 }

// Size returns the estimated bytes.
func (ix *Index) Size() int64 { return 0 }

// Bound encodes a key document such as find's min and max; fields must be those of the pattern in order (a prefix will do).
// Values of hashed fields are the int64 hashes themselves.
func (ix *Index) Bound(key bson.Raw) ([]byte, error) { return nil, errSkeleton }

// Prefix encodes the values of the first len(vals) fields.
func (ix *Index) Prefix(vals ...bson.RawValue) []byte { return nil }

// Range returns the scan of the entries with the first fields equal to eq and the next field between min and max (nil: unbounded).
// Works for descending fields too; for a hashed field values are hashes.
func (ix *Index) Range(eq []bson.RawValue, min, max *bson.RawValue, minIncl, maxIncl bool) ScanSpec {
	return ScanSpec{}
}

// ---- reading

// A Key is a position in a scan. The zero value is before the first.
type Key struct {
	Entry string // index entry; empty in natural order
	ID    int64  // record id
}

// ScanSpec says what to scan. Index "" is natural order (of a clustered collection: _id order, with Key.Entry set).
// Min and Max are encoded bounds (nil: none) by prefix: everything that begins with Min is "equal" to it.
type ScanSpec struct {
	Index            string
	Min, Max         []byte
	MinIncl, MaxIncl bool
	Resume           Key // only what comes after it
	Reverse          bool
}

// Scan yields records in order; fn body may write to the collection.
func (tx *Tx) Scan(c *Collection, s ScanSpec) iter.Seq2[Key, Rec] { return nil }

// Get returns a record.
func (tx *Tx) Get(c *Collection, rid int64) (bson.Raw, bool) { return nil, false }

// FindID returns the record with this _id.
func (tx *Tx) FindID(c *Collection, id bson.RawValue) (Rec, bool) { return Rec{}, false }

// ---- writing

// Insert adds a document; Rec has it as stored (with _id).
func (tx *Tx) Insert(c *Collection, doc bson.Raw, m Meta) (Rec, error) { return Rec{}, errSkeleton }

// Replace changes a record's document. Equal bytes: nothing happens. Rec has it as stored.
func (tx *Tx) Replace(c *Collection, rid int64, doc bson.Raw, m Meta) (Rec, error) {
	return Rec{}, errSkeleton
}

// Delete removes a record.
func (tx *Tx) Delete(c *Collection, rid int64, m Meta) error { return errSkeleton }

// DeleteExpired is the TTL monitor's pass: deletes up to limit (0: all) documents expired at now.
func (tx *Tx) DeleteExpired(now time.Time, limit int) (int, error) { return 0, errSkeleton }

// SetShardKey sets ShardKey (nil: unsharded). Not logged.
func (tx *Tx) SetShardKey(c *Collection, pattern bson.Raw) error { return errSkeleton }

// ---- DDL

// CollectionSpec for Create.
type CollectionSpec struct {
	Options bson.Raw   // the create command's options (viewOn and pipeline too), without "create" and generic arguments
	UUID    value.UUID // zero: a new one
}

// Create makes a collection or view. NamespaceExists(48) if there is one.
func (tx *Tx) Create(ns string, spec CollectionSpec, m Meta) (*Collection, error) {
	return nil, errSkeleton
}

// Drop removes a collection or view.
func (tx *Tx) Drop(c *Collection, m Meta) error { return errSkeleton }

// DropDatabase removes all collections. No error if there are none.
func (tx *Tx) DropDatabase(db string, m Meta) error { return errSkeleton }

// Rename renames, also across databases.
func (tx *Tx) Rename(from, to string, dropTarget bool, m Meta) error { return errSkeleton }

// CreateIndexes creates those that do not exist yet and returns their number.
func (tx *Tx) CreateIndexes(c *Collection, specs []bson.Raw, m Meta) (int, error) {
	return 0, errSkeleton
}

// DropIndex drops the index with this name.
func (tx *Tx) DropIndex(c *Collection, name string, m Meta) error { return errSkeleton }

// CollMod changes options; mod is the command without collMod and generic arguments. Returns the reply's fields
// (hidden_old, hidden_new, expireAfterSeconds_old ...).
func (tx *Tx) CollMod(c *Collection, mod bson.Raw, m Meta) (bson.D, error) { return nil, errSkeleton }

// ---- transactions

// A Transaction is a multi-document transaction.
type Transaction struct{}

// Begin takes the snapshot. m.Txn is the session (Multi is set); m.FromMigrate counts too.
func (e *Engine) Begin(m Meta) *Transaction { return &Transaction{} }

// Do runs fn on the snapshot and the transaction's own writes. If fn errs, what it did is undone. WriteConflict(112) has the label
// TransientTransactionError; the caller then aborts.
func (t *Transaction) Do(fn func(*Tx) error) error { return errSkeleton }

// View is Do for reading only; it does not stop the engine.
func (t *Transaction) View(fn func(*Tx) error) error { return errSkeleton }

// Commit logs and applies; the timestamp is the commit entry's, zero if nothing was written.
func (t *Transaction) Commit() (bson.Timestamp, error) { return bson.Timestamp{}, errSkeleton }

// Abort drops it. No-op once ended.
func (t *Transaction) Abort() {}
