package storage

import (
	"encoding/binary"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A journal keeps an engine's data on the disk. The engine's lock guards it.
//
// Documents go to the log as they are written, and the records of collections
// that are in the catalog have them from there. What else a transaction changes
// goes into the frame that ends it, together with its oplog entries: so either
// all of it is there after a crash or nothing. Catalog entries are written whole.
// Index entries are not written: opening makes them from the documents.
type journal struct {
	log       *disk.Log
	lastIdent uint64              // the last number given to a collection
	states    map[string]bson.Raw // see Tx.SetState
	catalogAt map[uint64]uint32   // by collection, the segment of its latest catalog entry
	statesAt  map[string]uint32
}

// The changes of a frame.
const (
	changePut      = 1 // collection, record id, place of the document
	changeDelete   = 2 // collection, record id
	changeCatalog  = 3 // collection, its catalog entry
	changeDrop     = 4 // collection
	changeState    = 5 // key, document
	changeNoState  = 6 // key
	changeRollback = 7 // time of the last oplog entry that stays
	changeForgot   = 8 // time of the last oplog entry that has rolled over
	changeClock    = 9 // a cluster time that has been seen
)

// changes are what one transaction writes to the journal.
type changes struct {
	ops     []byte
	touched []*Collection // whose catalog entries may have changed
	states  []state
}

type state struct {
	key string
	doc bson.Raw // nil: no more
}

func (w *changes) op(kind byte, args ...uint64) {
	w.ops = append(w.ops, kind)
	for _, a := range args {
		w.ops = binary.AppendUvarint(w.ops, a)
	}
}

func (w *changes) text(b []byte) {
	w.ops = append(binary.AppendUvarint(w.ops, uint64(len(b))), b...)
}

// touch arranges for c's catalog entry to be written.
func (w *changes) touch(c *Collection) {
	if w != nil && !slices.Contains(w.touched, c) {
		w.touched = append(w.touched, c)
	}
}

// newIdent returns a number for a new collection. No journal needs none.
func (j *journal) newIdent() uint64 {
	if j == nil {
		return 0
	}
	j.lastIdent++
	return j.lastIdent
}

// put writes a document (nil: that there is none any more) and returns it from
// where it now is.
func (j *journal) put(w *changes, c *Collection, rid int64, doc bson.Raw) (bson.Raw, error) {
	if doc == nil {
		w.op(changeDelete, c.ident, uint64(rid))
		return nil, nil
	}
	stored, at, err := j.log.Blob(c.ident, uint64(rid), doc)
	if err != nil {
		return nil, diskError(err)
	}
	w.op(changePut, c.ident, uint64(rid), uint64(at.Segment), uint64(at.Offset))
	return stored, nil
}

// diskError is the server's error for what it cannot write.
func diskError(err error) error { return mongoerr.New(mongoerr.OutOfDiskSpace, "%v", err) }

// commit writes the frame of a transaction on k, with its oplog entries.
func (j *journal) commit(log *oplog.Log, k *catalog, w *changes, entries []*oplog.Entry) (bson.Timestamp, error) {
	w.finish(k)
	if len(w.ops) == 0 && len(entries) == 0 {
		return log.Last(), nil
	}
	ts, at, err := log.Commit(w.ops, entries...)
	if err != nil {
		return ts, diskError(err)
	}
	j.note(k, w, at.Segment)
	return ts, nil
}

// finish adds what is written at the end: catalog entries and states.
func (w *changes) finish(k *catalog) {
	for _, c := range w.touched {
		if k.get(c.NS) != c {
			w.op(changeDrop, c.ident)
			continue
		}
		w.op(changeCatalog, c.ident)
		w.text(c.catalogDoc())
	}
	for _, s := range w.states {
		if s.doc == nil {
			w.op(changeNoState)
			w.text([]byte(s.key))
			continue
		}
		w.op(changeState)
		w.text([]byte(s.key))
		w.text(s.doc)
	}
}

// note keeps in mind where the latest of what is not a document is.
func (j *journal) note(k *catalog, w *changes, at uint32) {
	for _, c := range w.touched {
		if k.get(c.NS) == c {
			j.catalogAt[c.ident] = at
		} else {
			delete(j.catalogAt, c.ident)
		}
	}
	for _, s := range w.states {
		if s.doc == nil {
			delete(j.states, s.key)
			delete(j.statesAt, s.key)
		} else {
			j.states[s.key], j.statesAt[s.key] = s.doc, at
		}
	}
}

// catalogDoc is a collection's catalog entry on the disk.
func (c *Collection) catalogDoc() bson.Raw {
	pairs := []any{"ns", c.NS, "options", c.Options}
	if !c.UUID.IsZero() {
		pairs = append(pairs, "uuid", value.Binary(4, c.UUID[:]), "lastID", c.nextID.Load())
	}
	if c.ShardKey != nil {
		pairs = append(pairs, "shardKey", c.ShardKey)
	}
	specs, multikey := []any{}, []any{}
	for _, ix := range c.indexes {
		specs = append(specs, ix.Spec)
		multikey = append(multikey, ix.data.multikey)
	}
	return value.D(append(pairs, "indexes", value.A(specs...), "multikey", value.A(multikey...))...)
}

// SetState keeps a document under a key beside the data, nil for none any more,
// for what must outlive the process. It is written with the transaction, and not
// kept at all by an engine in memory.
func (tx *Tx) SetState(key string, doc bson.Raw) {
	if tx.changes != nil {
		tx.changes.states = append(tx.changes.states, state{key, doc})
	}
}

// Durable reports whether SetState has an effect.
func (tx *Tx) Durable() bool { return tx.changes != nil }

// States calls fn with every document kept by SetState.
func (e *Engine) States(fn func(key string, doc bson.Raw)) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	j := e.journal.Load()
	if j == nil {
		return
	}
	for key, doc := range j.states {
		fn(key, doc)
	}
}

// Durable reports whether the engine is on the disk, so that SetState has an
// effect.
func (e *Engine) Durable() bool {
	return e.journal.Load() != nil
}

// Sync returns once everything that has been committed is on the disk; at once
// for an engine in memory.
func (e *Engine) Sync() error {
	j := e.journal.Load()
	if j == nil {
		return nil
	}
	if err := j.log.Sync(); err != nil {
		return diskError(err)
	}
	return nil
}
