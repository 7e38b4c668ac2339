package storage

import (
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A lockTable says what open transactions have written and nobody else may
// write until they end. Nobody waits for a lock here: who meets one gets a
// WriteConflict. It is guarded by the engine's lock.
type lockTable struct {
	held  map[lockKey]*Transaction
	users map[value.UUID]int // by collection, how many transactions have written to it
}

// A lockKey names what is locked: a record, a key of a unique index (key is the
// index's name, a zero byte and the encoded key), or the name of a collection
// being created (only key).
type lockKey struct {
	coll value.UUID
	rid  int64
	key  string
}

func recordLock(c *Collection, rid int64) lockKey { return lockKey{coll: c.UUID, rid: rid} }

func uniqueLock(c *Collection, ix *Index, key string) lockKey {
	return lockKey{coll: c.UUID, key: ix.Name + "\x00" + key}
}

func nameLock(ns string) lockKey { return lockKey{key: ns} }

func (l *lockTable) empty() bool { return len(l.held) == 0 && len(l.users) == 0 }

// free reports whether nobody but t (nil: nobody) holds k.
func (l *lockTable) free(k lockKey, t *Transaction) bool {
	owner, ok := l.held[k]
	return !ok || owner == t
}

func (l *lockTable) take(k lockKey, t *Transaction) {
	if l.held == nil {
		l.held, l.users = make(map[lockKey]*Transaction), make(map[value.UUID]int)
	}
	if l.held[k] == t {
		return
	}
	l.held[k] = t
	t.locks = append(t.locks, k)
	if !k.coll.IsZero() && !t.uses[k.coll] {
		t.uses[k.coll] = true
		l.users[k.coll]++
	}
}

func (l *lockTable) release(t *Transaction) {
	for _, k := range t.locks {
		delete(l.held, k)
	}
	for id := range t.uses {
		if l.users[id]--; l.users[id] == 0 {
			delete(l.users, id)
		}
	}
}

// retake undoes release.
func (l *lockTable) retake(t *Transaction) {
	keys, uses := t.locks, t.uses
	t.locks, t.uses = nil, make(map[value.UUID]bool, len(uses))
	for _, k := range keys {
		l.take(k, t)
	}
}

// conflict returns the error of a write that meets a transaction's. Inside a
// transaction it makes the client repeat the whole transaction.
func (tx *Tx) conflict() error {
	err := mongoerr.New(mongoerr.WriteConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. "+
		":: Please retry your operation or multi-document transaction.")
	if tx.txn == nil {
		return err
	}
	return err.WithLabel(transientLabel)
}

const transientLabel = "TransientTransactionError"

// mayWrite refuses a write to what a transaction has locked and, inside a
// transaction, to what has changed since its snapshot.
func (tx *Tx) mayWrite(c *Collection, rid int64, old rec, had bool, p plan) error {
	if !tx.writable {
		return mongoerr.New(mongoerr.IllegalOperation, "cannot write to %s in a read-only view of the data", c.NS)
	}
	locks := &tx.e.locks
	if locks.empty() && tx.txn == nil {
		return nil
	}
	if !locks.free(recordLock(c, rid), tx.txn) {
		return tx.conflict()
	}
	for i := range p {
		if !p[i].ix.rejects() {
			continue
		}
		for _, key := range p[i].add {
			if !locks.free(uniqueLock(c, p[i].ix, key), tx.txn) {
				return tx.conflict()
			}
		}
	}
	if tx.txn != nil {
		return tx.checkSnapshot(c, rid, old, had)
	}
	return nil
}

// checkSnapshot refuses a transaction's write to a collection or record that
// others have changed since its snapshot.
func (tx *Tx) checkSnapshot(c *Collection, rid int64, old rec, had bool) error {
	if tx.txn.created[c.UUID] {
		return nil
	}
	now := tx.e.cat.byUUID[c.UUID]
	if now == nil || now.schema != c.schema {
		return mongoerr.New(mongoerr.SnapshotUnavailable, "Unable to read from a snapshot due to pending collection "+
			"catalog changes to collection '%s'; please retry the operation.", c.NS).WithLabel(transientLabel)
	}
	if !had || tx.txn.wrote(c, rid) {
		return nil
	}
	if r, ok := now.records.Get(rid); !ok || r.ver != old.ver {
		return tx.conflict()
	}
	return nil
}

// claim locks what a transaction's write touches. It fails if a key that is
// free in the transaction's snapshot has been taken since.
func (tx *Tx) claim(c *Collection, rid int64, p plan) error {
	t := tx.txn
	if t == nil {
		return nil
	}
	if now := tx.e.cat.byUUID[c.UUID]; now != nil && !t.created[c.UUID] {
		for i := range p {
			if !p[i].ix.rejects() {
				continue
			}
			for _, key := range p[i].add {
				other, taken := now.Index(p[i].ix.Name).holder(key, rid)
				if taken && !t.wrote(c, other) {
					return tx.conflict()
				}
			}
		}
	}
	locks := &tx.e.locks
	locks.take(recordLock(c, rid), t)
	for i := range p {
		if !p[i].ix.rejects() {
			continue
		}
		for _, key := range p[i].add {
			locks.take(uniqueLock(c, p[i].ix, key), t)
		}
		for _, key := range p[i].del {
			locks.take(uniqueLock(c, p[i].ix, key), t)
		}
	}
	t.noteWrite(c, rid)
	return nil
}

// mayAlter refuses DDL on a collection that an open transaction has written
// to, where the server would wait for its end, and inside transactions.
func (tx *Tx) mayAlter(c *Collection, what string) error {
	switch {
	case !tx.writable:
		return mongoerr.New(mongoerr.IllegalOperation, "cannot alter %s in a read-only view of the data", c.NS)
	case tx.txn != nil:
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction,
			"Cannot run '%s' in a multi-document transaction.", what)
	case tx.e.locks.users[c.UUID] > 0:
		return tx.conflict()
	}
	return nil
}
