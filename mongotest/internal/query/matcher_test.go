package query_test

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// doc reads extended JSON.
func doc(t testing.TB, s string) bson.Raw {
	t.Helper()
	var raw bson.Raw
	require.NoError(t, bson.UnmarshalExtJSON([]byte(s), false, &raw), s)
	return raw
}

func compile(t testing.TB, filter string) *query.Matcher {
	t.Helper()
	m, err := query.Compile(doc(t, filter), query.Options{})
	require.NoError(t, err, filter)
	return m
}

func TestFiltersMatchAsOnTheServer(t *testing.T) {
	tests := []struct {
		filter string
		yes    []string
		no     []string
	}{
		{`{}`, []string{`{}`, `{"a": 1}`}, nil},
		{`{"a": 1}`, []string{`{"a": 1}`, `{"a": 1.0}`, `{"a": {"$numberDecimal": "1.00"}}`, `{"a": [2, 1]}`}, []string{`{}`, `{"a": 2}`, `{"a": "1"}`, `{"a": [[1]]}`}},
		{`{"a": [1, 2]}`, []string{`{"a": [1, 2]}`, `{"a": [[1, 2], 3]}`}, []string{`{"a": [2, 1]}`, `{"a": [1, 2, 3]}`, `{"a": 1}`}},
		{`{"a": {"b": 1, "c": 2}}`, []string{`{"a": {"b": 1, "c": 2}}`}, []string{`{"a": {"c": 2, "b": 1}}`, `{"a": {"b": 1, "c": 2, "d": 3}}`}},
		{`{"a": null}`, []string{`{}`, `{"a": null}`, `{"a": [1, null]}`}, []string{`{"a": 0}`, `{"a": []}`}},
		{`{"a": {"$ne": null}}`, []string{`{"a": 0}`, `{"a": []}`}, []string{`{}`, `{"a": null}`}},
		{`{"a.b": null}`, []string{`{}`, `{"a": 5}`, `{"a": {}}`, `{"a": [{"b": 1}, {"c": 1}]}`}, []string{`{"a": []}`, `{"a": [1, 2]}`, `{"a": [{"b": 1}]}`}},
		{`{"a": {"$gte": null}}`, []string{`{}`, `{"a": null}`}, []string{`{"a": 1}`}},
		{`{"a": {"$gt": null}}`, nil, []string{`{}`, `{"a": null}`, `{"a": 1}`}},

		{`{"a": {"$gt": 5}}`, []string{`{"a": 6}`, `{"a": [1, 9]}`}, []string{`{"a": 5}`, `{"a": "x"}`, `{"a": {"$maxKey": 1}}`, `{}`, `{"a": [[9]]}`}},
		{`{"a": {"$gte": 5, "$lt": 7}}`, []string{`{"a": 5}`, `{"a": 6.5}`, `{"a": [1, 9]}`}, []string{`{"a": 7}`, `{"a": [8, 9]}`}},
		{`{"a": {"$lte": "b"}}`, []string{`{"a": "a"}`, `{"a": ""}`}, []string{`{"a": 1}`, `{"a": "c"}`}},
		{`{"a": {"$lt": {"$numberDouble": "Infinity"}}}`, []string{`{"a": 1}`}, []string{`{"a": {"$numberDouble": "NaN"}}`}},
		{`{"a": {"$gte": {"$numberDouble": "NaN"}}}`, []string{`{"a": {"$numberDouble": "NaN"}}`, `{"a": {"$numberDecimal": "NaN"}}`}, []string{`{"a": 1}`}},
		{`{"a": {"$gte": {"$minKey": 1}}}`, []string{`{"a": 1}`, `{"a": {"$minKey": 1}}`, `{}`}, nil},
		{`{"a": {"$lt": {"$maxKey": 1}}}`, []string{`{"a": 1}`, `{"a": "x"}`}, []string{`{"a": {"$maxKey": 1}}`}},
		{`{"a": {"$gt": [1]}}`, []string{`{"a": [1, 0]}`, `{"a": [2]}`, `{"a": [[1, 5]]}`}, []string{`{"a": 5}`, `{"a": [0, 3]}`}},

		{`{"a": {"$in": [1, null, "x"]}}`, []string{`{"a": 1.0}`, `{}`, `{"a": ["y", "x"]}`}, []string{`{"a": 2}`, `{"a": []}`}},
		{`{"a": {"$in": [[1, 2], 7]}}`, []string{`{"a": [1, 2]}`, `{"a": 7}`}, []string{`{"a": [1]}`}},
		{`{"a": {"$in": [{"$regularExpression": {"pattern": "^ab", "options": ""}}]}}`, []string{`{"a": "abc"}`}, []string{`{"a": "xab"}`, `{"a": 1}`}},
		{`{"a": {"$nin": [1, 2]}}`, []string{`{}`, `{"a": 3}`, `{"a": [3]}`}, []string{`{"a": 1}`, `{"a": [1, 3]}`}},
		{`{"a": {"$in": []}}`, nil, []string{`{}`, `{"a": 1}`}},

		{`{"$and": [{"a": 1}, {"b": 2}]}`, []string{`{"a": 1, "b": 2}`}, []string{`{"a": 1}`}},
		{`{"$or": [{"a": 1}, {"b": 2}]}`, []string{`{"a": 1}`, `{"b": 2}`}, []string{`{"c": 1}`}},
		{`{"$nor": [{"a": 1}, {"b": 2}]}`, []string{`{}`}, []string{`{"a": 1}`, `{"b": 2}`}},
		{`{"a": {"$not": {"$gt": 5}}}`, []string{`{}`, `{"a": 5}`, `{"a": "x"}`}, []string{`{"a": 6}`, `{"a": [1, 6]}`}},
		{`{"a": {"$not": {"$regularExpression": {"pattern": "x", "options": ""}}}}`, []string{`{"a": "y"}`, `{}`}, []string{`{"a": "axb"}`}},

		{`{"a": {"$exists": true}}`, []string{`{"a": null}`, `{"a": []}`}, []string{`{}`}},
		{`{"a.b": {"$exists": false}}`, []string{`{}`, `{"a": [{"c": 1}]}`, `{"a": 1}`}, []string{`{"a": {"b": null}}`, `{"a": [{"c": 1}, {"b": 1}]}`}},
		{`{"a": {"$type": "number"}}`, []string{`{"a": 1}`, `{"a": 1.5}`, `{"a": ["x", 1]}`}, []string{`{"a": "1"}`, `{}`}},
		{`{"a": {"$type": ["string", 8]}}`, []string{`{"a": "x"}`, `{"a": true}`}, []string{`{"a": 1}`}},
		{`{"a": {"$type": "array"}}`, []string{`{"a": []}`, `{"a": [[1]]}`}, []string{`{"a": 1}`}},
		{`{"a": {"$type": -1}}`, []string{`{"a": {"$minKey": 1}}`}, []string{`{"a": {"$maxKey": 1}}`}},

		{`{"a": {"$all": [1, 2]}}`, []string{`{"a": [2, 3, 1]}`}, []string{`{"a": [1]}`, `{"a": 1}`}},
		{`{"a": {"$all": [1]}}`, []string{`{"a": 1}`}, []string{`{}`}},
		{`{"a": {"$all": [[1, 2]]}}`, []string{`{"a": [1, 2]}`, `{"a": [[1, 2]]}`}, []string{`{"a": [2, 1]}`}},
		{`{"a": {"$all": []}}`, nil, []string{`{"a": 1}`, `{"a": []}`, `{}`}},
		{`{"a": {"$all": [{"$elemMatch": {"x": 1}}, {"$elemMatch": {"x": 2}}]}}`, []string{`{"a": [{"x": 1}, {"x": 2}]}`}, []string{`{"a": [{"x": 1}]}`}},
		{`{"a": {"$size": 2}}`, []string{`{"a": [1, [2]]}`}, []string{`{"a": [1]}`, `{"a": [[1, 2]]}`, `{"a": 2}`}},
		{`{"a.b": {"$size": 1}}`, []string{`{"a": [{"b": [1]}]}`}, []string{`{"a": {"b": []}}`}},

		{`{"a": {"$elemMatch": {"x": 1, "y": 2}}}`, []string{`{"a": [{"x": 1}, {"x": 1, "y": 2}]}`}, []string{`{"a": [{"x": 1}, {"y": 2}]}`, `{"a": {"x": 1, "y": 2}}`}},
		{`{"a": {"$elemMatch": {"$gt": 3, "$lt": 5}}}`, []string{`{"a": [1, 4, 9]}`}, []string{`{"a": [1, 9]}`, `{"a": 4}`, `{"a": [[4]]}`}},
		{`{"a": {"$elemMatch": {"$or": [{"x": 1}, {"y": 1}]}}}`, []string{`{"a": [{"y": 1}]}`}, []string{`{"a": [{"z": 1}]}`}},
		{`{"a": {"$elemMatch": {"$not": {"$gt": 3}}}}`, []string{`{"a": [5, 2]}`}, []string{`{"a": [5, 6]}`}},
		{`{"a": {"$elemMatch": {"$elemMatch": {"$gt": 3}}}}`, []string{`{"a": [[1, 4]]}`}, []string{`{"a": [4]}`}},
		{`{"a": {"$elemMatch": {}}}`, []string{`{"a": [{}]}`}, []string{`{"a": [1]}`, `{"a": []}`}},

		{`{"a.0": 7}`, []string{`{"a": [7]}`, `{"a": {"0": 7}}`, `{"a": [{"0": 7}]}`}, []string{`{"a": [8, 7]}`, `{"a": 7}`}},
		{`{"a.1.b": 7}`, []string{`{"a": [1, {"b": 7}]}`, `{"a": [1, [{"b": 7}]]}`}, []string{`{"a": [{"b": 7}]}`}},
		{`{"a.b.c": 1}`, []string{`{"a": [{"b": [{"c": 1}]}]}`}, []string{`{"a": [[{"b": {"c": 1}}]]}`}},

		{`{"a": {"$mod": [4, 1]}}`, []string{`{"a": 5}`, `{"a": 5.9}`, `{"a": [2, 9]}`}, []string{`{"a": 4}`, `{"a": "5"}`}},
		{`{"a": {"$mod": [-1, 0]}}`, []string{`{"a": {"$numberLong": "-9223372036854775808"}}`}, nil},
		{`{"a": {"$regex": "^A.c", "$options": "is"}}`, []string{`{"a": "a\nc"}`}, []string{`{"a": "ba"}`, `{"a": 1}`}},
		{`{"a": {"$options": "x", "$regex": "a b # no\n[ ]c"}}`, []string{`{"a": "ab c"}`}, []string{`{"a": "a b c"}`}},
		{`{"a": {"$bitsAllSet": 6}}`, []string{`{"a": 7}`, `{"a": -1}`, `{"a": {"$binary": {"base64": "Bg==", "subType": "00"}}}`}, []string{`{"a": 2}`, `{"a": 6.5}`}},
		{`{"a": {"$bitsAnyClear": [0, 70]}}`, []string{`{"a": 1}`}, []string{`{"a": -1}`}},
		{`{"a": {"$bitsAllClear": [1, 3]}}`, []string{`{"a": 5}`}, []string{`{"a": 2}`}},
		{`{"a": {"$bitsAnySet": {"$binary": {"base64": "AQ==", "subType": "00"}}}}`, []string{`{"a": 1}`}, []string{`{"a": 2}`}},

		{`{"a": {"$mod": [3, 0]}}`, []string{`{"a": {"$numberDecimal": "9.5"}}`, `{"a": 3.9}`}, []string{`{"a": 4}`}},
		{`{"a": {"$mod": [{"$numberLong": "9223372036854775807"}, 0]}}`, []string{`{"a": 0}`}, []string{`{"a": 1}`}},
		{`{"a": {"$bitsAllSet": 1}}`, []string{`{"a": {"$binary": {"base64": "AQAAAAM=", "subType": "02"}}}`}, []string{`{"a": {"$binary": {"base64": "Ag==", "subType": "00"}}}`}},

		{`{"a": {"$regex": "^ab\\Z"}}`, []string{`{"a": "ab"}`, `{"a": "ab\n"}`}, []string{`{"a": "abc"}`}},
		{`{"a": {"$regex": "(*UCP)^\\w+$"}}`, []string{`{"a": "caf\u00e9"}`}, []string{`{"a": "a b"}`}},
		{`{"a": {"$regex": "^\\w+$"}}`, []string{`{"a": "cafe"}`}, []string{`{"a": "caf\u00e9"}`}},
		{`{"a": {"$regex": "(?x)a b # c\n c"}}`, []string{`{"a": "abc"}`}, []string{`{"a": "a b c"}`}},

		{`{"a": {"$ref": "c", "$id": 1}}`, []string{`{"a": {"$ref": "c", "$id": 1}}`}, []string{`{"a": 1}`}},
		{`{"_id": {"$eq": {"$x": 1}}}`, []string{`{"_id": {"$x": 1}}`}, []string{`{"_id": 1}`}},
		{`{"a": {"$eq": {"$regularExpression": {"pattern": "a", "options": ""}}}}`, []string{`{"a": {"$regularExpression": {"pattern": "a", "options": ""}}}`}, []string{`{"a": "a"}`}},
		{`{"$comment": "x", "a": {"$comment": "y", "$eq": 1}, "$alwaysTrue": 1}`, []string{`{"a": 1}`}, []string{`{"a": 2}`}},
		{`{"$alwaysFalse": 1}`, nil, []string{`{}`}},
		{`{"": 1}`, []string{`{"": 1}`}, []string{`{}`}},
	}
	for _, tt := range tests {
		m := compile(t, tt.filter)
		for _, d := range tt.yes {
			ok, err := m.Match(doc(t, d))
			require.NoError(t, err)
			assert.True(t, ok, "%s should match %s", tt.filter, d)
		}
		for _, d := range tt.no {
			ok, err := m.Match(doc(t, d))
			require.NoError(t, err)
			assert.False(t, ok, "%s should not match %s", tt.filter, d)
		}
	}
}

