package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// indexOf returns the index that a find would use, "" for none.
func (f *fixture) indexOf(pairs ...any) string {
	reply := f.run("db", "explain", value.D(append([]any{"find", "c"}, pairs...)...), "verbosity", "queryPlanner")
	plan := reply.Lookup("queryPlanner", "winningPlan").Document()
	for {
		if name, ok := plan.Lookup("indexName").StringValueOK(); ok {
			return name
		}
		inner, ok := plan.Lookup("inputStage").DocumentOK()
		if !ok {
			return ""
		}
		plan = inner
	}
}

func newIndexed(t *testing.T) *fixture {
	f := newFixture(t)
	f.insert(value.D("_id", 1, "a", 1, "b", 1), value.D("_id", 2, "a", 2, "b", 1), value.D("_id", 3, "a", 3, "b", 2))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{
		value.D("key", value.D("a", 1), "name", "a_1"), value.D("key", value.D("b", 1), "name", "b_1"),
	})
	return f
}

func TestAnIndexFilterRulesThePlan(t *testing.T) {
	f := newIndexed(t)
	both := value.D("a", 1, "b", 1)
	assert.Equal(t, "a_1", f.indexOf("filter", both))
	f.run("db", "planCacheSetFilter", "c", "query", both, "indexes", value.A("b_1"))
	assert.Equal(t, "b_1", f.indexOf("filter", value.D("b", 7, "a", 9), "hint", "a_1"), "even over a hint")
	assert.Equal(t, "a_1", f.indexOf("filter", value.D("a", 1)), "another shape")
	assert.Equal(t, []int64{1}, f.find("filter", both))
	f.run("db", "planCacheSetFilter", "c", "query", both, "indexes", value.A("gone"))
	assert.Empty(t, f.indexOf("filter", both), "none of the allowed ones can be used")
	f.run("db", "planCacheClearFilters", "c")
	assert.Equal(t, "a_1", f.indexOf("filter", both))
	f.fail(mongoerr.BadValue, "db", "planCacheSetFilter", "none", "query", both, "indexes", value.A("b_1"))
}

func TestQuerySettingsRuleQueries(t *testing.T) {
	f := newIndexed(t)
	shape := value.D("find", "c", "filter", value.D("a", 1, "b", 1), "$db", "db")
	hint := value.D("ns", value.D("db", "db", "coll", "c"), "allowedIndexes", value.A("b_1"))
	reply := f.run("admin", "setQuerySettings", shape, "settings", value.D("indexHints", hint))
	hash := reply.Lookup("queryShapeHash").StringValue()
	assert.Equal(t, "b_1", f.indexOf("filter", value.D("a", 5, "b", 5)))
	f.run("admin", "setQuerySettings", hash, "settings", value.D("reject", true))
	f.fail(mongoerr.QueryRejectedBySettings, "db", "find", "c", "filter", value.D("a", 5, "b", 5))
	f.run("db", "find", "c", "filter", value.D("a", 5))
	listed := batch(t, f.run("admin", "aggregate", 1, "pipeline", []bson.Raw{value.D("$querySettings", value.D())}, "cursor", value.D()))
	assert.Len(t, listed, 1)
	f.run("admin", "removeQuerySettings", shape)
	f.run("db", "find", "c", "filter", value.D("a", 5, "b", 5))
	f.fail(7746606, "admin", "setQuerySettings", value.D("find", "c", "filter", value.D("_id", 1), "$db", "db"), "settings", value.D("reject", true))
	f.fail(7746604, "admin", "setQuerySettings", shape, "settings", value.D("reject", false))
}

func TestThePlanCacheHoldsPlansThatHadRivals(t *testing.T) {
	f := newIndexed(t)
	stats := func() []string {
		return batch(t, f.aggregate(value.D("$planCacheStats", value.D())))
	}
	f.run("db", "find", "c", "filter", value.D("a", 1))
	assert.Empty(t, stats(), "one index only")
	f.run("db", "find", "c", "filter", value.D("a", 1, "b", 1))
	f.run("db", "find", "c", "filter", value.D("a", 2, "b", 2))
	f.run("db", "find", "c", "filter", value.D("a", 2, "b", 2), "sort", value.D("b", 1))
	assert.Len(t, stats(), 2)
	f.run("db", "planCacheClear", "c", "query", value.D("b", 0, "a", 0))
	assert.Len(t, stats(), 1)
	f.run("db", "dropIndexes", "c", "index", "b_1")
	assert.Empty(t, stats(), "plans go with the indexes")
	f.fail(50933, "db", "aggregate", "none", "pipeline", []bson.Raw{value.D("$planCacheStats", value.D())}, "cursor", value.D())
}

func TestAPartialIndexServesWhatItsFilterHolds(t *testing.T) {
	f := newIndexed(t)
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{
		value.D("key", value.D("d", 1), "name", "d_1", "partialFilterExpression", value.D("d", value.D("$gt", 5))),
		value.D("key", value.D("e", 1), "name", "e_1", "sparse", true),
	})
	assert.Equal(t, "d_1", f.indexOf("filter", value.D("d", 7)))
	assert.Equal(t, "d_1", f.indexOf("filter", value.D("d", value.D("$gte", 6))))
	assert.Empty(t, f.indexOf("filter", value.D("d", value.D("$gte", 5))))
	assert.Empty(t, f.indexOf("filter", value.D("d", "text")))
	assert.Equal(t, "e_1", f.indexOf("filter", value.D("e", value.D("$exists", true))))
	assert.Empty(t, f.indexOf("filter", value.D("e", value.D("$exists", false))))
}
