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

// series makes the time-series collection plant.readings.
func series(t *testing.T, cl *mongo.Client, more ...func(*options.CreateCollectionOptionsBuilder)) *mongo.Collection {
	t.Helper()
	o := options.CreateCollection().SetTimeSeriesOptions(options.TimeSeries().SetTimeField("at").SetMetaField("sensor"))
	for _, f := range more {
		f(o)
	}
	require.NoError(t, cl.Database("plant").CreateCollection(t.Context(), "readings", o))
	return cl.Database("plant").Collection("readings")
}

// reading is what a sensor measures now.
func reading(sensor string, v int) bson.D {
	return bson.D{{"at", time.Now()}, {"sensor", sensor}, {"v", v}}
}

// measurements uses a time-series collection as an application does.
func measurements(t *testing.T, readings *mongo.Collection) {
	t.Helper()
	ctx := t.Context()
	for i := range 3 {
		_, err := readings.InsertMany(ctx, []any{reading("a", i), reading("b", 10*i)})
		require.NoError(t, err)
		pass(time.Hour)
	}
	n, err := readings.CountDocuments(ctx, bson.D{{"sensor", "a"}, {"v", bson.D{{"$gt", 0}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(2), n)
	var latest struct{ V int }
	require.NoError(t, readings.FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{"v", -1}})).Decode(&latest))
	assert.Equal(t, 20, latest.V)
	cur, err := readings.Aggregate(ctx, mongo.Pipeline{{{"$group", bson.D{{"_id", "$sensor"}, {"sum", bson.D{{"$sum", "$v"}}}}}}, {{"$sort", bson.D{{"_id", 1}}}}})
	require.NoError(t, err)
	var sums []struct{ Sum int }
	require.NoError(t, cur.All(ctx, &sums))
	assert.Equal(t, []struct{ Sum int }{{3}, {30}}, sums)
	updated, err := readings.UpdateMany(ctx, bson.D{{"sensor", "b"}}, bson.D{{"$set", bson.D{{"sensor", "c"}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(3), updated.ModifiedCount)
	deleted, err := readings.DeleteMany(ctx, bson.D{{"v", 1}})
	require.NoError(t, err)
	assert.Equal(t, int64(1), deleted.DeletedCount)
	_, err = readings.BulkWrite(ctx, []mongo.WriteModel{
		mongo.NewInsertOneModel().SetDocument(reading("d", 7)), mongo.NewDeleteManyModel().SetFilter(bson.D{{"v", 7}}),
	})
	require.NoError(t, err)
	_, err = readings.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"sensor", 1}, {"v", -1}}})
	require.NoError(t, err)
	specs, err := readings.Indexes().ListSpecifications(ctx)
	require.NoError(t, err)
	assert.Len(t, specs, 2)
	n, err = readings.EstimatedDocumentCount(ctx)
	require.NoError(t, err)
	assert.Equal(t, int64(5), n)
	require.NoError(t, readings.Drop(ctx))
	names, err := readings.Database().ListCollectionNames(ctx, bson.D{{"name", bson.D{{"$ne", "system.views"}}}})
	require.NoError(t, err)
	assert.Empty(t, names)
}

func TestTimeseriesCollections(t *testing.T) {
	for name, o := range map[string]mongotest.Options{"a replica set": {}, "7.0": {Version: "7.0"}, "through a router": {Shards: 2}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				measurements(t, series(t, cl))
			})
		})
	}
	t.Run("sharded", func(t *testing.T) {
		bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			readings := series(t, cl)
			shardByTime(t, cl)
			measurements(t, readings)
		})
	})
}

// shardByTime shards plant.readings: what comes after the next hour is on
// another shard.
func shardByTime(t *testing.T, cl *mongo.Client) {
	t.Helper()
	later := time.Now().Add(90 * time.Minute)
	for _, cmd := range []bson.D{
		{{"shardCollection", "plant.readings"}, {"key", bson.D{{"at", 1}}}},
		{{"split", "plant.system.buckets.readings"}, {"middle", bson.D{{"control.min.at", later}}}},
	} {
		require.NoError(t, cl.Database("admin").RunCommand(t.Context(), cmd).Err())
	}
	var row struct{ Primary string }
	require.NoError(t, cl.Database("config").Collection("databases").FindOne(t.Context(), bson.D{{"_id", "plant"}}).Decode(&row))
	cur, err := cl.Database("config").Collection("shards").Find(t.Context(), bson.D{{"_id", bson.D{{"$ne", row.Primary}}}})
	require.NoError(t, err)
	var others []struct {
		ID string `bson:"_id"`
	}
	require.NoError(t, cur.All(t.Context(), &others))
	require.NotEmpty(t, others)
	require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{
		{"moveChunk", "plant.system.buckets.readings"}, {"find", bson.D{{"control.min.at", later}}}, {"to", others[0].ID},
	}).Err())
}

