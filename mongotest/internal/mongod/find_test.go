package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestFindReturnsWhatIsAskedFor(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 5), doc(2, 3), doc(3, value.A(9, 1)), doc(4, "x"), value.D("_id", 5))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1")})
	for _, tc := range []struct {
		name string
		args []any
		want []int64
	}{
		{"all in natural order", nil, []int64{1, 2, 3, 4, 5}},
		{"by _id", []any{"filter", value.D("_id", 3)}, []int64{3}},
		{"by _id across number types", []any{"filter", value.D("_id", 3.0)}, []int64{3}},
		{"several _ids", []any{"filter", value.D("_id", value.D("$in", value.A(4, 1, 4)))}, []int64{1, 4}},
		{"a range of _id", []any{"filter", value.D("_id", value.D("$gt", 1, "$lte", 3))}, []int64{2, 3}},
		{"$or of _ids", []any{"filter", value.D("$or", []bson.Raw{value.D("_id", 5), value.D("_id", 2)})}, []int64{2, 5}},
		{"an indexed field", []any{"filter", value.D("a", 3)}, []int64{2}},
		{"a range on an array field, once per document", []any{"filter", value.D("a", value.D("$gte", 1))}, []int64{3, 2, 1}},
		{"bounds met by different elements", []any{"filter", value.D("a", value.D("$gt", 5, "$lt", 2))}, []int64{3}},
		{"missing is null", []any{"filter", value.D("a", nil)}, []int64{5}},
		{"sorted in memory", []any{"sort", value.D("a", -1), "filter", value.D("a", value.D("$type", "number"))}, []int64{3, 1, 2}},
		{"sorted by an index backwards", []any{"sort", value.D("_id", -1)}, []int64{5, 4, 3, 2, 1}},
		{"skip and limit", []any{"sort", value.D("_id", 1), "skip", 1, "limit", 2}, []int64{2, 3}},
		{"natural backwards", []any{"hint", value.D("$natural", -1)}, []int64{5, 4, 3, 2, 1}},
		{"natural sort backwards", []any{"sort", value.D("$natural", -1), "limit", 1}, []int64{5}},
		{"hinted index", []any{"hint", "_id_", "filter", value.D("a", 5)}, []int64{1}},
		{"min and max of an index", []any{"hint", value.D("_id", 1), "min", value.D("_id", 2), "max", value.D("_id", 4)}, []int64{2, 3}},
		{"max alone", []any{"hint", value.D("_id", 1), "max", value.D("_id", 2)}, []int64{1}},
		{"an expression", []any{"filter", value.D("$expr", value.D("$eq", value.A("$a", "$$v"))), "let", value.D("v", 3)}, []int64{2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := *f
			g.t = t
			assert.Equal(t, tc.want, g.find(tc.args...))
		})
	}
}

func TestFindRefusesWhatItCannotDo(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 5))
	id := value.D("_id", 1)
	f.fail(51173, "db", "find", "c", "min", id)
	f.fail(51174, "db", "find", "c", "hint", id, "min", value.D("a", 1))
	f.fail(51175, "db", "find", "c", "hint", id, "min", value.D("_id", 2), "max", id)
	f.fail(mongoerr.BadValue, "db", "find", "c", "hint", "nope")
	f.fail(mongoerr.BadValue, "db", "find", "c", "filter", value.D("$nope", 1))
	f.fail(mongoerr.TypeMismatch, "db", "find", "c", "filter", "x")
	f.fail(mongoerr.BadValue, "db", "find", "c", "collation", value.D("locale", "zzz"))
	f.fail(mongoerr.InvalidNamespace, "db", "find", "")
	f.fail(mongoerr.BadValue, "db", "find", "c", "tailable", true)
	f.run("db", "find", "c", "collation", value.D("locale", "simple"), "comment", "tolerated")
	f.fail(mongoerr.IDLUnknownField, "db", "find", "c", "unknown", 1)
}

func TestAPlanUsesTheIndexThatFixesMostFields(t *testing.T) {
	f := newFixture(t)
	f.insert(value.D("_id", 1, "a", 1, "b", 2))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{
		value.D("key", value.D("a", 1), "name", "a"), value.D("key", value.D("a", 1, "b", -1), "name", "ab"),
		value.D("key", value.D("h", "hashed"), "name", "h"),
	})
	for _, tc := range []struct {
		filter, sort bson.Raw
		want         string
	}{
		{value.D("a", 1), nil, "a"},
		{value.D("a", 1, "b", 2), nil, "ab"},
		{value.D("a", 1), value.D("b", 1), "ab"},
		{value.D("_id", 1, "a", 1), nil, "_id_"},
		{value.D("h", 4), nil, "h"},
		{value.D("h", value.D("$gt", 4)), nil, ""},
		{value.D("b", 2), nil, ""},
		{value.D(), value.D("_id", 1), "_id_"},
	} {
		args := []any{"find", "c", "filter", tc.filter}
		if tc.sort != nil {
			args = append(args, "sort", tc.sort)
		}
		plan := f.run("db", "explain", value.D(args...)).Lookup("queryPlanner", "winningPlan").Document()
		got, _ := plan.Lookup("inputStage", "indexName").StringValueOK()
		assert.Equal(t, tc.want, got, "%s %s: %s", tc.filter, tc.sort, plan)
	}
}

