package storage

import (
	"bytes"
	"sync/atomic"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Collection is a collection or a view with its place in the catalog. Its
// fields are to be read only.
type Collection struct {
	entry
	records btree.Map[int64, rec]
	bytes   int64
	nextID  *atomic.Int64 // the last record id given out; shared with snapshots, so that ids never collide
	writes  uint64        // counts changes of records, so that a scan knows when to seek again
	ident   uint64        // its number in the journal, 0 without one; shared with snapshots
}

// An entry is what DDL changes about a collection. It is replaced as a whole,
// and so undone as a whole.
type entry struct {
	NS       string     // "db.coll"
	UUID     value.UUID // zero for views
	Options  bson.Raw   // as listCollections shows them
	ShardKey bson.Raw   // key pattern, nil if the collection is not sharded
	opts     options    // Options, parsed
	indexes  []*Index   // the _id index first; the slice is never changed in place
	schema   uint64     // Engine.seq of the latest DDL
}

// A rec is a stored document and the Engine.seq of its latest change.
type rec struct {
	doc bson.Raw
	ver uint64
}

// DB returns the name of the collection's database.
func (c *Collection) DB() string {
	db, _ := oplog.SplitNS(c.NS)
	return db
}

// Name returns the collection's name without the database.
func (c *Collection) Name() string {
	_, name := oplog.SplitNS(c.NS)
	return name
}

// IsView reports whether it is a view: it has options but no documents.
func (c *Collection) IsView() bool { return c.opts.viewOn != "" }

// View returns the name of the collection that a view reads, and its pipeline,
// a BSON array. The name is empty if it is no view.
func (c *Collection) View() (on string, pipeline bson.Raw) { return c.opts.viewOn, c.opts.pipeline }

// Capped reports whether the collection is capped.
func (c *Collection) Capped() bool { return c.opts.capped }

// CappedLimits returns the limits of a capped collection in bytes and in
// documents; maxDocs is 0 if only the size is limited.
func (c *Collection) CappedLimits() (size, maxDocs int64) { return c.opts.size, c.opts.maxDocs }

// Clustered reports whether the collection has a clusteredIndex, so that its
// natural order is that of _id.
func (c *Collection) Clustered() bool { return c.opts.clustered }

// Images reports whether changeStreamPreAndPostImages is enabled.
func (c *Collection) Images() bool { return c.opts.images }

// Validation returns the validator (nil if there is none), its level ("off",
// "strict", "moderate") and its action ("error", "warn", ...).
func (c *Collection) Validation() (validator bson.Raw, level, action string) {
	return c.opts.validator, c.opts.level, c.opts.action
}

// Count returns the number of documents.
func (c *Collection) Count() int64 { return int64(c.records.Len()) }

// Size returns the size of all documents in bytes. Divided by Count it is the
// avgObjSize of the server's collStats.
func (c *Collection) Size() int64 { return c.bytes }

// Indexes returns all indexes in the order of their creation, the _id index
// first. A view has none.
func (c *Collection) Indexes() []*Index { return c.indexes }

// Index returns the index of this name, nil if there is none.
func (c *Collection) Index(name string) *Index {
	for _, ix := range c.indexes {
		if ix.Name == name {
			return ix
		}
	}
	return nil
}

// IDIndex returns the index on _id, nil for a view.
func (c *Collection) IDIndex() *Index {
	if len(c.indexes) == 0 {
		return nil
	}
	return c.indexes[0]
}

// IndexesByKey returns the indexes with exactly this key pattern, regardless
// of the number types of the directions.
func (c *Collection) IndexesByKey(pattern bson.Raw) []*Index {
	want, err := parsePattern(pattern)
	if err != nil {
		return nil
	}
	var out []*Index
	for _, ix := range c.indexes {
		if samePattern(want, ix.fields) {
			out = append(out, ix)
		}
	}
	return out
}

// DocumentKey returns the fields that identify doc in the oplog and in change
// streams: the shard key's in key order, leaving out the missing ones, and _id
// unless the shard key has it.
func (c *Collection) DocumentKey(doc bson.Raw) bson.Raw {
	dst := make([]byte, 4, 40)
	hasID := false
	if c.ShardKey != nil {
		_ = eachElement(c.ShardKey, func(key string, _ bson.RawValue) error {
			hasID = hasID || key == idField
			if v, ok := value.Lookup(doc, key); ok {
				dst = value.Append(dst, key, v)
			}
			return nil
		})
	}
	if !hasID {
		if id, ok := value.Get(doc, idField); ok {
			dst = value.Append(dst, idField, id)
		}
	}
	return finishDoc(dst)
}

// logged reports whether the oplog covers the collection.
func (c *Collection) logged() bool { return c.DB() != "local" }

func (c *Collection) snapshot() *Collection {
	s := &Collection{entry: c.entry, bytes: c.bytes, nextID: c.nextID, ident: c.ident}
	s.records = *c.records.Copy()
	s.indexes = make([]*Index, len(c.indexes))
	for i, ix := range c.indexes {
		s.indexes[i] = ix.snapshot()
	}
	return s
}

// sameBytes reports whether two documents are the same slice or equal ones.
func sameBytes(a, b bson.Raw) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || bytes.Equal(a, b))
}

// MadeWith reports whether c has the options that raw, options of the create
// command, would give it.
func (c *Collection) MadeWith(raw bson.Raw) bool {
	_, shown, err := parseOptions(c.NS, raw, false)
	if err != nil || len(shown) != len(c.Options) {
		return false
	}
	same := true
	for name, v := range value.Elements(shown) {
		have, ok := value.Get(c.Options, name)
		same = same && ok && have.Equal(v)
	}
	return same
}
