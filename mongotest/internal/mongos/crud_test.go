package mongos

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func spreadOut(t *testing.T) *cluster {
	c := newCluster(t)
	c.sharded("c")
	for k := -50; k < 150; k += 10 {
		c.insert("c", bson.D{{"_id", k}, {"k", k}, {"x", k % 3}})
	}
	return c
}

func TestEveryDocumentIsOnItsOwnShardOnly(t *testing.T) {
	c := spreadOut(t)
	assert.Equal(t, []int64{-50, -40, -30, -20, -10}, ids(c.on("s0", "c")))
	assert.Equal(t, []int64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}, ids(c.on("s1", "c")))
	assert.Equal(t, []int64{100, 110, 120, 130, 140}, ids(c.on("s2", "c")))
}

func TestFindMergesSortsAndLimits(t *testing.T) {
	c := spreadOut(t)
	assert.Len(t, c.all("db", bson.D{{"find", "c"}, {"batchSize", 3}}), 20)
	got := c.all("db", bson.D{{"find", "c"}, {"sort", bson.D{{"k", -1}}}, {"skip", 2}, {"limit", 5}, {"projection", bson.D{{"x", 1}}}, {"batchSize", 2}})
	require.Len(t, got, 5)
	for i, d := range got {
		assert.Equal(t, int64(120-10*i), getInt(d, "_id", -1))
		assert.False(t, has(d, "k"), "the projection is applied after the merge")
	}
	assert.Equal(t, []int64{90, 100}, ids(c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"k", bson.D{{"$in", bson.A{90, 100}}}}}}})))
	assert.Equal(t, int64(20), getInt(c.must("db", bson.D{{"count", "c"}}), "n", 0))
	assert.Equal(t, int64(4), getInt(c.must("db", bson.D{{"count", "c"}, {"query", bson.D{}}, {"skip", 16}}), "n", 0))
	assert.Equal(t, int64(6), getInt(c.must("db", bson.D{{"count", "c"}, {"limit", 6}}), "n", 0))
	v, _ := value.Get(c.must("db", bson.D{{"distinct", "c"}, {"key", "x"}}), "values")
	assert.Equal(t, value.A(-2, -1, 0, 1, 2).String(), v.String())
}

func TestAggregateRunsTheRestOnTheRouter(t *testing.T) {
	c := spreadOut(t)
	got := c.all("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{
		bson.D{{"$match", bson.D{{"k", bson.D{{"$gte", 0}}}}}},
		bson.D{{"$group", bson.D{{"_id", nil}, {"n", bson.D{{"$sum", 1}}}, {"top", bson.D{{"$max", "$k"}}}}}},
	}}})
	require.Len(t, got, 1)
	assert.Equal(t, int64(15), getInt(got[0], "n", 0))
	assert.Equal(t, int64(140), getInt(got[0], "top", 0))
	stats := c.all("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$collStats", bson.D{{"count", bson.D{}}}}}}}})
	require.Len(t, stats, 3, "one document for each shard")
	assert.ElementsMatch(t, shardNames, []string{getString(stats[0], "shard"), getString(stats[1], "shard"), getString(stats[2], "shard")})
	sample := c.all("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$sample", bson.D{{"size", 7}}}}}}})
	assert.Len(t, sample, 7)
}

