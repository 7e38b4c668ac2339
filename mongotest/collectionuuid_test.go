package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// A command that names a collection by UUID learns what became of it: its new
// name, or null when it is gone.
func TestCollectionUUIDTellsWhatBecameOfACollection(t *testing.T) {
	for _, shards := range []int{0, 3} {
		bubble(t, mongotest.Options{Shards: shards}, func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			db := cl.Database("shop")
			_, err := db.Collection("old").InsertOne(t.Context(), bson.D{{"_id", 1}})
			require.NoError(t, err)
			specs, err := db.ListCollectionSpecifications(t.Context(), bson.D{})
			require.NoError(t, err)
			find := func() mongo.CommandError {
				var e mongo.CommandError
				_, err := db.RunCommandCursor(t.Context(), bson.D{{"find", "old"}, {"collectionUUID", specs[0].UUID}})
				require.ErrorAs(t, err, &e)
				assert.EqualValues(t, 361, e.Code)
				return e
			}

			require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{{"renameCollection", "shop.old"}, {"to", "shop.new"}}).Err())
			assert.Equal(t, "new", find().Raw.Lookup("actualCollection").StringValue())

			require.NoError(t, db.Collection("new").Drop(t.Context()))
			assert.Equal(t, bson.TypeNull, find().Raw.Lookup("actualCollection").Type)
		})
	}
}
