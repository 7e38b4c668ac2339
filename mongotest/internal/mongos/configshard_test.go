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

// The config server becomes a shard, holds data like any other, and a stream
// that was open before shows it; what is the config server's own it never shows.
func TestTheConfigServerBecomesAShard(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	w := c.watch()
	c.fails(mongoerr.OperationFailed, "admin", bson.D{{"addShard", "config/config:27018"}})
	c.fails(mongoerr.ShardNotFound, "admin", bson.D{{"transitionToDedicatedConfigServer", 1}})
	c.must("admin", bson.D{{"transitionFromDedicatedConfigServer", 1}})
	c.must("admin", bson.D{{"transitionFromDedicatedConfigServer", 1}})
	shards := getDocs(c.must("admin", bson.D{{"listShards", 1}}), "shards")
	require.Len(t, shards, 4)
	assert.Equal(t, "config", getString(shards[3], "_id"))
	assert.Equal(t, "config/config:27018", getString(shards[3], "host"))
	c.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	c.move("c", 1, "config")
	assert.Equal(t, []int64{1}, ids(c.on("config", "c")))
	c.insert("c", bson.D{{"_id", 2}, {"k", 2}})
	c.must("admin", bson.D{{"enableSharding", "mine"}, {"primaryShard", "config"}})
	c.must("mine", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 3}}}}})
	assert.Equal(t, []string{`insert {"$numberInt":"1"}`, `insert {"$numberInt":"2"}`, "create c", `insert {"$numberInt":"3"}`}, summary(w.events()))
	assert.Equal(t, []int64{1, 2}, c.documents("c"))
	names := []string{}
	for _, d := range getDocs(c.must("admin", bson.D{{"listDatabases", 1}}), "databases") {
		names = append(names, getString(d, "name"))
	}
	assert.Equal(t, []string{"admin", "config", "db", "mine"}, names)
	c.fails(mongoerr.IllegalOperation, "admin", bson.D{{"removeShard", "config"}})
}

// On the way back it drains like other shards, waits for the deletion of what has
// moved, and keeps nothing of the cluster's databases.
func TestTheConfigServerIsDedicatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, time.Hour)
		c.sharded("c")
		c.must("admin", bson.D{{"transitionFromDedicatedConfigServer", 1}})
		c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "config"}})
		c.insert("plain", bson.D{{"_id", 1}})
		c.insert("c", bson.D{{"_id", 1}, {"k", 101}})
		c.move("c", 101, "config")
		drain := func() bson.Raw { return c.must("admin", bson.D{{"transitionToDedicatedConfigServer", 1}}) }
		reply := drain()
		assert.Equal(t, "started", getString(reply, "state"))
		assert.Equal(t, "config", getString(reply, "shard"))
		reply = drain()
		assert.Equal(t, "ongoing", getString(reply, "state"))
		assert.Equal(t, rawDoc(bson.D{{"chunks", int64(1)}, {"dbs", int64(1)}, {"jumboChunks", int64(0)}}), getDoc(reply, "remaining"))
		c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s1"}})
		c.move("c", 101, "s1")
		reply = drain()
		assert.Equal(t, "pendingRangeDeletions", getString(reply, "state"))
		assert.EqualValues(t, 1, getInt(reply, "pendingRangeDeletions", 0))
		assert.Len(t, c.on("config", "c"), 1)
		time.Sleep(time.Hour + time.Second)
		c.router.deleteOrphans(t.Context())
		assert.Equal(t, "completed", getString(drain(), "state"))
		assert.Len(t, c.all("config", bson.D{{"find", "shards"}}), 3)
		resp, err := c.nodes["config"].Handle(t.Context(), c.direct("admin", bson.D{{"listDatabases", 1}}))
		require.NoError(t, err)
		for _, d := range getDocs(resp.Body, "databases") {
			assert.NotEqual(t, "db", getString(d, "name"))
		}
		assert.Equal(t, []int64{1}, c.documents("c"))
		assert.Equal(t, []int64{1}, c.documents("plain"))
		c.must("admin", bson.D{{"transitionFromDedicatedConfigServer", 1}}) // nothing stands in its way
	})
}

func TestTheLastShardCannotGo(t *testing.T) {
	c := newCluster(t)
	c.must("admin", bson.D{{"transitionFromDedicatedConfigServer", 1}})
	for _, s := range shardNames {
		c.must("admin", bson.D{{"removeShard", s}})
	}
	c.fails(mongoerr.IllegalOperation, "admin", bson.D{{"transitionToDedicatedConfigServer", 1}})
}