func TestWritesAreSplitAndTheirIndexesMappedBack(t *testing.T) {
	c := spreadOut(t)
	body, err := c.run("db", bson.D{{"insert", "c"}, {"ordered", false}, {"documents", bson.A{
		bson.D{{"_id", 1000}, {"k", 1000}}, bson.D{{"_id", 0}, {"k", 0}}, bson.D{{"_id", -1000}, {"k", -1000}}, bson.D{{"_id", 140}, {"k", 140}}, bson.D{{"_id", 5}, {"k", bson.A{1}}},
	}}})
	require.NoError(t, err)
	assert.Equal(t, int64(2), getInt(body, "n", 0))
	errs := getDocs(body, "writeErrors")
	require.Len(t, errs, 3)
	assert.Equal(t, []int64{1, 3, 4}, []int64{getInt(errs[0], "index", -1), getInt(errs[1], "index", -1), getInt(errs[2], "index", -1)})
	assert.Equal(t, int64(11000), getInt(errs[0], "code", 0))

	body, err = c.run("db", bson.D{{"insert", "c"}, {"documents", bson.A{
		bson.D{{"_id", 2000}, {"k", 2000}}, bson.D{{"_id", 0}, {"k", 0}}, bson.D{{"_id", 2001}, {"k", 2001}},
	}}})
	require.NoError(t, err)
	assert.Equal(t, int64(1), getInt(body, "n", 0), "an ordered insert stops at the first error")
	assert.Equal(t, int64(1), getInt(getDocs(body, "writeErrors")[0], "index", -1))

	body = c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{
		bson.D{{"q", bson.D{{"k", 0}}}, {"u", bson.D{{"$set", bson.D{{"y", 1}}}}}},
		bson.D{{"q", bson.D{{"_id", 100}}}, {"u", bson.D{{"$set", bson.D{{"y", 1}}}}}},
		bson.D{{"q", bson.D{{"x", 1}}}, {"u", bson.D{{"$set", bson.D{{"y", 2}}}}}, {"multi", true}},
		bson.D{{"q", bson.D{{"k", 7000}}}, {"u", bson.D{{"$set", bson.D{{"y", 3}}}}}, {"upsert", true}},
		bson.D{{"q", bson.D{{"_id", 8000}}}, {"u", bson.D{{"$set", bson.D{{"y", 3}}}}}, {"upsert", true}},
	}}})
	ups := getDocs(body, "upserted")
	require.Len(t, ups, 2)
	assert.Equal(t, int64(3), getInt(ups[0], "index", 0))
	assert.Equal(t, int64(4), getInt(ups[1], "index", 0))
	assert.Contains(t, ids(c.on("s0", "c")), int64(8000), "a missing shard key is null, below every number")
	deleted := c.must("db", bson.D{{"delete", "c"}, {"deletes", bson.A{
		bson.D{{"q", bson.D{{"_id", 8000}}}, {"limit", 1}}, bson.D{{"q", bson.D{{"x", 0}}}, {"limit", 1}}, bson.D{{"q", bson.D{}}, {"limit", 0}},
	}}})
	assert.Equal(t, int64(25), getInt(deleted, "n", 0))
	assert.Empty(t, c.all("db", bson.D{{"find", "c"}}))
}

func session() bson.D { return bson.D{{"id", value.NewUUID().Binary()}} }

func TestARetriedWriteIsNotDoneTwice(t *testing.T) {
	c := spreadOut(t)
	lsid := session()
	cmd := bson.D{{"update", "c"}, {"updates", bson.A{
		bson.D{{"q", bson.D{{"k", -10}}}, {"u", bson.D{{"$inc", bson.D{{"n", 1}}}}}},
		bson.D{{"q", bson.D{{"k", 110}}}, {"u", bson.D{{"$inc", bson.D{{"n", 1}}}}}},
		bson.D{{"q", bson.D{{"_id", 50}, {"k", 50}}}, {"u", bson.D{{"_id", 50}, {"k", 500}}}},
	}}, {"lsid", lsid}, {"txnNumber", int64(1)}}
	first := c.must("db", cmd)
	assert.Equal(t, int64(3), getInt(first, "n", 0))
	again := c.must("db", cmd)
	assert.Equal(t, int64(3), getInt(again, "n", 0))
	v, _ := value.Get(again, "retriedStmtIds")
	assert.Len(t, docsOrValues(v), 3)
	for _, d := range c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"n", bson.D{{"$exists", true}}}}}}) {
		assert.Equal(t, int64(1), getInt(d, "n", 0))
	}
	assert.Contains(t, ids(c.on("s2", "c")), int64(50))
	assert.NotContains(t, ids(c.on("s1", "c")), int64(50))
}

func docsOrValues(v bson.RawValue) []bson.RawValue {
	var out []bson.RawValue
	arr, _ := v.ArrayOK()
	for _, e := range value.Elements(bson.Raw(arr)) {
		out = append(out, e)
	}
	return out
}

