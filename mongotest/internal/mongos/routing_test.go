package mongos

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// tableOf is a routing with chunks on s0, s1, ... divided at the points.
func tableOf(t *testing.T, key bson.D, points ...bson.D) *table {
	t.Helper()
	k, err := parseKeyPattern(rawDoc(key))
	require.NoError(t, err)
	bounds := []bson.Raw{k.all(value.MinKey())}
	for _, p := range points {
		bounds = append(bounds, rawDoc(p))
	}
	bounds = append(bounds, k.all(value.MaxKey()))
	tb := &table{ns: "db.c", key: k, uuid: value.NewUUID(), lastmod: time.Now()}
	for i := range len(bounds) - 1 {
		c, err := newChunk(k, bounds[i], bounds[i+1], "s"+string(rune('0'+i)), bson.Timestamp{T: 1, I: uint32(i)}, bson.Timestamp{T: 1})
		require.NoError(t, err)
		tb.chunks = append(tb.chunks, c)
	}
	return tb
}

func TestDocumentsGoToTheChunkOfTheirKey(t *testing.T) {
	tb := tableOf(t, bson.D{{"a.b", 1}, {"c", 1}}, bson.D{{"a.b", 10}, {"c", bson.MinKey{}}}, bson.D{{"a.b", 10}, {"c", "m"}}, bson.D{{"a.b", "x"}})
	for _, tc := range []struct {
		name string
		doc  bson.D
		want string
	}{
		{"both fields missing", bson.D{}, "s0"},
		{"below the first point", bson.D{{"a", bson.D{{"b", 9.99}}}, {"c", 1}}, "s0"},
		{"a long equals an int", bson.D{{"a", bson.D{{"b", int64(10)}}}, {"c", 1}}, "s1"},
		{"second field decides", bson.D{{"a", bson.D{{"b", 10.0}}}, {"c", "m"}}, "s2"},
		{"a string is above every number", bson.D{{"a", bson.D{{"b", "a"}}}}, "s2"},
		{"bound filled up with MinKey", bson.D{{"a", bson.D{{"b", "x"}}}}, "s3"},
		{"MaxKey itself", bson.D{{"a", bson.D{{"b", bson.MaxKey{}}}}, {"c", bson.MaxKey{}}}, "s3"},
	} {
		got, err := tb.shardOf(rawDoc(tc.doc))
		require.NoError(t, err, tc.name)
		assert.Equal(t, tc.want, got, tc.name)
	}
	for _, doc := range []bson.D{{{"a", bson.D{{"b", bson.A{1}}}}}, {{"a", bson.A{bson.D{{"b", 1}}}}}} {
		_, err := tb.shardOf(rawDoc(doc))
		assert.Error(t, err, "an array in the key of %v", doc)
	}
}

func TestFiltersAreTargetedByAPrefixOfTheKey(t *testing.T) {
	tb := tableOf(t, bson.D{{"a", 1}, {"b", 1}}, bson.D{{"a", 0}, {"b", bson.MinKey{}}}, bson.D{{"a", 10}, {"b", 5}}, bson.D{{"a", 20}, {"b", bson.MinKey{}}})
	for _, tc := range []struct {
		name   string
		filter bson.D
		want   []string
		exact  bool
	}{
		{"nothing known", bson.D{{"z", 1}}, []string{"s0", "s1", "s2", "s3"}, false},
		{"only the second field", bson.D{{"b", 1}}, []string{"s0", "s1", "s2", "s3"}, false},
		{"whole key", bson.D{{"a", 10}, {"b", 4}}, []string{"s1"}, true},
		{"whole key in another order", bson.D{{"b", 5}, {"a", 10}}, []string{"s2"}, true},
		{"prefix over two chunks", bson.D{{"a", 10}}, []string{"s1", "s2"}, false},
		{"$in", bson.D{{"a", bson.D{{"$in", bson.A{-1, 25}}}}}, []string{"s0", "s3"}, false},
		{"range", bson.D{{"a", bson.D{{"$gt", 10}, {"$lt", 15}}}}, []string{"s1", "s2"}, false},
		{"equality and range", bson.D{{"a", 10}, {"b", bson.D{{"$gte", 6}}}}, []string{"s2"}, false},
		{"under $and", bson.D{{"$and", bson.A{bson.D{{"a", 3}}, bson.D{{"b", 3}}}}}, []string{"s1"}, true},
		{"null stands for missing too", bson.D{{"a", nil}, {"b", nil}}, []string{"s0"}, true},
	} {
		got, err := tb.target(rawDoc(tc.filter), nil)
		require.NoError(t, err, tc.name)
		assert.Equal(t, tc.want, got.shards, tc.name)
		assert.Equal(t, tc.exact, got.exact, tc.name)
	}
}

