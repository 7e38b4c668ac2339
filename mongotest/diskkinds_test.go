package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// Collections and indexes of every kind come back as they were, and work.
func TestEveryKindOfCollectionComesBack(t *testing.T) {
	french := bson.D{{"locale", "fr"}, {"strength", 2}}
	names := []string{"plain", "capped", "clustered", "collated", "valid", "images", "series", "view"}
	read := func(t *testing.T, cl *mongo.Client) map[string]any {
		out := map[string]any{}
		cur, err := cl.Database("d").ListCollections(t.Context(), bson.D{})
		require.NoError(t, err)
		var infos []bson.M
		require.NoError(t, cur.All(t.Context(), &infos))
		for _, i := range infos {
			out["info "+i["name"].(string)] = i
		}
		for _, name := range names {
			out[name] = all(t, cl.Database("d").Collection(name))
			if name == "view" {
				continue
			}
			cur, err := cl.Database("d").Collection(name).Indexes().List(t.Context())
			require.NoError(t, err)
			var specs []bson.D
			require.NoError(t, cur.All(t.Context(), &specs))
			out["indexes of "+name] = specs
		}
		return out
	}
	insert := func(t *testing.T, cl *mongo.Client, name string, doc bson.D) error {
		t.Helper()
		_, err := cl.Database("d").Collection(name).InsertOne(t.Context(), doc)
		return err
	}
	at := bson.DateTime(946684800000)
	var before map[string]any
	lives(t, mongotest.Options{},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			for _, cmd := range []bson.D{
				{{"create", "plain"}},
				{{"create", "capped"}, {"capped", true}, {"size", 4096}, {"max", 2}},
				{{"create", "clustered"}, {"clusteredIndex", bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}, {"name", "by id"}}}},
				{{"create", "collated"}, {"collation", french}},
				{{"create", "valid"}, {"validator", bson.D{{"a", bson.D{{"$gt", 0}}}}}},
				{{"create", "images"}, {"changeStreamPreAndPostImages", bson.D{{"enabled", true}}}},
				{{"create", "series"}, {"timeseries", bson.D{{"timeField", "at"}, {"metaField", "m"}}}},
				{{"create", "view"}, {"viewOn", "plain"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"_id", 1}}}}}}},
				{{"createIndexes", "plain"}, {"indexes", bson.A{
					bson.D{{"key", bson.D{{"a", 1}}}, {"name", "partial"}, {"unique", true}, {"partialFilterExpression", bson.D{{"a", bson.D{{"$gt", 5}}}}}},
					bson.D{{"key", bson.D{{"b", "hashed"}}}, {"name", "hashed"}},
					bson.D{{"key", bson.D{{"$**", 1}}}, {"name", "wildcard"}},
					bson.D{{"key", bson.D{{"t", "text"}}}, {"name", "text"}},
					bson.D{{"key", bson.D{{"g", "2dsphere"}}}, {"name", "geo"}},
					bson.D{{"key", bson.D{{"at", 1}}}, {"name", "ttl"}, {"expireAfterSeconds", 3600}},
					bson.D{{"key", bson.D{{"h", -1}}}, {"name", "hidden"}, {"hidden", true}, {"collation", french}},
				}}},
				{{"createIndexes", "collated"}, {"indexes", bson.A{
					bson.D{{"key", bson.D{{"u", 1}}}, {"name", "inherits"}, {"unique", true}},
					bson.D{{"key", bson.D{{"s", 1}}}, {"name", "simple"}, {"unique", true}, {"collation", bson.D{{"locale", "simple"}}}},
				}}},
				{{"collMod", "plain"}, {"index", bson.D{{"name", "ttl"}, {"expireAfterSeconds", 7200}}}},
			} {
				raw(t, cl, "d", cmd)
			}
			for _, name := range names[:7] {
				for i := range 3 {
					require.NoError(t, insert(t, cl, name, bson.D{{"_id", i}, {"a", i + 6}, {"u", string(rune('a' + i))}, {"s", string(rune('a' + i))}, {"at", at}, {"m", i}}))
				}
			}
			before = read(t, cl)
			assert.Len(t, before["capped"], 2)
			assert.Len(t, before["view"], 1)
			assert.Len(t, before["series"], 3)
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			after := read(t, cl)
			for what := range before {
				assert.Equal(t, before[what], after[what], what)
			}
			assert.True(t, mongo.IsDuplicateKeyError(insert(t, cl, "plain", bson.D{{"_id", 9}, {"a", 6}})))
			require.NoError(t, insert(t, cl, "capped", bson.D{{"_id", 9}}))
			assert.Len(t, all(t, cl.Database("d").Collection("capped")), 2)
			assert.True(t, mongo.IsDuplicateKeyError(insert(t, cl, "clustered", bson.D{{"_id", 1}})))
			assert.True(t, mongo.IsDuplicateKeyError(insert(t, cl, "collated", bson.D{{"_id", 9}, {"u", "A"}, {"s", "x"}})), "strength 2 knows no case")
			require.NoError(t, insert(t, cl, "collated", bson.D{{"_id", 9}, {"u", "x"}, {"s", "A"}}))
			requireCode(t, insert(t, cl, "valid", bson.D{{"_id", 9}, {"a", -1}}), 121) // DocumentValidationFailure
			require.NoError(t, insert(t, cl, "series", bson.D{{"_id", 9}, {"at", at}, {"m", 0}}))
			assert.Len(t, all(t, cl.Database("d").Collection("series")), 4)
			requireCode(t, insert(t, cl, "view", bson.D{{"_id", 9}}), 166) // CommandNotSupportedOnView
		})
}
