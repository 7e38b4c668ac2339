package mongod

import (
	"maps"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// branch returns the sessions as they are on a line that has branched off after
// at: what was done later has not been done there, so a retry does it again.
func (t *sessionTable) branch(to *line, at bson.Timestamp) *sessionTable {
	b := newSessionTable()
	for _, s := range t.list() {
		b.all[s.key] = s.branch(to, at)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.Copy(b.past, t.past) // nobody has done anything in them since the restart
	return b
}

func (s *session) branch(to *line, at bson.Timestamp) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &session{
		key: s.key, lsid: s.lsid, user: s.user, lastUse: time.Now(),
		checkedOut: make(chan struct{}, 1), number: s.number, results: maps.Clone(s.results), kept: s.kept,
	}
	maps.DeleteFunc(b.results, func(_ int32, r stmtResult) bool { return r.at.After(at) })
	if s.txn != nil {
		b.txn = s.txn.branch(to, at)
	}
	return b
}

// branch returns what becomes of a transaction. One that was prepared stays so:
// its coordinator may have committed it elsewhere. Any other that is open is gone,
// as it is with every election, and so are a commit and a promise that came later.
func (t *transaction) branch(to *line, at bson.Timestamp) *transaction {
	b := *t
	b.block = to.block
	undone := t.state == txnCommitted && t.committed.After(at) || t.state == txnAborted && t.logged.After(at)
	promised := t.inner != nil && !t.preparedAt.IsZero() && !t.preparedAt.After(at)
	switch {
	case (t.prepared || undone) && promised:
		b.inner = t.inner.CarryTo(to.engine)
		b.state, b.prepared, b.committed, b.logged = txnOpen, true, bson.Timestamp{}, t.preparedAt
		if t.wrote {
			to.block.reenter(t.exempt)
		}
	case t.state == txnOpen:
		b.state, b.prepared = txnAborted, false
	case undone:
		return nil
	}
	return &b
}
