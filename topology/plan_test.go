package topology

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry"
)

var key = mustMarshal(bson.D{{"k", int32(1)}})

func ns(coll string) shardferry.Namespace { return shardferry.Namespace{DB: "d", Coll: coll} }

func spec(name string, key bson.D, options ...bson.E) bson.Raw {
	return mustMarshal(append(bson.D{{"v", int32(2)}, {"key", key}, {"name", name}}, options...))
}

func bound(v any) bson.Raw { return mustMarshal(bson.D{{"k", v}}) }

func cluster(kind Kind, shards ...shardferry.ShardID) *Cluster {
	c := &Cluster{ID: fmt.Sprint(kind, shards), Kind: kind, Version: Version{Major: 8}}
	for _, s := range shards {
		c.Shards = append(c.Shards, Shard{ID: s})
	}
	return c
}

// layout returns a sharded collection whose chunks begin at 0, 10, 20, ... on
// the given shards.
func layout(bytes int64, shards ...shardferry.ShardID) Collection {
	c := Collection{
		NS: ns("sharded"), UUID: shardferry.UUID{9}, Type: TypeCollection, ShardKey: key,
		Indexes: []bson.Raw{spec("k_1", bson.D{{"k", 1}})}, Stats: Stats{Bytes: bytes},
	}
	for i, s := range shards {
		ch := Chunk{Min: bound(int32(10 * i)), Max: bound(int32(10*i + 10)), Shard: s}
		if i == 0 {
			ch.Min = bound(bson.MinKey{})
		}
		if i == len(shards)-1 {
			ch.Max = bound(bson.MaxKey{})
		}
		c.Chunks = append(c.Chunks, ch)
	}
	return c
}

func places(chunks []Chunk) []shardferry.ShardID {
	var out []shardferry.ShardID
	for _, ch := range chunks {
		out = append(out, ch.Shard)
	}
	return out
}

func TestTheSameNumberOfShardsKeepsPlaces(t *testing.T) {
	src, dst := cluster(Sharded, "a", "b"), cluster(Sharded, "x", "y")
	src.Shards[1].Zones = []string{"cold"}
	src.Databases = []Database{{Name: "d", Primary: "b"}}
	c := layout(100, "b", "a", "b")
	c.Zones = []Zone{{Min: bound(int32(0)), Max: bound(int32(5)), Tag: "cold"}}
	src.Collections = []Collection{c}
	p, err := MakePlan(src, dst)
	require.NoError(t, err)
	assert.Equal(t, []shardferry.ShardID{"y", "x", "y"}, places(p.Collections[0].Chunks))
	assert.Equal(t, []Database{{Name: "d", Primary: "y"}}, p.Databases)
	assert.Equal(t, []ZoneShard{{Shard: "y", Zone: "cold"}}, p.Zones)
	assert.Len(t, p.Collections[0].Zones, 1)
	assert.Equal(t, "b", string(src.Collections[0].Chunks[0].Shard), "the source is not changed")
}

func TestAnotherNumberOfShardsIsBalanced(t *testing.T) {
	src, dst := cluster(Sharded, "a", "b"), cluster(Sharded, "x", "y", "z")
	src.Databases = []Database{{Name: "d", Primary: "a"}}
	big, small := layout(900, "a", "a", "a", "a", "b", "b", "b", "b", "b"), layout(30, "a", "b", "a")
	small.NS, small.UUID = ns("small"), shardferry.UUID{1}
	big.Zones = []Zone{{Min: bound(int32(0)), Max: bound(int32(5)), Tag: "cold"}}
	src.Collections = []Collection{small, big}
	p, err := MakePlan(src, dst)
	require.NoError(t, err)
	assert.Equal(t, big.NS, p.Collections[0].NS, "the largest first")
	assert.Empty(t, p.Collections[0].Zones)
	for _, c := range p.Collections {
		count := map[shardferry.ShardID]int{}
		for _, s := range places(c.Chunks) {
			count[s]++
		}
		for _, s := range dst.ShardIDs() {
			assert.Equal(t, len(c.Chunks)/3, count[s], "chunks of %s on %s", c.NS, s)
		}
	}
	for range 10 {
		again, err := MakePlan(src, dst)
		require.NoError(t, err)
		require.Equal(t, p, again)
	}
}