func TestBadFiltersAreRefusedWithTheServersCodes(t *testing.T) {
	tests := []struct {
		filter string
		code   mongoerr.Code
	}{
		{`{"a": {"$foo": 1}}`, mongoerr.BadValue},
		{`{"a": {"$gt": 1, "b": 1}}`, mongoerr.BadValue},
		{`{"$foo": 1}`, mongoerr.BadValue},
		{`{"$and": []}`, mongoerr.BadValue},
		{`{"$or": {"a": 1}}`, mongoerr.BadValue},
		{`{"$nor": [1]}`, mongoerr.BadValue},
		{`{"a": {"$in": 1}}`, mongoerr.BadValue},
		{`{"a": {"$in": [{"$gt": 1}]}}`, mongoerr.BadValue},
		{`{"a": {"$not": 1}}`, mongoerr.BadValue},
		{`{"a": {"$not": {}}}`, mongoerr.BadValue},
		{`{"a": {"$all": 1}}`, mongoerr.BadValue},
		{`{"a": {"$all": [{"$gt": 1}]}}`, mongoerr.BadValue},
		{`{"a": {"$elemMatch": 1}}`, mongoerr.BadValue},
		{`{"a": {"$size": 1.5}}`, mongoerr.BadValue},
		{`{"a": {"$size": -1}}`, mongoerr.BadValue},
		{`{"a": {"$mod": [0, 1]}}`, mongoerr.BadValue},
		{`{"a": {"$mod": [1]}}`, mongoerr.BadValue},
		{`{"a": {"$type": "x"}}`, mongoerr.BadValue},
		{`{"a": {"$type": 99}}`, mongoerr.BadValue},
		{`{"a": {"$type": []}}`, mongoerr.FailedToParse},
		{`{"a": {"$regex": "("}}`, 51091},
		{`{"a": {"$regex": 1}}`, mongoerr.BadValue},
		{`{"a": {"$options": "i"}}`, mongoerr.BadValue},
		{`{"a": {"$gt": {"$regularExpression": {"pattern": "a", "options": ""}}}}`, mongoerr.BadValue},
		{`{"a": {"$ne": {"$regularExpression": {"pattern": "a", "options": ""}}}}`, mongoerr.BadValue},
		{`{"a": {"$undefined": true}}`, mongoerr.BadValue},
		{`{"a": {"$bitsAllSet": -1}}`, mongoerr.FailedToParse},
		{`{"a": {"$bitsAllSet": 1.5}}`, mongoerr.FailedToParse},
		{`{"a": {"$bitsAllSet": [1.5]}}`, mongoerr.BadValue},
		{`{"a": {"$bitsAllSet": "x"}}`, mongoerr.BadValue},
		{`{"a": {"$mod": [1e19, 0]}}`, mongoerr.BadValue},
		{`{"a": {"$size": {"$numberLong": "2147483648"}}}`, mongoerr.BadValue},
		{`{"a": {"$options": "i", "$regex": {"$regularExpression": {"pattern": "a", "options": "m"}}}}`, 51074},
		{`{"a": {"$regex": {"$regularExpression": {"pattern": "a", "options": "m"}}, "$options": "i"}}`, 51075},
		{`{"$expr": {}}`, mongoerr.QueryFeatureNotAllowed},
		{`{"$jsonSchema": 1}`, mongoerr.TypeMismatch},
		{`{"$jsonSchema": {"foo": 1}}`, mongoerr.FailedToParse},
		{`{"$where": "1"}`, mongoerr.BadValue},
		{`{"a": {"$where": "1"}}`, mongoerr.BadValue},
	}
	for _, tt := range tests {
		_, err := query.Compile(doc(t, tt.filter), query.Options{})
		assert.True(t, mongoerr.Is(err, tt.code), "%s: %v", tt.filter, err)
	}
	_, err := query.Compile(doc(t, `{"a": {"$foo": 1}}`), query.Options{})
	assert.Equal(t, "unknown operator: $foo", mongoerr.From(err).Message)
}

