package storage

import (
	"maps"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Transaction is an open multi-document transaction: a snapshot of the data
// from Begin with its own changes on top, which nobody else sees before Commit.
// It is safe for concurrent use; calls run one after the other.
type Transaction struct {
	e    *Engine
	meta Meta
	read bson.Timestamp // of the snapshot

	mu      sync.Mutex
	cat     *catalog // the snapshot with the changes; copy on write
	ops     []*oplog.Entry
	done    bool
	writes  map[value.UUID]map[int64]bool // records changed, by collection
	created map[value.UUID]bool           // collections created

	prepared string // the key under which the disk has it, "" if it has not
	fate     *fate  // not nil: it is prepared

	unsettled []*fate // prepared ones that the snapshot may have to include

	// Guarded by the engine's lock.
	locks []lockKey
	uses  map[value.UUID]bool // collections with locks
}

// Begin opens a transaction for the session m.Txn on a snapshot of the current
// data. The caller ends it with Commit or Abort. Of m only Txn counts. The given
// functions are called while nobody can write.
func (e *Engine) Begin(m Meta, meanwhile ...func()) *Transaction {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range meanwhile {
		f()
	}
	return e.begin(m)
}

func (e *Engine) begin(m Meta) *Transaction {
	m.Txn.Multi = true
	return &Transaction{
		e: e, meta: m, read: e.log.Last(), cat: e.cat.snapshot(),
		writes:  make(map[value.UUID]map[int64]bool),
		created: make(map[value.UUID]bool),
		uses:    make(map[value.UUID]bool),

		unsettled: e.unsettled(e.log.Last()),
	}
}

// ReadTime returns the time of the snapshot: it has exactly the changes that the
// oplog had at that time.
func (t *Transaction) ReadTime() bson.Timestamp { return t.read }

// Do runs fn on the transaction's data. If fn returns an error, what it did in
// this call is undone and the error returned as it is; the transaction stays
// open until the caller aborts it, as the server does after any error. A write
// that conflicts with another one fails with WriteConflict or
// SnapshotUnavailable, labelled TransientTransactionError; creating what
// others have created since fails with WriteConflict.
func (t *Transaction) Do(fn func(*Tx) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return t.ended()
	}
	if t.fate != nil {
		return mongoerr.New(mongoerr.PreparedTransactionInProgress, "Cannot call any operation other than abort, prepare or commit on a prepared transaction")
	}
	t.settle()
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	tx := &Tx{e: t.e, cat: t.cat, txn: t, writable: true}
	if err := fn(tx); err != nil {
		tx.rollback()
		return err
	}
	t.ops = append(t.ops, tx.staged...)
	return nil
}

// View runs fn, which must not write, on the transaction's data. Unlike Do it
// stops nobody else, and so suits long reads from a snapshot.
func (t *Transaction) View(fn func(*Tx) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return t.ended()
	}
	t.settle()
	return fn(&Tx{e: t.e, cat: t.cat, txn: t})
}

func (t *Transaction) ended() error {
	return mongoerr.New(mongoerr.NoSuchTransaction, "Transaction with { txnNumber: %d } has ended.", t.meta.Txn.Number).
		WithLabel(transientLabel)
}

// Commit makes the changes visible and logs them as one applyOps entry, whose
// timestamp it returns; zero if there were none. It fails only if the
// transaction has ended before, or the disk fails.
func (t *Transaction) Commit() (bson.Timestamp, error) { return t.commit(bson.Timestamp{}) }

// CommitAt is Commit for a prepared transaction: reads at commitTimestamp and
// later see the changes, which the log has already. It says now that they count.
func (t *Transaction) CommitAt(commitTimestamp bson.Timestamp) (bson.Timestamp, error) {
	return t.commit(commitTimestamp)
}

