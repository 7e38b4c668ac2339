package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestUpdateStatements(t *testing.T) {
	stage := func(path string, v any) bson.D {
		return bson.D{{"$set", bson.D{{path, bson.D{{"$literal", v}}}}}}
	}
	tests := []struct {
		name    string
		set     bson.D
		unset   bson.A
		cut     bson.A
		unclear bson.D
		want    any // nil: read again
	}{
		{name: "one field", set: bson.D{{"a", 1}}, want: bson.D{{"$set", bson.D{{"a", 1}}}}},
		{name: "in the server's order", set: bson.D{{"a", 1}, {"b", 2}}, want: bson.D{{"$set", bson.D{{"a", 1}, {"b", 2}}}}},
		{name: "in another order", set: bson.D{{"b", 1}, {"a", 2}}, want: bson.A{stage("b", 1), stage("a", 2)}},
		{name: "different parents", set: bson.D{{"z.a", 1}, {"b.a", 2}}, want: bson.D{{"$set", bson.D{{"z.a", 1}, {"b.a", 2}}}}},
		{name: "numeric names keep their order by stages", set: bson.D{{"2", 1}, {"10", 2}}, want: bson.A{stage("2", 1), stage("10", 2)}},
		{name: "removal first", set: bson.D{{"b", "$x"}, {"a", 2}}, unset: bson.A{"c"}, want: bson.A{bson.D{{"$unset", bson.A{"c"}}}, stage("b", "$x"), stage("a", 2)}},
		{name: "set and removal", set: bson.D{{"a", 1}}, unset: bson.A{"b.c"}, want: bson.D{{"$set", bson.D{{"a", 1}}}, {"$unset", bson.D{{"b.c", ""}}}}},
		{name: "array elements", set: bson.D{{"a.3", 1}, {"a.2", 2}}, want: bson.D{{"$set", bson.D{{"a.3", 1}, {"a.2", 2}}}}},
		{
			name: "truncation", cut: bson.A{bson.D{{"field", "a"}, {"newSize", int32(2)}}},
			want: bson.D{{"$push", bson.D{{"a", bson.D{{"$each", bson.A{}}, {"$slice", int32(2)}}}}}},
		},
		{name: "a set below a truncation", set: bson.D{{"a.0", 1}}, cut: bson.A{bson.D{{"field", "a"}, {"newSize", int32(2)}}}},
		{name: "reordered fields of array elements", set: bson.D{{"a.0.y", 1}, {"a.0.x", 1}}},
		{name: "ambiguous", set: bson.D{{"a.0", 1}}, unclear: bson.D{{"a.0", bson.A{"a", "0"}}}},
		{name: "dollar names", set: bson.D{{"a.$b", 1}}},
		{name: "empty names", set: bson.D{{"a.", 1}}},
		{name: "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			desc := raw(t, bson.D{
				{"updatedFields", orEmpty(tt.set)},
				{"removedFields", append(bson.A{}, tt.unset...)},
				{"truncatedArrays", append(bson.A{}, tt.cut...)},
				{"disambiguatedPaths", orEmpty(tt.unclear)},
			})
			got, ok := parseUpdate(desc).statement()
			require.Equal(t, tt.want != nil, ok)
			if ok {
				want := raw(t, bson.D{{"u", tt.want}}).Lookup("u")
				assert.Equal(t, want, got, "%v", got)
			}
		})
	}
}

func orEmpty(d bson.D) bson.D { return append(bson.D{}, d...) }

// A server before 6.1 does not say which dots are part of names.
func TestDottedPathsWithoutDisambiguationAreReadAgain(t *testing.T) {
	_, ok := parseUpdate(raw(t, bson.D{{"updatedFields", bson.D{{"a.b", 1}}}})).statement()
	assert.False(t, ok)
	_, ok = parseUpdate(raw(t, bson.D{{"updatedFields", bson.D{{"a", 1}}}})).statement()
	assert.True(t, ok)
}

func TestUpdatesOfTheShardKey(t *testing.T) {
	tests := []struct {
		name    string
		set     bson.D
		unset   bson.A
		touches bool
		after   bson.D
		known   bool
	}{
		{name: "another field", set: bson.D{{"z", 1}}},
		{name: "a field of the key", set: bson.D{{"x", 9}}, touches: true, after: bson.D{{"x", 9}, {"a.b", 5}, {"_id", 1}}, known: true},
		{name: "the parent of one", set: bson.D{{"a", bson.D{{"b", 8}}}}, touches: true, after: bson.D{{"x", 4}, {"a.b", 8}, {"_id", 1}}, known: true},
		{name: "removed", unset: bson.A{"x"}, touches: true, after: bson.D{{"x", nil}, {"a.b", 5}, {"_id", 1}}, known: true},
		{name: "inside a value", set: bson.D{{"x.y", 9}}, touches: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			coll := testCollection()
			coll.ShardKey = raw(t, bson.D{{"x", 1}, {"a.b", 1}})
			u := parseUpdate(raw(t, bson.D{
				{"updatedFields", orEmpty(tt.set)}, {"removedFields", append(bson.A{}, tt.unset...)}, {"disambiguatedPaths", bson.D{}},
			}))
			key := raw(t, bson.D{{"x", 4}, {"a.b", 5}, {"_id", 1}})
			require.Equal(t, tt.touches, u.touches(&coll, key))
			unsharded := testCollection()
			require.Equal(t, tt.touches, u.touches(&unsharded, key), "the source has a shard key too")
			if !tt.touches {
				return
			}
			after, known := u.moved(key)
			assert.Equal(t, tt.known, known)
			if known {
				assert.Equal(t, raw(t, tt.after), after, "%v", after)
			}
		})
	}
}
