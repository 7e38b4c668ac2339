package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var (
	caseless = value.D("locale", "en", "strength", 2)
	french   = value.D("locale", "fr", "strength", 2)
	simple   = value.D("locale", "simple")
)

// words is a fixture with a collection "c" of words, whose options may be given.
func words(t *testing.T, options ...any) *fixture {
	f := newFixture(t)
	f.run("db", append([]any{"create", "c"}, options...)...)
	f.run("db", "insert", "c", "documents", []bson.Raw{
		value.D("_id", 1, "w", "apple", "n", 1), value.D("_id", 2, "w", "Apple", "n", 2), value.D("_id", 3, "w", "banana", "n", 3),
	})
	return f
}

func (f *fixture) count(coll string, pairs ...any) int32 {
	f.t.Helper()
	return f.run("db", append([]any{"count", coll}, pairs...)...).Lookup("n").Int32()
}

// A command compares as it says, else as the collection does.
func TestCollationOfACommand(t *testing.T) {
	q := value.D("w", "APPLE")
	f := words(t)
	assert.Equal(t, int32(0), f.count("c", "query", q))
	assert.Equal(t, int32(2), f.count("c", "query", q, "collation", caseless))
	assert.Equal(t, int32(0), f.count("c", "query", q, "collation", value.D()), "an empty one is none")
	expr := value.D("$expr", value.D("$eq", value.A("$w", "APPLE")))
	assert.Equal(t, int32(2), f.count("c", "query", expr, "collation", caseless))
}

func TestDefaultCollationOfACollection(t *testing.T) {
	q := value.D("w", "APPLE")
	f := words(t, "collation", caseless)
	assert.Equal(t, int32(2), f.count("c", "query", q))
	assert.Equal(t, int32(0), f.count("c", "query", q, "collation", simple))
	assert.Len(t, values(f.run("db", "distinct", "c", "key", "w")), 2)
	assert.Len(t, values(f.run("db", "distinct", "c", "key", "w", "collation", simple)), 3)
	r := f.run("db", "update", "c", "updates", []bson.Raw{value.D("q", q, "u", value.D("$set", value.D("u", 1)), "multi", true)})
	assert.Equal(t, int32(2), r.Lookup("n").Int32())
	r = f.run("db", "update", "c", "updates", []bson.Raw{
		value.D("q", q, "u", value.D("$set", value.D("u", 2)), "multi", true, "collation", simple),
		value.D("q", q, "u", value.D("$set", value.D("u", 3)), "multi", true),
	})
	assert.Equal(t, int32(2), r.Lookup("n").Int32(), "each statement has its own")
	r = f.run("db", "findAndModify", "c", "query", q, "sort", value.D("_id", -1), "update", value.D("$set", value.D("u", 4)))
	assert.Equal(t, int32(2), r.Lookup("value", "_id").Int32())
	r = f.run("admin", "bulkWrite", 1, "ops", []bson.Raw{value.D("delete", 0, "filter", q, "multi", true)}, "nsInfo", []bson.Raw{value.D("ns", "db.c")})
	assert.Equal(t, int32(2), r.Lookup("nDeleted").Int32())
	r = f.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", q, "limit", 1, "collation", value.D("locale", "zzz"))})
	assert.Equal(t, int32(mongoerr.BadValue), r.Lookup("writeErrors", "0", "code").Int32())
}

func values(reply bson.Raw) []bson.RawValue {
	vals, _ := reply.Lookup("values").Array().Values()
	return vals
}

// plannedIndex returns the name of the index that explain names, "" for none.
func (f *fixture) plannedIndex(pairs ...any) string {
	f.t.Helper()
	r := f.run("db", "explain", value.D(append([]any{"find", "c"}, pairs...)...), "verbosity", "queryPlanner")
	name, _ := r.Lookup("queryPlanner", "winningPlan", "inputStage", "indexName").StringValueOK()
	return name
}

