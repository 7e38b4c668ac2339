package topology

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func e(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

func TestRelaxIndex(t *testing.T) {
	a := bson.D{{"a", 1}}
	for _, tt := range []struct {
		name     string
		in, want bson.Raw
	}{
		{"plain", spec("a", a, e("sparse", true)), spec("a", a, e("sparse", true))},
		{"unique", spec("a", a, e("unique", true), e("collation", bson.D{{"locale", "de"}})), spec("a", a, e("collation", bson.D{{"locale", "de"}}))},
		{"prepared", spec("a", a, e("prepareUnique", true)), spec("a", a)},
		{"hidden", spec("a", a, e("hidden", true)), spec("a", a)},
		{"TTL", spec("a", a, e("expireAfterSeconds", int32(60))), spec("a", a, e("expireAfterSeconds", int64(2147483647)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, RelaxIndex(tt.in))
			assert.Equal(t, tt.want, RelaxIndex(RelaxIndex(tt.in)))
		})
	}
}

func TestSameIndex(t *testing.T) {
	a := bson.D{{"a", int32(1)}, {"b", int32(-1)}}
	base := spec("i", a, e("unique", true), e("expireAfterSeconds", int32(5)))
	for _, tt := range []struct {
		name string
		with bson.Raw
		want bool
	}{
		{"itself", base, true},
		{"another order of options", mustMarshal(bson.D{{"name", "i"}, {"expireAfterSeconds", 5.0}, {"unique", true}, {"key", a}}), true},
		{"other number types in the key", spec("i", bson.D{{"a", 1.0}, {"b", int64(-1)}}, e("unique", true), e("expireAfterSeconds", 5)), true},
		{"flags that are off", spec("i", a, e("unique", true), e("sparse", false), e("expireAfterSeconds", 5)), true},
		{"another name", spec("j", a, e("unique", true), e("expireAfterSeconds", 5)), false},
		{"another order of the key", spec("i", bson.D{{"b", -1}, {"a", 1}}, e("unique", true), e("expireAfterSeconds", 5)), false},
		{"another direction", spec("i", bson.D{{"a", 1}, {"b", 1}}, e("unique", true), e("expireAfterSeconds", 5)), false},
		{"not unique", spec("i", a, e("expireAfterSeconds", 5)), false},
		{"another time", spec("i", a, e("unique", true), e("expireAfterSeconds", 6)), false},
		{"a filter", spec("i", a, e("unique", true), e("expireAfterSeconds", 5), e("partialFilterExpression", bson.D{{"x", 1}})), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, SameIndex(base, tt.with))
			assert.Equal(t, tt.want, SameIndex(tt.with, base))
		})
	}
}

func TestSameRelaxed(t *testing.T) {
	a := bson.D{{"a", 1}}
	final := spec("a", a, e("unique", true), e("expireAfterSeconds", 5), e("hidden", true))
	for name, other := range map[string]bson.Raw{
		"itself": final, "relaxed": RelaxIndex(final), "half way": spec("a", a, e("prepareUnique", true)), "plain": spec("a", a),
	} {
		assert.True(t, SameRelaxed(final, other), name)
	}
	assert.False(t, SameRelaxed(final, spec("a", a, e("sparse", true))))
	assert.False(t, SameRelaxed(final, spec("a", bson.D{{"a", -1}})))
}

func TestIndexChanges(t *testing.T) {
	a := bson.D{{"a", 1}}
	for _, tt := range []struct {
		name           string
		current, final bson.Raw
		want           []bson.E
	}{
		{"nothing", spec("a", a), spec("a", a), nil},
		{"unique", spec("a", a), spec("a", a, e("unique", true)), []bson.E{e("prepareUnique", true), e("unique", true)}},
		{"unique, given as a number", spec("a", a), spec("a", a, e("unique", int32(1))), []bson.E{e("prepareUnique", true), e("unique", true)}},
		{"prepared before", spec("a", a, e("prepareUnique", true)), spec("a", a, e("unique", true)), []bson.E{e("unique", true)}},
		{"unique already", spec("a", a, e("unique", true)), spec("a", a, e("unique", true)), nil},
		{"only prepared", spec("a", a), spec("a", a, e("prepareUnique", true)), []bson.E{e("prepareUnique", true)}},
		{"hidden", spec("a", a), spec("a", a, e("hidden", true)), []bson.E{e("hidden", true)}},
		{"visible", spec("a", a, e("hidden", true)), spec("a", a), []bson.E{e("hidden", false)}},
		{"TTL", spec("a", a, e("expireAfterSeconds", ttlNever)), spec("a", a, e("expireAfterSeconds", 5.0)), []bson.E{e("expireAfterSeconds", int64(5))}},
		{"TTL on a plain index", spec("a", a), spec("a", a, e("expireAfterSeconds", 5)), []bson.E{e("expireAfterSeconds", int64(5))}},
		{"TTL already", spec("a", a, e("expireAfterSeconds", 5.0)), spec("a", a, e("expireAfterSeconds", 5)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, indexChanges(tt.current, tt.final)) })
	}
}

