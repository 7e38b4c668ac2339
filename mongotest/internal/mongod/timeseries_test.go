package mongod_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// noon is when the measurements of these tests begin.
var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) bson.RawValue { return value.DateTime(noon.Add(d).UnixMilli()) }

// measured is a measurement d after noon.
func measured(d time.Duration, meta any, v int) bson.Raw {
	return value.D("t", after(d), "m", meta, "v", v)
}

// withSeries returns a fixture with the time-series collection db.s.
func withSeries(t *testing.T, change ...func(*mongod.Config)) *fixture {
	t.Helper()
	f := newFixture(t, change...)
	f.run("db", "create", "s", "timeseries", value.D("timeField", "t", "metaField", "m"))
	return f
}

// record inserts measurements.
func (f *fixture) record(docs ...bson.Raw) {
	f.t.Helper()
	reply := f.run("db", "insert", "s", "documents", docs)
	require.Equal(f.t, int32(len(docs)), reply.Lookup("n").Int32(), "%s", reply)
}

// batch returns the documents of a reply's first batch, rendered.
func (f *fixture) batch(pairs ...any) (out []string) {
	f.t.Helper()
	docs := f.run("db", pairs...).Lookup("cursor", "firstBatch")
	for _, v := range value.Elements(docs.Value) {
		out = append(out, relaxed(f.t, v))
	}
	return out
}

func (f *fixture) buckets() int { return len(f.batch("find", "system.buckets.s")) }

// values returns v of all measurements, in the order they are read.
func (f *fixture) values(pairs ...any) string {
	f.t.Helper()
	docs := f.run("db", append([]any{"find", "s"}, pairs...)...).Lookup("cursor", "firstBatch")
	var out []int32
	for _, d := range value.Elements(docs.Value) {
		out = append(out, d.Document().Lookup("v").Int32())
	}
	return fmt.Sprint(out)
}

func TestTimeseriesAreListed(t *testing.T) {
	f := withSeries(t)
	series := `{"timeField":"t","metaField":"m","granularity":"seconds","bucketMaxSpanSeconds":3600}`
	all := f.batch("listCollections", 1)
	require.Len(t, all, 3)
	assert.JSONEq(t, `{"name":"s","type":"timeseries","options":{"timeseries":`+series+`},"info":{"readOnly":false}}`, all[0])
	assert.Contains(t, all[1], `"clusteredIndex":true,"timeseries":`+series)
	assert.Equal(t, []string{`{"name":"s","type":"timeseries"}`},
		f.batch("listCollections", 1, "nameOnly", true, "filter", value.D("type", "timeseries")))

	f.run("db", "create", "s", "timeseries", value.D("timeField", "t", "metaField", "m")) // the same again
	f.fail(mongoerr.NamespaceExists, "db", "create", "s", "timeseries", value.D("timeField", "t"))
	f.fail(mongoerr.InvalidOptions, "db", "create", "x", "timeseries", value.D("timeField", "t"), "capped", true, "size", 1)
	f.fail(mongoerr.IDLFailedToParse, "db", "create", "x", "timeseries", value.D("metaField", "t"))
	f.fail(mongoerr.BadValue, "db", "create", "x", "timeseries", value.D("timeField", "t", "bucketMaxSpanSeconds", 31536001, "bucketRoundingSeconds", 31536001))
	f.fail(mongoerr.CommandNotSupportedOnView, "admin", "renameCollection", "db.s", "to", "db.r")
	f.fail(mongoerr.IllegalOperation, "admin", "renameCollection", "db.system.buckets.s", "to", "db.r")
	f.fail(mongoerr.IllegalOperation, "db", "convertToCapped", "system.buckets.s", "size", 4096)

	assert.Equal(t, int32(2), f.run("db", "drop", "s").Lookup("nIndexesWas").Int32())
	assert.Len(t, f.batch("listCollections", 1), 1)
}

