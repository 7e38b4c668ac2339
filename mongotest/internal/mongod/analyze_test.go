package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// analyze runs analyzeShardKey on db.c.
func analyze(key bson.Raw, more ...any) []any {
	return append([]any{"analyzeShardKey", "db.c", "key", key}, more...)
}

func one(fields ...string) bson.Raw {
	var pairs []any
	for _, f := range fields {
		pairs = append(pairs, f, 1)
	}
	return value.D(pairs...)
}

// people inserts documents in order: seq grows, town is one of seven, of which
// the first is everybody's in the first tenth, and rank goes up and down.
func people(f *fixture, n int) {
	var docs []bson.Raw
	for i := range n {
		town := i % 7
		if i < n/10 {
			town = 0
		}
		docs = append(docs, value.D("_id", i, "seq", i, "town", town, "rank", i*7919%n))
	}
	f.insert(docs...)
	for _, key := range []bson.Raw{one("seq"), one("town", "seq"), one("rank")} {
		f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", key, "name", key.String(), "unique", false)})
	}
}

func TestAShardKeyIsAnalyzed(t *testing.T) {
	f := newFixture(t)
	people(f, 1000)
	found := func(key bson.Raw, more ...any) bson.Raw {
		t.Helper()
		return f.run("admin", analyze(key, append(more, "readWriteDistribution", false)...)...).Lookup("keyCharacteristics").Document()
	}
	r := found(one("town"))
	assert.EqualValues(t, 1000, num(r, "numDocsTotal"))
	assert.EqualValues(t, 1000, num(r, "numDocsSampled"))
	assert.EqualValues(t, 7, num(r, "numDistinctValues"))
	assert.EqualValues(t, len(value.D("_id", 1, "seq", 1, "town", 1, "rank", 1)), num(r, "avgDocSizeBytes"))
	assert.False(t, r.Lookup("isUnique").Boolean())
	assert.Zero(t, r.Lookup("numOrphanDocs"), "of sharded collections only")
	common, err := r.Lookup("mostCommonValues").Array().Values()
	require.NoError(t, err)
	require.Len(t, common, 5)
	assert.Equal(t, value.D("value", value.D("town", 0), "frequency", int64(100+128)), common[0].Document())
	for _, c := range []struct {
		key  bson.Raw
		kind string
	}{
		{one("_id"), "monotonic"},
		{one("seq"), "monotonic"},
		{one("rank"), "not monotonic"},
		{value.D("seq", "hashed"), "not monotonic"},
		{value.D("town", 1, "seq", "hashed"), "unknown"},
	} {
		assert.Equal(t, c.kind, found(c.key).Lookup("monotonicity", "type").StringValue(), "%s", c.key)
	}
	assert.InDelta(t, 1, found(one("seq")).Lookup("monotonicity", "recordIdCorrelationCoefficient").Double(), 0)
	assert.Equal(t, value.D("type", "unknown"), found(value.D("town", 1, "seq", "hashed")).Lookup("monotonicity").Document())

	r = found(one("_id"))
	assert.True(t, r.Lookup("isUnique").Boolean())
	assert.EqualValues(t, 1000, num(r, "numDistinctValues"))
	r = found(one("seq"), "sampleRate", 0.25)
	assert.EqualValues(t, 250, num(r, "numDocsSampled"))
	assert.EqualValues(t, 250, num(r, "numDistinctValues"))
	assert.EqualValues(t, 1000, num(r, "numDocsTotal"))
	assert.EqualValues(t, 10, num(found(one("_id"), "sampleSize", 10), "numDistinctValues"))
}

// A clustered collection has no order of insertion.
func TestOfAClusteredCollectionNoOrderIsKnown(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c", "clusteredIndex", value.D("key", one("_id"), "unique", true))
	f.insert(doc(1, 1), doc(2, 2))
	r := f.run("admin", analyze(one("_id"), "readWriteDistribution", false)...).Lookup("keyCharacteristics").Document()
	assert.True(t, r.Lookup("isUnique").Boolean())
	assert.Equal(t, value.D("type", "unknown"), r.Lookup("monotonicity").Document())
}

