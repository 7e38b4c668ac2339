package mongos

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// spreadSeries is a cluster with the time-series collection db.s, of which s0
// has the metadata below "m" and s1 the rest.
func spreadSeries(t *testing.T) *cluster {
	t.Helper()
	return spreadSeriesOn(t, newCluster(t))
}

func spreadSeriesOn(t *testing.T, c *cluster) *cluster {
	t.Helper()
	c.must("db", bson.D{{"create", "other"}}) // s0 is primary
	c.must("admin", bson.D{
		{"shardCollection", "db.s"},
		{"key", bson.D{{"m", 1}, {"t", 1}}},
		{"timeseries", bson.D{{"timeField", "t"}, {"metaField", "m"}}},
	})
	c.must("admin", bson.D{{"split", "db.system.buckets.s"}, {"middle", bson.D{{"meta", "m"}, {"control.min.t", bson.MinKey{}}}}})
	c.must("admin", bson.D{{"moveChunk", "db.system.buckets.s"}, {"find", bson.D{{"meta", "z"}, {"control.min.t", time.Unix(0, 0)}}}, {"to", "s1"}})
	return c
}

// at is a measurement.
func at(id int, seconds int64, meta any) bson.D {
	return bson.D{{"_id", id}, {"t", time.Unix(seconds, 0)}, {"m", meta}, {"v", id}}
}

// indexesOn returns the indexes that a shard has.
func (c *cluster) indexesOn(shard, coll string) []bson.Raw {
	resp, err := c.nodes[shard].Handle(c.t.Context(), c.direct("db", bson.D{{"listIndexes", coll}}))
	require.NoError(c.t, err)
	return getDocs(getDoc(resp.Body, "cursor"), "firstBatch")
}

