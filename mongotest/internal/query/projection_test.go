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

// fieldOrLiteral evaluates "$name" and takes all else as it is.
func fieldOrLiteral(expr bson.RawValue, d bson.Raw) (bson.RawValue, error) {
	if s, ok := expr.StringValueOK(); ok && len(s) > 1 && s[0] == '$' {
		v, _ := value.Lookup(d, s[1:])
		return v, nil
	}
	return expr, nil
}

func TestProjections(t *testing.T) {
	const d = `{"_id": 1, "a": 2, "b": {"c": 3, "d": [{"x": 1, "y": 2}, {"x": 3}, 7, [{"x": 4}]]}, "l": [1, 2, 3, 4]}`
	tests := []struct{ spec, doc, want string }{
		{`{}`, d, d},
		{`{"a": 1}`, d, `{"_id": 1, "a": 2}`},
		{`{"l": true, "a": 1.0, "_id": 0}`, d, `{"a": 2, "l": [1, 2, 3, 4]}`},
		{`{"_id": 1}`, d, `{"_id": 1}`},
		{`{"_id": 0}`, `{"_id": 1, "a": 2}`, `{"a": 2}`},
		{`{"_id": 0, "a": 0}`, `{"_id": 1, "a": 2, "b": 3}`, `{"b": 3}`},
		{`{"_id": 1, "a": 0}`, `{"_id": 1, "a": 2, "b": 3}`, `{"_id": 1, "b": 3}`},
		{`{"b.c": 1}`, d, `{"_id": 1, "b": {"c": 3}}`},
		{`{"b": {"c": 1}}`, d, `{"_id": 1, "b": {"c": 3}}`},
		{`{"b.c": 0}`, `{"_id": 1, "b": {"c": 3, "d": 4}}`, `{"_id": 1, "b": {"d": 4}}`},
		{`{"b.d.x": 1}`, d, `{"_id": 1, "b": {"d": [{"x": 1}, {"x": 3}, [{"x": 4}]]}}`},
		{`{"b.d.x": 0, "l": 0}`, d, `{"_id": 1, "a": 2, "b": {"c": 3, "d": [{"y": 2}, {}, 7, [{}]]}}`},
		{`{"a.z": 1}`, d, `{"_id": 1}`},
		{`{"a.z": 0}`, `{"_id": 1, "a": 2}`, `{"_id": 1, "a": 2}`},
		{`{"_id.k": 1}`, `{"_id": {"k": 1, "j": 2}, "a": 1}`, `{"_id": {"k": 1}}`},

		{`{"l": {"$slice": 2}}`, `{"_id": 1, "l": [1, 2, 3], "a": 1}`, `{"_id": 1, "l": [1, 2], "a": 1}`},
		{`{"l": {"$slice": -2}, "a": 1}`, d, `{"_id": 1, "a": 2, "l": [3, 4]}`},
		{`{"l": {"$slice": [1, 2]}, "_id": 1}`, d, `{"_id": 1, "l": [2, 3]}`},
		{`{"l": {"$slice": [-3, 2]}, "_id": 1}`, d, `{"_id": 1, "l": [2, 3]}`},
		{`{"l": {"$slice": [-9, 2]}, "_id": 1}`, d, `{"_id": 1, "l": [1, 2]}`},
		{`{"l": {"$slice": [9, 2]}, "_id": 1}`, d, `{"_id": 1, "l": []}`},
		{`{"l": {"$slice": 0}, "a": 0}`, `{"_id": 1, "a": 1, "l": [1]}`, `{"_id": 1, "l": []}`},
		{`{"o.l": {"$slice": 1}}`, `{"_id": 1, "o": [{"l": [1, 2]}, {"l": 5}]}`, `{"_id": 1, "o": [{"l": [1]}, {"l": 5}]}`},

		{`{"l": {"$elemMatch": {"$gt": 2}}}`, d, `{"_id": 1, "l": [3]}`},
		{`{"l": {"$elemMatch": {"$gt": 9}}, "a": 1}`, d, `{"_id": 1, "a": 2}`},
		{`{"l": {"$elemMatch": {"x": 2}}, "z": 1}`, `{"_id": 1, "l": [{"x": 1}, {"x": 2, "y": 3}], "z": 0}`, `{"_id": 1, "z": 0, "l": [{"x": 2, "y": 3}]}`},

		{`{"l": {"$elemMatch": {"$gt": 2}}, "a": 0}`, `{"_id": 1, "l": [1, 3], "b": 1, "a": 1}`, `{"_id": 1, "l": [3], "b": 1}`},

		{`{"n": "$b.c", "a": 1}`, d, `{"_id": 1, "a": 2, "n": 3}`},
		{`{"n": "$none"}`, d, `{"_id": 1}`},
		{`{"n": "text", "_id": 0}`, d, `{"n": "text"}`},
		{`{"_id": "$a"}`, d, `{"_id": 2}`},
		{`{"a": 1, "_id": "$b.c"}`, d, `{"_id": 3, "a": 2}`},
		{`{"n": {"m": "$a"}, "a": 1}`, d, `{"_id": 1, "a": 2, "n": {"m": 2}}`},
		{`{"o.n": "$_id"}`, `{"_id": 1, "o": [{"a": 1}, 5]}`, `{"_id": 1, "o": [{"n": 1}, {"n": 1}]}`},
	}
	for _, tt := range tests {
		p, err := query.CompileProjection(doc(t, tt.spec), query.Options{Value: fieldOrLiteral})
		require.NoError(t, err, tt.spec)
		got, err := p.Apply(doc(t, tt.doc), -1)
		require.NoError(t, err, tt.spec)
		assert.Equal(t, doc(t, tt.want).String(), got.String(), tt.spec)
		require.NoError(t, value.Validate(got))
	}
}

