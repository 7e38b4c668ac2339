package topology

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

func keyOf(v any) bson.Raw { return mustMarshal(bson.D{{"x", v}}) }

// scattered is a collection with chunks at 0, 10 and 20 on the given shards.
func scattered(shards ...shardferry.ShardID) *Cluster {
	c := Collection{NS: shardferry.Namespace{DB: "d", Coll: "c"}, UUID: shardferry.UUID{1}, Type: TypeCollection, ShardKey: keyOf(int32(1))}
	c.Indexes = []bson.Raw{mustMarshal(bson.D{{"key", c.ShardKey}, {"name", "x_1"}})}
	at := []bson.Raw{keyOf(bson.MinKey{}), keyOf(0), keyOf(10), keyOf(20), keyOf(bson.MaxKey{})}
	for i, s := range shards {
		c.Chunks = append(c.Chunks, Chunk{Min: at[i], Max: at[i+1], Shard: s})
	}
	return &Cluster{Kind: Sharded, Collections: []Collection{c}, Databases: []Database{{Name: "d", Primary: "a"}}}
}

// What is left of a task goes to the owners of its chunks, from where it stands.
func TestWhatIsLeftGoesToTheOwners(t *testing.T) {
	index, after := keyOf(int32(1)), shardferry.ClusterTime{T: 9}
	task := shardferry.CopyTask{ID: 7, Shard: "a", UUID: shardferry.UUID{1}, Index: index, Max: keyOf(20), Resume: keyOf(int64(5)), Resync: true, After: after}
	cut, got, err := Recut([]shardferry.CopyTask{task}, scattered("b", "a", "b", "a"))
	require.NoError(t, err)
	assert.Equal(t, []int64{7}, cut)
	require.Len(t, got, 2, "nothing of the chunk before 0 is left, and nothing after 20 is the task's")
	assert.Equal(t, shardferry.CopyTask{Shard: "a", UUID: shardferry.UUID{1}, Index: index, Min: keyOf(int64(5)), Max: keyOf(10), Resync: true, After: after}, got[0])
	assert.Equal(t, shardferry.CopyTask{Shard: "b", UUID: shardferry.UUID{1}, Index: index, Min: keyOf(10), Max: keyOf(20), Resync: true, After: after}, got[1])
}

func TestATaskStaysWithItsOwner(t *testing.T) {
	task := shardferry.CopyTask{ID: 7, Shard: "a", UUID: shardferry.UUID{1}, Index: keyOf(int32(1)), Min: keyOf(0), Max: keyOf(20)}
	cut, got, err := Recut([]shardferry.CopyTask{task}, scattered("b", "a", "a", "b"))
	require.NoError(t, err)
	assert.Empty(t, cut)
	assert.Empty(t, got)
	gone := task
	gone.UUID = shardferry.UUID{9}
	cut, _, err = Recut([]shardferry.CopyTask{gone}, scattered("b", "a", "a", "b"))
	require.NoError(t, err)
	assert.Empty(t, cut, "what became of it is not known yet")
}

// A collection whose tasks do not follow its shard key begins anew.
func TestACollectionWithAnotherKeyBeginsAnew(t *testing.T) {
	by := mustMarshal(bson.D{{"_id", 1}})
	tasks := []shardferry.CopyTask{{ID: 1, Shard: "a", UUID: shardferry.UUID{1}, Index: by}, {ID: 2, Shard: "a", UUID: shardferry.UUID{1}, Index: by}}
	cut, got, err := Recut(tasks, scattered("a", "a", "b", "b"))
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 2}, cut)
	require.Len(t, got, 2)
	assert.Equal(t, keyOf(10), got[0].Max)
	assert.Equal(t, shardferry.ShardID("b"), got[1].Shard)
}

func TestKeysCompareAsServersDo(t *testing.T) {
	decimal, err := bson.ParseDecimal128("2.5")
	require.NoError(t, err)
	ascending := []any{
		bson.MinKey{},
		nil, math.NaN(), math.Inf(-1), int64(math.MinInt64), -1.5, 0, int32(1), decimal, int64(3), float64(1 << 53), int64(1<<53 + 1), math.Inf(1),
		"", "a", "ab", "b",
		bson.D{{"a", 1}},
		bson.D{{"a", 2}},
		bson.D{{"a", "x"}},
		bson.Binary{Data: []byte{9}},
		bson.Binary{Data: []byte{1, 2}},
		bson.ObjectID{1},
		bson.ObjectID{2},
		false, true, bson.DateTime(-5), bson.DateTime(5),
		bson.Timestamp{T: 1, I: 9},
		bson.Timestamp{T: 2},
		bson.MaxKey{},
	}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			assert.Equal(t, want, compareKeys(keyOf(a), keyOf(b)), "%v and %v", a, b)
		}
	}
}

// Splits change nothing that matters; moves, new collections and databases do.
func TestWhatChangesHandsIsFound(t *testing.T) {
	before := []shardferry.Place{{DB: "d", Version: "a/1"}, {Shard: "a"}, {Collection: shardferry.UUID{1}, Version: "1"}}
	_, changed := Changed(before, before)
	assert.False(t, changed)
	for name, tt := range map[string]struct {
		after []shardferry.Place
		want  shardferry.Moved
	}{
		"a chunk":          {[]shardferry.Place{before[0], before[1], {Collection: shardferry.UUID{1}, Version: "2"}}, shardferry.Moved{Collections: []shardferry.UUID{{1}}}},
		"a new collection": {append([]shardferry.Place{{Collection: shardferry.UUID{2}, Version: "1"}}, before...), shardferry.Moved{Collections: []shardferry.UUID{{2}}}},
		"one that is gone": {before[:2], shardferry.Moved{Collections: []shardferry.UUID{{1}}}},
		"a database":       {[]shardferry.Place{{DB: "d", Version: "b/2"}, before[1], before[2]}, shardferry.Moved{All: true}},
		"a shard":          {append([]shardferry.Place{{Shard: "b"}}, before...), shardferry.Moved{}},
	} {
		got, changed := Changed(before, tt.after)
		assert.True(t, changed, name)
		assert.Equal(t, tt.want, got, name)
	}
}
