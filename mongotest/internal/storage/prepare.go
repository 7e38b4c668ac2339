package storage

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// PreparedStates begins the keys of Tx.SetState of what is prepared.
const PreparedStates = "prepared/"

// Prepare writes to the disk what a Commit would write, so that the transaction
// can be committed or aborted with FinishPrepared if the process ends before it
// is. key begins with PreparedStates; about is the caller's. In memory nothing
// happens.
func (t *Transaction) Prepare(key string, about bson.Raw) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.e
	e.mu.Lock()
	defer e.mu.Unlock()
	j := e.journal.Load()
	if t.done || j == nil || len(t.ops) == 0 {
		return nil
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
				return err
			}
		}
	}
	var entries []any
	for _, entry := range applyOps(t.ops, t.meta) {
		entries = append(entries, value.Binary(0, oplog.Encode(entry)))
	}
	kept := value.D("about", about, "changes", value.Binary(0, w.ops), "entries", value.A(entries...))
	_, err := j.commit(e.log, e.cat, &changes{states: []state{{key, kept}}}, nil)
	if err == nil {
		t.prepared = key
	}
	return err
}

// forgetPrepared takes back what Prepare has written. The caller holds the
// engine's lock.
func (t *Transaction) forgetPrepared() error {
	j := t.e.journal.Load()
	if t.prepared == "" || j == nil {
		return nil
	}
	_, err := j.commit(t.e.log, t.e.cat, &changes{states: []state{{key: t.prepared}}}, nil)
	return err
}

// FinishPrepared commits or aborts what a transaction has prepared that ended
// with its process. Nobody else may use the engine yet. It returns the entries
// that it has logged.
func (e *Engine) FinishPrepared(key string, commit bool) ([]*oplog.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j := e.journal.Load()
	kept := j.states[key]
	if kept == nil {
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "nothing is prepared as %q", key)
	}
	w := &changes{states: []state{{key: key}}}
	var entries []*oplog.Entry
	if commit {
		e.seq++
		_, ops, _ := kept.Lookup("changes").BinaryOK()
		if err := e.redo(w, ops); err != nil {
			return nil, err
		}
		list, _ := kept.Lookup("entries").ArrayOK()
		for _, v := range value.Elements(bson.Raw(list)) {
			_, b, _ := v.BinaryOK()
			entry, err := oplog.Decode(b)
			if err != nil {
				return nil, err
			}
			entry.TS, entry.Term, entry.Wall = bson.Timestamp{}, 0, time.Time{}
			entries = append(entries, entry)
		}
	}
	at, err := j.commit(e.log, e.cat, w, entries)
	if commit {
		e.past.dropped = at // nothing undoes this
	}
	return entries, err
}

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