func TestPositionalProjection(t *testing.T) {
	m := compile(t, `{"l.x": {"$gt": 1}}`)
	p, err := query.CompileProjection(doc(t, `{"l.$": 1}`), query.Options{Matcher: m})
	require.NoError(t, err)
	d := doc(t, `{"_id": 1, "l": [{"x": 1}, {"x": 2}, {"x": 3}], "a": 1}`)
	got, err := p.Apply(d, -1)
	require.NoError(t, err)
	assert.Equal(t, doc(t, `{"_id": 1, "l": [{"x": 2}]}`), got)

	got, err = p.Apply(d, 2)
	require.NoError(t, err)
	assert.Equal(t, doc(t, `{"_id": 1, "l": [{"x": 3}]}`), got, "a position that is given wins")

	_, err = p.Apply(doc(t, `{"l": [{"x": 0}]}`), -1)
	assert.True(t, mongoerr.Is(err, 51246), "%v", err)
	got, err = p.Apply(doc(t, `{"l": {"x": 5}, "a": 1}`), -1)
	require.NoError(t, err)
	assert.Equal(t, doc(t, `{"l": {"x": 5}}`), got, "what is no array stays")
	_, err = p.Apply(d, 7)
	assert.True(t, mongoerr.Is(err, 51247), "%v", err)
}

func TestBadProjectionsAreRefused(t *testing.T) {
	for spec, code := range map[string]mongoerr.Code{
		`{"a": 1, "b": 0}`:                           31254,
		`{"a": 0, "b": 1}`:                           31253,
		`{"a": 1, "a.b": 1}`:                         31249,
		`{"a.b": 1, "a": 1}`:                         31250,
		`{"a": {}}`:                                  51270,
		`{"a.": 1}`:                                  40353,
		`{"$a": 1}`:                                  16410,
		`{"a": "$b"}`:                                mongoerr.BadValue,
		`{"a": {"$meta": "textScore"}}`:              40218,
		`{"a": {"$meta": "recordId"}}`:               mongoerr.BadValue,
		`{"a.b": {"$elemMatch": {"x": 1}}}`:          31275,
		`{"a.$": 1, "b.$": 1}`:                       31276,
		`{"a.$": 0}`:                                 31395,
		`{"a": {"$slice": [1, 0]}}`:                  28724,
		`{"a": {"$elemMatch": {"$foo": 1}}}`:         mongoerr.BadValue,
		`{"a": {"$elemMatch": 1}}`:                   31274,
		`{"": 1}`:                                    40352,
		`{"a.$.b": 1}`:                               31394,
		`{"a.$": "x"}`:                               31308,
		`{"a.$": {"$slice": 1}}`:                     31271,
		`{"a": {"$elemMatch": {"$jsonSchema": {}}}}`: mongoerr.QueryFeatureNotAllowed,
		`{"a": {"$elemMatch": {"x": 1}, "b": 1}}`:    16410,
		`{"a.$": 1, "b": {"$elemMatch": {"x": 1}}}`:  31255,
		`{"b": {"$elemMatch": {"x": 1}}, "a.$": 1}`:  31256,
		`{"a.$": 1, "a": {"$slice": 1}}`:             28667,
	} {
		_, err := query.CompileProjection(doc(t, spec), query.Options{})
		assert.True(t, mongoerr.Is(err, code), "%s: %v", spec, err)
	}
}
