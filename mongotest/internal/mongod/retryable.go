package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// stmtResult is the remembered outcome of one retryable statement.
type stmtResult struct {
	n        int64
	modified int64
	upserted bson.RawValue // the _id, type zero if nothing was upserted
	reply    bson.Raw      // findAndModify only: the whole reply
	at       bson.Timestamp
}

// startNumber makes op's number the session's latest. The results of an older
// number are forgotten, its open transaction is aborted. The caller has the
// session checked out.
func (s *session) startNumber(op *operation) error {
	switch {
	case op.number < s.number:
		return tooOld(op.number, s.number)
	case op.number > s.number && !s.interrupt(op.node):
		return mongoerr.New(mongoerr.PreparedTransactionInProgress, "Cannot change transaction number while the session has a prepared transaction")
	case op.number > s.number:
		s.change(func() { s.number, s.txn, s.results = op.number, nil, map[int32]stmtResult{} })
	case s.txn != nil && !op.inTxn && !op.handler.has(endsTxn):
		return mongoerr.New(mongoerr.IncompleteTransactionHistory,
			"Cannot run a retryable write with txnNumber %d, which a transaction has used", op.number)
	}
	return nil
}

func tooOld(number, latest int64) error {
	return mongoerr.New(mongoerr.TransactionTooOld,
		"Cannot start transaction with { txnNumber: %d } on session because a newer transaction with txnNumber %d has already started on this session.", number, latest)
}

// isRetryable reports whether op's statements are to be remembered.
func (op *operation) isRetryable() bool { return op.number != noNumber && op.txn == nil }

// recall returns the outcome of a statement that op's session has carried out
// under the same transaction number.
func (op *operation) recall(stmtID int32) (stmtResult, bool) {
	if !op.isRetryable() {
		return stmtResult{}, false
	}
	r, ok := op.session.results[stmtID]
	return r, ok
}

// remember keeps the outcome of a statement that has been carried out.
func (op *operation) remember(stmtID int32, r stmtResult) {
	if op.isRetryable() {
		r.at = op.line.log.Last()
		r.upserted = ownValue(r.upserted)
		op.session.change(func() { op.session.results[stmtID] = r })
	}
}

// stmtIDs returns the statement id of each of count statements: those the
// command gives, else the indexes.
func (op *operation) stmtIDs(count int) ([]int32, error) {
	a := op.args()
	first := int32(a.int64("stmtId", 0))
	given := a.values("stmtIds")
	if a.err != nil {
		return nil, a.err
	}
	if len(given) > 0 && len(given) != count {
		return nil, mongoerr.New(mongoerr.InvalidLength, "Number of statement ids must match the number of batch entries. Got %d statement ids but %d operations", len(given), count)
	}
	ids := make([]int32, count)
	for i := range ids {
		ids[i] = first + int32(i)
		if len(given) > 0 {
			id, ok := given[i].AsInt64OK()
			if !ok {
				return nil, mongoerr.New(mongoerr.TypeMismatch, "stmtIds must be numbers")
			}
			ids[i] = int32(id)
		}
	}
	return ids, nil
}
