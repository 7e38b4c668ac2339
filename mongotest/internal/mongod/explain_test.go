package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestExplainTellsWhatAQueryDoes(t *testing.T) {
	f := newIndexed(t)
	stats := func(inner bson.Raw) bson.Raw {
		return f.run("db", "explain", inner, "verbosity", "executionStats").Lookup("executionStats").Document()
	}
	s := stats(value.D("find", "c", "filter", value.D("b", 1)))
	assert.Equal(t, []int64{2, 2, 2}, []int64{num(s, "nReturned"), num(s, "totalKeysExamined"), num(s, "totalDocsExamined")})
	s = stats(value.D("find", "c", "filter", value.D("none", 1)))
	assert.Equal(t, []int64{0, 0, 3}, []int64{num(s, "nReturned"), num(s, "totalKeysExamined"), num(s, "totalDocsExamined")})
	assert.EqualValues(t, 1, num(stats(value.D("find", "c", "limit", 1)), "totalDocsExamined"))
	s = stats(value.D("delete", "c", "deletes", []bson.Raw{value.D("q", value.D("b", 1), "limit", 0)}))
	assert.EqualValues(t, 2, num(s, "executionStages", "nWouldDelete"))
	assert.Len(t, f.find(), 3, "nothing is done")
	bounds := f.run("db", "explain", value.D("find", "c", "filter", value.D("a", value.D("$gt", 1, "$lte", 2))), "verbosity", "queryPlanner").
		Lookup("queryPlanner", "winningPlan", "inputStage", "indexBounds", "a", "0").StringValue()
	assert.Equal(t, "(1, 2]", bounds)
}

func TestExplainOfAPipelineShowsItsStages(t *testing.T) {
	f := newIndexed(t)
	pipeline := []bson.Raw{value.D("$match", value.D("b", 1)), value.D("$group", value.D("_id", "$b")), value.D("$out", "d")}
	reply := f.run("db", "explain", value.D("aggregate", "c", "pipeline", pipeline, "cursor", value.D()), "verbosity", "executionStats")
	stages := reply.Lookup("stages").Array()
	values, err := stages.Values()
	require.NoError(t, err)
	assert.Len(t, values, 3)
	assert.EqualValues(t, 2, num(values[0].Document(), "nReturned"))
	assert.EqualValues(t, 1, num(values[1].Document(), "nReturned"))
	assert.Empty(t, batch(t, f.run("db", "find", "d")), "nothing is written")
	plain := f.run("db", "aggregate", "c", "pipeline", pipeline[:1], "explain", true)
	assert.Equal(t, bson.TypeEmbeddedDocument, plain.Lookup("queryPlanner").Type)
	f.fail(mongoerr.IllegalOperation, "db", "explain", value.D("insert", "c"))
	f.fail(mongoerr.CommandNotFound, "db", "explain", value.D("nonsense", "c"))
}

func TestUsesOfAnIndexAreCounted(t *testing.T) {
	f := newIndexed(t)
	f.run("db", "find", "c", "filter", value.D("a", 1))
	f.run("db", "update", "c", "updates", []bson.Raw{value.D("q", value.D("a", 2), "u", value.D("$set", value.D("x", 1)))})
	uses := batch(t, f.aggregate(value.D("$indexStats", value.D()), value.D("$match", value.D("name", "a_1")), value.D("$project", value.D("n", "$accesses.ops", "_id", 0))))
	assert.Equal(t, []string{`{"n": {"$numberLong":"2"}}`}, uses)
	f.run("db", "collMod", "c", "index", value.D("name", "a_1", "hidden", true))
	uses = batch(t, f.aggregate(value.D("$indexStats", value.D()), value.D("$match", value.D("name", "a_1")), value.D("$project", value.D("n", "$accesses.ops", "_id", 0))))
	assert.Equal(t, []string{`{"n": {"$numberLong":"0"}}`}, uses, "hidden, it begins anew")
}

func TestCollStatsTellsLatencies(t *testing.T) {
	f := newIndexed(t)
	f.run("db", "find", "c")
	stats := f.aggregate(value.D("$collStats", value.D("latencyStats", value.D("histograms", true)))).Lookup("cursor", "firstBatch", "0", "latencyStats").Document()
	assert.EqualValues(t, 1, num(stats, "reads", "ops"))
	assert.EqualValues(t, 1, num(stats, "writes", "ops"))
	assert.EqualValues(t, 1, num(stats, "writes", "histogram", "0", "count"))
	f.run("db", "drop", "c")
	f.insert(doc(1, 1))
	stats = f.aggregate(value.D("$collStats", value.D("latencyStats", value.D()))).Lookup("cursor", "firstBatch", "0", "latencyStats").Document()
	assert.EqualValues(t, 0, num(stats, "reads", "ops"), "a new collection starts anew")
	f.fail(mongoerr.IDLUnknownField, "db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$collStats", value.D("x", 1))}, "cursor", value.D())
	f.fail(mongoerr.BadValue, "db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$collStats", value.D("storageStats", value.D("scale", 0)))}, "cursor", value.D())
}

func TestCurrentOpShowsCursorsAndOpenTransactions(t *testing.T) {
	f := newIndexed(t)
	f.run("db", "find", "c", "batchSize", 1)
	lsid := value.D("id", value.NewUUID().Binary())
	f.run("db", "find", "c", "lsid", lsid, "txnNumber", int64(1), "autocommit", false, "startTransaction", true)
	ops := func(spec bson.Raw) []string {
		return batch(t, f.run("admin", "aggregate", 1, "pipeline", []bson.Raw{
			value.D("$currentOp", spec), value.D("$sortByCount", "$type"), value.D("$sort", value.D("_id", 1)), value.D("$project", value.D("_id", 1)),
		}, "cursor", value.D()))
	}
	assert.Equal(t, []string{`{"_id": "idleCursor"}`, `{"_id": "idleSession"}`, `{"_id": "op"}`}, ops(value.D("idleCursors", true)))
	assert.Equal(t, []string{`{"_id": "op"}`}, ops(value.D("idleSessions", false)))
	f.fail(mongoerr.InvalidNamespace, "db", "aggregate", 1, "pipeline", []bson.Raw{value.D("$currentOp", value.D())}, "cursor", value.D())
}

func TestTopTellsWhatWasDoneToACollection(t *testing.T) {
	f := newIndexed(t)
	f.run("db", "find", "c")
	f.run("db", "count", "c")
	of := f.run("admin", "top", 1).Lookup("totals").Document().Lookup("db.c").Document()
	for kind, n := range map[string]int{"queries": 1, "insert": 1, "update": 0, "commands": 2, "readLock": 2, "total": 4} {
		assert.EqualValues(t, n, num(of, kind, "count"), kind)
	}
}