func (t *Transaction) commit(as bson.Timestamp) (bson.Timestamp, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return bson.Timestamp{}, t.ended()
	}
	t.done = true
	e := t.e
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.transactionEnded()
	defer e.locks.release(t)
	if len(t.ops) == 0 && t.fate == nil {
		return bson.Timestamp{}, nil
	}
	e.seq++
	entries := t.entries(as)
	var undo []undoRecord
	var w *changes
	j := e.journal.Load()
	if j != nil {
		w = &changes{}
		if t.prepared != "" {
			w.states = []state{{key: t.prepared}}
		}
	}
	for id := range t.created {
		c := t.cat.byUUID[id]
		c.schema, c.ident = e.seq, j.newIdent() // it may have been made on another branch
		e.cat.add(c)
		w.touch(c)
		undo = append(undo, undoRecord{c: c, catalog: &catalogChange{kind: made, ns: c.NS, uuid: id}})
	}
	for id, rids := range t.writes {
		var err error
		if undo, err = t.apply(id, rids, undo, w); err != nil {
			return bson.Timestamp{}, err
		}
	}
	var at bson.Timestamp
	if j == nil {
		at = e.log.Append(entries...)
	} else {
		var err error
		if at, err = j.commit(e.log, e.cat, w, entries); err != nil {
			return at, err
		}
	}
	if t.fate == nil {
		e.past.add(undo, 0, at)
		return at, nil
	}
	e.past.insert(undo, as, at)
	e.forget(t.fate)
	t.fate.decide(as, e.seq)
	return at, nil
}

// entries are what a commit logs. The caller holds the engine's lock.
func (t *Transaction) entries(commitTimestamp bson.Timestamp) []*oplog.Entry {
	if t.fate == nil {
		return applyOps(t.ops, t.meta, false)
	}
	t.e.clock.Advance(commitTimestamp) // the commit comes later
	return []*oplog.Entry{t.decision(committedDoc(commitTimestamp))}
}

// apply brings the records a transaction changed into the engine's data, and
// adds what undoes it. The locks have seen to it that nobody else changed them.
// It fails if the disk does, which ends the cluster.
func (t *Transaction) apply(id value.UUID, rids map[int64]bool, undo []undoRecord, w *changes) ([]undoRecord, error) {
	from, to := t.cat.byUUID[id], t.e.cat.byUUID[id]
	if from == nil || to == nil || from == to && w == nil {
		return undo, nil
	}
	order := make([]int64, 0, len(rids))
	for rid := range rids {
		order = append(order, rid)
	}
	slices.Sort(order)
	for _, rid := range order {
		r, _ := from.records.Get(rid)
		if w != nil {
			var err error
			if r.doc, err = t.e.journal.Load().put(w, to, rid, r.doc); err != nil {
				return undo, err
			}
		}
		old, _ := to.records.Get(rid)
		if to.force(rid, rec{doc: r.doc, ver: t.e.seq}) {
			w.touch(to)
		}
		if from != to {
			undo = append(undo, undoRecord{c: to, rid: rid, old: old})
		}
	}
	return undo, nil
}

// CarryTo returns the transaction, open whatever has become of t, with all it has
// done and what it holds, as one of e: an engine that has branched off before t
// ended.
func (t *Transaction) CarryTo(e *Engine) *Transaction {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.mu.Lock()
	own := t.fate
	if own != nil {
		own = own.again()
	}
	c := &Transaction{
		fate: own,
		e:    e, meta: t.meta, read: t.read, cat: t.cat.snapshot(), ops: slices.Clone(t.ops),
		writes: maps.Clone(t.writes), created: maps.Clone(t.created), prepared: t.prepared, // a prepared transaction writes no more
		locks: slices.Clone(t.locks), uses: maps.Clone(t.uses),
	}
	t.e.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.locks.retake(c)
	if c.fate != nil {
		e.prepared = append(e.prepared, c.fate)
	}
	return c
}

// Abort drops the transaction. It does nothing if the transaction has ended. That
// a prepared one is dropped is logged, at the time returned.
func (t *Transaction) Abort() bson.Timestamp {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return bson.Timestamp{}
	}
	t.done = true
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	t.e.locks.release(t)
	t.e.transactionEnded()
	if t.fate == nil {
		return bson.Timestamp{}
	}
	at := t.abortPrepared()
	t.e.forget(t.fate)
	t.fate.decide(bson.Timestamp{}, 0)
	return at
}

// wrote reports whether the transaction has changed the record.
func (t *Transaction) wrote(c *Collection, rid int64) bool { return t.writes[c.UUID][rid] }

func (t *Transaction) noteWrite(c *Collection, rid int64) {
	rids := t.writes[c.UUID]
	if rids == nil {
		rids = make(map[int64]bool)
		t.writes[c.UUID] = rids
	}
	rids[rid] = true
}
