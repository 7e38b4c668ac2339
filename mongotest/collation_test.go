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

// A shop whose users log in by name in any spelling: the collection decides
// what equal names are, for its _id, its indexes and all commands, and a command
// may decide otherwise.
func TestCollation(t *testing.T) {
	for name, o := range map[string]mongotest.Options{"replica set": {}, "sharded cluster": {Shards: 2}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				db := cl.Database("shop")
				caseless := &options.Collation{Locale: "en", Strength: 2}
				require.NoError(t, db.CreateCollection(t.Context(), "users", options.CreateCollection().SetCollation(caseless)))
				if o.Shards > 0 {
					require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{
						{"shardCollection", "shop.users"}, {"key", bson.D{{"team", "hashed"}}}, {"collation", bson.D{{"locale", "simple"}}},
					}).Err())
				}
				users(t, db.Collection("users"))
			})
		})
	}
}

func users(t *testing.T, coll *mongo.Collection) {
	t.Helper()
	ctx := t.Context()
	for i, name := range []string{"Zoë", "anna", "Bob", "ann"} {
		_, err := coll.InsertOne(ctx, bson.D{{"_id", name}, {"team", i}, {"tags", bson.A{"New"}}})
		require.NoError(t, err)
	}
	_, err := coll.InsertOne(ctx, bson.D{{"_id", "ANNA"}, {"team", 1}})
	require.True(t, mongo.IsDuplicateKeyError(err), "%v", err)
	assert.Contains(t, err.Error(), `collation: { locale: "en"`)

	names := func(opts ...options.Lister[options.FindOptions]) []string {
		cur, err := coll.Find(ctx, bson.D{}, append(opts, options.Find().SetSort(bson.D{{"_id", 1}}))...)
		require.NoError(t, err)
		var docs []struct {
			ID string `bson:"_id"`
		}
		require.NoError(t, cur.All(ctx, &docs))
		out := make([]string, len(docs))
		for i, d := range docs {
			out[i] = d.ID
		}
		return out
	}
	simple := &options.Collation{Locale: "simple"}
	assert.Equal(t, []string{"ann", "anna", "Bob", "Zoë"}, names())
	assert.Equal(t, []string{"Bob", "Zoë", "ann", "anna"}, names(options.Find().SetCollation(simple)))

	var found bson.M
	require.NoError(t, coll.FindOne(ctx, bson.D{{"_id", "BOB"}}).Decode(&found))
	assert.Equal(t, "Bob", found["_id"])
	n, err := coll.CountDocuments(ctx, bson.D{{"_id", "BOB"}}, options.Count().SetCollation(simple))
	require.NoError(t, err)
	assert.Zero(t, n)
	n, err = coll.CountDocuments(ctx, bson.D{{"_id", "zoe"}}, options.Count().SetCollation(&options.Collation{Locale: "en", Strength: 1}))
	require.NoError(t, err)
	assert.Equal(t, int64(1), n)

	up, err := coll.UpdateMany(ctx, bson.D{{"tags", "NEW"}}, bson.D{{"$pull", bson.D{{"tags", "new"}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(4), up.ModifiedCount)
	del, err := coll.DeleteMany(ctx, bson.D{{"_id", bson.D{{"$in", bson.A{"ANN", "BOB"}}}}})
	require.NoError(t, err)
	assert.Equal(t, int64(2), del.DeletedCount)
}

// The collation of a change stream is that of its own stages; the collection's
// means nothing to it.
func TestCollationOfAChangeStream(t *testing.T) {
	for name, o := range map[string]mongotest.Options{"replica set": {}, "sharded cluster": {Shards: 2}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				db := cl.Database("shop")
				caseless := options.Collation{Locale: "en", Strength: 2}
				require.NoError(t, db.CreateCollection(t.Context(), "users", options.CreateCollection().SetCollation(&caseless)))
				coll := db.Collection("users")
				match := mongo.Pipeline{{{"$match", bson.D{{"fullDocument.kind", "vip"}}}}}
				counts := func(opts ...options.Lister[options.ChangeStreamOptions]) (n int) {
					cs, err := coll.Watch(t.Context(), match, opts...)
					require.NoError(t, err)
					defer func() { require.NoError(t, cs.Close(t.Context())) }()
					for i, kind := range []string{"vip", "VIP", "guest", "vip"} {
						_, err := coll.InsertOne(t.Context(), bson.D{{"kind", kind}, {"last", i == 3}})
						require.NoError(t, err)
					}
					for last := false; !last; n++ {
						require.True(t, cs.Next(t.Context()), "%v", cs.Err())
						last = cs.Current.Lookup("fullDocument", "last").Boolean()
					}
					return n
				}
				assert.Equal(t, 2, counts())
				assert.Equal(t, 3, counts(options.ChangeStream().SetCollation(caseless)))
			})
		})
	}
}
