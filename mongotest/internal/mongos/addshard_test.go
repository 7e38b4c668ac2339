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

func TestAShardWithDatabasesMayNotJoin(t *testing.T) {
	c := newCluster(t)
	c.catalog.stand("s2", removed)
	_, err := c.nodes["s2"].Handle(t.Context(), c.direct("own", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 1}}}}}))
	require.NoError(t, err)
	c.fails(mongoerr.OperationFailed, "admin", bson.D{{"addShard", "s2/s2:27018"}})
}