func TestAHashedIndexFindsItsValue(t *testing.T) {
	f := newFixture(t)
	f.insert(value.D("_id", 1, "h", "x"), value.D("_id", 2, "h", "y"))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("h", "hashed"), "name", "h")})
	assert.Equal(t, []int64{2}, f.find("filter", value.D("h", "y"), "hint", "h"))
}

func TestAShardLeavesOutWhatItDoesNotOwn(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2), doc(3, 3))
	mine := f.through(command.Routed{Owned: func(d bson.Raw) bool { return num(d, "_id") != 2 }})
	assert.Equal(t, []int64{1, 3}, mine.find())
	assert.Equal(t, []int64{1, 2, 3}, f.find())
	reply := mine.run("db", "update", "c", "updates", []bson.Raw{value.D("q", value.D(), "u", value.D("$set", value.D("b", 1)), "multi", true)})
	assert.EqualValues(t, 2, num(reply, "n"))
	assert.EqualValues(t, 0, num(mine.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D("_id", 2), "limit", 1)}), "n"))
}

func TestANaturalScanIsResumedWhereItStopped(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2), doc(3, 3), doc(4, 4))
	scan := []any{"hint", value.D("$natural", 1), "$_requestResumeToken", true}
	reply := f.run("db", append([]any{"find", "c", "batchSize", 2}, scan...)...)
	token := reply.Lookup("cursor", "postBatchResumeToken").Document()
	assert.Equal(t, []int64{1, 2}, ids(t, reply))
	resumed := f.run("db", append([]any{"find", "c", "$_resumeAfter", token}, scan...)...)
	assert.Equal(t, []int64{3, 4}, ids(t, resumed))
	assert.Equal(t, bson.TypeNull, resumed.Lookup("cursor", "postBatchResumeToken", "$recordId").Type)

	f.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D("_id", 2), "limit", 1)})
	f.fail(mongoerr.KeyNotFound, "db", append([]any{"find", "c", "$_resumeAfter", token}, scan...)...)
	reply = f.run("db", append([]any{"find", "c", "$_startAt", token}, scan...)...)
	assert.Equal(t, []int64{3, 4}, ids(t, reply))
	f.fail(mongoerr.BadValue, "db", "find", "c", "$_requestResumeToken", true)
}

func TestAReadWithTheUUIDOfAnotherCollectionFails(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	list := f.run("db", "listCollections", 1)
	id := list.Lookup("cursor", "firstBatch", "0", "info", "uuid")
	f.run("db", "find", "c", "collectionUUID", id)
	f.run("admin", "renameCollection", "db.c", "to", "db.d")
	e := f.failure(mongoerr.CollectionUUIDMismatch, "db", "find", "c", "collectionUUID", id)
	require.NotEmpty(t, e.Info)
	assert.Equal(t, bson.E{Key: "actualCollection", Value: "d"}, e.Info[len(e.Info)-1])
}

func TestCountAndDistinct(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 2), doc(2, 2.0), doc(3, value.A(2, 7)), doc(4, "x"))
	assert.EqualValues(t, 4, num(f.run("db", "count", "c"), "n"))
	assert.EqualValues(t, 3, num(f.run("db", "count", "c", "query", value.D("a", 2)), "n"))
	assert.EqualValues(t, 2, num(f.run("db", "count", "c", "skip", 1, "limit", 2), "n"))
	assert.EqualValues(t, 0, num(f.run("db", "count", "none"), "n"))
	assert.JSONEq(t, `[2, 7, "x"]`, relaxed(t, f.run("db", "distinct", "c", "key", "a").Lookup("values")))
}

func relaxed(t *testing.T, v bson.RawValue) string {
	t.Helper()
	out, err := bson.MarshalExtJSON(value.D("v", v), false, false)
	require.NoError(t, err)
	return string(out[len(`{"v":`) : len(out)-1])
}

func TestAViewIsReadThroughItsPipeline(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2), doc(3, 3))
	f.run("db", "create", "v", "viewOn", "c", "pipeline", []bson.Raw{value.D("$match", value.D("a", value.D("$gt", 1)))})
	f.run("db", "create", "w", "viewOn", "v", "pipeline", []bson.Raw{value.D("$set", value.D("b", 1))})
	reply := f.run("db", "find", "w", "filter", value.D("a", 3), "projection", value.D("b", 1))
	assert.JSONEq(t, `{"_id": 3, "b": 1}`, relaxed(t, reply.Lookup("cursor", "firstBatch", "0")))
	assert.EqualValues(t, 2, num(f.run("db", "count", "v"), "n"))
	f.fail(mongoerr.CommandNotSupportedOnView, "db", "insert", "v", "documents", []bson.Raw{doc(1, 1)})
	f.fail(mongoerr.CommandNotSupportedOnView, "db", "listIndexes", "v")
	f.fail(mongoerr.CommandNotSupportedOnView, "db", "aggregate", "v", "pipeline", []bson.Raw{value.D("$changeStream", value.D())}, "cursor", value.D())
}