func TestNormalOptions(t *testing.T) {
	a := mustMarshal(bson.D{{"uuid", "x"}, {"size", int32(5)}, {"capped", true}})
	b := mustMarshal(bson.D{{"capped", true}, {"size", 5.0}})
	assert.Equal(t, NormalOptions(b), NormalOptions(a))
	assert.Equal(t, NormalOptions(mustMarshal(bson.D{})), NormalOptions(nil), "no options are no difference")
	assert.NotEqual(t, NormalOptions(b), NormalOptions(mustMarshal(bson.D{{"capped", true}, {"size", 6}})))
}

func TestDefaultIndexName(t *testing.T) {
	assert.Equal(t, "a_1_b_-1_c_hashed", defaultIndexName(mustMarshal(bson.D{{"a", 1}, {"b", -1.0}, {"c", "hashed"}})))
}

func TestCheck(t *testing.T) {
	good := func() (*Cluster, *Cluster) {
		return cluster(Sharded, "a", "b"), cluster(Sharded, "x", "y")
	}
	one := func(c Collection) func(src, dst *Cluster) {
		return func(src, _ *Cluster) {
			c.NS = ns("c")
			src.Collections = []Collection{c}
		}
	}
	tests := []struct {
		name  string
		spoil func(src, dst *Cluster)
		want  string // empty: nothing
		fatal bool
	}{
		{"nothing in the way", func(_, _ *Cluster) {}, "", false},
		{"the same cluster", func(src, dst *Cluster) { dst.ID = src.ID }, "the same cluster", true},
		{"an old source", func(src, _ *Cluster) { src.Version = Version{Major: 5} }, "the source runs 5.0", true},
		{"an old destination", func(src, dst *Cluster) { src.Version, dst.Version = Version{Major: 6}, Version{Major: 5} }, "the destination runs 5.0", true},
		{"a step back", func(_, dst *Cluster) { dst.Version = Version{Major: 7} }, "older than the source's 8.0", true},
		{"a newer destination", func(src, _ *Cluster) { src.Version = Version{Major: 6} }, "", false},
		{"a destination in use", func(_, dst *Cluster) { dst.Collections = []Collection{{NS: ns("old")}} }, "it holds d.old", true},
		{"time series", one(Collection{Type: TypeTimeseries}), "d.c is a timeseries collection", true},
		{"encryption", one(Collection{Type: TypeCollection, Options: mustMarshal(bson.D{{"encryptedFields", bson.D{}}})}), "queryable encryption", true},
		{"no chunk", one(Collection{Type: TypeCollection, ShardKey: key}), "config.chunks has no chunk of it", true},
		{"no index for the shard key", one(Collection{Type: TypeCollection, ShardKey: key, Chunks: []Chunk{{Shard: "a"}}}), "no index that supports its shard key", true},
		{"a running balancer", func(src, _ *Cluster) { src.BalancerOn = true }, "the balancer of the source is on", false},
		{"zones that have no place", func(src, dst *Cluster) {
			c := layout(0, "a")
			c.Zones = []Zone{{Tag: "cold"}}
			src.Collections, dst.Shards = []Collection{c}, dst.Shards[:1]
		}, "d.sharded has zones", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := good()
			tt.spoil(src, dst)
			found := Check(src, dst)
			if tt.want == "" {
				assert.Empty(t, found)
				return
			}
			require.NotEmpty(t, found)
			assert.Contains(t, found[0].String(), tt.want)
			assert.Equal(t, tt.fatal, found[0].Fatal)
			assert.NotEmpty(t, found[0].Advice)
		})
	}
}

func TestFatalProblemsComeFirst(t *testing.T) {
	src, dst := cluster(Sharded, "a"), cluster(Sharded, "b")
	src.BalancerOn, dst.Version = true, Version{Major: 7}
	found := Check(src, dst)
	require.Len(t, found, 2)
	assert.True(t, found[0].Fatal)
	assert.False(t, found[1].Fatal)
}

func TestNamesAreShortened(t *testing.T) {
	var colls []Collection
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		colls = append(colls, Collection{NS: ns(n)})
	}
	assert.Equal(t, "d.a, d.b, d.c, d.d, d.e, and 2 more", someNames(colls))
}