// Measurements expire when all of their bucket have.
func TestMeasurementsExpire(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		readings := series(t, cl, func(o *options.CreateCollectionOptionsBuilder) { o.SetExpireAfterSeconds(600) })
		count := func() int64 {
			n, err := readings.CountDocuments(t.Context(), bson.D{})
			require.NoError(t, err)
			return n
		}
		_, err := readings.InsertOne(t.Context(), reading("a", 1))
		require.NoError(t, err)
		pass(65 * time.Minute)
		assert.Equal(t, int64(1), count())
		pass(10 * time.Minute)
		assert.Zero(t, count())
		require.NoError(t, readings.Database().RunCommand(t.Context(), bson.D{{"collMod", "readings"}, {"expireAfterSeconds", "off"}}).Err())
		_, err = readings.InsertOne(t.Context(), reading("a", 1))
		require.NoError(t, err)
		pass(2 * time.Hour)
		assert.Equal(t, int64(1), count())
	})
}

// Change streams tell of a time-series collection that it is made and goes, as
// of views, and nothing of its measurements unless asked for system events.
func TestTimeseriesInChangeStreams(t *testing.T) {
	for name, o := range map[string]mongotest.Options{"a replica set": {}, "through a router": {Shards: 2}, "sharded": {Shards: 2}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				_, err := cl.Database("plant").Collection("other").InsertOne(t.Context(), bson.D{})
				require.NoError(t, err)
				start := now(t, cl)
				readings := series(t, cl)
				if name == "sharded" {
					shardByTime(t, cl)
				}
				_, err = readings.InsertOne(t.Context(), reading("a", 1))
				require.NoError(t, err)
				_, err = readings.InsertOne(t.Context(), reading("a", 2))
				require.NoError(t, err)
				require.NoError(t, readings.Drop(t.Context()))
				_, err = cl.Database("plant").Collection("other").InsertOne(t.Context(), bson.D{})
				require.NoError(t, err)

				plain := options.ChangeStream().SetStartAtOperationTime(&start)
				assert.Equal(t, []string{"insert other"}, eventsUntil(t, cl, plain))
				expanded := options.ChangeStream().SetStartAtOperationTime(&start).SetShowExpandedEvents(true)
				assert.Equal(t, []string{"create readings", "drop readings", "insert other"}, eventsUntil(t, cl, expanded))
				system := options.ChangeStream().SetStartAtOperationTime(&start).SetCustomPipeline(bson.M{"showSystemEvents": true})
				assert.Contains(t, eventsUntil(t, cl, system), "update system.buckets.readings")
			})
		})
	}
}

// now is the cluster's time, after everything so far.
func now(t *testing.T, cl *mongo.Client) bson.Timestamp {
	t.Helper()
	raw, err := cl.Database("admin").RunCommand(t.Context(), bson.D{{"ping", 1}}).Raw()
	require.NoError(t, err)
	ts, i, ok := raw.Lookup("operationTime").TimestampOK()
	require.True(t, ok)
	return bson.Timestamp{T: ts, I: i + 1}
}

// eventsUntil returns what a stream on plant tells up to an insert into other.
func eventsUntil(t *testing.T, cl *mongo.Client, o *options.ChangeStreamOptionsBuilder) (events []string) {
	t.Helper()
	stream, err := cl.Database("plant").Watch(t.Context(), mongo.Pipeline{}, o)
	require.NoError(t, err)
	defer func() { assert.NoError(t, stream.Close(t.Context())) }()
	for stream.Next(t.Context()) {
		ns, _ := stream.Current.Lookup("ns", "coll").StringValueOK()
		events = append(events, stream.Current.Lookup("operationType").StringValue()+" "+ns)
		if events[len(events)-1] == "insert other" {
			return events
		}
	}
	require.NoError(t, stream.Err())
	return events
}

// A sharded time-series collection is what it was when the cluster starts again.
func TestShardedTimeseriesComeBack(t *testing.T) {
	later := time.Now().Add(24 * time.Hour) // the second life begins before
	record := func(t *testing.T, c *mongotest.Cluster, prepare func(cl *mongo.Client)) {
		cl, done := connect(t, c)
		defer done()
		prepare(cl)
		readings := cl.Database("plant").Collection("readings")
		for i := range 3 {
			_, err := readings.InsertOne(t.Context(), bson.D{{"at", later.Add(time.Duration(i) * time.Hour)}, {"sensor", "a"}, {"v", i}})
			require.NoError(t, err)
		}
	}
	lives(t, mongotest.Options{Shards: 2},
		func(t *testing.T, c *mongotest.Cluster) {
			record(t, c, func(cl *mongo.Client) {
				series(t, cl)
				shardByTime(t, cl)
			})
		},
		func(t *testing.T, c *mongotest.Cluster) {
			record(t, c, func(*mongo.Client) {})
			cl, done := connect(t, c)
			defer done()
			assert.Len(t, all(t, cl.Database("plant").Collection("readings")), 6)
			n, err := cl.Database("plant").Collection("system.buckets.readings").CountDocuments(t.Context(), bson.D{})
			require.NoError(t, err)
			assert.Equal(t, int64(3), n)
		})
}
