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

// aggregate runs a pipeline on db.c.
func (f *fixture) aggregate(stages ...bson.Raw) bson.Raw {
	f.t.Helper()
	return f.run("db", "aggregate", "c", "pipeline", stages, "cursor", value.D())
}

func TestAPipelineRunsOverTheCollection(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2), doc(3, 2))
	match := value.D("$match", value.D("a", 2))
	assert.Equal(t, []int64{2, 3}, ids(t, f.aggregate(match)))
	assert.Equal(t, []int64{3, 2}, ids(t, f.aggregate(match, value.D("$sort", value.D("_id", -1)))))
	assert.Equal(t, []int64{3}, ids(t, f.aggregate(value.D("$sort", value.D("a", -1, "_id", -1)), value.D("$limit", 1))))
	reply := f.aggregate(value.D("$group", value.D("_id", nil, "n", value.D("$sum", 1))))
	assert.EqualValues(t, 3, num(reply, "cursor", "firstBatch", "0", "n"))
	f.fail(40324, "db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$nope", 1)}, "cursor", value.D())
	f.fail(mongoerr.FailedToParse, "db", "aggregate", "c", "pipeline", []bson.Raw{})
	f.fail(mongoerr.InvalidNamespace, "db", "aggregate", 1, "pipeline", []bson.Raw{match}, "cursor", value.D())
}

func TestAPipelineReadsOtherCollections(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 7))
	f.run("db", "insert", "other", "documents", []bson.Raw{value.D("_id", 7, "name", "seven")})
	reply := f.aggregate(value.D("$lookup", value.D("from", "other", "localField", "a", "foreignField", "_id", "as", "o")))
	assert.Equal(t, "seven", reply.Lookup("cursor", "firstBatch", "0", "o", "0", "name").StringValue())
}

func TestOutReplacesAndMergeMerges(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	f.run("db", "insert", "d", "documents", []bson.Raw{value.D("_id", 9)})
	f.run("db", "createIndexes", "d", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1")})
	f.aggregate(value.D("$match", value.D("_id", 1)), value.D("$out", "d"))
	assert.Equal(t, []int64{1}, ids(t, f.run("db", "find", "d")))
	assert.Len(t, batch(t, f.run("db", "listIndexes", "d")), 2)
	f.aggregate(value.D("$set", value.D("b", 1)), value.D("$merge", value.D("into", "d")))
	assert.Equal(t, []string{
		`{"_id": {"$numberInt":"1"},"a": {"$numberInt":"1"},"b": {"$numberInt":"1"}}`,
		`{"_id": {"$numberInt":"2"},"a": {"$numberInt":"2"},"b": {"$numberInt":"1"}}`,
	}, batch(t, f.run("db", "find", "d")))
}

func TestCollStatsAndIndexStats(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	stats := f.aggregate(value.D("$collStats", value.D("storageStats", value.D(), "count", value.D()))).Lookup("cursor", "firstBatch", "0").Document()
	assert.EqualValues(t, 2, num(stats, "storageStats", "count"))
	assert.EqualValues(t, 2, num(stats, "count"))
	assert.EqualValues(t, len(doc(1, 1)), num(stats, "storageStats", "avgObjSize"))
	assert.Len(t, batch(t, f.aggregate(value.D("$indexStats", value.D()))), 1)
	f.run("db", "create", "empty")
	empty := f.run("db", "aggregate", "empty", "pipeline", []bson.Raw{value.D("$collStats", value.D("storageStats", value.D()))}, "cursor", value.D())
	assert.Equal(t, bson.Type(0), empty.Lookup("cursor", "firstBatch", "0", "storageStats", "avgObjSize").Type)
	f.fail(mongoerr.NamespaceNotFound, "db", "aggregate", "none", "pipeline", []bson.Raw{value.D("$collStats", value.D("storageStats", value.D()))}, "cursor", value.D())
}

func TestAChangeStreamTellsWhatHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.insert(doc(1, 1))
		open := f.run("admin", "aggregate", 1, "pipeline", []bson.Raw{value.D("$changeStream", value.D("allChangesForCluster", true))}, "cursor", value.D())
		assert.Equal(t, "admin.$cmd.aggregate", open.Lookup("cursor", "ns").StringValue())
		assert.NotEqual(t, bson.Type(0), open.Lookup("cursor", "postBatchResumeToken").Type)
		id := cursorID(open)
		go func() {
			time.Sleep(100 * time.Millisecond)
			f.insert(doc(2, 2))
		}()
		reply := f.run("admin", "getMore", id, "collection", "$cmd.aggregate")
		events := reply.Lookup("cursor", "nextBatch").Array()
		assert.Equal(t, "insert", events.Index(0).Document().Lookup("operationType").StringValue())
		start := time.Now()
		reply = f.run("admin", "getMore", id, "collection", "$cmd.aggregate")
		assert.Empty(t, batch(t, reply))
		assert.Equal(t, time.Second, time.Since(start), "the default await time")
		assert.Equal(t, id, cursorID(reply))
	})
}

func TestAChangeStreamEndsWhenItIsInvalidated(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	id := cursorID(f.aggregate(value.D("$changeStream", value.D())))
	f.run("db", "drop", "c")
	for range 3 {
		reply := f.run("db", "getMore", id, "collection", "c")
		if cursorID(reply) == 0 {
			assert.Zero(t, f.CursorCount())
			return
		}
	}
	t.Fatal("the cursor is still open")
}

func TestAStreamWhoseHistoryIsGoneIsNotResumable(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	first := f.Log().First()
	f.insert(doc(2, 1))
	f.Log().Truncate(f.Log().Last())
	stream := []bson.Raw{value.D("$changeStream", value.D("startAtOperationTime", first))}
	e := f.failure(mongoerr.ChangeStreamHistoryLost, "db", "aggregate", "c", "pipeline", stream, "cursor", value.D())
	assert.Contains(t, e.Labels, "NonResumableChangeStreamError")
}

func TestAStreamReadsNeitherInATransactionNorASnapshot(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	stream := []bson.Raw{value.D("$changeStream", value.D())}
	x := f.begin()
	f.fail(mongoerr.OperationNotSupportedInTransaction, "db", x.args("aggregate", "c", "pipeline", stream, "cursor", value.D())...)
	f.fail(mongoerr.InvalidOptions, "db", "aggregate", "c", "pipeline", stream, "cursor", value.D(), "readConcern", value.D("level", "snapshot"))
}

func TestAnUpdateLookupSeesTheDocumentOfNow(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	id := cursorID(f.aggregate(value.D("$changeStream", value.D("fullDocument", "updateLookup"))))
	for a := 2; a < 4; a++ {
		f.run("db", "update", "c", "updates", []bson.Raw{value.D("q", value.D("_id", 1), "u", value.D("$set", value.D("a", a)))})
	}
	reply := f.run("db", "getMore", id, "collection", "c")
	require.Len(t, batch(t, reply), 2)
	assert.EqualValues(t, 3, num(reply, "cursor", "nextBatch", "0", "fullDocument", "a"))
}
