package changestream_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func innerInsert(ns string, n int) bson.Raw {
	return value.D("op", "i", "ns", ns, "ui", value.UUID{1}, "o", value.D("_id", n), "o2", value.D("_id", n))
}

func applyOps(txn oplog.TxnInfo, more string, ops ...bson.Raw) *oplog.Entry {
	e := &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", Txn: txn, O: value.D("applyOps", ops)}
	if more != "" {
		e.O = value.D("applyOps", ops, more, true)
	}
	return e
}

// documentIDs returns the _id of each event's documentKey.
func documentIDs(events []bson.Raw) []int32 {
	var out []int32
	for _, e := range events {
		out = append(out, e.Lookup("documentKey", "_id").Int32())
	}
	return out
}

func TestTransactionsBecomeOneEventPerOperation(t *testing.T) {
	log := newLog()
	txn := oplog.TxnInfo{LSID: lsid(), Number: 7, Multi: true}
	log.Append(applyOps(txn, "", innerInsert("db.c", 0), innerInsert("db.other", 1), innerInsert("db.c", 2)))

	got := all(t, log, specOn(t, "db", "c"))
	assert.Equal(t, []int32{0, 2}, documentIDs(got))
	for _, e := range got {
		assert.Equal(t, log.Last(), timestamp(e))
		assert.Equal(t, int64(7), e.Lookup("txnNumber").Int64())
		assert.Equal(t, lsid(), e.Lookup("lsid").Document())
	}
	resumed, _ := rest(t, open(t, log, specOn(t, "db", "c", "resumeAfter", id(got[0]))))
	assert.True(t, equalDocs(got[1:], resumed), "the index counts operations the stream does not see")
}

// Several inserts in one entry are no transaction: they share a time only.
func TestGroupedInsertsHaveNoTransaction(t *testing.T) {
	log := newLog()
	log.Append(applyOps(oplog.TxnInfo{}, "", innerInsert("db.c", 0), innerInsert("db.c", 1)))
	got := all(t, log, spec(t))
	assert.Equal(t, []int32{0, 1}, documentIDs(got))
	assert.Empty(t, got[0].Lookup("lsid"))
	assert.Equal(t, timestamp(got[0]), timestamp(got[1]))
	assert.NotEqual(t, id(got[0]), id(got[1]))
}

func TestRetryableWritesHaveNoTransaction(t *testing.T) {
	log := newLog()
	e := insertEntry("db.c", value.UUID{1}, value.D("_id", 1))
	e.Txn = oplog.TxnInfo{LSID: lsid(), Number: 1}
	log.Append(e)
	assert.Empty(t, all(t, log, spec(t))[0].Lookup("lsid"))
}

func TestLargeTransactionsAreReadAsAWhole(t *testing.T) {
	log := newLog()
	txn := oplog.TxnInfo{LSID: lsid(), Number: 7, Multi: true}
	first := applyOps(txn, "partialTxn", innerInsert("db.c", 0), innerInsert("db.c", 1))
	log.Append(first, applyOps(txn, "partialTxn", innerInsert("db.c", 2)), applyOps(txn, "", innerInsert("db.c", 3)))
	log.Noop(value.D())
	got := all(t, log, spec(t))
	assert.Equal(t, []int32{0, 1, 2, 3}, documentIDs(got))

	s := open(t, log, spec(t, "startAtOperationTime", timestamp(got[0])))
	log.Truncate(timestamp(got[0]))
	_, _, _, err := s.Next(t.Context(), 0, 0, 0)
	assert.True(t, mongoerr.Is(err, mongoerr.ChangeStreamHistoryLost), "the beginning of the transaction is gone: %v", err)
}

// The events of a prepared transaction carry the time of its commit entry.
func TestPreparedTransactionsAppearAtTheirCommit(t *testing.T) {
	log := newLog()
	txn := oplog.TxnInfo{LSID: lsid(), Number: 7, Multi: true}
	prepare := applyOps(txn, "prepare", innerInsert("db.c", 0))
	log.Append(prepare)
	aborted := txn
	aborted.Number = 8
	log.Append(applyOps(aborted, "prepare", innerInsert("db.c", 9)))
	assert.Empty(t, all(t, log, spec(t)))

	txn.Prev = prepare.TS
	commit := &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", Txn: txn, O: value.D("commitTransaction", 1, "commitTimestamp", prepare.TS)}
	log.Append(commit)
	log.Append(&oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", Txn: aborted, O: value.D("abortTransaction", 1)})
	got := all(t, log, spec(t))
	require.Equal(t, []int32{0}, documentIDs(got))
	assert.Equal(t, commit.TS, timestamp(got[0]))
	assert.Equal(t, int64(7), got[0].Lookup("txnNumber").Int64())
}