// An index serves strings only to those who compare them as it does.
func TestIndexServesItsOwnCollation(t *testing.T) {
	f := words(t)
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("w", 1, "n", 1), "name", "ci", "collation", caseless)})
	w := value.D("w", "APPLE")
	assert.Equal(t, "ci", f.plannedIndex("filter", w, "collation", caseless))
	assert.Empty(t, f.plannedIndex("filter", w))
	assert.Empty(t, f.plannedIndex("filter", w, "collation", french))
	assert.Equal(t, "ci", f.plannedIndex("filter", value.D("w", value.D("$gt", "a")), "sort", value.D("w", 1), "collation", caseless))
	assert.Empty(t, f.plannedIndex("filter", value.D(), "sort", value.D("w", 1)), "its order is another")
	assert.Equal(t, "ci", f.plannedIndex("filter", value.D("w", 7)), "numbers are where they always are")

	for _, coll := range []bson.Raw{caseless, simple} { // hinted, it is right for both
		want := map[string]int32{"en": 2, "simple": 0}[coll.Lookup("locale").StringValue()]
		assert.Equal(t, want, f.count("c", "query", w, "hint", "ci", "collation", coll))
	}
	bound := []any{"find", "c", "hint", "ci", "min", value.D("w", "APPLE", "n", 0), "max", value.D("w", "B", "n", 0)}
	r := f.run("db", append(bound, "collation", caseless)...)
	vals, _ := r.Lookup("cursor", "firstBatch").Array().Values()
	assert.Len(t, vals, 2)
	f.fail(51174, "db", bound...)
	r = f.run("db", "explain", value.D("find", "c", "filter", w, "collation", caseless))
	assert.Equal(t, "en", r.Lookup("queryPlanner", "collation", "locale").StringValue())
	assert.Contains(t, r.Lookup("queryPlanner", "winningPlan", "inputStage", "indexBounds", "w").String(), "[CollationKey(0x")
}

// A partial index is used if what it has can be told by the same collation.
func TestPartialIndexOfACollation(t *testing.T) {
	f := words(t)
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("n", 1), "name", "p", "collation", caseless,
		"partialFilterExpression", value.D("w", "apple"))})
	q := value.D("n", value.D("$gte", 1), "w", "APPLE")
	assert.Equal(t, "p", f.plannedIndex("filter", q, "collation", caseless))
	assert.Empty(t, f.plannedIndex("filter", value.D("n", value.D("$gte", 1), "w", "apple")), "whatever the strings")
	assert.Equal(t, int32(2), f.count("c", "query", q, "collation", caseless))
}

// An index filter is about queries of one collation, however that is written.
func TestIndexFilterOfACollation(t *testing.T) {
	f := words(t)
	set := []any{"planCacheSetFilter", "c", "query", value.D("w", "x"), "indexes", value.A("_id_")}
	f.fail(mongoerr.BadValue, "db", append(set, "collation", value.D())...)
	f.fail(mongoerr.BadValue, "db", append(set, "collation", value.D("locale", "zzz"))...)
	f.run("db", append(set, "collation", value.D("strength", 2.0, "locale", "en"))...)
	filtered := func(pairs ...any) bool {
		r := f.run("db", "explain", value.D(append([]any{"find", "c", "filter", value.D("w", "y")}, pairs...)...))
		return r.Lookup("queryPlanner", "indexFilterSet").Boolean()
	}
	assert.True(t, filtered("collation", caseless))
	assert.False(t, filtered("collation", french))
	assert.False(t, filtered())
}

func TestHashedIndexOfACollation(t *testing.T) {
	f := words(t)
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("w", "hashed"), "name", "h", "collation", caseless)})
	assert.Equal(t, "h", f.plannedIndex("filter", value.D("w", "x"), "collation", caseless))
	assert.Equal(t, int32(2), f.count("c", "query", value.D("w", "APPLE"), "collation", caseless))
}

