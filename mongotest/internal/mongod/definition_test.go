package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestWhatCouldNeverWorkIsNotCreated(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "a", "viewOn", "c", "pipeline", []bson.Raw{})
	stage := func(name string, v any) []bson.Raw { return []bson.Raw{value.D(name, v)} }
	for name, tc := range map[string]struct {
		code mongoerr.Code
		cmd  []any
	}{
		"an unknown operator":          {mongoerr.BadValue, []any{"create", "x", "validator", value.D("$nope", 1)}},
		"an unknown expression":        {mongoerr.InvalidPipelineOperator, []any{"create", "x", "validator", value.D("$expr", value.D("$nope", 1))}},
		"a validator of a system one":  {mongoerr.InvalidOptions, []any{"create", "system.js", "validator", value.D("a", 1)}},
		"a view that writes":           {mongoerr.OptionNotSupportedOnView, []any{"create", "x", "viewOn", "c", "pipeline", stage("$out", "y")}},
		"a view on the server":         {mongoerr.InvalidNamespace, []any{"create", "x", "viewOn", "c", "pipeline", stage("$currentOp", value.D())}},
		"a stage of two names":         {40323, []any{"create", "x", "viewOn", "c", "pipeline", []bson.Raw{value.D("$match", value.D(), "$limit", 1)}}},
		"an unknown stage":             {40324, []any{"create", "x", "viewOn", "c", "pipeline", stage("$nope", 1)}},
		"a view on itself":             {mongoerr.GraphContainsCycle, []any{"create", "x", "viewOn", "x"}},
		"a view that comes back":       {mongoerr.GraphContainsCycle, []any{"collMod", "a", "viewOn", "c", "pipeline", stage("$unionWith", "a")}},
		"a capped clustered one":       {6049200, []any{"create", "x", "capped", true, "size", 10, "clusteredIndex", value.D("key", value.D("_id", 1), "unique", true)}},
		"an idIndex on something else": {mongoerr.BadValue, []any{"create", "x", "idIndex", value.D("key", value.D("a", 1), "name", "_id_")}},
		"an idIndex with an option":    {mongoerr.InvalidIndexSpecificationOption, []any{"create", "x", "idIndex", value.D("key", value.D("_id", 1), "name", "_id_", "unique", true)}},
	} {
		e := f.failure(tc.code, "db", tc.cmd...)
		assert.NotNil(t, e, name)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c", "capped", true, "size", 4096)
	f.run("db", "create", "c", "capped", 1, "size", 4096.0)
	f.fail(mongoerr.NamespaceExists, "db", "create", "c", "capped", true, "size", 8192)
	f.fail(mongoerr.NamespaceExists, "db", "create", "c")
}

func TestNullOptionsAreNone(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c", "validator", nil, "viewOn", nil, "size", nil)
	f.run("db", "collMod", "c", "validator", nil, "index", nil)
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1")})
	f.fail(mongoerr.InvalidOptions, "db", "collMod", "c", "index", value.D("name", "a_1", "hidden", nil))
	reply := f.run("db", "collMod", "c", "index", value.D("name", "a_1", "hidden", 0))
	assert.Zero(t, reply.Lookup("hidden_old"), "what does not change is not told")
}

func TestTheServersOwnCollectionsKeepTheirNames(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	for _, to := range []string{"db.system.users", "local.oplog.x", "db.a$b"} {
		f.fail(mongoerr.IllegalOperation, "admin", "renameCollection", "db.c", "to", to)
	}
	f.fail(mongoerr.CollectionUUIDMismatch, "admin", "renameCollection", "db.c", "to", "db.d", "dropTarget", value.NewUUID().Binary())
	f.run("admin", "renameCollection", "db.c", "to", "db.d", "dropTarget", true)
}

func TestListingsFilterWhatTheyShow(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	expr := value.D("$expr", value.D("$eq", value.A("$name", "db")))
	dbs, err := f.run("admin", "listDatabases", 1, "filter", expr).Lookup("databases").Array().Values()
	require.NoError(t, err)
	assert.Len(t, dbs, 1)
	hidden, err := f.run("admin", "listDatabases", 1, "nameOnly", true, "filter", value.D("empty", false)).Lookup("databases").Array().Values()
	require.NoError(t, err)
	assert.Empty(t, hidden)
}

func TestPartialIndexesAskOnlyWhatThePlannerCanTell(t *testing.T) {
	f := newFixture(t)
	spec := func(filter bson.Raw) []any {
		return []any{"createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1", "partialFilterExpression", filter)}}
	}
	for _, filter := range []bson.Raw{
		value.D("a", value.D("$ne", 1)), value.D("a", value.D("$exists", false)), value.D("a", value.Regex("x", "")),
		value.D("$and", []bson.Raw{value.D("a", value.D("$size", 1))}),
	} {
		f.fail(mongoerr.CannotCreateIndex, "db", spec(filter)...)
	}
	f.fail(mongoerr.QueryFeatureNotAllowed, "db", spec(value.D("$expr", true))...)
	f.run("db", spec(value.D("a", value.D("$gt", 1, "$exists", true), "b", 5))...)
}

func TestAHiddenIndexTakesNoHint(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1", "hidden", true)})
	f.fail(mongoerr.BadValue, "db", "find", "c", "hint", "a_1")
	f.fail(mongoerr.BadValue, "db", "find", "c", "hint", value.D("a", 1))
	f.run("db", "collMod", "c", "index", value.D("name", "a_1", "hidden", false))
	f.run("db", "find", "c", "hint", "a_1")
}

func TestDropIndexesTakesNames(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1")})
	f.fail(mongoerr.TypeMismatch, "db", "dropIndexes", "c", "index", value.A(1))
	f.fail(mongoerr.TypeMismatch, "db", "dropIndexes", "c", "index", nil)
	assert.EqualValues(t, 2, num(f.run("db", "dropIndexes", "c", "index", value.A("*")), "nIndexesWas"))
}
