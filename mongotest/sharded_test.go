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

// shardHashed shards d.c on its hashed _id.
func shardHashed(t *testing.T, cl *mongo.Client, ns string) {
	t.Helper()
	require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{
		{"shardCollection", ns}, {"key", bson.D{{"_id", "hashed"}}},
	}).Err())
}

// What works on a replica set works through a router on a collection that is
// spread over the shards.
func TestShardedCRUD(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 3, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "shop.orders")
		crud(t, cl.Database("shop").Collection("orders"))

		spread := 0
		for _, id := range c.Shards() {
			direct, done := connectShard(t, c, id)
			n, err := direct.Database("shop").Collection("orders").CountDocuments(t.Context(), bson.D{})
			require.NoError(t, err)
			assert.Positivef(t, n, "shard %s", id)
			spread += int(n)
			done()
		}
		assert.Equal(t, 226, spread)
	})
}

// An unsharded collection lives on its database's primary shard.
func TestUnshardedCRUDThroughRouter(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		crud(t, cl.Database("shop").Collection("orders"))
	})
}

func connectShard(t *testing.T, c *mongotest.Cluster, id string) (*mongo.Client, func()) {
	t.Helper()
	uri, err := c.ShardURI(id)
	require.NoError(t, err)
	cl, err := mongo.Connect(options.Client().ApplyURI(uri).SetDialer(c.Dialer()))
	require.NoError(t, err)
	return cl, func() { assert.NoError(t, cl.Disconnect(t.Context())) }
}

// config.shards names the shards by addresses at which they answer.
func TestConfigShardsNamesReachableHosts(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		cur, err := cl.Database("config").Collection("shards").Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}))
		require.NoError(t, err)
		var shards []struct {
			ID   string `bson:"_id"`
			Host string `bson:"host"`
		}
		require.NoError(t, cur.All(t.Context(), &shards))
		require.Len(t, shards, 2)
		for _, s := range shards {
			addr, err := c.Addr(s.ID)
			require.NoError(t, err)
			assert.Equal(t, s.ID+"/"+addr, s.Host)
			direct, done := connectShard(t, c, s.ID)
			require.NoError(t, direct.Ping(t.Context(), nil))
			done()
		}
	})
}

// The merged stream of a router resumes as a replica set's does.
func TestShardedChangeStreamResumesAfterKilledConnections(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "d.c")
		ctx := t.Context()
		coll := cl.Database("d").Collection("c")
		stream, err := coll.Watch(ctx, mongo.Pipeline{})
		require.NoError(t, err)
		defer func() { assert.NoError(t, stream.Close(ctx)) }()
		for i := range 20 {
			_, err := coll.InsertOne(ctx, bson.D{{"_id", i}})
			require.NoError(t, err)
			if i%5 == 4 {
				assert.Positive(t, c.KillConnections())
				pass(time.Second)
			}
			require.True(t, stream.Next(ctx), "%v", stream.Err())
			assert.Equal(t, int64(i), stream.Current.Lookup("documentKey", "_id").AsInt64())
		}
	})
}

func TestShardedTransactions(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "d.c")
		transactions(t, cl, cl.Database("d").Collection("c"))
	})
}

func TestShardedRetryableWriteAfterDroppedReply(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "d.c")
		retryAfterDroppedReply(t, c, cl)
	})
}

// A shard that steps down delays writes to it and loses none.
func TestShardedWriteWaitsOutAStepDown(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "d.c")
		coll := cl.Database("d").Collection("c")
		require.NoError(t, c.StepDown(t.Context(), "shard0", 10*time.Second))
		for i := range 10 {
			require.Eventually(t, func() bool {
				_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}})
				return err == nil || mongo.IsDuplicateKeyError(err)
			}, time.Minute, time.Second)
		}
		n, err := coll.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(10), n)
	})
}

// A router that cannot reach a shard says so, and works again when it can.
func TestShardCutOffFromRouters(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "d.c")
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertMany(t.Context(), []any{bson.D{{"_id", 1}}, bson.D{{"_id", 2}}, bson.D{{"_id", 3}}, bson.D{{"_id", 4}}})
		require.NoError(t, err)
		addr, err := c.Addr("shard1")
		require.NoError(t, err)
		c.Cut(addr)
		_, err = coll.CountDocuments(t.Context(), bson.D{})
		var ce mongo.CommandError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, int32(6), ce.Code)
		c.Heal(addr)
		n, err := coll.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(4), n)
	})
}

// The transaction by which a router moves a document to another shard is the
// router's: if an election ends it, the client need not know.
func TestAMoveOfADocumentSurvivesAnElection(t *testing.T) {
	for _, modify := range []bool{false, true} {
		two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
			admin := cl.Database("admin")
			require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"shardCollection", "a.m"}, {"key", bson.D{{"k", 1}}}}).Err())
			require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"split", "a.m"}, {"middle", bson.D{{"k", 10}}}}).Err())
			require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"moveChunk", "a.m"}, {"find", bson.D{{"k", 10}}}, {"to", c.Shards()[1]}}).Err())
			retrying, disconnect := connect(t, c)
			defer disconnect()
			coll := retrying.Database("a").Collection("m")
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}, {"k", 1}})
			require.NoError(t, err)
			// The insert on the other shard waits there, and the first shard forgets the delete meanwhile.
			slow := disturb(t, c, mongotest.Delay{From: mongotest.Routers, To: c.Shards()[1], By: 2 * time.Second})
			done := make(chan error, 1)
			go func() {
				filter, change := bson.D{{"_id", 1}, {"k", 1}}, bson.D{{"$set", bson.D{{"k", 20}}}}
				if modify {
					done <- coll.FindOneAndUpdate(t.Context(), filter, change).Err()
					return
				}
				_, err := coll.UpdateOne(t.Context(), filter, change)
				done <- err
			}()
			pass(time.Second)
			require.NoError(t, c.StepDown(t.Context(), c.Shards()[0], time.Minute))
			pass(2 * time.Second)
			slow()
			require.NoError(t, <-done)
			n, err := coll.CountDocuments(t.Context(), bson.D{{"_id", 1}, {"k", 20}})
			require.NoError(t, err)
			assert.EqualValues(t, 1, n)
		})
	}
}
