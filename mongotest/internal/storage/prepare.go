package storage

import (
	"bytes"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// PreparedStates begins the keys of Tx.SetState of what is prepared.
const PreparedStates = "prepared/"

// Prepare logs what the transaction has done, without making it visible, and
// returns when: prepareTimestamp. From now on CommitAt cannot fail, and reads of
// what it has changed that are of this time or later have to wait for it. On the
// disk it waits for its end even if the process ends before: see FinishPrepared.
// key begins with PreparedStates; about is the caller's.
func (t *Transaction) Prepare(key string, about bson.Raw) (bson.Timestamp, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.e
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case t.done:
		return bson.Timestamp{}, t.ended()
	case t.fate != nil:
		return t.fate.at, nil
	}
	entries := applyOps(t.ops, t.meta, true)
	at, err := t.logPrepare(key, about, entries)
	if err != nil {
		return at, err
	}
	t.fate = &fate{at: at, cat: t.cat, writes: t.writes, created: t.created, decided: make(chan struct{})}
	e.prepared = append(e.prepared, t.fate)
	return at, nil
}

// logPrepare logs the entries, and keeps on the disk what a commit would write.
func (t *Transaction) logPrepare(key string, about bson.Raw, entries []*oplog.Entry) (bson.Timestamp, error) {
	e := t.e
	j := e.journal.Load()
	if j == nil {
		return e.log.Append(entries...), nil
	}
	w := &changes{}
	for id := range t.created {
		c := t.cat.byUUID[id]
		c.ident = j.newIdent()
		w.op(changeCatalog, c.ident)
		w.text(c.catalogDoc())
	}
	for id, rids := range t.writes {
		from, to := t.cat.byUUID[id], e.cat.byUUID[id]
		if t.created[id] {
			to = from
		}
		if from == nil || to == nil {
			continue
		}
		for rid := range rids {
			r, _ := from.records.Get(rid)
			if _, err := j.put(w, to, rid, r.doc); err != nil {
				return bson.Timestamp{}, err
			}
		}
	}
	kept := value.D("about", about, "changes", value.Binary(0, w.ops))
	at, err := j.commit(e.log, e.cat, &changes{states: []state{{key, kept}}}, entries)
	if err == nil {
		t.prepared = key
	}
	return at, err
}

// decision is the entry that ends a prepared transaction.
func (t *Transaction) decision(o bson.Raw) *oplog.Entry {
	txn := t.meta.Txn
	txn.Prev = t.fate.at
	return &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", O: o, Txn: txn}
}

// committedDoc is the operation of the entry that commits a prepared transaction.
func committedDoc(commitTimestamp bson.Timestamp) bson.Raw {
	return value.D("commitTransaction", 1, "commitTimestamp", commitTimestamp, "prepared", true)
}

// abortPrepared logs the end of a prepared transaction and takes back what is on
// the disk. The caller holds the engine's lock.
func (t *Transaction) abortPrepared() bson.Timestamp {
	entry := t.decision(value.D("abortTransaction", 1))
	j := t.e.journal.Load()
	if j == nil {
		return t.e.log.Append(entry)
	}
	w := &changes{}
	if t.prepared != "" {
		w.states = []state{{key: t.prepared}}
	}
	at, _ := j.commit(t.e.log, t.e.cat, w, []*oplog.Entry{entry}) // a disk that fails ends the cluster
	return at
}

// forget takes a prepared transaction from those that are not decided. The caller
// holds the lock.
func (e *Engine) forget(f *fate) {
	e.prepared = slices.DeleteFunc(e.prepared, func(other *fate) bool { return other == f })
}

// FinishPrepared commits at commitTimestamp, or aborts if that is zero, what a
// transaction has prepared that ended with its process. Nobody else may use the
// engine yet. It returns what it has logged.
func (e *Engine) FinishPrepared(key string, commitTimestamp bson.Timestamp) (*oplog.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j := e.journal.Load()
	kept := j.states[key]
	if kept == nil {
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "nothing is prepared as %q", key)
	}
	w := &changes{states: []state{{key: key}}}
	about, _ := kept.Lookup("about").DocumentOK()
	txn, err := e.findPrepared(about)
	if err != nil {
		return nil, err
	}
	entry := &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", O: value.D("abortTransaction", 1), Txn: txn}
	if !commitTimestamp.IsZero() {
		e.seq++
		_, ops, _ := kept.Lookup("changes").BinaryOK()
		if err := e.redo(w, ops); err != nil {
			return nil, err
		}
		e.clock.Advance(commitTimestamp)
		entry.O = committedDoc(commitTimestamp)
	}
	at, err := j.commit(e.log, e.cat, w, []*oplog.Entry{entry})
	e.past.dropped = at // nothing undoes this
	return entry, err
}

// findPrepared returns what the entries of a prepared transaction say of it, with
// the last of them as the one before. If that has rolled over there is none before.
func (e *Engine) findPrepared(about bson.Raw) (oplog.TxnInfo, error) {
	txn := oplog.TxnInfo{Number: about.Lookup("txnNumber").AsInt64(), Multi: true}
	txn.LSID, _ = about.Lookup("lsid").DocumentOK()
	for after := e.log.Dropped(); ; {
		entries, err := e.log.Read(after, false, findBatch)
		if err != nil || len(entries) == 0 {
			return txn, err
		}
		for _, entry := range entries {
			after = entry.TS
			if entry.Txn.Multi && entry.Txn.Number == txn.Number && bytes.Equal(entry.Txn.LSID, txn.LSID) && value.Truthy(entry.O.Lookup("prepare")) {
				txn.Prev = entry.TS
			}
		}
	}
}

// findBatch is how many entries are read at a time.
const findBatch = 1000

// redo carries out changes that are in the log already, and notes them again.
func (e *Engine) redo(w *changes, ops []byte) error {
	j, byIdent := e.journal.Load(), e.cat.byIdent()
	r := opReader{rest: ops}
	for len(r.rest) > 0 {
		kind, ident := r.byte(), r.number()
		c := byIdent[ident]
		switch {
		case kind == changeCatalog && c == nil:
			made, err := (&loading{entry: r.text()}).collection(ident)
			if err != nil {
				return err
			}
			byIdent[ident] = made
			e.cat.add(made)
			w.touch(made)
		case kind == changePut && c != nil:
			rid, at := r.number(), disk.Place{Segment: uint32(r.number()), Offset: uint32(r.number())}
			doc := j.log.Doc(at)
			if doc == nil || r.bad {
				return errChange
			}
			if c.force(int64(rid), rec{doc: doc, ver: e.seq}) {
				w.touch(c)
			}
			c.nextID.Store(max(c.nextID.Load(), int64(rid)))
			w.op(changePut, ident, rid, uint64(at.Segment), uint64(at.Offset))
		case kind == changeDelete && c != nil:
			rid := r.number()
			c.force(int64(rid), rec{})
			w.op(changeDelete, ident, rid)
		default:
			return errChange
		}
	}
	if r.bad {
		return errChange
	}
	return nil
}

// hasPrepared reports whether something prepared is on the disk.
func (j *journal) hasPrepared() bool {
	for key := range j.states {
		if strings.HasPrefix(key, PreparedStates) {
			return true
		}
	}
	return false
}