// Measurements of one kind lie together, by their hour, and are read like the
// documents of any collection.
func TestMeasurementsAreReadFromBuckets(t *testing.T) {
	f := withSeries(t)
	f.record(measured(0, "a", 1), measured(time.Minute, "b", 2), measured(2*time.Minute, "a", 3), measured(2*time.Hour, "a", 4))
	f.record(measured(3*time.Minute, "a", 5))
	assert.Equal(t, 3, f.buckets())
	assert.Equal(t, "[1 3 5 2 4]", f.values())
	assert.Equal(t, "[4 5]", f.values("filter", value.D("m", "a", "v", value.D("$gt", 3)), "sort", value.D("v", 1)))
	assert.Equal(t, "[5]", f.values("sort", value.D("t", 1), "skip", 3, "limit", 1))
	assert.Equal(t, int32(4), f.run("db", "count", "s", "query", value.D("m", "a")).Lookup("n").Int32())
	assert.Equal(t, int32(5), f.run("db", "count", "s").Lookup("n").Int32())
	assert.JSONEq(t, `["a","b"]`, relaxed(t, f.run("db", "distinct", "s", "key", "m").Lookup("values")))
	pipeline := []bson.Raw{value.D("$group", value.D("_id", "$m", "sum", value.D("$sum", "$v"))), value.D("$sort", value.D("_id", 1))}
	assert.Equal(t, []string{`{"_id":"a","sum":13}`, `{"_id":"b","sum":2}`}, f.batch("aggregate", "s", "cursor", value.D(), "pipeline", pipeline))
	unpack := []bson.Raw{value.D("$_internalUnpackBucket", value.D("timeField", "t", "metaField", "m", "bucketMaxSpanSeconds", 3600)), value.D("$match", value.D("v", 2))}
	assert.Equal(t, f.batch("find", "s", "filter", value.D("v", 2)), f.batch("aggregate", "system.buckets.s", "cursor", value.D(), "pipeline", unpack))
	joined := []bson.Raw{value.D("$lookup", value.D("from", "s", "localField", "m", "foreignField", "m", "as", "l")), value.D("$match", value.D("m", "b")), value.D("$project", value.D("l.v", 1))}
	assert.Equal(t, []string{`{"l":[{"v":2}]}`}, f.batch("aggregate", "s", "cursor", value.D(), "pipeline", joined))

	assert.Equal(t, "$_internalUnpackBucket", f.run("db", "explain", value.D("find", "s")).Lookup("stages", "1").Document().Index(0).Key())
	stats := f.run("db", "collStats", "s")
	assert.Equal(t, int64(3), num(stats, "timeseries", "bucketCount"))
	assert.Zero(t, stats.Lookup("count").Type)
	stages := f.batch("aggregate", "s", "cursor", value.D(), "pipeline", []bson.Raw{value.D("$collStats", value.D("count", value.D(), "storageStats", value.D()))})
	assert.Contains(t, stages[0], `"bucketsNs":"db.system.buckets.s"`)
	assert.Contains(t, stages[0], `"count":3`)
	assert.True(t, f.run("db", "validate", "s").Lookup("valid").Boolean())
	f.fail(mongoerr.CommandNotSupportedOnView, "db", "aggregate", "s", "cursor", value.D(), "pipeline", []bson.Raw{value.D("$changeStream", value.D())})
}

// A query compares by its own collation, unlike one on a view.
func TestMeasurementsAreComparedByACollation(t *testing.T) {
	f := withSeries(t)
	f.record(measured(0, "a", 1), measured(0, "A", 2), measured(0, "b", 3))
	assert.Equal(t, "[1 2]", f.values("filter", value.D("m", "a"), "sort", value.D("v", 1), "collation", value.D("locale", "en", "strength", 2)))
	f.run("db", "create", "s2", "timeseries", value.D("timeField", "t", "metaField", "m"), "collation", value.D("locale", "en", "strength", 2))
	for range 2 {
		f.run("db", "insert", "s2", "documents", []bson.Raw{measured(0, "a", 1), measured(0, "A", 2)})
	}
	assert.Len(t, f.batch("find", "system.buckets.s2"), 2)
	assert.Len(t, f.batch("find", "s2", "filter", value.D("m", "A")), 4)
	joined := []bson.Raw{value.D("$unionWith", "s2")}
	assert.Len(t, f.batch("aggregate", "s", "cursor", value.D(), "pipeline", joined), 7)
}

