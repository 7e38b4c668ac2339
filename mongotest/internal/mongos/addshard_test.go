package mongos

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A stream that was open before shows what happens on a shard that joins.
func TestAShardJoins(t *testing.T) {
	c := newClusterWith(t, -1)
	c.catalog.stand("s2", removed)
	c.must("admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"k", "hashed"}}}})
	assert.Len(t, c.catalog.table("db.c").shards(), 2)
	w := c.watch()
	c.fails(mongoerr.ShardNotFound, "admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 1}}}, {"to", "s2"}})
	c.fails(mongoerr.FailedToSatisfyReadPreference, "admin", bson.D{{"addShard", "s9/s9:1"}})
	reply := c.must("admin", bson.D{{"addShard", "s2/s2:27018"}})
	assert.Equal(t, "s2", getString(reply, "shardAdded"))
	c.must("admin", bson.D{{"addShard", "s2/s2:27018"}})
	assert.Len(t, c.all("config", bson.D{{"find", "shards"}}), 3)
	c.move("c", 1, "s2")
	c.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	assert.Equal(t, []int64{1}, ids(c.on("s2", "c")))
	assert.Equal(t, []string{`insert {"$numberInt":"1"}`}, summary(w.events()))
}

// What a replica set has brought with it belongs to the cluster, and no stream
// shows how it came to be.
func TestTheDatabasesOfANewShardBecomeTheClusters(t *testing.T) {
	c := newCluster(t)
	c.catalog.stand("s2", removed)
	w := c.watch()
	for _, cmd := range []bson.D{
		{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 1}}}}},
		{{"create", "v"}, {"viewOn", "c"}, {"pipeline", bson.A{bson.D{{"$addFields", bson.D{{"seen", true}}}}}}},
	} {
		_, err := c.nodes["s2"].Handle(t.Context(), c.direct("own", cmd))
		require.NoError(t, err)
	}
	c.must("admin", bson.D{{"addShard", "s2/s2:27018"}})
	row := c.all("config", bson.D{{"find", "databases"}, {"filter", bson.D{{"_id", "own"}}}})
	require.Len(t, row, 1)
	assert.Equal(t, "s2", getString(row[0], "primary"))
	c.must("own", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 2}}}}})
	assert.Equal(t, []int64{1, 2}, ids(c.all("own", bson.D{{"find", "c"}})))
	c.must("admin", bson.D{{"shardCollection", "own.c"}, {"key", bson.D{{"_id", 1}}}})
	c.must("admin", bson.D{{"moveChunk", "own.c"}, {"find", bson.D{{"_id", 1}}}, {"to", "s0"}})
	assert.Equal(t, []int64{1, 2}, ids(c.all("own", bson.D{{"find", "v"}})))
	assert.Equal(t, []string{`insert {"$numberInt":"2"}`, "shardCollection c"}, summary(w.events()))
}

func TestAShardMayNotBringADatabaseThatTheClusterHas(t *testing.T) {
	c := newCluster(t)
	c.catalog.stand("s2", removed)
	_, err := c.nodes["s2"].Handle(t.Context(), c.direct("db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 1}}}}}))
	require.NoError(t, err)
	_, err = c.run("admin", bson.D{{"addShard", "s2/s2:27018"}})
	require.EqualError(t, mongoerr.From(err), "OperationFailed (96): can't add shard 's2/s2:27018' because a local database 'db' exists in another s0")
	assert.Equal(t, removed, c.catalog.membership("s2"))
	assert.Equal(t, "s0", getString(c.all("config", bson.D{{"find", "databases"}, {"filter", bson.D{{"_id", "db"}}}})[0], "primary"))
}

// Whoever joins while user writes are blocked does not take any.
func TestTheWriteBlockHoldsOnANewShard(t *testing.T) {
	c := newCluster(t)
	c.catalog.stand("s2", removed)
	c.must("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", true}})
	c.must("admin", bson.D{{"addShard", "s2/s2:27018"}})
	_, err := c.nodes["s2"].Handle(t.Context(), c.direct("x", bson.D{{"create", "c"}}))
	assert.Equal(t, mongoerr.UserWritesBlocked, mongoerr.From(err).Code)
	c.must("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
	_, err = c.nodes["s2"].Handle(t.Context(), c.direct("x", bson.D{{"create", "c"}}))
	assert.NoError(t, err)
}
