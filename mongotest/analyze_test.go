package mongotest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/shardferry/shardferry/mongotest"
)

// Somebody looks for a shard key: samples the queries, asks, and stops sampling.
// The oldest release that is simulated cannot help.
func TestAShardKeyIsLookedFor(t *testing.T) {
	for _, version := range []string{"6.0", "7.0", "8.0"} {
		for _, shards := range []int{0, 2} {
			t.Run(fmt.Sprint(version, " ", shards), func(t *testing.T) {
				bubble(t, mongotest.Options{Shards: shards, Version: version}, func(t *testing.T, c *mongotest.Cluster) {
					cl, done := connect(t, c)
					defer done()
					lookForAShardKey(t, cl, version != "6.0")
				})
			})
		}
	}
}

func lookForAShardKey(t *testing.T, cl *mongo.Client, known bool) {
	ctx, admin := t.Context(), cl.Database("admin")
	docs := make([]any, 1000)
	for i := range docs {
		docs[i] = bson.D{{"_id", i}, {"user", i % 250}}
	}
	coll := cl.Database("d").Collection("c")
	_, err := coll.InsertMany(ctx, docs)
	require.NoError(t, err)
	_, err = coll.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"user", 1}}})
	require.NoError(t, err)
	sample := bson.D{{"configureQueryAnalyzer", "d.c"}, {"mode", "full"}, {"samplesPerSecond", 10}}
	analyze := bson.D{{"analyzeShardKey", "d.c"}, {"key", bson.D{{"user", 1}}}}
	if !known {
		for _, cmd := range []bson.D{sample, analyze} {
			var e mongo.CommandError
			require.ErrorAs(t, admin.RunCommand(ctx, cmd).Err(), &e)
			assert.Equal(t, "CommandNotFound", e.Name)
		}
		return
	}
	require.NoError(t, admin.RunCommand(ctx, sample).Err())
	for _, from := range []*readpref.ReadPref{readpref.Primary(), readpref.SecondaryPreferred()} {
		found, err := admin.RunCommand(ctx, analyze, options.RunCmd().SetReadPreference(from)).Raw()
		require.NoError(t, err)
		values := found.Lookup("keyCharacteristics").Document()
		assert.EqualValues(t, 1000, values.Lookup("numDocsTotal").Int64())
		assert.EqualValues(t, 250, values.Lookup("numDistinctValues").Int64())
		assert.EqualValues(t, 4, values.Lookup("mostCommonValues", "0", "frequency").Int64())
		assert.Equal(t, "not monotonic", values.Lookup("monotonicity", "type").StringValue())
		assert.Zero(t, found.Lookup("readDistribution", "sampleSize", "total").Int64())
		assert.Zero(t, found.Lookup("writeDistribution", "sampleSize", "total").Int64())
	}
	require.NoError(t, admin.RunCommand(ctx, bson.D{{"configureQueryAnalyzer", "d.c"}, {"mode", "off"}}).Err())
	n, err := cl.Database("config").Collection("queryAnalyzers").CountDocuments(ctx, bson.D{{"_id", "d.c"}, {"mode", "off"}})
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
}

// To analyze a key is a privilege of its own: it shows values to one who may not
// read documents, and reading documents does not give it.
func TestAnalyzingAShardKeyIsAPrivilege(t *testing.T) {
	eachTopology(t, func(t *testing.T, c *mongotest.Cluster) {
		ops, done := connect(t, c, login("ops"))
		defer done()
		_, err := ops.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		for user, role := range map[string]any{"reader": "read", "analyst": "enableSharding", "dba": "dbAdmin"} {
			cmd := bson.D{{"createUser", user}, {"pwd", "pw"}, {"roles", bson.A{role}}}
			require.NoError(t, ops.Database("d").RunCommand(t.Context(), cmd).Err())
		}
		try := func(user string, cmd bson.D) error {
			cl, done := connect(t, c, options.Client().SetAuth(options.Credential{AuthSource: "d", Username: user, Password: "pw"}))
			defer done()
			return cl.Database("admin").RunCommand(t.Context(), cmd).Err()
		}
		analyze := bson.D{{"analyzeShardKey", "d.c"}, {"key", bson.D{{"_id", 1}}}, {"readWriteDistribution", false}}
		configure := bson.D{{"configureQueryAnalyzer", "d.c"}, {"mode", "off"}}
		assertCode(t, 13, try("reader", analyze))
		assertCode(t, 13, try("reader", configure))
		assertCode(t, 13, try("dba", analyze))
		require.NoError(t, try("dba", configure))
		require.NoError(t, try("analyst", analyze))
		assertCode(t, 13, try("analyst", configure))
	})
}