// A bucket takes a thousand measurements. Late ones go to the bucket of their
// time.
func TestBucketsFillUp(t *testing.T) {
	f := withSeries(t)
	docs := make([]bson.Raw, 1001)
	for i := range docs {
		docs[i] = measured(time.Duration(i)*time.Second, "a", i)
	}
	f.record(docs...)
	assert.Equal(t, 2, f.buckets())
	for i := range 3 {
		f.record(measured(time.Duration(10*i)*time.Second, "a", -i)) // the first is full
	}
	assert.Equal(t, 3, f.buckets())
	f.record(measured(1000*time.Second, "a", 0), measured(1001*time.Second, value.D("x", 1, "y", 2), 0), measured(1002*time.Second, value.D("y", 2, "x", 1), 0))
	assert.Equal(t, 4, f.buckets())
	f.record(value.D("t", after(0)), value.D("t", after(time.Second)), value.D("t", after(2*time.Second), "m", nil))
	assert.Equal(t, 6, f.buckets()) // no metadata is not the same as null
	f.record(measured(0, value.A(1, 2), 0), measured(time.Second, value.A(1, 2), 0))
	f.record(measured(2*time.Second, value.A(1, 2), 0))
	assert.Equal(t, 7, f.buckets())
	f.record(value.D("t", value.DateTime(-5000), "m", "a"), value.D("t", value.DateTime(-4000), "m", "a"))
	f.record(value.D("t", value.DateTime(-3000), "m", "a"))
	assert.Equal(t, 8, f.buckets())
}

// Without metadata there is no index; the order of the buckets' ids serves.
func TestMeasurementsWithoutMetadata(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "s", "timeseries", value.D("timeField", "t", "bucketMaxSpanSeconds", 60, "bucketRoundingSeconds", 60))
	assert.Empty(t, f.batch("listIndexes", "s"))
	for i := range 6 {
		f.record(value.D("t", after(time.Duration(25*i)*time.Second), "v", i))
	}
	assert.Equal(t, 3, f.buckets())
	assert.Equal(t, "[0 1 2 3 4 5]", f.values())
	f.record(value.D("t", value.DateTime(1<<45), "v", 6))
	f.record(value.D("t", value.DateTime(1<<45+1), "v", 7))
	f.record(value.D("t", value.DateTime(1000), "v", 8))
	f.record(value.D("t", value.DateTime(2000), "v", 9))
	assert.Equal(t, 5, f.buckets())
}

// What is inserted together lies in the order of time, since 8.0.
func TestOrderWithinABucket(t *testing.T) {
	for version, want := range map[release.Version]string{{8, 0, 4}: "[2 3 1]", {7, 0, 4}: "[1 2 3]"} {
		f := withSeries(t, func(c *mongod.Config) { c.Version = version })
		f.record(measured(59*time.Second, "a", 1), measured(time.Second, "a", 2), measured(2*time.Second, "a", 3))
		assert.Equal(t, want, f.values(), version.String())
	}
}

