package shardkey_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/shardkey"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// ask is an analyzeShardKey on db.c by {k: 1}.
func ask(t *testing.T, more ...any) shardkey.Request {
	t.Helper()
	r, err := shardkey.ParseRequest(value.D(append([]any{"analyzeShardKey", "db.c", "key", value.D("k", 1)}, more...)...))
	require.NoError(t, err)
	return r
}

// count counts n documents, the i-th of which has k(i).
func count(r shardkey.Request, unique bool, n int, k func(i int) any) *shardkey.Census {
	c := r.NewCensus(int64(n), unique)
	for i := range n {
		c.Add(value.D("_id", i, "k", k(i)))
	}
	return c
}

func TestWhatMayBeAShardKey(t *testing.T) {
	for _, good := range []bson.Raw{value.D("a", 1), value.D("a", 1.0, "b.c", "hashed"), value.D("a", "hashed", "b", int64(1))} {
		p, err := shardkey.Parse(good)
		require.NoError(t, err)
		assert.Zero(t, value.CompareDocs(good, p.Raw()))
	}
	for _, bad := range []bson.Raw{
		value.D(), value.D("a", -1), value.D("a", "text"), value.D("a", "hashed", "b", "hashed"),
		value.D("", 1), value.D("$a", 1), value.D("a.", 1), value.D(".a", 1), value.D("a..b", 1), value.D("a", true),
	} {
		_, err := shardkey.Parse(bad)
		assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%s: %v", bad, err)
	}
}

func TestWhichIndexesBeginWithAKey(t *testing.T) {
	p, err := shardkey.Parse(value.D("a", 1, "b", "hashed"))
	require.NoError(t, err)
	for _, index := range []bson.Raw{value.D("a", 1, "b", 1), value.D("a", -1, "b", 1, "c", 1), value.D("a", "hashed", "b", 1)} {
		assert.True(t, p.Names(index), "%s", index)
	}
	for _, index := range []bson.Raw{value.D("a", 1), value.D("b", 1, "a", 1), value.D("a", 1, "c", 1, "b", 1), value.D()} {
		assert.False(t, p.Names(index), "%s", index)
	}
}

// A sample has exactly as many documents as it should, whatever their number.
func TestSamplesAreAsLargeAsAskedFor(t *testing.T) {
	for n := 1; n < 60; n++ {
		for size := 5; size < 70; size += 7 {
			found, err := count(ask(t, "sampleSize", size), false, n, func(i int) any { return i }).Characteristics(-1, shardkey.Unknown())
			require.NoError(t, err)
			require.EqualValues(t, min(n, size), found.Lookup("numDocsSampled").Int64(), "%d of %d", size, n)
			require.EqualValues(t, min(n, size), found.Lookup("numDistinctValues").Int64(), "%d of %d", size, n)
		}
	}
}

// Numbers that are equal are one value, and a missing one is null.
func TestValuesAreCountedAsAnIndexHasThem(t *testing.T) {
	c := ask(t).NewCensus(5, false)
	for _, doc := range []bson.Raw{value.D("k", 1), value.D("k", 1.0), value.D("k", int64(1)), value.D("k", nil), value.D("x", 1)} {
		c.Add(doc)
	}
	found, err := c.Characteristics(2, shardkey.Unknown())
	require.NoError(t, err)
	common := value.A(value.D("value", value.D("k", 1), "frequency", int64(3)), value.D("value", value.D("k", nil), "frequency", int64(2)))
	assert.Equal(t, common.Value, found.Lookup("mostCommonValues").Value)
	assert.EqualValues(t, 2, found.Lookup("numOrphanDocs").Int64())
	_, err = ask(t).NewCensus(0, false).Characteristics(-1, shardkey.Unknown())
	assert.True(t, mongoerr.Is(err, mongoerr.IllegalOperation), "%v", err)
}

func TestOfAUniqueKeyTheFirstValuesAreShown(t *testing.T) {
	found, err := count(ask(t), true, 8, func(i int) any { return 10 - i }).Characteristics(-1, shardkey.Unknown())
	require.NoError(t, err)
	values, err := found.Lookup("mostCommonValues").Array().Values()
	require.NoError(t, err)
	require.Len(t, values, 5)
	assert.Equal(t, value.D("value", value.D("k", 10), "frequency", int64(1)), values[0].Document())
	assert.EqualValues(t, 8, found.Lookup("numDistinctValues").Int64())
}

func TestMonotonicityIsACorrelation(t *testing.T) {
	of := func(r shardkey.Request, ids []int64, k func(i int) int) bson.Raw {
		m, err := r.Monotonicity(func(yield func(int64, bson.Raw) bool) {
			for i, id := range ids {
				if !yield(id, value.D("k", k(i))) {
					return
				}
			}
		}, int64(len(ids)))
		require.NoError(t, err)
		return m
	}
	each := func(i int) int { return i }
	m := func(c float64, kind string) bson.Raw {
		return value.D("recordIdCorrelationCoefficient", c, "type", kind)
	}
	assert.Equal(t, m(1, "monotonic"), of(ask(t), []int64{1, 2, 3, 4}, each))
	assert.Equal(t, m(-1, "monotonic"), of(ask(t), []int64{40, 30, 20, 10}, each))
	assert.Equal(t, m(0.6, "not monotonic"), of(ask(t), []int64{2, 1, 4, 3}, each))
	assert.Equal(t, m(0.8, "monotonic"), of(ask(t), []int64{1, 3, 2, 4}, each))
	assert.Equal(t, m(0, "not monotonic"), of(ask(t), []int64{1, 2, 3, 4}, func(int) int { return 7 }))
	assert.Equal(t, m(1, "monotonic"), of(ask(t, "sampleRate", 0.5), []int64{9, 1, 9, 2, 9, 3}, each))
	_, err := ask(t).Monotonicity(func(func(int64, bson.Raw) bool) {}, 0)
	assert.True(t, mongoerr.Is(err, 7826505), "%v", err)
}

// A hundred ranges need 99 bounds, each of which is a tenth sample.
func TestReadsAndWritesAreLookedAtByRanges(t *testing.T) {
	each := func(i int) any { return i }
	for _, c := range []struct {
		n     int
		k     func(i int) any
		makes int // ranges, 0 for enough
	}{
		{0, each, 1},
		{9, each, 1},
		{10, each, 2},
		{989, each, 99},
		{990, each, 0},
		{5000, each, 0},
		{5000, func(i int) any { return i % 98 }, 99},
		{5000, func(i int) any { return i % 99 }, 0},
		{5000, func(int) any { return nil }, 2},
	} {
		err := count(ask(t), false, c.n, c.k).CheckRanges()
		if c.makes == 0 {
			require.NoError(t, err, "%d", c.n)
			continue
		}
		require.True(t, mongoerr.Is(err, 4952606), "%d: %v", c.n, err)
		require.ErrorContains(t, err, fmt.Sprintf("only make %d chunks", c.makes))
	}
	err := count(ask(t), false, 1000, func(int) any { return bson.A{1} }).CheckRanges()
	assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%v", err)
}