func TestAReplicaSetHasNoShardKeys(t *testing.T) {
	src, dst := cluster(Sharded, "a", "b"), cluster(ReplicaSet, "rs0")
	view := Collection{NS: ns("v"), Type: TypeView}
	src.Collections = []Collection{layout(10, "a", "b"), view}
	p, err := MakePlan(src, dst)
	require.NoError(t, err)
	assert.False(t, p.Sharded)
	assert.Empty(t, p.Collections[0].ShardKey)
	assert.Empty(t, p.Collections[0].Chunks)
	assert.Equal(t, []Collection{view}, p.Views)
	assert.Len(t, p.Indexes(), 1)
	assert.Equal(t, []shardferry.Collection{{UUID: shardferry.UUID{9}, Source: ns("sharded"), Destination: ns("sharded")}}, p.Catalogue(shardferry.Route{}, nil))
	_, err = MakePlan(src, &Cluster{})
	require.Error(t, err)
}

func TestAPlanSurvivesTheReplicatedState(t *testing.T) {
	src, dst := cluster(Sharded, "a", "b"), cluster(Sharded, "x", "y")
	src.Databases = []Database{{Name: "d", Primary: "b"}}
	src.Collections = []Collection{layout(0, "b", "a"), {NS: ns("v"), Type: TypeView, Options: mustMarshal(bson.D{{"viewOn", "c"}})}}
	p, err := MakePlan(src, dst)
	require.NoError(t, err)
	b, err := bson.Marshal(p)
	require.NoError(t, err)
	var back Plan
	require.NoError(t, bson.Unmarshal(b, &back))
	again, err := bson.Marshal(&back)
	require.NoError(t, err)
	assert.Equal(t, b, again)
	assert.Equal(t, p.Collections[0].Chunks, back.Collections[0].Chunks)
}

// The index of a unique shard key is final from the start; all others are
// finished at the commit.
func TestIndexesThatAreFinishedLater(t *testing.T) {
	plain, unique := layout(0, "a"), layout(0, "a")
	unique.Unique = true
	unique.Indexes = []bson.Raw{
		spec("k_1", bson.D{{"k", 1}}, bson.E{Key: "unique", Value: true}),
		spec("a_k_1_x_1", bson.D{{"k", 1}, {"x", 1}}),
	}
	names := func(c Collection) (out []string) {
		for _, ix := range (&Plan{Collections: []Collection{c}}).Indexes() {
			out = append(out, IndexName(ix.Spec))
		}
		return out
	}
	assert.Equal(t, []string{"k_1"}, names(plain))
	assert.Equal(t, []string{"a_k_1_x_1"}, names(unique))
}

func TestLimitsOfCappedCollections(t *testing.T) {
	p := Plan{Collections: []Collection{
		{NS: ns("a"), Options: mustMarshal(bson.D{{"capped", true}, {"size", int32(4096)}, {"max", int32(7)}})},
		{NS: ns("b"), Options: mustMarshal(bson.D{{"capped", false}, {"size", int32(4096)}})},
	}}
	assert.Equal(t, []Limit{{NS: ns("a"), Size: 4096, Max: 7}}, p.Limits())
}

func TestIndexThatSupportsAShardKey(t *testing.T) {
	partial := bson.E{Key: "partialFilterExpression", Value: bson.D{{"x", 1}}}
	tests := []struct {
		name    string
		indexes []bson.Raw
		want    string
	}{
		{"the key itself", []bson.Raw{spec("k", bson.D{{"k", 1}})}, "k"},
		{"a longer one", []bson.Raw{spec("kx", bson.D{{"k", 1.0}, {"x", -1}})}, "kx"},
		{"the shortest", []bson.Raw{spec("a", bson.D{{"k", 1}, {"x", 1}}), spec("b", bson.D{{"k", 1}})}, "b"},
		{"not a prefix", []bson.Raw{spec("x", bson.D{{"x", 1}, {"k", 1}})}, ""},
		{"the other direction", []bson.Raw{spec("k", bson.D{{"k", -1}})}, ""},
		{"hashed", []bson.Raw{spec("k", bson.D{{"k", "hashed"}})}, ""},
		{"partial", []bson.Raw{spec("k", bson.D{{"k", 1}}, partial)}, ""},
		{"sparse", []bson.Raw{spec("k", bson.D{{"k", 1}}, bson.E{Key: "sparse", Value: int32(1)})}, ""},
		{"hidden", []bson.Raw{spec("k", bson.D{{"k", 1}}, bson.E{Key: "hidden", Value: true})}, ""},
		{"collated", []bson.Raw{spec("k", bson.D{{"k", 1}}, bson.E{Key: "collation", Value: bson.D{{"locale", "de"}}})}, ""},
		{"of simple collation", []bson.Raw{spec("k", bson.D{{"k", 1}}, bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}})}, "k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Collection{ShardKey: key, Indexes: tt.indexes}
			assert.Equal(t, tt.want, IndexName(c.shardKeySpec()))
			_, err := shardKeyIndex(&c)
			assert.Equal(t, tt.want == "", err != nil)
		})
	}
}