func TestMeasurementsRefused(t *testing.T) {
	f := withSeries(t)
	docs := []bson.Raw{measured(0, "a", 1), value.D("v", 2), measured(0, "a", 3), value.D("t", "noon"), measured(0, "b", 5)}
	reply := f.run("db", "insert", "s", "documents", docs)
	assert.Equal(t, int32(1), reply.Lookup("n").Int32())
	e := reply.Lookup("writeErrors", "0").Document()
	assert.Equal(t, []any{int32(1), int32(2), "'t' must be present and contain a valid BSON UTC datetime value"},
		[]any{e.Lookup("index").Int32(), e.Lookup("code").Int32(), e.Lookup("errmsg").StringValue()})
	reply = f.run("db", "insert", "s", "documents", docs, "ordered", false)
	assert.Equal(t, int32(3), reply.Lookup("n").Int32())
	assert.Equal(t, int32(3), reply.Lookup("writeErrors", "1", "index").Int32())
	assert.Equal(t, "[1 1 3 5]", f.values())

	x := f.begin()
	f.fail(mongoerr.OperationNotSupportedInTransaction, "db", x.args("insert", "s", "documents", []bson.Raw{measured(0, "a", 1)})...)
	y := &txn{fixture: f, lsid: lsid(), number: 2}
	f.fail(mongoerr.OperationNotSupportedInTransaction, "db", y.args("create", "s2", "timeseries", value.D("timeField", "t"))...)
	z := &txn{fixture: f, lsid: lsid(), number: 3}
	assert.NotEmpty(t, f.run("db", z.args("find", "s")...).Lookup("cursor", "firstBatch").Value) // reading is possible
}

// A retried insert stores nothing twice.
func TestMeasurementsAreRetried(t *testing.T) {
	f := withSeries(t)
	session := lsid()
	docs := []bson.Raw{measured(0, "a", 1), measured(0, "b", 2)}
	for range 2 {
		reply := f.run("db", "insert", "s", "documents", docs, "lsid", session, "txnNumber", int64(1))
		assert.Equal(t, int32(2), reply.Lookup("n").Int32())
	}
	f.run("db", "insert", "s", "documents", append(docs, measured(0, "c", 3)), "lsid", session, "txnNumber", int64(1))
	assert.Equal(t, "[1 2 3]", f.values("sort", value.D("v", 1)))
}

func TestDeletingMeasurements(t *testing.T) {
	f := withSeries(t)
	f.record(measured(0, "a", 1), measured(1, "a", 2), measured(2, "a", 3), measured(0, "b", 4), measured(0, "c", 5))
	remove := func(limit int, q bson.Raw) int32 {
		return f.run("db", "delete", "s", "deletes", []bson.Raw{value.D("q", q, "limit", limit)}).Lookup("n").Int32()
	}
	assert.Equal(t, int32(2), remove(0, value.D("v", value.D("$in", value.A(2, 5)))))
	assert.Equal(t, 2, f.buckets()) // an empty one goes
	assert.Equal(t, int32(1), remove(1, value.D("m", "a")))
	assert.Equal(t, "[3 4]", f.values("sort", value.D("v", 1)))
	taken := f.run("db", "findAndModify", "s", "query", value.D("m", "b"), "remove", true)
	assert.Equal(t, int32(4), taken.Lookup("value", "v").Int32())
	assert.Equal(t, int32(1), remove(0, value.D()))
	assert.Zero(t, f.buckets())

	f = withSeries(t, func(c *mongod.Config) { c.Version = release.Version{6, 0, 4} })
	f.record(measured(0, "a", 1), measured(0, "b", 2))
	for _, st := range []bson.Raw{value.D("q", value.D("v", 1), "limit", 0), value.D("q", value.D("m", "a"), "limit", 1)} {
		reply := f.run("db", "delete", "s", "deletes", []bson.Raw{st})
		assert.Equal(t, int32(mongoerr.InvalidOptions), reply.Lookup("writeErrors", "0", "code").Int32())
	}
	f.run("db", "delete", "s", "deletes", []bson.Raw{value.D("q", value.D("m", "a"), "limit", 0)})
	assert.Equal(t, "[2]", f.values())
}