func TestNestingIsLimited(t *testing.T) {
	f := value.D("a", 1)
	for range 150 {
		f = value.D("$and", []bson.Raw{f})
	}
	_, err := query.Compile(f, query.Options{})
	assert.True(t, mongoerr.Is(err, mongoerr.BadValue))
}

func TestExprIsAskedOfTheCaller(t *testing.T) {
	broken := errors.New("broken")
	hook := func(expr bson.RawValue, d bson.Raw) (bool, error) {
		if _, ok := value.Get(d, "bad"); ok {
			return false, broken
		}
		want, _ := value.Get(d, "a")
		return value.Equal(expr, want), nil
	}
	m, err := query.Compile(doc(t, `{"$expr": 5, "b": 1}`), query.Options{Expr: hook})
	require.NoError(t, err)
	ok, err := m.Match(doc(t, `{"a": 5, "b": 1}`))
	require.NoError(t, err)
	assert.True(t, ok)
	ok, err = m.Match(doc(t, `{"a": 6, "b": 1}`))
	require.NoError(t, err)
	assert.False(t, ok)
	_, err = m.Match(doc(t, `{"bad": 6, "b": 1}`))
	require.ErrorIs(t, err, broken)
}

func TestThePositionOfTheMatchedElement(t *testing.T) {
	tests := []struct {
		filter, doc string
		idx         int
	}{
		{`{"a": 3}`, `{"a": [1, 3]}`, 1},
		{`{"a": 3}`, `{"a": 3}`, -1},
		{`{"_id": 1, "a": {"$gt": 2}}`, `{"_id": 1, "a": [1, 2, 3]}`, 2},
		{`{"a": {"$gt": 2}, "_id": 1}`, `{"_id": 1, "a": [1, 2, 3]}`, 2},
		{`{"a.b": 2}`, `{"a": [{"b": 1}, {"b": [1, 2]}]}`, 1},
		{`{"a": {"$elemMatch": {"b": 2, "c": 3}}}`, `{"a": [{"b": 2}, {"b": 2, "c": 3}]}`, 1},
		{`{"a": {"$elemMatch": {"$gt": 2}}}`, `{"a": [0, 5]}`, 1},
		{`{"a": {"$ne": 3}}`, `{"a": [1, 2]}`, -1},
		{`{"a": {"$in": [2, 9]}}`, `{"a": [1, 2]}`, 1},
		{`{"$or": [{"a": 9}, {"a": 2}]}`, `{"a": [1, 2]}`, 1},
		{`{"a": {"$size": 2}}`, `{"a": [1, 2]}`, -1},
		{`{"$or": [{"a": 2}, {"b": 9}]}`, `{"a": [1, 2]}`, -1},
		{`{"a.1": 2}`, `{"a": [1, 2]}`, -1},
		{`{"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 5}}]}`, `{"a": [1, 2, 3]}`, 1},
		{`{"a": {"$lt": 5, "$gt": 1}}`, `{"a": [1, 2, 3]}`, 1},
	}
	for _, tt := range tests {
		ok, idx := compile(t, tt.filter).MatchArrayIndex(doc(t, tt.doc))
		assert.True(t, ok, tt.filter)
		assert.Equal(t, tt.idx, idx, "%s on %s", tt.filter, tt.doc)
	}
	ok, idx := compile(t, `{"a": 9}`).MatchArrayIndex(doc(t, `{"a": [1]}`))
	assert.False(t, ok)
	assert.Equal(t, -1, idx)
}

func TestSampleRateLetsThroughItsShare(t *testing.T) {
	m := compile(t, `{"$sampleRate": 0.25}`)
	n := 0
	for i := range 4000 {
		ok, err := m.Match(value.D("_id", i))
		require.NoError(t, err)
		if ok {
			n++
		}
	}
	assert.InDelta(t, 1000, n, 4*math.Sqrt(750))
}