// A sharded time-series collection is used like another one: its buckets are
// where their metadata belongs.
func TestShardedTimeseries(t *testing.T) {
	c := spreadSeries(t)
	c.insert("s", at(1, 60, "a"), at(2, 61, "z"), at(3, 62, "a"), at(4, 63, "z"), at(5, 64, "b"))
	assert.Len(t, c.on("s0", "system.buckets.s"), 2)
	assert.Len(t, c.on("s1", "system.buckets.s"), 1)
	assert.ElementsMatch(t, []int64{1, 2, 3, 4, 5}, ids(c.all("db", bson.D{{"find", "s"}})))
	assert.Equal(t, []int64{4, 5}, ids(c.all("db", bson.D{{"find", "s"}, {"filter", bson.D{{"v", bson.D{{"$gt", 2}}}}}, {"sort", bson.D{{"m", -1}, {"_id", 1}}}, {"limit", int64(2)}, {"projection", bson.D{{"_id", 1}}}})), "z before b")
	assert.Equal(t, int64(2), getInt(c.must("db", bson.D{{"count", "s"}, {"query", bson.D{{"m", "z"}}}}), "n", 0))
	assert.Equal(t, `["a","b","z"]`, c.must("db", bson.D{{"distinct", "s"}, {"key", "m"}}).Lookup("values").String())

	bulk := c.must("admin", bson.D{{"bulkWrite", 1}, {"nsInfo", bson.A{bson.D{{"ns", "db.s"}}}}, {"ops", bson.A{
		bson.D{{"insert", 0}, {"document", at(6, 65, "y")}},
		bson.D{{"insert", 0}, {"document", at(7, 65, "c")}},
		bson.D{{"delete", 0}, {"filter", bson.D{{"v", bson.D{{"$gt", 5}}}}}, {"multi", true}},
	}}})
	assert.Equal(t, []int64{2, 2}, []int64{getInt(bulk, "nInserted", 0), getInt(bulk, "nDeleted", 0)})
	assert.Len(t, c.all("db", bson.D{{"find", "s"}}), 5)

	reply := c.must("db", bson.D{{"delete", "s"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"v", bson.D{{"$in", bson.A{1, 2}}}}}}, {"limit", 0}}}}})
	assert.Equal(t, int64(2), getInt(reply, "n", 0))
	reply = c.must("db", bson.D{{"delete", "s"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"v", bson.D{{"$gt", 0}}}}}, {"limit", 1}}}}})
	assert.Equal(t, int64(1), getInt(reply, "n", 0))
	assert.Len(t, c.all("db", bson.D{{"find", "s"}}), 2)
	for _, st := range []bson.D{
		{{"q", bson.D{}}, {"u", bson.D{{"$set", bson.D{{"m", "q"}}}}}, {"multi", true}}, // the shard key
		{{"q", bson.D{}}, {"u", bson.D{{"$set", bson.D{{"v", 1}}}}}, {"multi", true}},
	} {
		reply, err := c.run("db", bson.D{{"update", "s"}, {"updates", bson.A{st}}})
		require.NoError(t, err)
		require.Len(t, getDocs(reply, "writeErrors"), 1, "%s", reply)
		assert.Equal(t, int64(mongoerr.InvalidOptions), getInt(getDocs(reply, "writeErrors")[0], "code", 0))
	}
	reply, err := c.run("db", bson.D{{"insert", "s"}, {"documents", bson.A{bson.D{{"v", 1}}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(mongoerr.BadValue), getInt(getDocs(reply, "writeErrors")[0], "code", 0))

	c.must("db", bson.D{{"createIndexes", "s"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"v", 1}}}, {"name", "v_1"}}}}})
	assert.Len(t, c.all("db", bson.D{{"listIndexes", "s"}}), 2)
	assert.Len(t, c.indexesOn("s1", "system.buckets.s"), 2)
	c.must("db", bson.D{{"dropIndexes", "s"}, {"index", bson.D{{"v", 1}}}})
	assert.Len(t, c.indexesOn("s1", "system.buckets.s"), 1)
	c.fails(mongoerr.CommandNotSupported, "db", bson.D{{"findAndModify", "s"}, {"query", bson.D{}}, {"remove", true}})
	c.fails(mongoerr.CommandNotSupported, "admin", bson.D{{"reshardCollection", "db.system.buckets.s"}, {"key", bson.D{{"meta", 1}}}})
	c.fails(mongoerr.CommandNotSupported, "db", bson.D{{"collMod", "s"}, {"expireAfterSeconds", 1}})

	row := c.all("config", bson.D{{"find", "collections"}})[0]
	assert.Equal(t, "m", getString(getDoc(row, "timeseriesFields"), "metaField"))
	c.must("db", bson.D{{"drop", "s"}})
	assert.Empty(t, c.all("config", bson.D{{"find", "collections"}}))
	for _, shard := range []string{"s0", "s1"} {
		assert.Empty(t, c.on(shard, "system.buckets.s"))
	}
	assert.Empty(t, c.all("db", bson.D{{"find", "s"}}))
}

// A chunk of buckets moves like any other, and new measurements follow it.
func TestChunksOfBucketsMove(t *testing.T) {
	c := spreadSeries(t)
	c.insert("s", at(1, 60, "a"), at(2, 61, "z"))
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s2"}})
	assert.ElementsMatch(t, []int64{1, 2}, ids(c.all("db", bson.D{{"find", "s"}})), "sharded data stays")
	c.must("admin", bson.D{{"moveChunk", "db.system.buckets.s"}, {"find", bson.D{{"meta", "a"}, {"control.min.t", time.Unix(0, 0)}}}, {"to", "s2"}})
	c.insert("s", at(3, 62, "a"))
	assert.Len(t, c.on("s2", "system.buckets.s"), 1, "one bucket for both")
	assert.ElementsMatch(t, []int64{1, 2, 3}, ids(c.all("db", bson.D{{"find", "s"}})))
	c.insert("s", at(4, 63, "z"))
	assert.Len(t, c.on("s1", "system.buckets.s"), 1)
}

