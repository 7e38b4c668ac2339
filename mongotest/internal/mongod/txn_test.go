package mongod_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// txn is a transaction of a client.
type txn struct {
	*fixture
	lsid   bson.Raw
	number int64
	begun  bool
}

// args adds the transaction's fields to a command.
func (x *txn) args(pairs ...any) []any {
	pairs = append(pairs, "lsid", x.lsid, "txnNumber", x.number, "autocommit", false)
	if !x.begun {
		pairs = append(pairs, "startTransaction", true)
	}
	x.begun = true
	return pairs
}

func (x *txn) insert(docs ...bson.Raw) { x.run("db", x.args("insert", "c", "documents", docs)...) }

func (x *txn) commit() { x.run("admin", x.args("commitTransaction", 1)...) }

func (f *fixture) begin() *txn { return &txn{fixture: f, lsid: lsid(), number: 1} }

func TestATransactionIsSeenWhenItCommits(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	x := f.begin()
	x.insert(doc(2, 2), doc(3, 3))
	x.run("db", x.args("update", "c", "updates", []bson.Raw{value.D("q", value.D("_id", 1), "u", value.D("$set", value.D("a", 9)))})...)
	assert.Equal(t, []int64{1}, f.find())
	assert.Equal(t, []int64{1, 2, 3}, ids(t, x.run("db", x.args("find", "c")...)))
	x.commit()
	assert.Equal(t, []int64{1, 2, 3}, f.find())
	x.commit() // once more is no error
	f.fail(mongoerr.TransactionCommitted, "db", x.args("find", "c")...)
	entry := f.run("local", "find", "oplog.rs", "filter", value.D("op", "c", "o.applyOps", value.D("$exists", true)))
	assert.Len(t, ids(t, entry), 1)
}

func TestAnAbortedTransactionLeavesNothing(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	x := f.begin()
	x.insert(doc(2, 2))
	x.run("admin", x.args("abortTransaction", 1)...)
	assert.Equal(t, []int64{1}, f.find())
	e := f.failure(mongoerr.NoSuchTransaction, "db", x.args("find", "c")...)
	assert.Contains(t, e.Labels, "TransientTransactionError")
}

func TestAFailedStatementAbortsItsTransaction(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	x := f.begin()
	x.insert(doc(2, 2))
	reply := x.run("db", x.args("insert", "c", "documents", []bson.Raw{doc(1, 1)})...)
	assert.EqualValues(t, mongoerr.DuplicateKey, num(reply, "writeErrors", "0", "code"))
	f.fail(mongoerr.NoSuchTransaction, "admin", x.args("commitTransaction", 1)...)
	assert.Equal(t, []int64{1}, f.find())
}

func TestTwoTransactionsOnOneDocumentConflict(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	set := []bson.Raw{value.D("q", value.D("_id", 1), "u", value.D("$inc", value.D("a", 1)))}
	x, y := f.begin(), f.begin()
	x.run("db", x.args("update", "c", "updates", set)...)
	e := f.failure(mongoerr.WriteConflict, "db", y.args("update", "c", "updates", set)...)
	assert.Contains(t, e.Labels, "TransientTransactionError")
	x.commit()
}

func TestAWriteWaitsForTheTransactionItConflictsWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.insert(doc(1, 1))
		x := f.begin()
		set := []bson.Raw{value.D("q", value.D("_id", 1), "u", value.D("$inc", value.D("a", 1)))}
		x.run("db", x.args("update", "c", "updates", set)...)
		done := make(chan struct{})
		go func() {
			f.run("db", "update", "c", "updates", set)
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the write did not wait")
		default:
		}
		f.fail(mongoerr.MaxTimeMSExpired, "db", "update", "c", "updates", set, "maxTimeMS", 100)
		x.commit()
		<-done
		assert.Equal(t, []string{`{"_id": {"$numberInt":"1"},"a": {"$numberInt":"3"}}`}, batch(t, f.run("db", "find", "c")))
	})
}

func TestWhatNoTransactionMayDo(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	x := f.begin()
	f.fail(mongoerr.OperationNotSupportedInTransaction, "db", x.args("count", "c")...)
	x = f.begin()
	f.fail(mongoerr.OperationNotSupportedInTransaction, "config", x.args("insert", "c", "documents", []bson.Raw{doc(1, 1)})...)
	f.fail(mongoerr.NoSuchTransaction, "db", "find", "c", "lsid", lsid(), "txnNumber", int64(3), "autocommit", false)
	f.fail(mongoerr.InvalidOptions, "db", "find", "c", "autocommit", false)
	f.fail(mongoerr.InvalidOptions, "db", "find", "c", "txnNumber", int64(1))
	f.fail(mongoerr.NotARetryableWriteCommand, "db", "find", "c", "lsid", lsid(), "txnNumber", int64(1))
}