func TestAShardKeyMayChangeInPlaceAndAcrossShards(t *testing.T) {
	c := spreadOut(t)
	w := c.watch()
	lsid := session()
	c.must("db", bson.D{{"update", "c"}, {"lsid", lsid}, {"txnNumber", int64(1)}, {"updates", bson.A{
		bson.D{{"q", bson.D{{"k", 10}}}, {"u", bson.D{{"$set", bson.D{{"k", 11}}}}}},
	}}})
	c.must("db", bson.D{{"update", "c"}, {"lsid", lsid}, {"txnNumber", int64(2)}, {"updates", bson.A{
		bson.D{{"q", bson.D{{"k", 20}}}, {"u", bson.D{{"$set", bson.D{{"k", 200}}}}}},
	}}})
	reply := c.must("db", bson.D{
		{"findAndModify", "c"},
		{"lsid", lsid},
		{"txnNumber", int64(3)},
		{"new", true},
		{"query", bson.D{{"k", 30}}},
		{"update", bson.D{{"$set", bson.D{{"k", -300}}}}},
	})
	assert.Equal(t, int64(-300), getInt(getDoc(reply, "value"), "k", 0))
	assert.Contains(t, ids(c.on("s2", "c")), int64(20))
	assert.Contains(t, ids(c.on("s0", "c")), int64(30))
	events := w.events()
	assert.ElementsMatch(t, []string{
		`update {"$numberInt":"10"}`, `delete {"$numberInt":"20"}`, `insert {"$numberInt":"20"}`, `delete {"$numberInt":"30"}`, `insert {"$numberInt":"30"}`,
	}, summary(events))
	for _, e := range events {
		if getString(e, "operationType") != "update" {
			assert.True(t, has(getDoc(e, "lsid"), "txnUUID"), "the move is a transaction in a child session: %s", e)
		}
	}
	body, err := c.run("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"k", 40}}}, {"u", bson.D{{"$set", bson.D{{"k", 400}}}}}}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(20), getInt(getDocs(body, "writeErrors")[0], "code", 0), "neither retryable nor in a transaction")
}

func TestARetriedFindAndModifyAnswersAsBefore(t *testing.T) {
	c := spreadOut(t)
	lsid := session()
	cmd := bson.D{{"findAndModify", "c"}, {"query", bson.D{{"x", bson.D{{"$exists", true}}}}}, {"sort", bson.D{{"_id", -1}}}, {"remove", true}, {"lsid", lsid}, {"txnNumber", int64(1)}}
	first := c.must("db", cmd)
	assert.Equal(t, int64(140), getInt(getDoc(first, "value"), "_id", 0), "the order is that of all shards together")
	c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{}}, {"u", bson.D{{"$unset", bson.D{{"x", 1}}}}}, {"multi", true}}}}})
	again := c.must("db", cmd)
	assert.Equal(t, getDoc(first, "value").String(), getDoc(again, "value").String())
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 19)
}

func TestAPipelineMayBeEmpty(t *testing.T) {
	c := spreadOut(t)
	for _, coll := range []string{"c", "missing"} {
		want := len(c.all("db", bson.D{{"find", coll}}))
		assert.Len(t, c.all("db", bson.D{{"aggregate", coll}, {"pipeline", bson.A{}}, {"cursor", bson.D{}}}), want, coll)
	}
}

func TestAFilterIsReadWhereThereIsNothing(t *testing.T) {
	c := newCluster(t)
	c.fails(mongoerr.BadValue, "nowhere", bson.D{{"find", "c"}, {"filter", bson.D{{"$what", 1}}}})
}

// What a stage has opened and not read to its end ends with the cursor, which
// else would keep moved ranges for ever.
func TestAStagesReadsEndWithItsCursor(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	for i := range 2 * firstBatchSize {
		c.insert("c", bson.D{{"_id", i}, {"k", 1}, {"pad", strings.Repeat("x", maxReplyBytes/firstBatchSize)}})
	}
	union := bson.A{bson.D{{"$limit", 1}}, bson.D{{"$unionWith", "c"}}, bson.D{{"$limit", 2}}}
	body := c.must("db", bson.D{{"aggregate", "c"}, {"pipeline", union}, {"cursor", bson.D{{"batchSize", 2}}}})
	c.must("db", bson.D{{"killCursors", "c"}, {"cursors", bson.A{getInt(getDoc(body, "cursor"), "id", 0)}}})
	require.Empty(t, c.catalog.cursors.open)
}

// A router holds commands against their rules as a member does, before any
// shard sees them.
func TestARouterChecksTheFieldsOfCommands(t *testing.T) {
	c := newCluster(t)
	for _, tc := range []struct {
		db      string
		cmd     bson.D
		code    mongoerr.Code
		message string
	}{
		{"db", bson.D{{"find", "c"}, {"nope", 1}}, mongoerr.IDLUnknownField, "BSON field 'find.nope' is an unknown field."},
		{"db", bson.D{{"find", "c"}, {"filter", 1}}, mongoerr.TypeMismatch, "BSON field 'find.filter' is the wrong type 'int', expected type 'object'"},
		{"db", bson.D{{"insert", "c"}}, mongoerr.IDLFailedToParse, "BSON field 'insert.documents' is missing but a required field"},
		{"db", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}}, mongoerr.Unauthorized, "shardCollection may only be run against the admin database."},
		{"admin", bson.D{{"shardCollection", "db.c"}}, mongoerr.IDLFailedToParse, "BSON field 'shardCollection.key' is missing but a required field"},
		{"admin", bson.D{{"shardCollection", "db.c"}, {"key", 1}}, mongoerr.TypeMismatch, "BSON field 'shardCollection.key' is the wrong type 'int', expected type 'object'"},
		{"admin", bson.D{{"movePrimary", "db"}}, mongoerr.IDLFailedToParse, "BSON field 'movePrimary.to' is missing but a required field"},
	} {
		_, err := c.run(tc.db, tc.cmd)
		require.Error(t, err, "%v", tc.cmd)
		assert.Equal(t, tc.code, mongoerr.From(err).Code, "%v", err)
		assert.Equal(t, tc.message, mongoerr.From(err).Message)
	}
}