// Updates change the metadata of whole buckets.
func TestUpdatingMetadata(t *testing.T) {
	f := withSeries(t)
	f.record(measured(0, "a", 1), measured(1, "a", 2), measured(0, "b", 3))
	update := func(pairs ...any) bson.Raw {
		return f.run("db", "update", "s", "updates", []bson.Raw{value.D(pairs...)})
	}
	reply := update("q", value.D("m", "a"), "u", value.D("$set", value.D("m", "x")), "multi", true)
	assert.Equal(t, []int32{2, 2}, []int32{reply.Lookup("n").Int32(), reply.Lookup("nModified").Int32()})
	assert.Equal(t, int32(2), f.run("db", "count", "s", "query", value.D("m", "x")).Lookup("n").Int32())
	set := value.D("$set", value.D("m", "y"))
	for name, pairs := range map[string][]any{
		"one":                  {"q", value.D(), "u", set},
		"an upsert":            {"q", value.D("m", "z"), "u", set, "multi", true, "upsert", true},
		"a value":              {"q", value.D(), "u", value.D("$set", value.D("v", 1)), "multi", true},
		"by a value":           {"q", value.D("v", 1), "u", set, "multi", true},
		"a pipeline":           {"q", value.D(), "u", value.A(set), "multi", true},
		"metadata and a value": {"q", value.D(), "u", value.D("$set", value.D("m", 1, "v", 1)), "multi", true},
	} {
		reply := update(pairs...)
		assert.Equal(t, int32(mongoerr.InvalidOptions), reply.Lookup("writeErrors", "0", "code").Int32(), "%s: %s", name, reply)
	}
	f.fail(mongoerr.InvalidOptions, "db", "findAndModify", "s", "query", value.D("m", "x"), "update", set)
	f.fail(mongoerr.InvalidOptions, "db", "findAndModify", "s", "query", value.D("m", "x"), "remove", true, "sort", value.D("v", 1))
	assert.Equal(t, "[1 2 3]", f.values("sort", value.D("v", 1)))
}

// Buckets may be written as they are, in their form.
func TestBucketsAreWrittenDirectly(t *testing.T) {
	f := withSeries(t)
	f.record(measured(0, "a", 1))
	bucket := f.run("db", "find", "system.buckets.s").Lookup("cursor", "firstBatch", "0").Document()
	f.run("db", "drop", "s")
	f.run("db", "create", "s", "timeseries", value.D("timeField", "t", "metaField", "m"))
	f.run("db", "insert", "system.buckets.s", "documents", []bson.Raw{bucket})
	assert.Equal(t, "[1]", f.values())
	f.run("db", "update", "system.buckets.s", "updates", []bson.Raw{value.D("q", value.D(), "u", value.D("$set", value.D("control.closed", true)))})
	f.record(measured(0, "a", 2))
	assert.Equal(t, 2, f.buckets()) // a closed one is not filled any more
	f.run("db", "update", "system.buckets.s", "updates", []bson.Raw{value.D("q", value.D("control.closed", value.D("$exists", false)), "u", value.D("$set", value.D("control.version", 2)))})
	f.record(measured(0, "a", 3))
	assert.Equal(t, 3, f.buckets()) // nor is a compressed one
	f.fail(mongoerr.CommandNotSupported, "db", "find", "s")
	reply := f.run("db", "insert", "system.buckets.s", "documents", []bson.Raw{value.D("_id", 1)})
	assert.Equal(t, int32(mongoerr.DocumentValidationFailure), reply.Lookup("writeErrors", "0", "code").Int32())
	f.fail(mongoerr.IllegalOperation, "db", "create", "system.buckets.none")
}

