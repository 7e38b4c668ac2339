package topology_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/topology"
)

func event(t *testing.T, description bson.D) bson.Raw {
	t.Helper()
	return raw(t, bson.D{{"operationDescription", description}})
}

// What cannot be carried over is refused before anything was done.
func TestUnsupportedChangesAreRefused(t *testing.T) {
	u := shardferry.UUID{7}
	tests := []struct {
		name   string
		change shardferry.SchemaChange
	}{
		{"a resharding to nobody knows where", shardferry.SchemaChange{Kind: "reshardCollection", UUID: u, NS: ns("a")}},
		{"documents of no collection", shardferry.SchemaChange{Kind: topology.Adopt, UUID: u, NS: ns("a")}},
		{"an event nobody knows", shardferry.SchemaChange{Kind: "quantumLeap", NS: ns("a")}},
		{"time series", shardferry.SchemaChange{Kind: "create", NS: ns("a"), Event: event(t, bson.D{{"viewOn", "system.buckets.a"}, {"pipeline", bson.A{}}})}},
		{"encryption", shardferry.SchemaChange{Kind: "create", UUID: u, NS: ns("a"), Event: event(t, bson.D{{"encryptedFields", bson.D{}}})}},
	}
	bubble(t, one(2), func(t *testing.T, cl []*mongo.Client) {
		for _, tt := range tests {
			c := topology.Changer{Client: cl[0], Sharded: true, Relax: true}
			_, err := c.Apply(t.Context(), tt.change)
			require.ErrorIs(t, err, topology.ErrUnsupportedChange, tt.name)
			assert.Empty(t, discover(t, cl[0]).Collections, tt.name)
		}
	})
}

// A time-series collection is seen as one, whether it is there at the start or
// made later; the collection of its buckets is not seen at all.
func TestTimeSeriesAreRefused(t *testing.T) {
	for _, shards := range []int{0, 2} {
		bubble(t, two(shards, shards), func(t *testing.T, cl []*mongo.Client) {
			f := follow(t, cl[0], cl[1], true)
			defer f.close()
			command(t, cl[0], bson.D{{"create", "readings"}, {"timeseries", bson.D{{"timeField", "at"}, {"metaField", "of"}}}})
			if shards > 0 {
				admin(t, cl[0], bson.D{{"shardCollection", "d.readings"}, {"key", bson.D{{"of", 1}}}})
			}
			insert(t, cl[0], ns("readings"), bson.D{{"at", time.Now()}, {"of", "a"}})
			src := discover(t, cl[0])
			found := topology.Check(src, discover(t, cl[1]))
			require.Len(t, found, 1)
			assert.True(t, found[0].Fatal)
			assert.Contains(t, found[0].String(), "d.readings is a timeseries collection")

			changes := f.changes()
			require.Len(t, changes, 1)
			_, err := f.changer.Apply(t.Context(), changes[0])
			require.ErrorIs(t, err, topology.ErrUnsupportedChange)
			require.ErrorContains(t, err, "d.readings is a time-series collection")
			assert.Empty(t, discover(t, cl[1]).Collections)
		})
	}
}

// Events of a collection that is gone, or came from a shard that was late, do
// nothing.
func TestChangesOfForgottenCollectionsDoNothing(t *testing.T) {
	gone := shardferry.UUID{7}
	bubble(t, one(0), func(t *testing.T, cl []*mongo.Client) {
		command(t, cl[0], bson.D{{"create", "a"}}) // another incarnation, of the same name
		before := discover(t, cl[0])
		c := topology.Changer{Client: cl[0], Collections: []shardferry.Collection{{UUID: gone, Source: ns("a"), Destination: ns("a"), Dropped: true}}}
		for _, change := range []shardferry.SchemaChange{
			{Kind: "create", Event: event(t, bson.D{{"capped", true}, {"size", 4096}})},
			{Kind: "drop"},
			{Kind: "rename", To: ns("b")},
			{Kind: "createIndexes", Event: event(t, bson.D{{"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x"}}}}})},
			{Kind: "dropIndexes", Event: event(t, bson.D{{"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x"}}}}})},
			{Kind: "modify", Event: event(t, bson.D{{"validator", bson.D{{"x", 1}}}})},
			{Kind: "shardCollection", Event: event(t, bson.D{{"shardKey", bson.D{{"x", 1}}}})},
			{Kind: "drop", UUID: shardferry.UUID{}, NS: ns("a")}, // of a view
		} {
			if change.NS.IsZero() {
				change.UUID, change.NS = gone, ns("a")
			}
			out, err := c.Apply(t.Context(), change)
			require.NoError(t, err, change.Kind)
			assert.Equal(t, topology.Outcome{}, out, change.Kind)
		}
		assert.Equal(t, before, discover(t, cl[0]))
	})
}

// While documents are copied, indexes are only noted.
func TestIndexesAreDeferredWhileCopying(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		f := follow(t, cl[0], cl[1], true)
		defer f.close()
		f.changer.Defer = true
		f.do(create("a"), createIndex("a", "x", bson.D{{"x", 1}}, e("unique", true)))
		assert.Empty(t, find(t, discover(t, cl[1]), ns("a")).Indexes)
		require.Len(t, f.changer.Indexes, 1)
		assert.False(t, f.changer.Indexes[0].Built)
		f.finish() // which builds what is missing
		f.requireEqual()
	})
}

// What is relaxed stays so until the commit.
func TestRelaxedUntilTheCommit(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		f := follow(t, cl[0], cl[1], true)
		defer f.close()
		f.do(
			create("a"), createIndex("a", "u", bson.D{{"u", 1}}, e("unique", true)), createIndex("a", "t", bson.D{{"t", 1}}, e("expireAfterSeconds", 1)),
			collMod("a", e("index", bson.D{{"name", "t"}, {"expireAfterSeconds", 2}})), create("c", e("capped", true), e("size", 4096)), collMod("c", e("cappedMax", 2)),
		)
		insert(t, cl[1], ns("a"), bson.D{{"_id", 1}, {"u", 1}}, bson.D{{"_id", 2}, {"u", 1}})
		insert(t, cl[1], ns("c"), bson.D{{"_id", 1}}, bson.D{{"_id", 2}}, bson.D{{"_id", 3}})
		n, err := cl[1].Database("d").Collection("c").CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(3), n)
		seconds, _ := index(find(t, discover(t, cl[1]), ns("a")), "t").Lookup("expireAfterSeconds").AsInt64OK()
		assert.Equal(t, int64(2147483647), seconds)
	})
}
