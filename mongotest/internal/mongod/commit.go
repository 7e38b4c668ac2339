package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runPrepareTransaction promises that the transaction can be committed, whatever
// happens to this node until then. The coordinator sends it to every participant
// before any of them commits.
func runPrepareTransaction(_ context.Context, op *operation) (bson.Raw, error) {
	if !op.inTxn {
		return nil, mongoerr.New(mongoerr.CommandFailed, "prepareTransaction must be run within a transaction")
	}
	t := op.session.txn
	switch {
	case t.state == txnAborted:
		return nil, hasAborted(op.number)
	case t.state == txnCommitted && t.preparedAt.IsZero():
		return nil, mongoerr.New(mongoerr.TransactionCommitted, "Transaction with { txnNumber: %d } has been committed.", op.number)
	case t.state == txnCommitted || t.prepared:
		return value.D("prepareTimestamp", t.preparedAt), nil
	}
	exempt := op.req.Client.BypassWriteBlock
	if t.wrote {
		if err := op.line.block.enter(exempt); err != nil {
			op.session.abort(op.node)
			return nil, err
		}
	}
	at, err := t.inner.Prepare(preparedKey(op.session, op.number), value.D("lsid", op.session.lsid, "txnNumber", op.number))
	if err != nil {
		if t.wrote {
			op.line.block.leave(exempt)
		}
		return nil, err
	}
	op.session.change(func() {
		t.prepared, t.exempt, t.preparedAt, t.logged, t.since = true, exempt, at, at, time.Now()
	})
	t.counts.prepared.Add(1)
	return value.D("prepareTimestamp", at), nil
}

func runCommitTransaction(_ context.Context, op *operation) (bson.Raw, error) {
	if !op.inTxn {
		return nil, mongoerr.New(mongoerr.CommandFailed, "commitTransaction must be run within a transaction")
	}
	a := op.args()
	as := a.timestamp("commitTimestamp")
	if a.err != nil {
		return nil, a.err
	}
	t := op.session.txn
	switch t.state {
	case txnCommitted:
		return value.D(), nil
	case txnAborted:
		return nil, hasAborted(op.number)
	case txnOpen:
	}
	if err := t.checkCommit(as); err != nil {
		return nil, err
	}
	if t.prepared {
		return op.commitPrepared(t, as)
	}
	if t.wrote {
		if err := op.line.block.enter(op.req.Client.BypassWriteBlock); err != nil {
			op.session.abort(op.node)
			return nil, err
		}
		defer op.line.block.leave(op.req.Client.BypassWriteBlock)
	}
	at, err := t.inner.Commit()
	if err != nil {
		op.session.abort(op.node)
		return nil, err
	}
	op.session.change(func() { t.end(txnCommitted, at) })
	return value.D(), nil
}

// checkCommit holds commitTimestamp against whether the transaction is prepared.
func (t *transaction) checkCommit(as bson.Timestamp) error {
	switch {
	case t.prepared && as.IsZero():
		return mongoerr.New(mongoerr.InvalidOptions, "commitTransaction must provide commitTimestamp to prepared transaction.")
	case !t.prepared && !as.IsZero():
		return mongoerr.New(mongoerr.InvalidOptions, "commitTransaction cannot provide commitTimestamp to unprepared transaction.")
	case as.Before(t.preparedAt):
		return mongoerr.New(mongoerr.InvalidOptions, "'commitTimestamp' must be greater than or equal to 'prepareTimestamp'")
	}
	return nil
}

// commitPrepared commits what nothing can keep from it any more but the disk.
func (op *operation) commitPrepared(t *transaction, as bson.Timestamp) (bson.Raw, error) {
	at, err := t.inner.CommitAt(as)
	if err != nil {
		return nil, err
	}
	op.session.change(func() { t.end(txnCommitted, at) })
	return value.D(), nil
}

func runAbortTransaction(_ context.Context, op *operation) (bson.Raw, error) {
	if !op.inTxn {
		return nil, mongoerr.New(mongoerr.CommandFailed, "abortTransaction must be run within a transaction")
	}
	switch op.session.txn.state {
	case txnCommitted:
		return nil, mongoerr.New(mongoerr.TransactionCommitted, "Transaction with { txnNumber: %d } has been committed.", op.number)
	case txnAborted:
		return nil, hasAborted(op.number)
	case txnOpen:
	}
	op.session.abort(op.node)
	return value.D(), nil
}

func hasAborted(number int64) error {
	return noSuchTransaction("Transaction with { txnNumber: %d } has been aborted.", number)
}
