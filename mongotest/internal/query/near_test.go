package query_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
)

func TestNearnessBelongsToTheCaller(t *testing.T) {
	m, err := query.Compile(doc(t, `{"a.b": {"$near": [0, 0], "$maxDistance": 2}, "c": 1}`), query.Options{Near: true})
	require.NoError(t, err)
	require.NotNil(t, m.Near())
	assert.Equal(t, "a.b", m.Near().Field)
	d, ok := m.Near().Distance(doc(t, `{"a": [{"b": [1, 0]}, {"b": [5, 0]}]}`))
	assert.True(t, ok)
	assert.InDelta(t, 1, d, 0)
	for d, want := range map[string]bool{`{"a": {"b": [1, 0]}, "c": 1}`: true, `{"a": {"b": [3, 0]}, "c": 1}`: false, `{"a": {"b": [1, 0]}}`: false} {
		ok, err := m.Match(doc(t, d))
		require.NoError(t, err)
		assert.Equal(t, want, ok, d)
	}
	assert.Nil(t, compile(t, `{"a": {"$geoWithin": {"$box": [[0, 0], [1, 1]]}}}`).Near())
}

func TestMisplacedNearnessIsRefused(t *testing.T) {
	for filter, code := range map[string]mongoerr.Code{
		`{"$or": [{"a": {"$near": [0, 0]}}]}`:                    mongoerr.BadValue,
		`{"a": {"$elemMatch": {"b": {"$near": [0, 0]}}}}`:        mongoerr.BadValue,
		`{"a": {"$not": {"$near": [0, 0]}}}`:                     mongoerr.BadValue,
		`{"a": {"$near": [0, 0]}, "b": {"$near": [0, 0]}}`:       mongoerr.BadValue,
		`{"a": {"$exists": true, "$near": [0, 0]}}`:              mongoerr.BadValue,
		`{"a": {"$geoWithin": {"$box": [[0,0],[1,1]]}, "$x":1}}`: mongoerr.BadValue,
	} {
		_, err := query.Compile(doc(t, filter), query.Options{Near: true})
		assert.True(t, mongoerr.Is(err, code), "%s: %v", filter, err)
	}
	_, err := query.Compile(doc(t, `{"a": {"$near": [0, 0]}}`), query.Options{})
	assert.True(t, mongoerr.Is(err, 5626500), "%v", err)
}
