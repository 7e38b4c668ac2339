package mongod_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// prepare prepares the transaction and returns when.
func (x *txn) prepare() bson.Timestamp {
	x.t.Helper()
	ts, i, ok := x.run("admin", x.args("prepareTransaction", 1)...).Lookup("prepareTimestamp").TimestampOK()
	require.True(x.t, ok)
	return bson.Timestamp{T: ts, I: i}
}

func (x *txn) commitAt(at bson.Timestamp) {
	x.t.Helper()
	x.run("admin", x.args("commitTransaction", 1, "commitTimestamp", at)...)
}

// held returns a fixture with documents 1, 2, 3 and a prepared transaction that
// has added 4 and changed 2.
func held(t *testing.T) (*fixture, *txn, bson.Timestamp) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2), doc(3, 3))
	x := f.begin()
	x.insert(doc(4, 4))
	x.run("db", x.args("update", "c", "updates", []bson.Raw{value.D("q", value.D("_id", 2), "u", value.D("$set", value.D("a", 20)))})...)
	return f, x, x.prepare()
}

// Which reads wait for a prepared transaction, and which see what was before.
func TestReadsThatWaitForAPreparedTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, x, at := held(t)
		before := bson.Timestamp{T: at.T, I: at.I - 1}
		after := func(level string) bson.Raw { return value.D("level", level, "afterClusterTime", before) }
		for name, c := range map[string]struct {
			concern bson.Raw
			filter  bson.Raw
			want    int // documents, -1 waits
		}{
			"local":                     {value.D("level", "local"), value.D(), 3},
			"available":                 {value.D("level", "available"), value.D(), 3},
			"majority":                  {value.D("level", "majority"), value.D(), 3},
			"after a time":              {after("local"), value.D(), -1},
			"majority after a time":     {after("majority"), value.D(), -1},
			"linearizable":              {value.D("level", "linearizable"), value.D(), -1},
			"snapshot":                  {value.D("level", "snapshot"), value.D(), -1},
			"snapshot of before":        {snapshotAt(before), value.D(), 3},
			"what it has changed":       {after("local"), value.D("_id", 2), -1},
			"what it has added":         {after("local"), value.D("_id", 4), -1},
			"what it has not touched":   {after("local"), value.D("_id", 3), 1},
			"what is not there":         {after("local"), value.D("_id", 5), 0},
			"a filter that looks at it": {after("local"), value.D("a", 1), -1},
		} {
			for command, args := range map[string][]any{
				"find":      {"find", "c", "filter", c.filter, "readConcern", c.concern, "maxTimeMS", 50},
				"aggregate": {"aggregate", "c", "pipeline", value.A(value.D("$match", c.filter)), "cursor", value.D(), "readConcern", c.concern, "maxTimeMS", 50},
			} {
				resp, err := f.try(t.Context(), "db", args...)
				if c.want < 0 {
					assert.True(t, mongoerr.Is(err, mongoerr.MaxTimeMSExpired), "%s %s: %v", command, name, err)
				} else if assert.NoError(t, err, "%s %s", command, name) {
					assert.Len(t, ids(t, resp.Body), c.want, "%s %s", command, name)
				}
			}
		}
		y := f.begin()
		assert.Equal(t, []int64{1}, ids(t, y.run("db", y.args("find", "c", "filter", value.D("_id", 1))...)))
		f.fail(mongoerr.MaxTimeMSExpired, "db", y.args("find", "c", "maxTimeMS", 50)...)

		found := make(chan []int64, 1)
		go func() { found <- f.find("readConcern", value.D("level", "majority", "afterClusterTime", at)) }()
		synctest.Wait()
		assert.Empty(t, found)
		x.commitAt(at)
		assert.Equal(t, []int64{1, 2, 3, 4}, <-found)
	})
}

// A limit is reached before what is prepared is met.
func TestAReadEndsBeforeWhatIsPrepared(t *testing.T) {
	f, x, at := held(t)
	concern := value.D("afterClusterTime", at)
	assert.Equal(t, []int64{1}, f.find("limit", 1, "readConcern", concern))
	assert.Equal(t, []int64{3}, f.find("filter", value.D("_id", value.D("$in", value.A(3, 1))), "sort", value.D("_id", -1), "limit", 1, "readConcern", concern))
	reply := f.run("db", "find", "c", "batchSize", 1, "readConcern", concern)
	f.fail(mongoerr.MaxTimeMSExpired, "db", "find", "c", "limit", 2, "readConcern", concern, "maxTimeMS", 10)
	x.run("admin", x.args("abortTransaction", 1)...)
	assert.Equal(t, []int64{2, 3}, ids(t, f.run("db", "getMore", cursorID(reply), "collection", "c")))
}