// Whatever a filter matches must be on a shard it is targeted at.
func TestTargetingNeverMissesAnOwner(t *testing.T) {
	tb := tableOf(t, bson.D{{"a", 1}}, bson.D{{"a", -5}}, bson.D{{"a", 0}}, bson.D{{"a", 5}})
	for x := -8; x <= 8; x++ {
		doc := rawDoc(bson.D{{"a", x}})
		owner, err := tb.shardOf(doc)
		require.NoError(t, err)
		for y := -8; y <= 8; y++ {
			for op, holds := range map[string]bool{"$eq": x == y, "$lt": x < y, "$lte": x <= y, "$gt": x > y, "$gte": x >= y} {
				if !holds {
					continue
				}
				got, err := tb.target(rawDoc(bson.D{{"a", bson.D{{op, y}}}}), nil)
				require.NoError(t, err)
				assert.Contains(t, got.shards, owner, "a=%d, a %s %d", x, op, y)
			}
		}
	}
}

func TestHashedKeysAreRoutedByTheirHash(t *testing.T) {
	tb := tableOf(t, bson.D{{"k", "hashed"}}, bson.D{{"k", int64(0)}})
	for _, tc := range []struct {
		value any
		want  string
	}{{42, "s0"}, {0, "s1"}, {1, "s1"}, {1.0, "s1"}, {100, "s0"}, {nil, "s1"}, {"a", "s1"}} { // vectors of server-facts 5.5
		got, err := tb.shardOf(rawDoc(bson.D{{"k", tc.value}}))
		require.NoError(t, err)
		assert.Equal(t, tc.want, got, "%v", tc.value)
		tg, err := tb.target(rawDoc(bson.D{{"k", tc.value}}), nil)
		require.NoError(t, err)
		assert.Equal(t, []string{tc.want}, tg.shards, "%v", tc.value)
	}
	got, err := tb.shardOf(rawDoc(bson.D{}))
	require.NoError(t, err)
	assert.Equal(t, "s1", got, "a missing field hashes like null")
	tg, err := tb.target(rawDoc(bson.D{{"k", bson.D{{"$gt", 5}}}}), nil)
	require.NoError(t, err)
	assert.Len(t, tg.shards, 2, "a range says nothing about hashes")
}

func TestHashSpaceIsDividedAsTheServerDoes(t *testing.T) {
	assert.Empty(t, hashedPoints(1))
	assert.Equal(t, []int64{0}, hashedPoints(2))
	assert.Equal(t, []int64{-3074457345618258602, 3074457345618258602}, hashedPoints(3))
	assert.Equal(t, []int64{-4611686018427387902, 0, 4611686018427387902}, hashedPoints(4))
	for n := int64(2); n < 40; n++ {
		points := hashedPoints(n)
		require.Len(t, points, int(n-1))
		assert.Greater(t, points[0], int64(math.MinInt64))
		for i := 1; i < len(points); i++ {
			assert.Less(t, points[i-1], points[i])
		}
	}
}

func TestShardKeysAreValidated(t *testing.T) {
	for _, key := range []bson.D{{}, {{"a", -1}}, {{"a", "text"}}, {{"a", "hashed"}, {"b", "hashed"}}, {{"a..b", 1}}, {{"", 1}}, {{"$a", 1}}} {
		_, err := parseKeyPattern(rawDoc(key))
		assert.Error(t, err, "%v", key)
	}
}

func TestUpdatesThatMayChangeTheKeyAreRecognised(t *testing.T) {
	k, err := parseKeyPattern(rawDoc(bson.D{{"a.b", 1}, {"_id", 1}}))
	require.NoError(t, err)
	for _, tc := range []struct {
		update any
		want   bool
	}{
		{bson.D{{"$set", bson.D{{"x", 1}}}}, false},
		{bson.D{{"$set", bson.D{{"a.b", 1}}}}, true},
		{bson.D{{"$set", bson.D{{"a", 1}}}}, true},
		{bson.D{{"$set", bson.D{{"a.b.c", 1}}}}, true},
		{bson.D{{"$set", bson.D{{"a.c", 1}}}}, false},
		{bson.D{{"$rename", bson.D{{"x", "a.b"}}}}, true},
		{bson.D{{"$setOnInsert", bson.D{{"_id", 1}}}}, false},
		{bson.D{{"x", 1}}, true},
		{bson.A{bson.D{{"$set", bson.D{{"x", 1}}}}}, false},
		{bson.A{bson.D{{"$unset", "a"}}}, true},
		{bson.A{bson.D{{"$replaceWith", "$x"}}}, true},
	} {
		assert.Equal(t, tc.want, k.touchedBy(mustValue(t, tc.update)), "%v", tc.update)
	}
}

func mustValue(t *testing.T, x any) bson.RawValue {
	t.Helper()
	v, ok := value.Get(rawDoc(bson.D{{"v", x}}), "v")
	require.True(t, ok)
	return v
}
