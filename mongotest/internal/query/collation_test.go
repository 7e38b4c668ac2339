package query_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func caseless(t testing.TB) *collation.Collation {
	t.Helper()
	c, err := collation.Parse(value.D("locale", "en", "strength", 2))
	require.NoError(t, err)
	return c
}

func TestFiltersCompareByTheCollation(t *testing.T) {
	coll := caseless(t)
	always := func(bson.RawValue, bson.Raw) (bool, error) { return true, nil }
	for _, tt := range []struct{ filter, yes, no string }{
		{`{"a": "x"}`, `{"a": "X"}`, `{"a": "y"}`},
		{`{"a": {"$ne": "x"}}`, `{"a": "y"}`, `{"a": "X"}`},
		{`{"a": {"$gt": "B"}}`, `{"a": "c"}`, `{"a": "b"}`},
		{`{"a": {"$lte": "B"}}`, `{"a": "b"}`, `{"a": "C"}`},
		{`{"a": {"$in": ["x", 1]}}`, `{"a": "X"}`, `{"a": "y"}`},
		{`{"a": {"$nin": ["x"]}}`, `{"a": "y"}`, `{"a": ["X"]}`},
		{`{"a": {"$all": ["x", "y"]}}`, `{"a": ["Y", "X"]}`, `{"a": ["x"]}`},
		{`{"a": {"$elemMatch": {"$eq": "x"}}}`, `{"a": ["X"]}`, `{"a": ["y"]}`},
		{`{"a": {"$elemMatch": {"b": "x"}}}`, `{"a": [{"b": "X"}]}`, `{"a": [{"b": "y"}]}`},
		{`{"$or": [{"a": "x"}, {"a": "y"}]}`, `{"a": "Y"}`, `{"a": "z"}`},
		{`{"a": {"b": "x", "c": ["y"]}}`, `{"a": {"b": "X", "c": ["Y"]}}`, `{"a": {"B": "x", "c": ["y"]}}`},
		{`{"a": 1}`, `{"a": 1.0}`, `{"a": "1"}`},
		// These look at the bytes.
		{`{"a": {"$regex": "^x"}}`, `{"a": "x"}`, `{"a": "X"}`},
		{`{"a": {"$in": [{"$regularExpression": {"pattern": "^x", "options": ""}}]}}`, `{"a": "x"}`, `{"a": "X"}`},
		{`{"$jsonSchema": {"properties": {"a": {"enum": ["x"]}}}}`, `{"a": "x"}`, `{"a": "X"}`},
		// As the server has it, which rewrites these to conditions on a field.
		{`{"$expr": {"$in": ["$a", ["x"]]}}`, `{"a": "x"}`, `{"a": "X"}`},
		{`{"$expr": {"$and": [{"$in": ["$a", ["x"]]}]}}`, `{"a": "x"}`, `{"a": "X"}`},
	} {
		m, err := query.Compile(doc(t, tt.filter), query.Options{Collation: coll, Expr: always})
		require.NoError(t, err, tt.filter)
		ok, err := m.Match(doc(t, tt.yes))
		require.NoError(t, err)
		assert.True(t, ok, "%s matches %s", tt.filter, tt.yes)
		ok, err = m.Match(doc(t, tt.no))
		require.NoError(t, err)
		assert.False(t, ok, "%s does not match %s", tt.filter, tt.no)
	}
}

func TestSortsOrderByTheCollation(t *testing.T) {
	s, err := query.CompileSort(doc(t, `{"a": 1, "b": -1}`), caseless(t))
	require.NoError(t, err)
	assert.Negative(t, s.Compare(doc(t, `{"a": "b"}`), doc(t, `{"a": "C"}`)))
	assert.Zero(t, s.Compare(doc(t, `{"a": "b", "b": "x"}`), doc(t, `{"a": "B", "b": "X"}`)))
	assert.Positive(t, s.Compare(doc(t, `{"a": "b", "b": "w"}`), doc(t, `{"a": "B", "b": "X"}`)))
	assert.Negative(t, s.Compare(doc(t, `{"a": ["Z", "b"]}`), doc(t, `{"a": ["C", "d"]}`)), "the lowest element of an array")
	values := s.Values(doc(t, `{"a": "b", "b": 1}`))
	assert.Equal(t, s.Values(doc(t, `{"a": "B", "b": 1}`)), values, "routers merge comparison keys")
}

func TestBoundsOfACollation(t *testing.T) {
	m, err := query.Compile(doc(t, `{"a": {"$gte": "a", "$gt": "B"}, "n": {"$gt": 5}}`), query.Options{Collation: caseless(t)})
	require.NoError(t, err)
	b, ok := m.Bounds("a")
	require.True(t, ok)
	assert.Equal(t, "B", b.Min.StringValue(), "the tighter one by the collation, though not by bytes")
	assert.True(t, b.HasStrings())
	b, ok = m.Bounds("n")
	require.True(t, ok)
	assert.False(t, b.HasStrings())
	assert.NotNil(t, m.Collation())
}
