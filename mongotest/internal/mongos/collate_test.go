package mongos

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// Where a string leads cannot be told from another collation than the chunks'.
func TestTargetingByACollation(t *testing.T) {
	caseless, err := collation.Parse(rawDoc(bson.D{{"locale", "en"}, {"strength", 2}}))
	require.NoError(t, err)
	tb := tableOf(t, bson.D{{"a", 1}}, bson.D{{"a", 0}}, bson.D{{"a", "M"}}, bson.D{{"a", "m"}})
	all := []string{"s0", "s1", "s2", "s3"}
	for _, tc := range []struct {
		filter bson.D
		by     *collation.Collation
		want   []string
		exact  bool
	}{
		{bson.D{{"a", "k"}}, nil, []string{"s2"}, true},
		{bson.D{{"a", "k"}}, caseless, all, false},
		{bson.D{{"a", bson.D{{"$gt", "x"}}}}, caseless, all, false},
		{bson.D{{"a", bson.D{{"$in", bson.A{1, "k"}}}}}, caseless, all, false},
		{bson.D{{"a", -1}}, caseless, []string{"s0"}, true},
	} {
		got, err := tb.target(rawDoc(tc.filter), tc.by)
		require.NoError(t, err)
		assert.Equal(t, tc.want, got.shards, "%v", tc.filter)
		assert.Equal(t, tc.exact, got.exact, "%v", tc.filter)
	}
}

var enTwo = bson.D{{"locale", "en"}, {"strength", 2}}

// spreadWords makes db.c, with a default collation, sharded by a word; its
// chunks are split at "M" and "a".
func spreadWords(t *testing.T) *cluster {
	c := newCluster(t)
	c.must("db", bson.D{{"create", "c"}, {"collation", enTwo}})
	c.fails(mongoerr.BadValue, "admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"w", 1}}}})
	c.fails(mongoerr.BadValue, "admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"w", 1}}}, {"collation", enTwo}})
	c.must("admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"w", 1}}}, {"collation", bson.D{{"locale", "simple"}}}})
	for i, at := range []string{"M", "a"} {
		c.must("admin", bson.D{{"split", "db.c"}, {"middle", bson.D{{"w", at}}}})
		c.must("admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"w", at}}}, {"to", shardNames[i+1]}})
	}
	c.must("db", bson.D{{"insert", "c"}, {"documents", bson.A{
		bson.D{{"_id", 1}, {"w", "Apple"}}, bson.D{{"_id", 2}, {"w", "apple"}}, bson.D{{"_id", 3}, {"w", "Zoo"}}, bson.D{{"_id", 4}, {"w", "berry"}},
	}}})
	return c
}

func intIDs(docs []bson.Raw) []int32 {
	var out []int32
	for _, d := range docs {
		out = append(out, d.Lookup("_id").Int32())
	}
	return out
}

func TestCollatedCollectionOnSeveralShards(t *testing.T) {
	c := spreadWords(t)
	require.Len(t, c.on("s0", "c"), 1, "Apple")
	require.Len(t, c.on("s1", "c"), 1, "Zoo")
	require.Len(t, c.on("s2", "c"), 2)
	word := bson.D{{"w", "APPLE"}}
	byID := bson.E{Key: "sort", Value: bson.D{{"_id", 1}}}
	assert.Equal(t, []int32{1, 2}, intIDs(c.all("db", bson.D{{"find", "c"}, {"filter", word}, byID})))
	assert.Empty(t, intIDs(c.all("db", bson.D{{"find", "c"}, {"filter", word}, {"collation", bson.D{{"locale", "simple"}}}})))

	// Merged in the order in which the shards sorted.
	sorted := bson.D{{"find", "c"}, {"sort", bson.D{{"w", 1}, {"_id", 1}}}}
	assert.Equal(t, []int32{1, 2, 4, 3}, intIDs(c.all("db", sorted)))
	assert.Equal(t, []int32{1, 3, 2, 4}, intIDs(c.all("db", append(sorted, bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}}))))
	group := bson.A{bson.D{{"$group", bson.D{{"_id", "$w"}}}}}
	assert.Len(t, c.all("db", bson.D{{"aggregate", "c"}, {"pipeline", group}, {"cursor", bson.D{}}}), 3)
	vals, err := c.must("db", bson.D{{"distinct", "c"}, {"key", "w"}}).Lookup("values").Array().Values()
	require.NoError(t, err)
	assert.Len(t, vals, 3)

	many := bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", word}, {"u", bson.D{{"$set", bson.D{{"x", 1}}}}}, {"multi", true}}}}}
	assert.Equal(t, int32(2), c.must("db", many).Lookup("n").Int32())
	one := bson.D{{"findAndModify", "c"}, {"query", word}, {"sort", bson.D{{"_id", -1}}}, {"remove", true}}
	assert.Equal(t, int32(2), c.must("db", one).Lookup("value", "_id").Int32())
	assert.Equal(t, int32(1), c.must("db", bson.D{{"count", "c"}, {"query", word}}).Lookup("n").Int32())
}

// The index of the shard key compares bytes, whatever the collection does, on
// every shard; the catalogue knows the collection's collation.
func TestShardingKeepsCollations(t *testing.T) {
	c := spreadWords(t)
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}})
	for _, shard := range shardNames {
		specs, err := c.router.own().indexes(t.Context(), shard, "db.c")
		require.NoError(t, err, shard)
		got := map[string]string{}
		for _, s := range specs {
			got[s.Lookup("name").StringValue()], _ = s.Lookup("collation", "locale").StringValueOK()
		}
		assert.Equal(t, map[string]string{"_id_": "en", "w_1": "simple", "x_1": "en"}, got, shard)
	}
	row := c.all("config", bson.D{{"find", "collections"}, {"filter", bson.D{{"_id", "db.c"}}}})[0]
	assert.Equal(t, "en", row.Lookup("defaultCollation", "locale").StringValue())

	c.must("admin", bson.D{{"unshardCollection", "db.c"}, {"toShard", "s1"}})
	row = c.all("config", bson.D{{"find", "collections"}, {"filter", bson.D{{"_id", "db.c"}}}})[0]
	assert.Equal(t, "en", row.Lookup("defaultCollation", "locale").StringValue())
	assert.Equal(t, []int32{1, 2}, intIDs(c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"w", "APPLE"}}}, {"sort", bson.D{{"_id", 1}}}})))
}