// A view has a collation of its own; it takes no other and mixes with no other.
func TestViewsHaveOneCollation(t *testing.T) {
	f := words(t, "collation", caseless)
	q := value.D("w", "APPLE")
	f.run("db", "create", "plain", "viewOn", "c", "pipeline", value.A())
	f.run("db", "create", "ci", "viewOn", "c", "pipeline", value.A(), "collation", caseless)
	assert.Equal(t, int32(0), f.count("plain", "query", q), "the collection's is not inherited")
	assert.Equal(t, int32(2), f.count("ci", "query", q))
	assert.Equal(t, int32(2), f.count("ci", "query", q, "collation", caseless))
	f.fail(mongoerr.OptionNotSupportedOnView, "db", "count", "ci", "query", q, "collation", french)
	f.fail(mongoerr.OptionNotSupportedOnView, "db", "find", "plain", "filter", q, "collation", caseless)
	f.fail(mongoerr.OptionNotSupportedOnView, "db", "create", "mixed", "viewOn", "ci", "pipeline", value.A(), "collation", french)
	f.run("db", "create", "above", "viewOn", "ci", "pipeline", value.A(), "collation", caseless)
	union := []bson.Raw{value.D("$unionWith", "plain")}
	f.fail(mongoerr.OptionNotSupportedOnView, "db", "aggregate", "c", "pipeline", union, "cursor", value.D())
	f.run("db", "aggregate", "c", "pipeline", union, "cursor", value.D(), "collation", simple)
	assert.Equal(t, "en", f.run("db", "find", "system.views", "filter", value.D("_id", "db.ci")).Lookup("cursor", "firstBatch", "0", "collation", "locale").StringValue())
}

func TestValidatorsCompareByTheCollation(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c", "collation", caseless, "validator", value.D("kind", value.D("$in", value.A("a", "b"))))
	assert.Zero(t, f.run("db", "insert", "c", "documents", []bson.Raw{value.D("kind", "A")}).Lookup("writeErrors").Type)
	r := f.run("db", "insert", "c", "documents", []bson.Raw{value.D("kind", "C")})
	assert.Equal(t, int32(mongoerr.DocumentValidationFailure), r.Lookup("writeErrors", "0", "code").Int32())
}

// $merge looks documents up as the pipeline compares, and needs an index for that.
func TestMergeComparesAsThePipelineDoes(t *testing.T) {
	f := words(t)
	f.run("db", "createIndexes", "into", "indexes", []bson.Raw{value.D("key", value.D("w", 1), "name", "w", "unique", true, "collation", caseless)})
	f.run("db", "insert", "into", "documents", []bson.Raw{value.D("_id", 7, "w", "BANANA")})
	stages := []bson.Raw{value.D("$match", value.D("w", "banana")), value.D("$unset", "_id"), value.D("$merge", value.D("into", "into", "on", "w"))}
	f.fail(51183, "db", "aggregate", "c", "pipeline", stages, "cursor", value.D())
	f.run("db", "aggregate", "c", "pipeline", stages, "cursor", value.D(), "collation", caseless)
	r := f.run("db", "find", "into")
	assert.Equal(t, int32(3), r.Lookup("cursor", "firstBatch", "0", "n").Int32())
	assert.Equal(t, int32(7), r.Lookup("cursor", "firstBatch", "0", "_id").Int32())

	f.run("db", "create", "out", "collation", caseless)
	f.run("db", "createIndexes", "out", "indexes", []bson.Raw{value.D("key", value.D("w", 1), "name", "w", "collation", simple)})
	f.run("db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$out", "out")}, "cursor", value.D())
	assert.Equal(t, int32(2), f.count("out", "query", value.D("w", "APPLE")), "$out keeps the collation")
	r = f.run("db", "listIndexes", "out")
	assert.Zero(t, r.Lookup("cursor", "firstBatch", "1", "collation").Type, "and the indexes' own")
}
