package oplog

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An Op is the kind of an entry: its op field.
type Op byte

// The kinds of entries.
const (
	Insert  Op = 'i'
	Update  Op = 'u'
	Delete  Op = 'd'
	Command Op = 'c'
	Noop    Op = 'n'
)

// TxnInfo says which session wrote an entry. The zero value means none.
type TxnInfo struct {
	LSID   bson.Raw // {id, uid}; nil for writes outside retryable writes and transactions
	Number int64
	StmtID int32 // of a retryable write
	// Multi marks a multi-document transaction's applyOps (or the
	// commitTransaction and abortTransaction of a prepared one); without it the
	// entry is a retryable write.
	Multi bool
	// Prev is the timestamp of the entry before this one of the same
	// transaction or, for a retryable write, of the same session and number.
	Prev bson.Timestamp
}

// An Image is a document before and after one operation. Either may be nil.
type Image struct{ Pre, Post bson.Raw }

// An Entry is one operation in the log. Its documents are immutable; the entry
// itself is immutable once appended.
type Entry struct {
	TS   bson.Timestamp // assigned by Append
	Term int64          // assigned by Append if zero
	Op   Op
	NS   string     // "db.coll", "db.$cmd" for commands, "" for most no-ops
	UUID value.UUID // of the collection, zero if there is none
	O    bson.Raw   // the operation
	O2   bson.Raw   // the documentKey of CRUD operations, what a command changed, or nil

	FromMigrate bool
	Txn         TxnInfo
	Wall        time.Time // assigned by Append if zero

	// Pre and Post are the document before and after the operation, kept for
	// change streams and not rendered. Set them only for collections with
	// changeStreamPreAndPostImages enabled; fullDocument: "whenAvailable" and
	// "required" take their presence for availability. Inner has the same for
	// the operations inside an applyOps, by index; it may be nil.
	Pre, Post bson.Raw
	Inner     []Image
}

// DB returns the database part of the entry's namespace.
func (e *Entry) DB() string {
	db, _ := SplitNS(e.NS)
	return db
}

// CommandName returns the first field of a command entry's O: its name, such
// as "create". It is empty for other kinds of entries.
func (e *Entry) CommandName() string {
	if e.Op != Command {
		return ""
	}
	first, err := e.O.IndexErr(0)
	if err != nil {
		return ""
	}
	return first.Key()
}

// SplitNS splits "db.coll.with.dots" at the first dot. A namespace without a
// dot is a database.
func SplitNS(ns string) (db, coll string) {
	db, coll, _ = strings.Cut(ns, ".")
	return db, coll
}