func TestIndexesOnMeasurements(t *testing.T) {
	f := withSeries(t)
	first := `{"v":2,"key":{"m":1,"t":1},"name":"m_1_t_1"}`
	assert.Equal(t, []string{first}, f.batch("listIndexes", "s"))
	assert.Empty(t, withSeries(t, func(c *mongod.Config) { c.Version = release.Version{6, 0, 4} }).batch("listIndexes", "s"))
	reply := f.run("db", "createIndexes", "s", "indexes", []bson.Raw{
		value.D("key", value.D("m.x", 1, "t", -1), "name", "a"), value.D("key", value.D("v", 1), "name", "b"), value.D("key", value.D("place", "2dsphere"), "name", "c"),
	})
	assert.Equal(t, []int32{1, 4}, []int32{reply.Lookup("numIndexesBefore").Int32(), reply.Lookup("numIndexesAfter").Int32()})
	want := []string{first, `{"v":2,"key":{"m.x":1,"t":-1},"name":"a"}`, `{"v":2,"key":{"v":1},"name":"b"}`, `{"v":2,"key":{"place":"2dsphere"},"name":"c"}`}
	assert.Equal(t, want, f.batch("listIndexes", "s"))
	assert.Contains(t, f.batch("listIndexes", "system.buckets.s")[1], `"key":{"meta.x":1,"control.max.t":-1,"control.min.t":-1}`)
	f.record(value.D("t", after(0), "place", value.D("type", "Point", "coordinates", value.A(1, 2))))
	stats := f.batch("aggregate", "s", "cursor", value.D(), "pipeline", []bson.Raw{value.D("$indexStats", value.D()), value.D("$match", value.D("name", "a"))})
	require.Len(t, stats, 1)
	assert.Contains(t, stats[0], `"key":{"m.x":1,"t":-1}`)

	f.fail(mongoerr.InvalidOptions, "db", "createIndexes", "s", "indexes", []bson.Raw{value.D("key", value.D("m", 1), "name", "u", "unique", true)})
	f.run("db", "collMod", "s", "index", value.D("keyPattern", value.D("m.x", 1, "t", -1), "hidden", true))
	assert.Contains(t, f.batch("listIndexes", "s")[1], `"hidden":true`)
	f.run("db", "dropIndexes", "s", "index", value.D("v", 1))
	f.fail(mongoerr.IndexNotFound, "db", "dropIndexes", "s", "index", value.D("w", 1))
	f.run("db", "dropIndexes", "s", "index", "*")
	assert.Empty(t, f.batch("listIndexes", "s"))
	f.record(measured(0, "a", 1))
	f.record(measured(1, "a", 2)) // without the index too
	assert.Equal(t, 2, f.buckets())
}

func TestOutIntoTimeseries(t *testing.T) {
	f := withSeries(t)
	f.record(measured(0, "a", 1), measured(1, "b", 2))
	out := func(spec ...any) []any {
		pipeline := []bson.Raw{value.D("$match", value.D("m", "a")), value.D("$out", value.D(append([]any{"db", "db"}, spec...)...))}
		return []any{"aggregate", "s", "cursor", value.D(), "pipeline", pipeline}
	}
	f.run("db", out("coll", "new", "timeseries", value.D("timeField", "t", "metaField", "m", "granularity", "hours"))...)
	assert.Equal(t, []string{`{"v":1}`}, f.batch("find", "new", "projection", value.D("_id", 0, "v", 1)))
	assert.Contains(t, f.batch("listCollections", 1, "filter", value.D("name", "new"))[0], `"granularity":"hours"`)
	f.fail(7406103, "db", out("coll", "new", "timeseries", value.D("timeField", "t"))...)
	f.run("db", "createIndexes", "s", "indexes", []bson.Raw{value.D("key", value.D("v", 1), "name", "b")})
	f.run("db", out("coll", "s")...) // which stays what it is, with its indexes
	assert.Equal(t, "[1]", f.values())
	assert.Len(t, f.batch("listIndexes", "s"), 2)
	f.run("db", "create", "plain")
	f.fail(7268700, "db", out("coll", "plain", "timeseries", value.D("timeField", "t"))...)
	f.fail(mongoerr.BadValue, "db", out("coll", "odd", "timeseries", value.D("timeField", "v"))...)
	f.fail(mongoerr.CommandNotSupportedOnView, "db", "aggregate", "plain", "cursor", value.D(), "pipeline", []bson.Raw{
		value.D("$unionWith", "s"), value.D("$merge", value.D("into", "s")),
	})
	for _, name := range f.batch("listCollections", 1, "nameOnly", true) {
		assert.NotContains(t, name, "tmp.")
	}
}
