package mongotest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// Two clusters live side by side: what is read from the change stream of one
// and written to the other makes them equal.
func TestReplayBetweenTwoClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var ended []chan error
		start := func(o mongotest.Options) *mongotest.Cluster {
			c, err := mongotest.New(o)
			require.NoError(t, err)
			end := make(chan error, 1)
			go func() { end <- c.Run(ctx) }()
			ended = append(ended, end)
			return c
		}
		defer func() {
			cancel()
			for _, end := range ended {
				assert.NoError(t, <-end)
			}
		}()
		from, closeFrom := connect(t, start(mongotest.Options{Name: "east", Shards: 2}))
		defer closeFrom()
		to, closeTo := connect(t, start(mongotest.Options{Name: "west", Shards: 3}))
		defer closeTo()
		shardHashed(t, from, "d.c")
		shardHashed(t, to, "d.c")

		stream, err := from.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetFullDocument(options.UpdateLookup))
		require.NoError(t, err)
		defer func() { assert.NoError(t, stream.Close(t.Context())) }()
		src, dst := from.Database("d").Collection("c"), to.Database("d").Collection("c")
		events := 0
		for i := range 50 {
			_, err := src.InsertOne(ctx, bson.D{{"_id", i}, {"v", 0}})
			require.NoError(t, err)
			_, err = src.UpdateOne(ctx, bson.D{{"_id", i}}, bson.D{{"$set", bson.D{{"v", i + 1}}}})
			require.NoError(t, err)
			events += 2
			if i%3 == 0 {
				_, err = src.DeleteOne(ctx, bson.D{{"_id", i}})
				require.NoError(t, err)
				events++
			}
		}
		soon, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		for n := range events {
			require.Truef(t, stream.Next(soon), "event %d of %d: %v", n, events, stream.Err())
			apply(t, dst, stream.Current)
		}
		assert.Equal(t, all(t, src), all(t, dst))
	})
}

// apply carries one change event over.
func apply(t *testing.T, dst *mongo.Collection, event bson.Raw) {
	t.Helper()
	key := event.Lookup("documentKey").Document()
	var err error
	switch kind := event.Lookup("operationType").StringValue(); kind {
	case "insert", "update", "replace":
		doc, ok := event.Lookup("fullDocument").DocumentOK()
		if !ok {
			return // deleted since; the delete follows
		}
		_, err = dst.ReplaceOne(t.Context(), key, doc, options.Replace().SetUpsert(true))
	case "delete":
		_, err = dst.DeleteOne(t.Context(), key)
	default:
		require.Failf(t, "unexpected event", "%s", event)
	}
	require.NoError(t, err)
}

// all returns a collection's documents by _id.
func all(t *testing.T, coll *mongo.Collection) []bson.D {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}))
	require.NoError(t, err)
	var docs []bson.D
	require.NoError(t, cur.All(t.Context(), &docs))
	return docs
}

// A stream of the whole cluster has every event once and in the order of
// cluster time, also while chunks move and collections come and go.
func TestClusterStreamThroughDDLAndMigration(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 3}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		admin := cl.Database("admin")
		stream, err := cl.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetShowExpandedEvents(true))
		require.NoError(t, err)
		defer func() { assert.NoError(t, stream.Close(ctx)) }()

		require.NoError(t, admin.RunCommand(ctx, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"k", 1}}}}).Err())
		coll := cl.Database("d").Collection("c")
		for i := range 30 {
			_, err := coll.InsertOne(ctx, bson.D{{"_id", i}, {"k", i}})
			require.NoError(t, err)
		}
		for i, shard := range c.Shards() {
			require.NoError(t, admin.RunCommand(ctx, bson.D{
				{"moveRange", "d.c"}, {"min", bson.D{{"k", 10 * i}}}, {"max", bson.D{{"k", 10*i + 10}}}, {"toShard", shard},
			}).Err())
		}
		_, err = coll.UpdateMany(ctx, bson.D{}, bson.D{{"$set", bson.D{{"x", 1}}}})
		require.NoError(t, err)
		n, err := coll.CountDocuments(ctx, bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(30), n)
		_, err = coll.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"x", 1}}})
		require.NoError(t, err)
		require.NoError(t, coll.Drop(ctx))

		kinds := map[string]int{}
		var last bson.Timestamp
		for kinds["drop"] == 0 {
			require.True(t, stream.Next(ctx), "%v", stream.Err())
			ev := stream.Current
			kind := ev.Lookup("operationType").StringValue()
			if kind == "createIndexes" {
				kind += " " + ev.Lookup("operationDescription", "indexes", "0", "name").StringValue()
			}
			kinds[kind]++
			var now bson.Timestamp
			now.T, now.I = ev.Lookup("clusterTime").Timestamp()
			assert.False(t, now.Before(last), "%v after %v", now, last)
			last = now
		}
		time.Sleep(time.Minute)
		assert.False(t, stream.TryNext(ctx), "nothing after the drop: %s", stream.Current)
		assert.Equal(t, 30, kinds["insert"])
		assert.Equal(t, 30, kinds["update"])
		assert.Zero(t, kinds["delete"])
		assert.Equal(t, 3, kinds["createIndexes x_1"], "one per shard")
		assert.Equal(t, 1, kinds["createIndexes k_1"], "of shardCollection, on the primary shard")
		assert.Equal(t, 1, kinds["drop"])
	})
}

// Each shard's own stream, through a router, has that shard's events.
func TestPassthroughStreamsCoverTheCluster(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		shardHashed(t, cl, "d.c")
		reply, err := cl.Database("admin").RunCommand(ctx, bson.D{{"ping", 1}}).Raw()
		require.NoError(t, err)
		var start bson.Timestamp // the client has heard of it, so what it writes is later
		start.T, start.I = reply.Lookup("$clusterTime", "clusterTime").Timestamp()
		docs := make([]any, 40)
		for i := range docs {
			docs[i] = bson.D{{"_id", i}}
		}
		_, err = cl.Database("d").Collection("c").InsertMany(ctx, docs)
		require.NoError(t, err)
		seen := map[int64]int{}
		for _, shard := range c.Shards() {
			cur, err := cl.Database("admin").RunCommandCursor(ctx, bson.D{
				{"aggregate", 1},
				{"pipeline", bson.A{bson.D{{"$changeStream", bson.D{{"allChangesForCluster", true}, {"startAtOperationTime", start}}}}}},
				{"cursor", bson.D{}},
				{"$_passthroughToShard", bson.D{{"shard", shard}}},
			})
			require.NoError(t, err)
			for cur.TryNext(ctx) {
				if cur.Current.Lookup("operationType").StringValue() == "insert" {
					seen[cur.Current.Lookup("documentKey", "_id").AsInt64()]++
				}
			}
			require.NoError(t, cur.Err())
			require.NoError(t, cur.Close(ctx))
		}
		assert.Len(t, seen, 40)
	})
}
