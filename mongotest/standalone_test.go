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

// connString is what addShard wants of a replica set.
func connString(t *testing.T, c *mongotest.Cluster, set string) string {
	t.Helper()
	addr, err := c.Addr(set)
	require.NoError(t, err)
	return set + "/" + addr
}

// A replica set that has lived by itself becomes a shard: what it holds can be
// seen through the routers at once, its clients go on, and a stream that was open
// shows what is written from then on.
func TestAReplicaSetBecomesAShard(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 1, ReplicaSets: []mongotest.ReplicaSet{{Name: "old", ShardServer: true}}}, func(t *testing.T, c *mongotest.Cluster) {
		ctx := t.Context()
		cl, done := connect(t, c)
		defer done()
		alone, gone := connectShard(t, c, "old")
		defer gone()
		shop := alone.Database("shop").Collection("orders")
		for i := range 20 {
			_, err := shop.InsertOne(ctx, bson.D{{"_id", i}})
			require.NoError(t, err)
		}
		assert.False(t, raw(t, alone, "admin", bson.D{{"shardingState", 1}}).Lookup("enabled").Boolean())
		assert.Empty(t, all(t, cl.Database("shop").Collection("orders")), "it is not the cluster's")
		own, err := shop.Watch(ctx, mongo.Pipeline{})
		require.NoError(t, err)
		merged, err := cl.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetShowExpandedEvents(true))
		require.NoError(t, err)

		assert.Equal(t, "old", raw(t, cl, "admin", bson.D{{"addShard", connString(t, c, "old")}}).Lookup("shardAdded").StringValue())
		through := cl.Database("shop").Collection("orders")
		assert.Len(t, all(t, through), 20)
		_, err = through.InsertOne(ctx, bson.D{{"_id", 20}})
		require.NoError(t, err)
		_, err = shop.InsertOne(ctx, bson.D{{"_id", 21}})
		require.NoError(t, err)
		raw(t, cl, "admin", bson.D{{"shardCollection", "shop.orders"}, {"key", bson.D{{"_id", 1}}}})
		raw(t, cl, "admin", bson.D{{"moveRange", "shop.orders"}, {"min", bson.D{{"_id", 10}}}, {"toShard", "shard0"}})
		assert.Len(t, all(t, through), 22)
		for i, s := range []*mongo.ChangeStream{own, merged} {
			for _, want := range []int64{20, 21} {
				require.True(t, s.Next(ctx), "%d: %v", i, s.Err())
				assert.Equal(t, want, s.Current.Lookup("documentKey", "_id").AsInt64())
			}
			require.NoError(t, s.Close(ctx))
		}
		id := all(t, alone.Database("admin").Collection("system.version"))
		assert.Contains(t, id[len(id)-1], bson.E{Key: "shardName", Value: "old"})

		raw(t, cl, "admin", bson.D{{"moveRange", "shop.orders"}, {"min", bson.D{{"_id", bson.MinKey{}}}}, {"max", bson.D{{"_id", 10}}}, {"toShard", "shard0"}})
		raw(t, cl, "admin", bson.D{{"removeShard", "old"}})
		raw(t, cl, "admin", bson.D{{"movePrimary", "shop"}, {"to", "shard0"}})
		assert.Equal(t, "completed", raw(t, cl, "admin", bson.D{{"removeShard", "old"}}).Lookup("state").StringValue())
		assert.Len(t, all(t, through), 22)
		time.Sleep(20 * time.Minute) // the orphans are not its own any more, but nobody deletes them there
		requireCode(t, cl.Database("admin").RunCommand(ctx, bson.D{{"addShard", connString(t, c, "old")}}).Err(), 96)
		require.NoError(t, alone.Database("shop").Drop(ctx))
		raw(t, cl, "admin", bson.D{{"addShard", connString(t, c, "old")}})
	})
}

// Not every replica set can be taken, and one that is refused goes on alone.
func TestReplicaSetsThatCannotBecomeShards(t *testing.T) {
	sets := []mongotest.ReplicaSet{{Name: "plain"}, {Name: "taken", Taken: true}, {Name: "double", ShardServer: true}}
	bubble(t, mongotest.Options{Shards: 1, Members: 3, ReplicaSets: sets}, func(t *testing.T, c *mongotest.Cluster) {
		ctx := t.Context()
		cl, done := connect(t, c)
		defer done()
		_, err := cl.Database("d").Collection("c").InsertOne(ctx, bson.D{})
		require.NoError(t, err)
		alone, gone := connectShard(t, c, "double")
		defer gone()
		_, err = alone.Database("d").Collection("c").InsertOne(ctx, bson.D{})
		require.NoError(t, err)
		add := func(host string) error { return cl.Database("admin").RunCommand(ctx, bson.D{{"addShard", host}}).Err() }
		host := func(set string) string { return connString(t, c, set) }
		requireCode(t, add(host("plain")), 50876) // no --shardsvr
		requireCode(t, add(host("taken")), 11000) // another cluster's
		requireCode(t, add(host("double")), 96)   // the database d
		requireCode(t, add(host("config")), 96)
		requireCode(t, add(host("double")[len("double/"):]), 96) // no name of a set
		requireCode(t, add("other"+host("double")[len("double"):]), 133)
		requireCode(t, add("nowhere/nowhere:27017"), 133)
		requireCode(t, add(host("double")+",elsewhere:27017"), 96)
		assert.Len(t, all(t, cl.Database("config").Collection("shards")), 1)
		_, err = alone.Database("d").Collection("c").InsertOne(ctx, bson.D{})
		require.NoError(t, err)
		require.NoError(t, alone.Database("d").Drop(ctx))
		require.NoError(t, add(host("double")))
		require.NoError(t, add(host("double")), "it is one already")
	})
}

// A set that has joined is a shard after a restart, one that has not is none.
func TestReplicaSetsBesideTheClusterComeBack(t *testing.T) {
	sets := []mongotest.ReplicaSet{{Name: "joined", ShardServer: true}, {Name: "alone", ShardServer: true}}
	lives(t, mongotest.Options{Shards: 1, ReplicaSets: sets},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			for _, set := range c.ReplicaSets() {
				direct, gone := connectShard(t, c, set)
				_, err := direct.Database("of-"+set).Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
				require.NoError(t, err)
				gone()
			}
			raw(t, cl, "admin", bson.D{{"addShard", connString(t, c, "joined")}})
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			assert.Len(t, all(t, cl.Database("of-joined").Collection("c")), 1)
			assert.Empty(t, all(t, cl.Database("of-alone").Collection("c")))
			for _, set := range c.ReplicaSets() {
				direct, gone := connectShard(t, c, set)
				assert.Equal(t, set == "joined", raw(t, direct, "admin", bson.D{{"shardingState", 1}}).Lookup("enabled").Boolean())
				gone()
			}
			raw(t, cl, "admin", bson.D{{"addShard", connString(t, c, "alone")}})
			assert.Len(t, all(t, cl.Database("of-alone").Collection("c")), 1)
		})
}