// A bucket that has moved away is not filled any more, though it is still there.
func TestOrphanedBucketsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := spreadSeriesOn(t, newClusterWith(t, time.Hour))
		c.must("admin", bson.D{{"split", "db.system.buckets.s"}, {"middle", bson.D{{"meta", "a"}, {"control.min.t", time.Unix(120, 0)}}}})
		c.insert("s", at(1, 60, "a"))
		c.must("admin", bson.D{{"moveChunk", "db.system.buckets.s"}, {"find", bson.D{{"meta", "a"}, {"control.min.t", time.Unix(60, 0)}}}, {"to", "s2"}})
		c.insert("s", at(2, 130, "a"))
		assert.Len(t, c.on("s0", "system.buckets.s"), 2, "orphan and bucket")
		assert.Equal(t, []int64{1, 2}, ids(c.all("db", bson.D{{"find", "s"}})))
		reply := c.must("db", bson.D{{"delete", "s"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"v", bson.D{{"$gt", 0}}}}}, {"limit", 0}}}}})
		assert.Equal(t, int64(2), getInt(reply, "n", 0))
	})
}

func TestShardKeysOfTimeseries(t *testing.T) {
	c := newCluster(t)
	c.must("db", bson.D{{"create", "s"}, {"timeseries", bson.D{{"timeField", "t"}, {"metaField", "m"}}}})
	shard := func(key bson.D, more ...bson.E) bson.D {
		return append(bson.D{{"shardCollection", "db.s"}, {"key", key}}, more...)
	}
	c.fails(5914001, "admin", shard(bson.D{{"v", 1}}))
	c.fails(5914000, "admin", shard(bson.D{{"t", 1}, {"m", 1}}))
	c.fails(5914000, "admin", shard(bson.D{{"t", "hashed"}}))
	c.fails(mongoerr.InvalidOptions, "admin", shard(bson.D{{"m", 1}}, bson.E{Key: "unique", Value: true}))
	c.fails(codeOtherSeries, "admin", shard(bson.D{{"m", 1}}, bson.E{Key: "timeseries", Value: bson.D{{"timeField", "t"}}}))
	c.insert("s", at(1, 60, "a"))
	c.must("admin", shard(bson.D{{"m", 1}}))
	c.must("admin", shard(bson.D{{"m", 1}}))
	c.insert("s", at(2, 61, "a"))
	assert.Equal(t, []int64{1, 2}, ids(c.all("db", bson.D{{"find", "s"}})))
}

// A router that knows of a time-series collection as it was writes and reads
// what is there now.
func TestAStaleRouterFindsTheBuckets(t *testing.T) {
	c := newCluster(t)
	stale := c.another()
	create := bson.D{{"create", "s"}, {"timeseries", bson.D{{"timeField", "t"}, {"metaField", "m"}}}}
	c.must("db", create)
	stale.insert("s", at(1, 60, "z"))
	c.must("admin", bson.D{{"shardCollection", "db.s"}, {"key", bson.D{{"m", 1}}}})
	stale.insert("s", at(2, 61, "z"))
	c.must("admin", bson.D{{"moveChunk", "db.system.buckets.s"}, {"find", bson.D{{"meta", "z"}}}, {"to", "s1"}})
	stale.insert("s", at(3, 62, "z"))
	assert.ElementsMatch(t, []int64{1, 2, 3}, ids(stale.all("db", bson.D{{"find", "s"}})))
	assert.Len(t, c.on("s1", "system.buckets.s"), 1)
	c.must("db", bson.D{{"drop", "s"}})
	c.must("db", create)
	stale.insert("s", at(4, 63, "z"))
	assert.Equal(t, []int64{4}, ids(stale.all("db", bson.D{{"find", "s"}})))
	assert.Empty(t, c.on("s1", "system.buckets.s"))
}