func TestWhatIsAnalyzedCanBeChosen(t *testing.T) {
	f := newFixture(t)
	people(f, 1000)
	r := f.run("admin", analyze(one("seq"))...)
	assert.NotZero(t, r.Lookup("keyCharacteristics"))
	assert.Equal(t, value.D("total", int64(0), "find", int64(0), "aggregate", int64(0), "count", int64(0), "distinct", int64(0)), r.Lookup("readDistribution", "sampleSize").Document())
	assert.Equal(t, value.D("total", int64(0), "update", int64(0), "delete", int64(0), "findAndModify", int64(0)), r.Lookup("writeDistribution", "sampleSize").Document())
	assert.Zero(t, f.run("admin", analyze(one("seq"), "keyCharacteristics", false)...).Lookup("keyCharacteristics"))
	f.run("db", "dropIndexes", "c", "index", "*")
	r = f.run("admin", analyze(one("seq"))...)
	assert.Zero(t, r.Lookup("keyCharacteristics"), "no index supports the key")
	assert.NotZero(t, r.Lookup("readDistribution"))
	f.fail(mongoerr.IllegalOperation, "admin", analyze(one("seq"), "readWriteDistribution", false)...)
	f.fail(4952606, "admin", analyze(one("town"))...) // seven values make no hundred ranges
}

// Only an index that has every document once can tell of them.
func TestWhichIndexSupportsAnAnalysis(t *testing.T) {
	for name, spec := range map[string][]any{
		"sparse":    {"key", one("a"), "sparse", true},
		"partial":   {"key", one("a"), "partialFilterExpression", value.D("a", value.D("$gt", 0))},
		"collation": {"key", one("a"), "collation", value.D("locale", "en")},
		"text":      {"key", value.D("a", "text")},
		"other":     {"key", one("b", "a")},
		"geo":       {"key", value.D("a", "2dsphere")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.insert(value.D("_id", 1), value.D("_id", 2))
			f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D(append(spec, "name", "i")...)})
			f.fail(mongoerr.IllegalOperation, "admin", analyze(one("a"), "readWriteDistribution", false)...)
		})
	}
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", -1, "b", 1), "name", "i")})
	only := analyze(one("a"), "readWriteDistribution", false)
	assert.Equal(t, "unknown", f.run("admin", only...).Lookup("keyCharacteristics", "monotonicity", "type").StringValue(), "it is in another order")
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", one("a", "c"), "name", "both", "unique", true)})
	assert.False(t, f.run("admin", only...).Lookup("keyCharacteristics", "isUnique").Boolean(), "only both fields together are")
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", one("a"), "name", "u", "unique", true)})
	assert.True(t, f.run("admin", only...).Lookup("keyCharacteristics", "isUnique").Boolean())
	f.insert(doc(3, bson.A{3}))
	f.fail(mongoerr.IllegalOperation, "admin", only...) // there are arrays in it now
}

