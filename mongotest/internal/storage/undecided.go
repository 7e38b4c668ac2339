package storage

import (
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A fate is what becomes of a prepared transaction. The same transaction on
// several branches has one. What it has changed never changes any more.
type fate struct {
	at      bson.Timestamp // prepareTimestamp
	cat     *catalog       // with its changes
	writes  map[value.UUID]map[int64]bool
	created map[value.UUID]bool

	decided chan struct{} // closed when it is
	mu      sync.Mutex
	done    bool
	commit  bson.Timestamp // commitTimestamp, zero if it was aborted
	ver     uint64         // of its records
}

// decide says what has become of it, unless that is known already.
func (f *fate) decide(commit bson.Timestamp, ver uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return
	}
	f.done, f.commit, f.ver = true, commit, ver
	close(f.decided)
}

func (f *fate) outcome() (commit bson.Timestamp, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commit, f.done
}

// again returns what becomes of the transaction on another branch, where it is
// not decided.
func (f *fate) again() *fate {
	if _, done := f.outcome(); !done {
		return f
	}
	return &fate{at: f.at, cat: f.cat, writes: f.writes, created: f.created, decided: make(chan struct{})}
}

// unsettled returns what was prepared at a time and is not decided yet. The
// caller holds the lock.
func (e *Engine) unsettled(at bson.Timestamp) []*fate {
	var out []*fate
	for _, f := range e.prepared {
		if !f.at.After(at) {
			out = append(out, f)
		}
	}
	return out
}

// settle brings what has been decided since the snapshot into it, as far as it
// belongs there: a commitTimestamp may be before the time of the commit. The
// caller holds mu.
func (t *Transaction) settle() {
	kept := t.unsettled[:0]
	for _, f := range t.unsettled {
		commit, done := f.outcome()
		switch {
		case !done:
			kept = append(kept, f)
		case !commit.IsZero() && !commit.After(t.read):
			t.include(f)
		}
	}
	t.unsettled = kept
}

func (t *Transaction) include(f *fate) {
	for id, rids := range f.writes {
		from, to := f.cat.byUUID[id], t.cat.byUUID[id]
		if to == nil && f.created[id] {
			t.cat.add(t.e.frozen(from))
		}
		if from == nil || to == nil {
			continue
		}
		for rid := range rids {
			r, _ := from.records.Get(rid)
			to.force(rid, rec{doc: r.doc, ver: f.ver})
		}
	}
}

// A PrepareConflictError is the error of a read that meets what a prepared
// transaction has changed. It can go on once Decided is closed.
type PrepareConflictError struct{ Decided <-chan struct{} }

// Error implements error.
func (c *PrepareConflictError) Error() string {
	return "the read meets a transaction that is prepared and not decided"
}

// Undecided returns the first place of a scan that a prepared transaction has
// changed, before or after the change; nil if there is none. What is there at
// the time that tx reads nobody knows before the transaction is decided.
func (tx *Tx) Undecided(c *Collection, s ScanSpec) (at Key, met *PrepareConflictError) {
	fates := tx.e.prepared
	if tx.txn != nil {
		fates = tx.txn.unsettled
	}
	if len(fates) == 0 {
		return at, nil
	}
	ix := s.index(c)
	for _, f := range fates {
		for rid := range f.writes[c.UUID] {
			before, _ := c.records.Get(rid)
			after, _ := f.cat.byUUID[c.UUID].records.Get(rid)
			for _, doc := range []bson.Raw{before.doc, after.doc} {
				for _, key := range s.places(ix, rid, doc) {
					if s.covers(ix, key) && (met == nil || s.Before(key, at)) {
						at, met = key, &PrepareConflictError{Decided: f.decided}
					}
				}
			}
		}
	}
	return at, met
}

// places returns where a scan meets a document.
func (s *ScanSpec) places(ix *Index, rid int64, doc bson.Raw) []Key {
	switch {
	case doc == nil || ix == nil && s.Index != "":
		return nil
	case ix == nil:
		return []Key{{ID: rid}}
	}
	keys, _, err := ix.keysOf(doc)
	if err != nil {
		return nil // it could be made when the document was written
	}
	out := make([]Key, len(keys))
	for i, key := range keys {
		out[i] = Key{Entry: ix.entryKey(key, rid), ID: rid}
	}
	return out
}

// covers reports whether a place is still ahead in the scan.
func (s *ScanSpec) covers(ix *Index, k Key) bool {
	if s.Resume != (Key{}) && !s.Before(s.Resume, k) {
		return false
	}
	if ix == nil {
		return true
	}
	low, high := s.interval(ix)
	return k.Entry >= low && (high == "" || k.Entry < high)
}

// Before reports whether the scan meets a before b.
func (s *ScanSpec) Before(a, b Key) bool {
	if s.Reverse {
		a, b = b, a
	}
	if a.Entry != b.Entry {
		return a.Entry < b.Entry
	}
	return a.Entry == "" && a.ID < b.ID
}