func TestShardKeyNeedsAnIndexOfBytes(t *testing.T) {
	c := newCluster(t)
	c.must("db", bson.D{{"insert", "d"}, {"documents", bson.A{bson.D{{"_id", 1}, {"w", "a"}}}}})
	c.must("db", bson.D{{"createIndexes", "d"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"w", 1}}}, {"name", "ci"}, {"collation", enTwo}}}}})
	c.fails(mongoerr.InvalidOptions, "admin", bson.D{{"shardCollection", "db.d"}, {"key", bson.D{{"w", 1}}}})
}

// A router that resolves a view compares as the view does.
func TestViewsOfACollationOnShardedCollections(t *testing.T) {
	c := spreadWords(t)
	c.must("db", bson.D{{"create", "plain"}, {"viewOn", "c"}, {"pipeline", bson.A{}}})
	c.must("db", bson.D{{"create", "ci"}, {"viewOn", "c"}, {"pipeline", bson.A{}}, {"collation", enTwo}})
	count := func(view string) bson.D { return bson.D{{"count", view}, {"query", bson.D{{"w", "APPLE"}}}} }
	assert.Equal(t, int32(0), c.must("db", count("plain")).Lookup("n").Int32())
	assert.Equal(t, int32(2), c.must("db", count("ci")).Lookup("n").Int32())
	c.fails(mongoerr.OptionNotSupportedOnView, "db", append(count("plain"), bson.E{Key: "collation", Value: enTwo}))
	union := bson.D{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$unionWith", "plain"}}}}, {"cursor", bson.D{}}}
	c.fails(mongoerr.OptionNotSupportedOnView, "db", union)
}

// An _id of a string is one document only to those who compare it as the _id
// index does.
func TestOneDocumentOfSeveralEqualIDs(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.insert("c", bson.D{{"_id", "a"}, {"k", -1}}, bson.D{{"_id", "A"}, {"k", 1}})
	one := bson.D{{"q", bson.D{{"_id", "A"}}}, {"u", bson.D{{"$set", bson.D{{"x", 1}}}}}, {"collation", enTwo}}
	assert.Equal(t, int32(1), c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{one}}}).Lookup("n").Int32())
}
