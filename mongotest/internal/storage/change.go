package storage

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A plan is what changing one record does to the indexes. Making it can fail,
// carrying it out cannot.
type plan []indexChange

type indexChange struct {
	ix       *Index
	add, del []string // keys without record id
	multi    bool
}

// An undoRecord takes back one change: of a record, of the catalog, or whatever
// fn does.
type undoRecord struct {
	c       *Collection
	rid     int64
	old     rec            // no document: the record did not exist
	catalog *catalogChange // not nil: the catalog's
	fn      func()
	op      int // which of the staged entries tells of it
}

// A catalogChange takes back a change of the catalog, of the data's as of a
// past's.
type catalogChange struct {
	kind changeKind
	ns   string // the collection's name after the change
	uuid value.UUID
	old  entry // what was altered, as it was
}

type changeKind int

const (
	made changeKind = iota
	removed
	altered // renamed, too
)

// plan compares the index keys of two versions of a record; nil is none. It
// appends to p.
func (c *Collection) plan(p plan, before, after bson.Raw) (plan, error) {
	for _, ix := range c.indexes {
		if before != nil && after != nil && ix.isID() {
			continue // the _id of a record never changes
		}
		ch := indexChange{ix: ix}
		var err error
		if before != nil {
			if ch.del, _, err = ix.keysOf(before); err != nil {
				return nil, err
			}
		}
		if after != nil {
			if ch.add, ch.multi, err = ix.keysOf(after); err != nil {
				return nil, err
			}
		}
		if before != nil && after != nil {
			ch.del, ch.add = difference(ch.del, ch.add)
		}
		if len(ch.add) > 0 || len(ch.del) > 0 {
			p = append(p, ch)
		}
	}
	return p, nil
}

// difference returns the keys only in a and those only in b; both are sorted.
func difference(a, b []string) (onlyA, onlyB []string) {
	if slices.Equal(a, b) {
		return nil, nil
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			onlyA, a = append(onlyA, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			onlyB, b = append(onlyB, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return onlyA, onlyB
}

// makesMultikey reports whether an index becomes multikey.
func (p plan) makesMultikey() bool {
	return slices.ContainsFunc(p, func(ch indexChange) bool { return ch.multi && !ch.ix.data.multikey })
}

// carryOut changes the record and its index entries.
func (c *Collection) carryOut(rid int64, old, r rec, p plan) {
	for i := range p {
		ch := &p[i]
		for _, key := range ch.del {
			ch.ix.data.remove(ch.ix.entryKey(key, rid))
		}
		for _, key := range ch.add {
			ch.ix.data.add(ch.ix.entryKey(key, rid), rid)
		}
		ch.ix.data.multikey = ch.ix.data.multikey || ch.multi
	}
	if r.doc == nil {
		c.records.Delete(rid)
	} else {
		c.records.Set(rid, r)
	}
	c.bytes += int64(len(r.doc) - len(old.doc))
	c.writes++
}

// force changes a record without any check, for undoing and for committing.
// Its index keys could be made before, so they can be made now. It reports
// whether an index became multikey.
func (c *Collection) force(rid int64, r rec) (multikey bool) {
	old, _ := c.records.Get(rid)
	if p, err := c.plan(nil, old.doc, r.doc); err == nil {
		multikey = p.makesMultikey()
		c.carryOut(rid, old, r, p)
	}
	return multikey
}

// holder returns the record other than rid that has the key in the index.
func (ix *Index) holder(key string, rid int64) (int64, bool) {
	if ix.isID() {
		other, ok := ix.data.entries.Get(key)
		return other, ok && other != rid
	}
	var other int64
	found := false
	ix.data.entries.Ascend(key, func(entry string, id int64) bool {
		if !strings.HasPrefix(entry, key) {
			return false
		}
		other, found = id, id != rid
		return !found
	})
	return other, found
}

// change sets (doc nil: deletes) a record after all checks, and returns the
// document as it is kept; if it fails, nothing has changed.
func (tx *Tx) change(c *Collection, rid int64, doc bson.Raw) (bson.Raw, error) {
	old, had := c.records.Get(rid)
	p, err := c.plan(tx.scratch[:0], old.doc, doc)
	if err != nil {
		return nil, err
	}
	tx.scratch = p
	if err := tx.mayWrite(c, rid, old, had, p); err != nil {
		return nil, err
	}
	if doc != nil {
		if err := checkUnique(c, rid, doc, p); err != nil {
			return nil, err
		}
	}
	if err := tx.claim(c, rid, p); err != nil {
		return nil, err
	}
	if tx.changes != nil {
		if doc, err = tx.e.journal.Load().put(tx.changes, c, rid, doc); err != nil {
			return nil, err
		}
		if p.makesMultikey() {
			tx.changes.touch(c)
		}
	}
	tx.undo = append(tx.undo, undoRecord{c: c, rid: rid, old: old, op: len(tx.staged)})
	c.carryOut(rid, old, rec{doc: doc, ver: tx.e.seq}, p)
	return doc, nil
}

// rollback takes back everything since the Tx began, newest first.
func (tx *Tx) rollback() {
	for i := len(tx.undo) - 1; i >= 0; i-- {
		u := &tx.undo[i]
		switch {
		case u.fn != nil:
			u.fn()
		case u.catalog != nil:
			u.catalog.takeBack(tx.cat, u.c)
		default:
			u.c.force(u.rid, u.old)
		}
	}
	tx.undo, tx.staged = nil, nil
}

// takeBack takes the change of c back.
func (ch *catalogChange) takeBack(k *catalog, c *Collection) {
	switch ch.kind {
	case made:
		k.remove(c)
	case removed:
		k.add(c)
	case altered:
		k.remove(c)
		c.entry = ch.old
		k.add(c)
	}
}

// onUndo arranges for fn to run if the Tx is undone.
func (tx *Tx) onUndo(fn func()) { tx.undo = append(tx.undo, undoRecord{fn: fn}) }

// noteChange arranges for a change of the catalog to be taken back.
func (tx *Tx) noteChange(kind changeKind, c *Collection, old entry) {
	tx.changes.touch(c)
	tx.undo = append(tx.undo, undoRecord{
		c: c, catalog: &catalogChange{kind: kind, ns: c.NS, uuid: c.UUID, old: old}, op: len(tx.staged),
	})
}

// saveEntry arranges for the collection's catalog entry to come back. Its name
// stays.
func (tx *Tx) saveEntry(c *Collection) {
	tx.noteChange(altered, c, c.entry)
	c.schema = tx.e.seq
}
