package mongotest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// Through a driver and two routers, a collection goes through all that can
// happen to one in a sharded cluster, and a change stream tells the story.
func TestTheLifeOfAShardedCollection(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 3, Spares: 1, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx, admin, coll := t.Context(), cl.Database("admin"), cl.Database("d").Collection("c")
		run := func(cmd bson.D) {
			t.Helper()
			require.NoError(t, admin.RunCommand(ctx, cmd).Err(), "%v", cmd)
		}
		run(bson.D{{"enableSharding", "d"}, {"primaryShard", "shard0"}})
		stream, err := cl.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetShowExpandedEvents(true))
		require.NoError(t, err)
		addr, err := c.Addr("shard3")
		require.NoError(t, err)
		n := 0
		write := func() {
			t.Helper()
			n++
			_, err := coll.InsertOne(ctx, bson.D{{"_id", n}, {"k", n * 10}})
			require.NoError(t, err)
		}
		for _, cmd := range []bson.D{
			{{"shardCollection", "d.c"}, {"key", bson.D{{"k", 1}}}},
			{{"split", "d.c"}, {"middle", bson.D{{"k", 50}}}},
			{{"moveChunk", "d.c"}, {"find", bson.D{{"k", 50}}}, {"to", "shard1"}, {"_waitForDelete", true}},
			{{"moveRange", "d.c"}, {"min", bson.D{{"k", 70}}}, {"toShard", "shard2"}},
			{{"movePrimary", "d"}, {"to", "shard1"}},
			{{"reshardCollection", "d.c"}, {"key", bson.D{{"_id", "hashed"}}}, {"numInitialChunks", 3}},
			{{"unshardCollection", "d.c"}, {"toShard", "shard2"}},
			{{"moveCollection", "d.c"}, {"toShard", "shard0"}},
			{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}},
			{{"mergeAllChunksOnShard", "d.c"}, {"shard", "shard0"}},
			{{"configureCollectionBalancing", "d.c"}, {"chunkSize", 1}},
			{{"balancerStart", 1}},
			{{"addShard", "shard3/" + addr}},
			{{"moveChunk", "d.c"}, {"find", bson.D{{"_id", 1}}}, {"to", "shard3"}},
			{{"removeShard", "shard2"}},
		} {
			run(cmd)
			write()
			time.Sleep(time.Second)
		}
		total, err := coll.CountDocuments(ctx, bson.D{})
		require.NoError(t, err)
		assert.EqualValues(t, n, total)
		var kinds []string
		for inserts := 0; inserts < n; {
			require.True(t, stream.Next(ctx))
			kind := stream.Current.Lookup("operationType").StringValue()
			if kind == "insert" {
				inserts++
				assert.EqualValues(t, inserts, stream.Current.Lookup("documentKey", "_id").AsInt64())
				continue
			}
			kinds = append(kinds, kind)
		}
		assert.Equal(t, []string{"create", "createIndexes", "shardCollection", "reshardCollection", "reshardCollection", "reshardCollection", "shardCollection"}, kinds)
		require.NoError(t, stream.Close(ctx))
	})
}
