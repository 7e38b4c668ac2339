package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// connectRouter returns a client of one router.
func connectRouter(t *testing.T, c *mongotest.Cluster, addr string) (*mongo.Client, func()) {
	t.Helper()
	cl, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + addr).SetDialer(c.Dialer()))
	require.NoError(t, err)
	return cl, func() { assert.NoError(t, cl.Disconnect(t.Context())) }
}

// A router that is kept from learning looks in the wrong place, and is told so.
func TestARouterCanBeKeptStale(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
		ctx := t.Context()
		a, done := connectRouter(t, c, c.Routers()[0])
		defer done()
		b, done := connectRouter(t, c, c.Routers()[1])
		defer done()
		admin := a.Database("admin")
		require.NoError(t, admin.RunCommand(ctx, bson.D{{"enableSharding", "d"}, {"primaryShard", "shard0"}}).Err())
		require.NoError(t, admin.RunCommand(ctx, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}}).Err())
		require.NoError(t, c.HoldRouting(c.Routers()[1]))
		require.NoError(t, admin.RunCommand(ctx, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"_id", 1}}}, {"to", "shard1"}}).Err())

		coll := b.Database("d").Collection("c")
		_, err := coll.InsertOne(ctx, bson.D{{"_id", 1}})
		var we mongo.WriteException
		require.ErrorAs(t, err, &we)
		assert.True(t, we.HasErrorCode(82), "%v", err)
		var ce mongo.CommandError
		require.ErrorAs(t, coll.FindOne(ctx, bson.D{{"_id", 1}}).Err(), &ce)
		assert.Equal(t, int32(13388), ce.Code)

		require.NoError(t, c.ReleaseRouting(c.Routers()[1]))
		_, err = coll.InsertOne(ctx, bson.D{{"_id", 1}})
		require.NoError(t, err)
		require.Error(t, c.HoldRouting("nobody:1"))
	})
}

// A snapshot session of the driver reads one time of the whole cluster.
func TestASnapshotSessionReadsOneTime(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		shardHashed(t, cl, "d.c")
		coll := cl.Database("d").Collection("c")
		for i := range 10 {
			_, err := coll.InsertOne(ctx, bson.D{{"_id", i}})
			require.NoError(t, err)
		}
		s, err := cl.StartSession(options.Session().SetSnapshot(true))
		require.NoError(t, err)
		defer s.EndSession(ctx)
		in := mongo.NewSessionContext(ctx, s)
		count := func() int {
			cur, err := coll.Find(in, bson.D{})
			require.NoError(t, err)
			var docs []bson.Raw
			require.NoError(t, cur.All(in, &docs))
			return len(docs)
		}
		before := count()
		_, err = coll.DeleteMany(ctx, bson.D{{"_id", bson.D{{"$lt", 5}}}})
		require.NoError(t, err)
		assert.Equal(t, before, count())
		var ids []int
		require.NoError(t, coll.Distinct(in, "_id", bson.D{}).Decode(&ids))
		assert.Len(t, ids, before)
		n, err := coll.CountDocuments(in, bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(before), n)
		n, err = coll.CountDocuments(ctx, bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(5), n)
	})
}