// Writes wait too, wherever they would look at what is prepared; in a transaction
// that began before, they conflict.
func TestWritesThatMeetAPreparedTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.insert(doc(1, 1), doc(2, 2))
		early := f.begin()
		early.run("db", early.args("find", "c")...)
		x := f.begin()
		x.insert(doc(3, 3))
		set := func(q bson.Raw) []bson.Raw {
			return []bson.Raw{value.D("q", q, "u", value.D("$inc", value.D("a", 100)))}
		}
		x.run("db", x.args("update", "c", "updates", set(value.D("_id", 2)))...)
		at := x.prepare()

		f.run("db", "update", "c", "updates", set(value.D("_id", 1)))
		f.fail(mongoerr.MaxTimeMSExpired, "db", "update", "c", "updates", set(value.D("a", 3)), "maxTimeMS", 10)
		f.fail(mongoerr.MaxTimeMSExpired, "db", "findAndModify", "c", "query", value.D("_id", 3), "remove", true, "maxTimeMS", 10)
		f.fail(mongoerr.MaxTimeMSExpired, "db", "insert", "c", "documents", []bson.Raw{doc(3, 4)}, "maxTimeMS", 10)
		f.fail(mongoerr.WriteConflict, "db", early.args("update", "c", "updates", set(value.D("_id", 2)))...)
		late := f.begin()
		f.fail(mongoerr.MaxTimeMSExpired, "db", late.args("update", "c", "updates", set(value.D("_id", 2)), "maxTimeMS", 10)...)

		done := make(chan bson.Raw, 1)
		made := value.D("a", value.D("$in", value.A(3, 102)))
		go func() {
			done <- f.run("db", "update", "c", "updates", []bson.Raw{value.D("q", made, "u", value.D("$inc", value.D("a", 1)), "multi", true)})
		}()
		synctest.Wait()
		x.commitAt(at)
		assert.EqualValues(t, 2, num(<-done, "nModified"), "what the transaction has made matches")
	})
}

// A prepared transaction takes nothing but its decision, which needs a time.
func TestAPreparedTransactionTakesOnlyItsDecision(t *testing.T) {
	f, x, at := held(t)
	assert.Equal(t, at, x.prepare(), "a second time it changes nothing")
	f.fail(mongoerr.PreparedTransactionInProgress, "db", x.args("find", "c")...)
	f.fail(mongoerr.PreparedTransactionInProgress, "db", "insert", "c", "documents", []bson.Raw{doc(9, 9)}, "lsid", x.lsid, "txnNumber", x.number+1)
	f.fail(mongoerr.InvalidOptions, "admin", x.args("commitTransaction", 1)...)
	f.fail(mongoerr.InvalidOptions, "admin", x.args("commitTransaction", 1, "commitTimestamp", bson.Timestamp{T: at.T, I: at.I - 1})...)
	f.run("admin", "killSessions", value.A(x.lsid))
	f.run("admin", "endSessions", value.A(x.lsid))
	x.commitAt(at)
	x.commitAt(at)
	assert.Equal(t, []int64{1, 2, 3, 4}, f.find())
	y := f.begin()
	y.insert(doc(9, 9))
	f.fail(mongoerr.InvalidOptions, "admin", y.args("commitTransaction", 1, "commitTimestamp", at)...)
}

// What the server tells of prepared transactions, and of how they ended.
func TestWhatIsToldOfPreparedTransactions(t *testing.T) {
	f, x, at := held(t)
	record := func() bson.Raw {
		reply := f.run("config", "find", "transactions", "filter", value.D("_id.id", x.lsid.Lookup("id")))
		return reply.Lookup("cursor", "firstBatch", "0").Document()
	}
	status := func(field string) int64 { return num(f.run("admin", "serverStatus", 1), "transactions", field) }
	pair := func(v bson.RawValue) any { return v.Document().Lookup("ts") }

	got := record()
	assert.Equal(t, "prepared", got.Lookup("state").StringValue())
	assert.Equal(t, value.Timestamp(at), pair(got.Lookup("lastWriteOpTime")))
	assert.Equal(t, value.Timestamp(at), pair(got.Lookup("startOpTime")))
	assert.EqualValues(t, 1, status("currentPrepared"))
	ops := f.run("admin", "aggregate", 1, "pipeline", value.A(value.D("$currentOp", value.D("allUsers", true)),
		value.D("$match", value.D("transaction.timePreparedMicros", value.D("$gte", 0)))), "cursor", value.D())
	assert.Equal(t, x.lsid.Lookup("id"), ops.Lookup("cursor", "firstBatch", "0", "lsid", "id"))

	x.run("admin", x.args("abortTransaction", 1)...)
	assert.Equal(t, "aborted", record().Lookup("state").StringValue())
	assert.EqualValues(t, 0, status("currentPrepared"))
	assert.EqualValues(t, 1, status("totalPreparedThenAborted"))
	x.number, x.begun = 2, false
	x.insert(doc(5, 5))
	at = x.prepare()
	x.commitAt(at)
	got = record()
	assert.Equal(t, "committed", got.Lookup("state").StringValue())
	assert.EqualValues(t, 2, num(got, "txnNum"))
	assert.Equal(t, value.Timestamp(f.Log().Last()), pair(got.Lookup("lastWriteOpTime")))
	assert.Zero(t, got.Lookup("startOpTime").Type)
	assert.EqualValues(t, 1, status("totalPreparedThenCommitted"))
	assert.EqualValues(t, 2, status("totalPrepared"))
}

// What is prepared outlives its primary and a transaction's age, conflicts and
// all, and is decided on the next one.
func TestAPreparedTransactionOutlivesItsPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, x, at := held(t)
		stop := f.background()
		defer stop()
		require.NoError(t, f.StepDown(t.Context(), time.Second))
		time.Sleep(2 * time.Minute)
		f.fail(mongoerr.MaxTimeMSExpired, "db", "update", "c", "updates",
			[]bson.Raw{value.D("q", value.D("_id", 2), "u", value.D("$set", value.D("a", 0)))}, "maxTimeMS", 10)
		f.fail(mongoerr.MaxTimeMSExpired, "db", "find", "c", "readConcern", value.D("afterClusterTime", at), "maxTimeMS", 10)
		x.commitAt(at)
		assert.Equal(t, []int64{1, 2, 3, 4}, f.find())
	})
}
