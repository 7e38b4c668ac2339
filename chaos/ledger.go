package chaos

import (
	"fmt"
	"sync"

	"github.com/shardferry/shardferry"
)

// A key names a document for the ledger: its collection and its number, which
// is in the document's field n.
type key struct {
	coll string
	n    int64
}

func (k key) String() string { return fmt.Sprintf("%s n=%d", k.coll, k.n) }

// An attempt is one write of a document, in the order in which its only writer
// made them.
type attempt struct {
	version int64 // field v after it; unique among all writes
	deleted bool  // there is no document after it
	moved   bool  // the shard key changed: on the way the document may be missing, or there twice

	acked bool
	side  Side                   // where it was acknowledged
	at    shardferry.ClusterTime // of that side; no earlier than the write
}

// A ledger knows what applications were told about their writes.
type ledger struct {
	mu       sync.Mutex
	attempts map[key][]attempt
	versions int64
}

func newLedger() *ledger { return &ledger{attempts: map[key][]attempt{}} }

// version returns a version that no other write has.
func (l *ledger) version() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions++
	return l.versions
}

// try notes that a write is about to be sent.
func (l *ledger) try(k key, a attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts[k] = append(l.attempts[k], a)
}

// acknowledge notes that the last attempt took effect.
func (l *ledger) acknowledge(k key, side Side, at shardferry.ClusterTime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.attempts[k]
	last := &list[len(list)-1]
	last.acked, last.side, last.at = true, side, at
}

// forget notes that the last attempt certainly took no effect.
func (l *ledger) forget(k key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts[k] = l.attempts[k][:len(l.attempts[k])-1]
}

// found is what was read of a document: its versions, normally one.
type found map[key][]int64

// A reading says when documents were read.
type reading struct {
	// Everything that was acknowledged must be there, unless partial: then only
	// what was acknowledged on the side from at or before upTo, and everything
	// acknowledged on the other side.
	partial bool
	from    Side
	upTo    shardferry.ClusterTime
}

// wrongShown is how many wrong documents one check names.
const wrongShown = 5

// check compares what was read with what was acknowledged, and names documents
// that are wrong.
func (l *ledger) check(docs found, r reading) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []string
	for k, list := range l.attempts {
		if why := judge(list, docs[k], r); why != "" && len(wrong) < wrongShown {
			wrong = append(wrong, fmt.Sprintf("%v: %s", k, why))
		}
	}
	for k, versions := range docs {
		if len(l.attempts[k]) == 0 && len(wrong) < wrongShown {
			wrong = append(wrong, fmt.Sprintf("%v: versions %v were never written", k, versions))
		}
	}
	return wrong
}

// judge returns why the versions read of one document cannot be, or nothing.
func judge(list []attempt, versions []int64, r reading) string {
	must := -1
	for i, a := range list {
		if a.acked && (!r.partial || a.side != r.from || !a.at.After(r.upTo)) {
			must = i
		}
	}
	between := false // the document may be on its way to another shard
	for _, a := range list[max(must, 0):] {
		between = between || (a.moved && r.partial)
	}
	switch {
	case len(versions) > 1 && !between:
		return fmt.Sprintf("it is there %d times, versions %v", len(versions), versions)
	case len(versions) == 0:
		if between || must < 0 || mayBeGone(list[must:]) {
			return ""
		}
		return fmt.Sprintf("it is missing, version %d was acknowledged%s", list[must].version, when(list[must]))
	}
	for _, v := range versions {
		if !mayBe(list[max(must, 0):], v) {
			if must < 0 {
				return fmt.Sprintf("version %d was never written", v)
			}
			return fmt.Sprintf("it has version %d, but %s was acknowledged%s", v, outcome(list[must]), when(list[must]))
		}
	}
	return ""
}

func mayBe(list []attempt, v int64) bool {
	for _, a := range list {
		if !a.deleted && a.version == v {
			return true
		}
	}
	return false
}

func mayBeGone(list []attempt) bool {
	for _, a := range list {
		if a.deleted {
			return true
		}
	}
	return false
}

func outcome(a attempt) string {
	if a.deleted {
		return fmt.Sprintf("its deletion (%d)", a.version)
	}
	return fmt.Sprintf("version %d", a.version)
}

func when(a attempt) string {
	if a.at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" by the %v at %d.%d", a.side, a.at.T, a.at.I)
}