func TestIndexBound(t *testing.T) {
	long := mustMarshal(bson.D{{"k", 1}, {"x", 1}})
	for _, tt := range []struct {
		name              string
		bound, index, out bson.Raw
	}{
		{"as it is", bound(int32(5)), key, bound(int32(5))},
		{"filled", bound(int32(5)), long, mustMarshal(bson.D{{"k", int32(5)}, {"x", bson.MinKey{}}})},
		{"from the start", bound(bson.MinKey{}), long, nil},
		{"to the end", bound(bson.MaxKey{}), long, nil},
		{
			"MaxKey in one field only", mustMarshal(bson.D{{"k", bson.MaxKey{}}, {"x", int32(1)}}), long,
			mustMarshal(bson.D{{"k", bson.MaxKey{}}, {"x", int32(1)}}),
		},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.out, indexBound(tt.bound, tt.index)) })
	}
}

func TestTasksOfUnshardedCollections(t *testing.T) {
	src := cluster(Sharded, "a", "b")
	src.Databases = []Database{{Name: "d", Primary: "b"}}
	id := func(n int) bson.Raw { return mustMarshal(bson.D{{"_id", n}}) }
	src.Collections = []Collection{
		{NS: ns("cut"), UUID: shardferry.UUID{1}, Type: TypeCollection, Stats: Stats{Bytes: 9}},
		{NS: ns("capped"), UUID: shardferry.UUID{2}, Type: TypeCollection, Stats: Stats{Bytes: 8}, Options: mustMarshal(bson.D{{"capped", true}})},
		{NS: ns("moved"), UUID: shardferry.UUID{3}, Type: TypeCollection, Home: "a"},
		{NS: ns("view"), Type: TypeView},
	}
	tasks, err := Tasks(src, map[shardferry.Namespace][]bson.Raw{ns("cut"): {id(5), id(9)}, ns("capped"): {id(5)}})
	require.NoError(t, err)
	assert.Equal(t, []shardferry.CopyTask{
		{ID: 1, Shard: "b", UUID: shardferry.UUID{1}, Index: idIndex, Max: id(5)},
		{ID: 2, Shard: "b", UUID: shardferry.UUID{1}, Index: idIndex, Min: id(5), Max: id(9)},
		{ID: 3, Shard: "b", UUID: shardferry.UUID{1}, Index: idIndex, Min: id(9)},
		{ID: 4, Shard: "b", UUID: shardferry.UUID{2}, Index: naturalOrder}, // in the order of insertion
		{ID: 5, Shard: "a", UUID: shardferry.UUID{3}, Index: idIndex},      // where its events are
	}, tasks)

	src.Collections = []Collection{{NS: ns("odd"), Type: TypeCollection, ShardKey: key, Chunks: layout(0, "a").Chunks}}
	_, err = Tasks(src, nil)
	require.ErrorContains(t, err, "d.odd has no index that supports its shard key")
}

// Whatever the layout, every key is in exactly one task, on the shard that owns
// it, and no task spans two shards.
func TestTasksCoverEveryKeyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.SliceOfN(rapid.SampledFrom([]shardferry.ShardID{"a", "b", "c"}), 1, 20).Draw(t, "chunks")
		c := layout(rapid.Int64Range(0, 10*TaskBytes).Draw(t, "bytes"), shards...)
		if rapid.Bool().Draw(t, "a longer index") {
			c.Indexes = []bson.Raw{spec("kx", bson.D{{"k", 1}, {"x", 1}})}
		}
		src := cluster(Sharded, "a", "b", "c")
		src.Collections = []Collection{c}
		tasks, err := Tasks(src, nil)
		require.NoError(t, err)
		for k := -5; k < 10*len(shards)+5; k++ {
			owner := shards[min(max(k/10, 0), len(shards)-1)]
			var in []shardferry.ShardID
			for _, task := range tasks {
				if within(k, task) {
					in = append(in, task.Shard)
				}
			}
			require.Equal(t, []shardferry.ShardID{owner}, in, "key %d", k)
		}
		require.Nil(t, tasks[0].Min)
		require.Nil(t, tasks[len(tasks)-1].Max, "MaxKey itself belongs to the last chunk")
	})
}

func within(k int, task shardferry.CopyTask) bool {
	lo, hasLo := task.Min.Lookup("k").Int32OK()
	hi, hasHi := task.Max.Lookup("k").Int32OK()
	return (!hasLo || k >= int(lo)) && (!hasHi || k < int(hi))
}
