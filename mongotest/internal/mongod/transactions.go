package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A transaction is the multi-document transaction of a session. Whoever has
// the session checked out owns it.
type transaction struct {
	number  int64
	state   txnState
	inner   *storage.Transaction
	block   *writeBlock // of its line
	started time.Time
	at      bson.Timestamp // its atClusterTime, zero without
	wrote   bool

	committed bson.Timestamp // zero until then, or if it wrote nothing
	logged    bson.Timestamp // of the latest entry of the oplog that tells of it

	// prepared says that its coordinator decides whether it commits: it survives
	// elections and its own age, and counts as a write in flight until then.
	prepared   bool
	exempt     bool           // from the write block, as it was prepared
	preparedAt bson.Timestamp // prepareTimestamp, zero if it never was
	since      time.Time      // when it was prepared
	counts     *txnCounts     // of the process in which it began, nil if that is gone
}

type txnState int

const (
	txnOpen txnState = iota
	txnCommitted
	txnAborted
)

// executeInTxn runs the handler as a statement of its session's transaction,
// which a failure aborts. The session is checked out.
func (op *operation) executeInTxn(ctx context.Context) (bson.Raw, error) {
	if op.handler.has(endsTxn) {
		if err := op.joinEnded(); err != nil {
			return nil, err
		}
		return op.handler.run(ctx, op)
	}
	if err := op.joinTxn(ctx); err != nil {
		return nil, err
	}
	body, err := op.handler.run(ctx, op)
	if err != nil || hasWriteErrors(body) {
		op.session.abort(op.node)
	}
	return body, err
}

func hasWriteErrors(body bson.Raw) bool {
	return body.Lookup("writeErrors").Type != 0
}

// joinTxn makes the session's open transaction op's, after starting it if op
// is its first statement.
func (op *operation) joinTxn(ctx context.Context) error {
	s := op.session
	if op.start {
		if s.txn != nil && op.number == s.number {
			return mongoerr.New(mongoerr.ConflictingOperationInProgress, "Transaction %d has already been started on this session", op.number)
		}
		if err := s.startNumber(op); err != nil {
			return err
		}
		if err := op.awaitReadConcern(ctx); err != nil {
			return err
		}
		return op.openTxn()
	}
	if op.number < s.number {
		return tooOld(op.number, s.number)
	}
	if s.txn == nil || s.txn.number != op.number {
		return noSuchTransaction("Given transaction number %d does not match any in-progress transactions. The active transaction number is %d", op.number, s.number)
	}
	switch s.txn.state {
	case txnCommitted:
		return mongoerr.New(mongoerr.TransactionCommitted, "Transaction with { txnNumber: %d } has been committed.", op.number)
	case txnAborted:
		return noSuchTransaction("Transaction with { txnNumber: %d } has been aborted.", op.number)
	case txnOpen:
	}
	if s.txn.prepared {
		return mongoerr.New(mongoerr.PreparedTransactionInProgress, "Cannot call any operation other than abort, prepare or commit on a prepared transaction")
	}
	op.txn = s.txn
	return nil
}

// openTxn starts the transaction on the data of its atClusterTime, or of this
// moment.
func (op *operation) openTxn() error {
	s := op.session
	if len(s.results) > 0 {
		return mongoerr.New(mongoerr.InvalidOptions, "Cannot start a transaction at txnNumber %d, which retryable writes have used", op.number)
	}
	m := storage.Meta{Now: op.node.now(), Txn: oplog.TxnInfo{LSID: s.lsid, Number: op.number, Multi: true}}
	inner, err := op.openData(m)
	if err != nil {
		return err
	}
	counts := &op.node.records.txns
	op.txn = &transaction{number: op.number, inner: inner, started: time.Now(), block: op.line.block, at: op.concern.at, counts: counts}
	counts.started.Add(1)
	s.change(func() { s.txn = op.txn })
	return nil
}

func (op *operation) openData(m storage.Meta) (*storage.Transaction, error) {
	if at := op.concern.at; !at.IsZero() {
		return op.dataAt(m, at)
	}
	return op.line.engine.Begin(m), nil
}

func noSuchTransaction(format string, params ...any) error {
	return mongoerr.New(mongoerr.NoSuchTransaction, format, params...).WithLabel(errlabel.TransientTransaction)
}

// joinEnded finds the transaction that a commit or an abort means: it may have
// ended already. It is left in the session, for the handler to look at.
func (op *operation) joinEnded() error {
	s := op.session
	if op.number < s.number {
		return tooOld(op.number, s.number)
	}
	if s.txn == nil || s.txn.number != op.number {
		return noSuchTransaction("Given transaction number %d does not match any in-progress transactions. The active transaction number is %d", op.number, s.number)
	}
	return nil
}

// interrupt aborts the session's transaction unless it is prepared, and reports
// whether none is left. The caller has the session checked out.
func (s *session) interrupt(n *Node) bool {
	if s.txn != nil && s.txn.state == txnOpen && s.txn.prepared {
		return false
	}
	s.abort(n)
	return true
}

// abort ends the session's transaction if it is open. The caller has the
// session checked out.
func (s *session) abort(n *Node) {
	if s.txn == nil || s.txn.state != txnOpen {
		return
	}
	at := s.txn.inner.Abort()
	s.change(func() { s.txn.end(txnAborted, at) })
	n.cursors.killWhere(func(c *cursor) bool { return c.session == s.key && c.number == s.txn.number })
}

// end makes the transaction an ended one, of which the oplog tells at a time, zero
// if it does not. One that was prepared is no write in flight any more.
func (t *transaction) end(as txnState, at bson.Timestamp) {
	if t.prepared && t.wrote {
		t.block.leave(t.exempt)
	}
	t.counts.ended(as, t.prepared)
	t.state, t.prepared = as, false
	if !at.IsZero() {
		t.logged = at
	}
	if as == txnCommitted {
		t.committed = at
	}
}