func TestANewTransactionAbortsTheOneBefore(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c")
	x := f.begin()
	x.insert(doc(1, 1))
	y := &txn{fixture: f, lsid: x.lsid, number: 2}
	y.insert(doc(1, 2))
	y.commit()
	f.fail(mongoerr.TransactionTooOld, "admin", x.args("commitTransaction", 1)...)
	assert.Equal(t, []int64{1}, f.find())
}

func TestATransactionsCursorIsReadInsideIt(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	x := f.begin()
	id := cursorID(x.run("db", x.args("find", "c", "batchSize", 1)...))
	f.insert(doc(3, 3))
	f.fail(50741, "db", "getMore", id, "collection", "c", "lsid", x.lsid)
	assert.Equal(t, []int64{2}, ids(t, x.run("db", x.args("getMore", id, "collection", "c")...)))
	x.commit()
}

func TestATransactionThatLivesTooLongIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		stop := f.background()
		f.run("db", "create", "c")
		x := f.begin()
		x.insert(doc(1, 1))
		time.Sleep(62 * time.Second)
		f.fail(mongoerr.NoSuchTransaction, "admin", x.args("commitTransaction", 1)...)
		stop()
	})
}

func TestARetriedWriteIsNotDoneTwice(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	s := lsid()
	inc := value.D("$inc", value.D("a", 1))
	update := func(number int64) bson.Raw {
		return f.run("db", "update", "c", "lsid", s, "txnNumber", number, "updates", []bson.Raw{
			value.D("q", value.D("_id", 1), "u", inc), value.D("q", value.D("_id", 2), "u", inc, "upsert", true),
		})
	}
	first := update(5)
	second := update(5)
	assert.EqualValues(t, 2, num(second, "n"))
	assert.EqualValues(t, 1, num(second, "nModified"))
	assert.Equal(t, first.Lookup("upserted"), second.Lookup("upserted"))
	assert.JSONEq(t, "[0, 1]", relaxed(t, second.Lookup("retriedStmtIds")))
	assert.Equal(t, []string{`{"_id": {"$numberInt":"1"},"a": {"$numberInt":"2"}}`, `{"_id": {"$numberInt":"2"},"a": {"$numberInt":"1"}}`},
		batch(t, f.run("db", "find", "c")))
	update(6)
	f.fail(mongoerr.TransactionTooOld, "db", "update", "c", "lsid", s, "txnNumber", int64(5), "updates", []bson.Raw{value.D("q", value.D(), "u", inc)})
}

func TestARetryDoesWhatTheFirstAttemptLeftUndone(t *testing.T) {
	f := newFixture(t)
	s := lsid()
	args := []any{"lsid", s, "txnNumber", int64(1)}
	f.run("db", append([]any{"insert", "c", "documents", []bson.Raw{doc(1, 1)}, "stmtIds", value.A(7)}, args...)...)
	reply := f.run("db", append([]any{"insert", "c", "documents", []bson.Raw{doc(1, 1), doc(2, 2)}, "stmtIds", value.A(7, 8)}, args...)...)
	assert.EqualValues(t, 2, num(reply, "n"))
	assert.JSONEq(t, "[7]", relaxed(t, reply.Lookup("retriedStmtIds")))
	assert.Equal(t, []int64{1, 2}, f.find())
	entries := f.run("local", "find", "oplog.rs", "filter", value.D("op", "i", "txnNumber", int64(1), "stmtId", 8))
	assert.Len(t, ids(t, entries), 1)
}

func TestARetriedFindAndModifyReturnsTheSameDocument(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	args := []any{"findAndModify", "c", "query", value.D("_id", 1), "remove", true, "lsid", lsid(), "txnNumber", int64(1)}
	first := f.run("db", args...)
	f.insert(doc(1, 2))
	second := f.run("db", args...)
	assert.Equal(t, first.Lookup("value"), second.Lookup("value"))
	assert.Equal(t, []int64{1}, f.find())
}

func TestManyAtOnceIsNotRetryable(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	reply := f.run("db", "delete", "c", "lsid", lsid(), "txnNumber", int64(1), "deletes", []bson.Raw{value.D("q", value.D(), "limit", 0)})
	assert.EqualValues(t, mongoerr.InvalidOptions, num(reply, "writeErrors", "0", "code"))
}
