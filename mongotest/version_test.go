package mongotest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// The oldest release that is simulated knows nothing of what came later.
func TestASixOhClusterLacksWhatCameLater(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Version: "6.0"}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		run := func(db string, cmd bson.D) error { return cl.Database(db).RunCommand(t.Context(), cmd).Err() }
		require.NoError(t, run("admin", bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}}))
		require.NoError(t, run("admin", bson.D{{"moveRange", "d.c"}, {"min", bson.D{{"_id", 5}}}, {"toShard", "shard1"}}))
		require.NoError(t, run("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", false}}))
		for _, tc := range []struct {
			db   string
			cmd  bson.D
			code int32
		}{
			{"admin", bson.D{{"bulkWrite", 1}}, 59},
			{"admin", bson.D{{"moveCollection", "d.e"}, {"toShard", "shard1"}}, 59},
			{"admin", bson.D{{"unshardCollection", "d.c"}}, 59},
			{"admin", bson.D{{"mergeAllChunksOnShard", "d.c"}, {"shard", "shard1"}}, 59},
			{"d", bson.D{{"checkMetadataConsistency", 1}}, 59},
			{"d", bson.D{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$changeStream", bson.D{}}}, bson.D{{"$changeStreamSplitLargeEvent", bson.D{}}}}}, {"cursor", bson.D{}}}, 40324},
			{"d", bson.D{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$set", bson.D{{"x", bson.D{{"$bitNot", 1}}}}}}}}, {"cursor", bson.D{}}}, 168},
			{"d", bson.D{{"drop", "never"}}, 26},
			{"admin", bson.D{{"configureCollectionBalancing", "d.c"}, {"enableAutoMerger", true}}, 40415},
		} {
			var e mongo.CommandError
			require.ErrorAs(t, run(tc.db, tc.cmd), &e, "%v", tc.cmd)
			assert.Equal(t, tc.code, e.Code, "%v: %v", tc.cmd, e)
		}
		config := func(coll string) bson.M {
			var doc bson.M
			require.NoError(t, cl.Database("config").Collection(coll).FindOne(t.Context(), bson.D{}).Decode(&doc))
			return doc
		}
		assert.NotContains(t, config("chunks"), "onCurrentShardSince")
		assert.NotContains(t, config("shards"), "replSetConfigVersion")
		assert.EqualValues(t, 6, config("version")["currentVersion"])
		var params bson.M
		require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{{"getParameter", 1}, {"featureCompatibilityVersion", 1}}).Decode(&params))
		assert.Equal(t, bson.D{{"version", "6.0"}}, params["featureCompatibilityVersion"])
	})
}

// The tokens of 6.0 have format 1, those of later releases format 2: both as
// server-facts 1.9 has them from real servers. Each release reads both.
func TestEachReleaseHasItsTokens(t *testing.T) {
	id, err := bson.ObjectIDFromHex("5E5384F97DC0F30426F01B79")
	require.NoError(t, err)
	for version, want := range map[string][2]string{
		"6.0": {"82%08X%08X2B0229296E04", "82%08X%08X2B022C0100296E5A1004%s46645F696400645E5384F97DC0F30426F01B790004"},
		"8.0": {"82%08X%08X2B0429296E1404", "82%08X%08X2B042C0100296E5A1004%s463C6F7065726174696F6E54797065003C696E736572740046646F63756D656E744B65790046645F696400645E5384F97DC0F30426F01B79000004"},
	} {
		for _, shards := range []int{0, 1, 2} {
			t.Run(fmt.Sprint(version, " ", shards), func(t *testing.T) {
				bubble(t, mongotest.Options{Shards: shards, Version: version}, func(t *testing.T, c *mongotest.Cluster) {
					cl, done := connect(t, c)
					defer done()
					ctx, coll := t.Context(), cl.Database("d").Collection("c")
					cs, err := coll.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetShowExpandedEvents(true))
					require.NoError(t, err)
					_, err = coll.InsertOne(ctx, bson.D{{"_id", id}})
					require.NoError(t, err)
					require.True(t, cs.Next(ctx))
					require.Equal(t, "create", cs.Current.Lookup("operationType").StringValue())
					require.True(t, cs.Next(ctx))
					e := cs.Current
					T, I := e.Lookup("clusterTime").Timestamp()
					_, uuid := e.Lookup("collectionUUID").Binary()
					assert.Equal(t, fmt.Sprintf(want[1], T, I, fmt.Sprintf("%X", uuid)), e.Lookup("_id", "_data").StringValue())

					time.Sleep(30 * time.Second) // the no-op writer moves the time on
					require.False(t, cs.TryNext(ctx))
					require.False(t, cs.TryNext(ctx))
					data := cs.ResumeToken().Lookup("_data").StringValue()
					_, err = fmt.Sscanf(data, "82%08X%08X", &T, &I)
					require.NoError(t, err)
					assert.Equal(t, fmt.Sprintf(want[0], T, I), data)
					require.NoError(t, cs.Close(ctx))

					other := strings.NewReplacer("2B0429296E1404", "2B0229296E04", "2B0229296E04", "2B0429296E1404").Replace(data)
					require.NotEqual(t, data, other)
					cs, err = coll.Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(bson.D{{"_data", other}}))
					require.NoError(t, err)
					_, err = coll.DeleteOne(ctx, bson.D{{"_id", id}})
					require.NoError(t, err)
					require.True(t, cs.Next(ctx))
					assert.Equal(t, "delete", cs.Current.Lookup("operationType").StringValue())
					require.NoError(t, cs.Close(ctx))
				})
			})
		}
	}
}
