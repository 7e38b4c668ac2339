package mongotest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// The official driver finds the primary and does its daily work.
func TestReplicaSetCRUD(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		crud(t, cl.Database("shop").Collection("orders"))
		names, err := cl.ListDatabaseNames(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Contains(t, names, "shop")
	})
}

// crud inserts, reads, updates, counts and deletes.
func crud(t *testing.T, coll *mongo.Collection) {
	t.Helper()
	ctx := t.Context()
	docs := make([]any, 250)
	for i := range docs {
		docs[i] = bson.D{{"_id", i}, {"n", i % 10}, {"name", "x"}}
	}
	_, err := coll.InsertMany(ctx, docs)
	require.NoError(t, err)

	cur, err := coll.Find(ctx, bson.D{{"n", 3}}, options.Find().SetSort(bson.D{{"_id", -1}}).SetBatchSize(10))
	require.NoError(t, err)
	var found []struct {
		ID int `bson:"_id"`
	}
	require.NoError(t, cur.All(ctx, &found))
	require.Len(t, found, 25)
	assert.Equal(t, 243, found[0].ID)

	up, err := coll.UpdateMany(ctx, bson.D{{"n", 3}}, bson.D{{"$inc", bson.D{{"n", 100}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(25), up.ModifiedCount)
	one, err := coll.UpdateOne(ctx, bson.D{{"_id", 1000}}, bson.D{{"$set", bson.D{{"n", 1}}}}, options.UpdateOne().SetUpsert(true))
	require.NoError(t, err)
	assert.Equal(t, int64(1), one.UpsertedCount)
	rep, err := coll.ReplaceOne(ctx, bson.D{{"_id", 1000}}, bson.D{{"n", -1}})
	require.NoError(t, err)
	assert.Equal(t, int64(1), rep.ModifiedCount)
	var after bson.D
	require.NoError(t, coll.FindOneAndUpdate(ctx, bson.D{{"_id", 5}}, bson.D{{"$set", bson.D{{"n", "five"}}}},
		options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&after))
	assert.Equal(t, bson.D{{"_id", int32(5)}, {"n", "five"}, {"name", "x"}}, after)

	n, err := coll.CountDocuments(ctx, bson.D{{"n", 103}})
	require.NoError(t, err)
	assert.Equal(t, int64(25), n)
	del, err := coll.DeleteMany(ctx, bson.D{{"n", 103}})
	require.NoError(t, err)
	assert.Equal(t, int64(25), del.DeletedCount)
	total, err := coll.EstimatedDocumentCount(ctx)
	require.NoError(t, err)
	assert.Equal(t, int64(226), total)

	_, err = coll.InsertOne(ctx, bson.D{{"_id", 1}})
	assert.True(t, mongo.IsDuplicateKeyError(err))
}

// A change stream goes on where it was after its connections are killed: no
// event is lost and none is seen twice.
func TestChangeStreamResumesAfterKilledConnections(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		watchThroughKills(t, c, cl)
	})
}

// watchThroughKills inserts 20 documents, kills all connections between some of
// them, and expects the 20 events in order.
func watchThroughKills(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
	t.Helper()
	ctx := t.Context()
	coll := cl.Database("d").Collection("c")
	require.NoError(t, cl.Database("d").CreateCollection(ctx, "c"))
	stream, err := cl.Watch(ctx, mongo.Pipeline{})
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
		assert.Equal(t, "insert", stream.Current.Lookup("operationType").StringValue())
		assert.Equal(t, int64(i), stream.Current.Lookup("documentKey", "_id").AsInt64())
	}
}

// A transaction's writes appear together or not at all.
func TestTransactions(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		transactions(t, cl, cl.Database("d").Collection("c"))
	})
}

func transactions(t *testing.T, cl *mongo.Client, coll *mongo.Collection) {
	t.Helper()
	ctx := t.Context()
	s, err := cl.StartSession()
	require.NoError(t, err)
	defer s.EndSession(ctx)
	insert := func(ctx context.Context, from, to int) error {
		for i := from; i < to; i++ {
			if _, err := coll.InsertOne(ctx, bson.D{{"_id", i}}); err != nil {
				return err
			}
		}
		return nil
	}
	outside := ctx
	_, err = s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if err := insert(ctx, 0, 5); err != nil {
			return nil, err
		}
		n, err := coll.CountDocuments(ctx, bson.D{})
		assert.Equal(t, int64(5), n, "its own writes")
		if err != nil {
			return nil, err
		}
		n, err = coll.CountDocuments(outside, bson.D{})
		assert.Zero(t, n, "nobody else's view")
		return nil, err
	})
	require.NoError(t, err)
	_, err = s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if err := insert(ctx, 5, 10); err != nil {
			return nil, err
		}
		return nil, context.Canceled // the story's own reason to abort
	})
	require.ErrorIs(t, err, context.Canceled)
	n, err := coll.CountDocuments(ctx, bson.D{})
	require.NoError(t, err)
	assert.Equal(t, int64(5), n)
}

// A write whose reply is lost is retried by the driver and happens once.
func TestRetryableWriteAfterDroppedReply(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		retryAfterDroppedReply(t, c, cl)
	})
}

func retryAfterDroppedReply(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
	t.Helper()
	ctx := t.Context()
	coll := cl.Database("d").Collection("c")
	_, err := coll.InsertOne(ctx, bson.D{{"_id", 0}, {"n", 0}})
	require.NoError(t, err)
	dropped := make(chan struct{}, 1)
	c.SetFaults(mongotest.Faults{Command: func(cmd mongotest.Command) mongotest.Fault {
		if cmd.Name != "update" {
			return mongotest.Fault{}
		}
		select {
		case dropped <- struct{}{}:
			return mongotest.Fault{DropReply: true}
		default:
			return mongotest.Fault{}
		}
	}})
	res, err := coll.UpdateOne(ctx, bson.D{{"_id", 0}}, bson.D{{"$inc", bson.D{{"n", 1}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(1), res.ModifiedCount)
	require.Len(t, dropped, 1)
	c.SetFaults(mongotest.Faults{})
	var doc bson.D
	require.NoError(t, coll.FindOne(ctx, bson.D{{"_id", 0}}).Decode(&doc))
	assert.Equal(t, bson.D{{"_id", int32(0)}, {"n", int32(1)}}, doc)
}

// While there is no primary a write waits for one.
func TestWriteWaitsOutAStepDown(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, c.StepDown(t.Context(), "rs0", 20*time.Second))
		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 2}})
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(start), 20*time.Second)
		n, err := coll.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(2), n)
	})
}

// A stream whose place in the oplog has rolled over fails for good.
func TestTruncatedOplogEndsAChangeStream(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertOne(ctx, bson.D{{"_id", 0}})
		require.NoError(t, err)
		_, start, err := c.OplogWindow("rs0")
		require.NoError(t, err)
		for i := 1; i < 10; i++ {
			_, err := coll.InsertOne(ctx, bson.D{{"_id", i}})
			require.NoError(t, err)
		}
		require.NoError(t, c.TruncateOplog("rs0", bson.Timestamp{}))
		stream, err := coll.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetStartAtOperationTime(&start))
		if err == nil {
			assert.False(t, stream.Next(ctx))
			err = stream.Err()
			require.NoError(t, stream.Close(ctx))
		}
		var ce mongo.CommandError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, int32(286), ce.Code)
	})
}
