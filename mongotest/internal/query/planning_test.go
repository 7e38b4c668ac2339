package query_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestBoundsOfAPath(t *testing.T) {
	one, three, five := value.Int32(1), value.Int32(3), value.Int32(5)
	tests := []struct {
		filter string
		want   query.Bounds
		ok     bool
	}{
		{`{"b": 1}`, query.Bounds{}, false},
		{`{"a": 1}`, query.Bounds{Eq: []bson.RawValue{one}}, true},
		{`{"a": null}`, query.Bounds{Eq: []bson.RawValue{{Type: bson.TypeNull, Value: []byte{}}}}, true},
		{`{"a": {"$in": [5, 1]}}`, query.Bounds{Eq: []bson.RawValue{one, five}}, true},
		{`{"a": {"$in": [5, 1], "$eq": 3}}`, query.Bounds{Eq: []bson.RawValue{three}}, true},
		{`{"a": {"$in": []}}`, query.Bounds{Eq: []bson.RawValue{}}, true},
		{`{"a": {"$gt": 1, "$lte": 5}}`, query.Bounds{Min: &one, Max: &five, MaxIncl: true}, true},
		{`{"a": {"$gte": 1}, "$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 5}}, {"a": {"$lt": 3}}]}`, query.Bounds{Min: &one, Max: &three}, true},
		{`{"$or": [{"a": 1}, {"b": 1}]}`, query.Bounds{}, false},
		{`{"a": {"$ne": 1}}`, query.Bounds{}, false},
		{`{"a": {"$not": {"$gt": 1}}}`, query.Bounds{}, false},
		{`{"a": [1]}`, query.Bounds{}, false},
		{`{"a": {"$gt": [1]}}`, query.Bounds{}, false},
		{`{"a": {"$in": [1, [2]]}}`, query.Bounds{}, false},
		{`{"a": {"$regularExpression": {"pattern": "^a", "options": ""}}}`, query.Bounds{}, false},
		{`{"a": {"$elemMatch": {"$gt": 1}}}`, query.Bounds{}, false},
	}
	for _, tt := range tests {
		b, ok := compile(t, tt.filter).Bounds("a")
		assert.Equal(t, tt.ok, ok, tt.filter)
		assert.Equal(t, tt.want, b, tt.filter)
	}
}

func TestBoundsOfIDInExpressions(t *testing.T) {
	hook := func(bson.RawValue, bson.Raw) (bool, error) { return true, nil }
	m, err := query.Compile(doc(t, `{"$expr": {"$and": [{"$gte": ["$_id", {"$literal": 1}]}, {"$lt": ["$_id", "x"]}, {"$gt": ["$_id", "$a"]}]}}`), query.Options{Expr: hook})
	require.NoError(t, err)
	b, ok := m.Bounds("_id")
	require.True(t, ok)
	assert.Equal(t, value.Int32(1), *b.Min)
	assert.True(t, b.MinIncl)
	assert.Equal(t, value.String("x"), *b.Max)
	assert.False(t, b.MaxIncl)
}

func TestSortOrder(t *testing.T) {
	tests := []struct {
		spec string
		docs []string // in order; each must come before the next
	}{
		{`{"a": 1}`, []string{`{}`, `{"a": 1}`, `{"a": [9, 2]}`, `{"a": 3}`, `{"a": "x"}`}},
		{`{"a": -1}`, []string{`{"a": "x"}`, `{"a": [2, 9]}`, `{"a": 3}`, `{"a": null}`}},
		{`{"a": 1}`, []string{`{"a": []}`, `{"a": null}`}}, // an empty array counts as undefined
		{`{"a": 1, "b": -1}`, []string{`{"a": 1, "b": 2}`, `{"a": 1, "b": 1}`, `{"a": 2, "b": 9}`}},
		{`{"a.b": 1}`, []string{`{"a": [{"b": 5}, {"c": 1}]}`, `{"a": [{"b": 5}, {"b": 2}]}`, `{"a": {"b": 3}}`}},
		{`{"a.0": 1}`, []string{`{"a": [1, 0]}`, `{"a": {"0": 2}}`, `{"a": [3]}`}},
		{`{"a": -1}`, []string{`{"a": "a\u0000"}`, `{"a": "a"}`}},
	}
	for _, tt := range tests {
		s, err := query.CompileSort(doc(t, tt.spec), nil)
		require.NoError(t, err)
		for i, a := range tt.docs {
			for j, b := range tt.docs {
				c := s.Compare(doc(t, a), doc(t, b))
				switch {
				case i < j:
					assert.Negative(t, c, "%s: %s before %s", tt.spec, a, b)
				case i == j:
					assert.Zero(t, c)
				default:
					assert.Positive(t, c, "%s: %s after %s", tt.spec, a, b)
				}
			}
		}
	}
	s, err := query.CompileSort(doc(t, `{"a": 1, "b.c": -1}`), nil)
	require.NoError(t, err)
	assert.Equal(t, []bson.RawValue{value.Int32(1), value.Null()}, s.Values(doc(t, `{"a": [3, 1]}`)))
}

func TestEqualNumbersSortAlikeWhateverTheirType(t *testing.T) {
	s, err := query.CompileSort(doc(t, `{"a": 1}`), nil)
	require.NoError(t, err)
	assert.Equal(t, s.Key(value.D("a", 1)), s.Key(value.D("a", 1.0)))
	assert.Equal(t, s.Key(value.D()), s.Key(value.D("a", nil)))
}

func TestBadSortsAreRefused(t *testing.T) {
	for spec, code := range map[string]mongoerr.Code{
		`{"a": "x"}`:                    15974,
		`{"a": 0}`:                      15975,
		`{"a": 2}`:                      15975,
		`{"a..b": 1}`:                   15998,
		`{"$natural": 1}`:               16410,
		`{"a.": 1}`:                     40353,
		`{"s": {"$meta": "textScore"}}`: 15974,
	} {
		_, err := query.CompileSort(doc(t, spec), nil)
		assert.True(t, mongoerr.Is(err, code), "%s: %v", spec, err)
	}
}
