package storage

import (
	"iter"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/keystring"
)

// Get returns the document of a record.
func (tx *Tx) Get(c *Collection, rid int64) (bson.Raw, bool) {
	r, ok := c.records.Get(rid)
	return r.doc, ok
}

// FindID returns the record whose _id equals id, numbers of different types
// being equal, and strings that are so to the collection's collation.
func (tx *Tx) FindID(c *Collection, id bson.RawValue) (Rec, bool) {
	if c.IsView() {
		return Rec{}, false
	}
	ix := c.IDIndex()
	rid, ok := ix.data.entries.Get(string(keystring.Append(nil, ix.coll.Key(id), false)))
	if !ok {
		return Rec{}, false
	}
	r, ok := c.records.Get(rid)
	return Rec{ID: rid, Doc: r.doc}, ok
}

// Scan yields the records in the order of an index or in natural order, with
// the position of each. The loop's body may write to the collection: the scan
// then seeks again from where it was, as the server's do after a yield, and
// meets a record that moved ahead a second time. An unknown index yields
// nothing.
func (tx *Tx) Scan(c *Collection, s ScanSpec) iter.Seq2[Key, Rec] {
	if ix := s.index(c); ix != nil {
		return func(yield func(Key, Rec) bool) { scanIndex(c, ix, s, yield) }
	}
	return func(yield func(Key, Rec) bool) {
		if s.Index == "" {
			scanRecords(c, s, yield)
		}
	}
}

// index returns the index that the scan goes along, nil for none.
func (s *ScanSpec) index(c *Collection) *Index {
	if s.Index == "" && c.Clustered() {
		return c.IDIndex()
	}
	return c.Index(s.Index)
}

// scanRecords scans in natural order.
func scanRecords(c *Collection, s ScanSpec, yield func(Key, Rec) bool) {
	at, again := s.Resume.ID, true
	visit := func(rid int64, r rec) bool {
		before := c.writes
		at = rid
		if !yield(Key{ID: rid}, Rec{ID: rid, Doc: r.doc}) {
			return false
		}
		again = c.writes != before
		return !again
	}
	for again {
		again = false
		switch {
		case !s.Reverse:
			c.records.Ascend(at+1, visit)
		case at == 0:
			c.records.Descend(math.MaxInt64, visit)
		default:
			c.records.Descend(at-1, visit)
		}
	}
}

// scanIndex scans in the order of an index.
func scanIndex(c *Collection, ix *Index, s ScanSpec, yield func(Key, Rec) bool) {
	low, high := s.interval(ix)
	entries := &ix.data.entries
	at, again := s.Resume.Entry, true
	visit := func(entry string, rid int64) bool {
		switch {
		case s.Reverse && (entry == at || high != "" && entry >= high):
			return true
		case s.Reverse && entry < low, !s.Reverse && high != "" && entry >= high:
			return false
		case !s.Reverse && entry == at:
			return true
		}
		before := c.writes
		at = entry
		r, _ := c.records.Get(rid)
		if !yield(Key{Entry: entry, ID: rid}, Rec{ID: rid, Doc: r.doc}) {
			return false
		}
		again = c.writes != before
		return !again
	}
	for again {
		again = false
		switch {
		case !s.Reverse:
			entries.Ascend(max(low, at), visit)
		case at == "" && high == "":
			entries.Reverse(visit)
		case at == "" || high != "" && high < at:
			entries.Descend(high, visit)
		default:
			entries.Descend(at, visit)
		}
	}
}