func TestWhatCannotBeAnalyzed(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, bson.A{1}))
	f.run("db", "create", "v", "viewOn", "c")
	f.run("db", "create", "ts", "timeseries", value.D("timeField", "t"))
	f.run("db", "create", "empty")
	f.run("db", "create", "enc", "encryptedFields", value.D("fields", value.A()))
	f.fail(mongoerr.BadValue, "admin", analyze(one("a"))...)
	for ns, code := range map[string]mongoerr.Code{
		"db.v": mongoerr.CommandNotSupportedOnView, "db.ts": mongoerr.IllegalOperation, "db.none": mongoerr.NamespaceNotFound,
		"db.empty": mongoerr.IllegalOperation, "db.enc": mongoerr.IllegalOperation, "db.system.js": mongoerr.IllegalOperation,
		"config.x": mongoerr.IllegalOperation, "db": mongoerr.InvalidNamespace,
	} {
		f.fail(code, "admin", "analyzeShardKey", ns, "key", one("_id"))
		if ns != "db.empty" {
			f.fail(code, "admin", "configureQueryAnalyzer", ns, "mode", "off")
		}
	}
	for _, c := range []struct {
		code mongoerr.Code
		args []any
	}{
		{mongoerr.InvalidOptions, analyze(one("_id"), "keyCharacteristics", false, "readWriteDistribution", false)},
		{mongoerr.InvalidOptions, analyze(one("_id"), "sampleRate", 0.5, "sampleSize", 10)},
		{mongoerr.InvalidOptions, analyze(one("_id"), "sampleSize", 4)},
		{mongoerr.BadValue, analyze(one("_id"), "sampleRate", 0)},
		{mongoerr.BadValue, analyze(one("_id"), "sampleRate", 1.5)},
		{mongoerr.BadValue, analyze(one("_id"), "sampleSize", 0)},
		{mongoerr.BadValue, analyze(value.D())},
		{mongoerr.BadValue, analyze(value.D("_id", -1))},
		{mongoerr.TypeMismatch, analyze(one("_id"), "keyCharacteristics", 1)},
		{mongoerr.IDLFailedToParse, []any{"analyzeShardKey", "db.c"}},
		{mongoerr.InvalidOptions, analyze(one("_id"), "readConcern", value.D("level", "available"))},
	} {
		f.fail(c.code, "admin", c.args...)
	}
	f.fail(mongoerr.Unauthorized, "db", analyze(one("_id"))...)
}

func TestQuerySamplingIsConfigured(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	set := func(more ...any) bson.Raw {
		return f.run("admin", append([]any{"configureQueryAnalyzer", "db.c"}, more...)...)
	}
	kept := func() bson.Raw {
		r := f.run("config", "find", "queryAnalyzers").Lookup("cursor", "firstBatch").Array()
		return r.Index(0).Document()
	}
	r := set("mode", "full", "samplesPerSecond", 5)
	assert.Equal(t, value.D("mode", "full", "samplesPerSecond", 5.0), r.Lookup("newConfiguration").Document())
	assert.Zero(t, r.Lookup("oldConfiguration"))
	began := kept()
	assert.Equal(t, "db.c", began.Lookup("_id").StringValue())
	assert.Equal(t, "full", began.Lookup("mode").StringValue())
	r = set("mode", "full", "samplesPerSecond", 0.5)
	assert.Equal(t, value.D("mode", "full", "samplesPerSecond", 5.0), r.Lookup("oldConfiguration").Document())
	assert.Equal(t, began.Lookup("startTime"), kept().Lookup("startTime"), "it goes on")
	r = set("mode", "off")
	assert.Equal(t, value.D("mode", "off"), r.Lookup("newConfiguration").Document())
	assert.Equal(t, bson.TypeDateTime, kept().Lookup("stopTime").Type)
	assert.Zero(t, set("mode", "off").Lookup("oldConfiguration"), "it was off")
	set("mode", "full", "samplesPerSecond", 50)
	assert.Zero(t, kept().Lookup("stopTime"))
	f.run("db", "drop", "c")
	f.insert(doc(1, 1))
	assert.Zero(t, set("mode", "full", "samplesPerSecond", 50).Lookup("oldConfiguration"), "it is another collection")
	for _, bad := range [][]any{
		{"mode", "full"}, {"mode", "full", "samplesPerSecond", 0}, {"mode", "full", "samplesPerSecond", 51}, {"mode", "off", "samplesPerSecond", 1},
	} {
		f.fail(mongoerr.InvalidOptions, "admin", append([]any{"configureQueryAnalyzer", "db.c"}, bad...)...)
	}
	f.fail(mongoerr.BadValue, "admin", "configureQueryAnalyzer", "db.c", "mode", "half")
	f.fail(mongoerr.IDLFailedToParse, "admin", "configureQueryAnalyzer", "db.c")
}
