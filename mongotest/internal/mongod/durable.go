package mongod

import (
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// What a replica set on the disk keeps beside its data (storage.Tx.SetState).
const (
	setState      = "set"      // what ReplicaSet.keep writes
	sessionStates = "session/" // and the session's key: outcomes that the oplog does not tell
)

// Initiate begins a new replica set: with what every oplog begins with.
func (n *Node) Initiate() error {
	log := n.line().log
	log.Noop(value.D("msg", "initiating set"))
	log.Noop(value.D("msg", "new primary"))
	return n.set.keep()
}

// Recover makes the replica set what it was when its process ended, with its
// storage open. As after every restart there is a primary of a new term, open
// transactions are aborted and temporary collections are gone. It comes before
// the Run of any member.
func (n *Node) Recover() error {
	s, l := n.set, n.line()
	states := map[string]bson.Raw{}
	l.engine.States(func(key string, doc bson.Raw) { states[key] = doc })
	s.resume(states[setState])
	if err := l.sessions.recall(l.log, states); err != nil {
		return err
	}
	l.log.Noop(value.D("msg", "new primary"))
	for key := range states {
		if s.cfg.ShardID == "" && !s.cfg.ShardServer && strings.HasPrefix(key, storage.PreparedStates) { // there are no other participants
			if _, err := l.engine.FinishPrepared(key, bson.Timestamp{}); err != nil {
				return err
			}
		}
	}
	return l.engine.Update(func(tx *storage.Tx) error {
		for _, db := range tx.Databases() {
			for _, c := range tx.Collections(db) {
				if !value.Truthy(c.Options.Lookup("temp")) {
					continue
				}
				if err := tx.Drop(c, storage.Meta{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// recall finds the sessions in the oplog and in states. Those that would have
// timed out by now are left out.
func (t *sessionTable) recall(log *oplog.Log, states map[string]bson.Raw) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, history := range states {
		if !strings.HasPrefix(key, sessionStates) {
			continue
		}
		lsid, _ := history.Lookup("lsid").DocumentOK()
		s, err := t.earlier(lsid)
		if err != nil {
			return err
		}
		s.learn(nil, history)
		s.kept = true
		s.lastUse = time.Now()
	}
	after := bson.Timestamp{T: uint32(max(0, time.Now().Add(-sessionTimeoutMins*time.Minute).Unix()))}
	if dropped := log.Dropped(); dropped.After(after) {
		after = dropped
	}
	for {
		entries, err := log.Read(after, false, lookExamined)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			after = e.TS
			if e.Txn.LSID == nil {
				continue
			}
			s, err := t.earlier(e.Txn.LSID)
			if err != nil {
				return err
			}
			s.replay(e)
		}
	}
}

// earlier returns a session that nobody has used since the restart. Its user is
// known as soon as somebody does.
func (t *sessionTable) earlier(lsid bson.Raw) (*session, error) {
	key, err := sessionKey(lsid)
	if err != nil {
		return nil, err
	}
	s := t.past[key]
	if s == nil {
		s = newSession(key, slices.Clone(lsid))
		t.past[key] = s
	}
	return s, nil
}

// replay notes what an oplog entry tells of a session: the outcome of a
// retryable write, or a transaction that was committed.
func (s *session) replay(e *oplog.Entry) {
	if e.Txn.Number < s.number {
		return
	}
	if e.Txn.Number > s.number {
		s.number, s.txn, s.results = e.Txn.Number, nil, map[int32]stmtResult{}
	}
	s.lastUse = e.Wall
	if e.Txn.Multi {
		s.replayTxn(e)
		return
	}
	if _, known := s.results[e.Txn.StmtID]; known {
		return // findAndModify, whose reply the oplog does not have
	}
	r := stmtResult{n: 1, at: e.TS}
	switch e.Op {
	case oplog.Insert: // of an upsert, if it was an update
		r.upserted = ownValue(e.O.Lookup("_id"))
	case oplog.Update:
		r.modified = 1
	case oplog.Delete:
	case oplog.Command, oplog.Noop:
		return
	}
	s.results[e.Txn.StmtID] = r
}

// replayTxn notes what became of a transaction. One that was only prepared is as
// good as aborted until somebody decides it otherwise.
func (s *session) replayTxn(e *oplog.Entry) {
	t := s.txn
	if t == nil {
		t = &transaction{number: e.Txn.Number, state: txnAborted, started: e.Wall, wrote: true}
		s.txn = t
	}
	t.logged = e.TS
	switch {
	case e.CommandName() == "abortTransaction" || value.Truthy(e.O.Lookup("partialTxn")):
	case value.Truthy(e.O.Lookup("prepare")):
		t.preparedAt, t.since = e.TS, e.Wall
	default:
		t.state, t.committed = txnCommitted, e.TS
	}
}

// ownValue returns v with memory of its own, for what outlives an operation.
func ownValue(v bson.RawValue) bson.RawValue {
	v.Value = slices.Clone(v.Value)
	return v
}

// keep arranges for the outcomes of op's session that the oplog does not tell to
// be on the disk, with that of a statement that tx carries out.
func (op *operation) keep(tx *storage.Tx, stmtID int32, r stmtResult) {
	if !op.isRetryable() || !tx.Durable() {
		return
	}
	s := op.session
	s.change(func() { s.kept = true })
	statements := []any{r.document(stmtID)}
	for id, known := range s.results {
		if known.reply != nil && id != stmtID {
			statements = append(statements, known.document(id))
		}
	}
	tx.SetState(sessionStates+s.key, value.D("lsid", s.lsid, "txnNumber", s.number, "statements", value.A(statements...)))
}

// keepHistory keeps all outcomes of a session: they are another shard's. The
// caller has the session checked out.
func (l *line) keepHistory(s *session) error {
	s.change(func() { s.kept = true })
	return l.engine.Update(func(tx *storage.Tx) error {
		tx.SetState(sessionStates+s.key, s.history())
		return nil
	})
}

// forgetPast removes the sessions that nobody has used since the restart and
// that have timed out.
func (l *line) forgetPast(now time.Time) error {
	for _, s := range l.sessions.expired(now) {
		if err := l.forget(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *sessionTable) expired(now time.Time) (old []*session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, s := range t.past {
		if now.Sub(s.lastUse) >= sessionTimeoutMins*time.Minute {
			delete(t.past, key)
			old = append(old, s)
		}
	}
	return old
}

// forget removes a session. The caller has it checked out.
func (l *line) forget(s *session) error {
	l.sessions.remove(s)
	if !s.kept {
		return nil
	}
	s.change(func() { s.kept = false })
	return l.engine.Update(func(tx *storage.Tx) error {
		tx.SetState(sessionStates+s.key, nil)
		return nil
	})
}

// journal waits until op's write is on the disk, if its write concern asks for
// that: {j: true}, or a majority (writeConcernMajorityJournalDefault).
func (op *operation) journal(wc bson.Raw, journaled bool) error {
	w := wc.Lookup("w")
	name, _ := w.StringValueOK()
	if w.Type == 0 || w.Type == bson.TypeNull || name == "majority" || journaled || value.Truthy(wc.Lookup("j")) {
		return op.line.engine.Sync()
	}
	return nil
}
