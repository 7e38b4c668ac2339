package storage

import (
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/query"
)

// An Index is one index of a collection. Its fields are to be read only.
type Index struct {
	Name    string
	Spec    bson.Raw // as listIndexes shows it
	Key     bson.Raw // the key pattern
	Unique  bool
	Sparse  bool
	Hidden  bool
	Partial bson.Raw // partialFilterExpression, nil if there is none

	fields        []indexField
	filter        *query.Matcher // of Partial
	coll          *collation.Collation
	prepareUnique bool
	expireAfter   *int64 // seconds; nil if it is no TTL index
	clustered     bool
	data          *indexData
	uses          *IndexUses
}

// An indexField is one field of a key pattern.
type indexField struct {
	path   []string
	name   string // the path with its dots
	desc   bool
	hashed bool
	// special is the kind of index the field needs, "" for an ordinary one.
	// Its values are not part of the keys.
	special string
}

// indexData is what an index contains. An entry's key is the encoded values,
// followed by an end byte and the record id except in the _id index; its value
// is the record id. Up to the end byte keys are prefix-free, so that the entries
// of one key are those that begin with it.
type indexData struct {
	entries  btree.Map[string, int64]
	bytes    int64
	multikey bool
}

// IndexUses says how often plans took an index. It is safe for concurrent use.
type IndexUses struct {
	Since time.Time // the index was made
	ops   atomic.Int64
}

// Note counts one more.
func (u *IndexUses) Note() { u.ops.Add(1) }

// Ops returns how often.
func (u *IndexUses) Ops() int64 { return u.ops.Load() }

// Uses returns the counter of the index.
func (ix *Index) Uses() *IndexUses { return ix.uses }

// Multikey reports whether some document had an array in an indexed field. A
// scan may yield a record more than once then; the caller drops repetitions.
func (ix *Index) Multikey() bool { return ix.data.multikey }

// Hashed returns the position of the hashed field in the key pattern, -1 if
// there is none.
func (ix *Index) Hashed() int {
	for i, f := range ix.fields {
		if f.hashed {
			return i
		}
	}
	return -1
}

// Fields returns the dotted paths of the key pattern.
func (ix *Index) Fields() []string {
	out := make([]string, len(ix.fields))
	for i, f := range ix.fields {
		out[i] = f.name
	}
	return out
}

// Descending reports whether the i-th field of the key pattern is descending.
func (ix *Index) Descending(i int) bool { return ix.fields[i].desc }

// Len returns the number of entries.
func (ix *Index) Len() int64 { return int64(ix.data.entries.Len()) }

// Size returns an estimate of the index's size in bytes.
func (ix *Index) Size() int64 { return ix.data.bytes }

// ExpireAfterSeconds returns the age at which a TTL index's documents expire;
// not ok if it is no TTL index.
func (ix *Index) ExpireAfterSeconds() (seconds int64, ok bool) {
	if ix.expireAfter == nil {
		return 0, false
	}
	return *ix.expireAfter, true
}

// isID reports whether it is the collection's index on _id.
func (ix *Index) isID() bool { return ix.Name == idIndexName || ix.clustered }

// rejects reports whether the index refuses a second entry of one key.
func (ix *Index) rejects() bool { return ix.Unique || ix.prepareUnique }

func (ix *Index) snapshot() *Index {
	s := *ix
	s.data = &indexData{entries: *ix.data.entries.Copy(), bytes: ix.data.bytes, multikey: ix.data.multikey}
	return &s
}

// entryOverhead estimates what an entry takes beside its key.
const entryOverhead = 12

func (d *indexData) add(key string, rid int64) {
	d.entries.Set(key, rid)
	d.bytes += int64(len(key)) + entryOverhead
}

func (d *indexData) remove(key string) {
	if _, ok := d.entries.Delete(key); ok {
		d.bytes -= int64(len(key)) + entryOverhead
	}
}
