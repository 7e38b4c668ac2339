package shardferry_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.yaml.in/yaml/v3"

	"github.com/shardferry/shardferry"
)

func query(t *testing.T, text string) bson.Raw {
	t.Helper()
	q, err := shardferry.ParseFilter([]byte(text))
	require.NoError(t, err, text)
	return q
}

func TestWhatAFilterMayAsk(t *testing.T) {
	for _, tt := range []struct {
		text  string
		paths []string
		below string // the same about the field f; empty: refused
		wrong string
	}{
		{text: `{}`, below: `{}`},
		{text: `{"region":"eu"}`, paths: []string{"region"}, below: `{"f.region":"eu"}`},
		{text: `{"a.b":{"$gte":1,"$lt":5},"0":null}`, paths: []string{"0", "a.b"}, below: `{"f.a.b":{"$gte":1,"$lt":5},"f.0":null}`},
		{text: `{"a":{"b":1,"$c":2}}`, paths: []string{"a"}, below: `{"f.a":{"b":1,"$c":2}}`},
		{text: `{"a":{"$not":{"$in":[1,"x"]}}}`, paths: []string{"a"}, below: `{"f.a":{"$not":{"$in":[1,"x"]}}}`},
		{text: `{"a":{"$type":"string"}}`, paths: []string{"a"}, below: `{"f.a":{"$type":"string"}}`},
		{text: `{"a":{"$exists":false},"b":{"$mod":[4,1]}}`, paths: []string{"a", "b"}, below: `{"f.a":{"$exists":false},"f.b":{"$mod":[4,1]}}`},
		{text: `{"a":{"$regularExpression":{"pattern":"^x","options":"i"}}}`, paths: []string{"a"}, below: `{"f.a":{"$regularExpression":{"pattern":"^x","options":"i"}}}`},
		{text: `{"$or":[{"a":1},{"$and":[{"b":2},{"$nor":[{"a":3}]}]}]}`, paths: []string{"a", "b"}, below: `{"$or":[{"f.a":1},{"$and":[{"f.b":2},{"$nor":[{"f.a":3}]}]}]}`},

		{text: `{"$expr":{"$eq":["$a",1]}}`, wrong: "$expr"},
		{text: `{"$or":[{"$where":"1"}]}`, wrong: "$or: $where"},
		{text: `{"$text":{"$search":"x"}}`, wrong: "$text"},
		{text: `{"$jsonSchema":{}}`, wrong: "$jsonSchema"},
		{text: `{"$comment":"x"}`, wrong: "$comment"},
		{text: `{"$or":[]}`, wrong: "$or: want a list"},
		{text: `{"$and":{"a":1}}`, wrong: "$and: want a list"},
		{text: `{"$and":[1]}`, wrong: "$and: want a list"},
		{text: `{"a":{"$elemMatch":{"b":1}}}`, wrong: `the field "a": the operator $elemMatch`},
		{text: `{"a":{"$gt":1,"$near":[0,0]}}`, wrong: `the field "a": the operator $near`},
		{text: `{"a":{"$not":{"$size":1}}}`, wrong: `the operator $size`},
		{text: `{"":1}`, wrong: `the field ""`},
		{text: `{"a..b":1}`, wrong: `the field "a..b"`},
		{text: `{"a.$id":1}`, wrong: `the field "a.$id"`},
	} {
		q := query(t, tt.text)
		paths, err := shardferry.FilterPaths(q)
		below, errBelow := shardferry.FilterBelow("f", q)
		if tt.wrong != "" {
			require.ErrorContains(t, err, tt.wrong, tt.text)
			require.Error(t, errBelow, tt.text)
			continue
		}
		require.NoError(t, err, tt.text)
		require.NoError(t, errBelow, tt.text)
		assert.Equal(t, tt.paths, paths, tt.text)
		assert.Equal(t, query(t, tt.below), below, tt.text)
	}
}

func TestWhichChangesAFilterSees(t *testing.T) {
	for _, tt := range []struct {
		changed, asked string
		sees           bool
	}{
		{"a", "a", true},
		{"a", "a.b", true},
		{"a.b", "a", true},
		{"a.b", "a.c", false},
		{"ab", "a", false},
		{"b.a", "a", false},
		{"a.0.b", "a.b", true}, // a query looks into all elements of an array
		{"a.7", "a.b", true},
		{"a.1.c", "a.0.b", false},
		{"a.1", "a.0.b", true},
		{"0", "a", true}, // said too often, which costs a read
	} {
		assert.Equal(t, tt.sees, shardferry.FilterTouched(tt.changed, tt.asked), "%s, %s", tt.changed, tt.asked)
	}
}

func filtered(t *testing.T, db, coll, text string) shardferry.DocumentFilter {
	t.Helper()
	return shardferry.DocumentFilter{Database: db, Collection: coll, Filter: query(t, text)}
}

// A filter is the same in every form that it is given or kept in.
func TestFormsOfAFilter(t *testing.T) {
	want := shardferry.Selection{Documents: []shardferry.DocumentFilter{filtered(t, "d", "c", `{"b":{"$numberLong":"5"},"a":{"$gt":{"$date":{"$numberLong":"1"}}}}`)}}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	assert.Contains(t, string(text), `{"database":"d","collection":"c","filter":{"b":{"$numberLong":"5"},"a":{"$gt":{"$date":{"$numberLong":"1"}}}}}`)
	var got shardferry.Selection
	require.NoError(t, json.Unmarshal(text, &got))
	assert.Equal(t, want, got)

	got = shardferry.Selection{}
	require.NoError(t, yaml.Unmarshal([]byte(`documentFilters: [{database: d, collection: c, filter: '{"b": {"$numberLong": "5"}, "a": {"$gt": {"$date": "1970-01-01T00:00:00.001Z"}}}'}]`), &got))
	assert.Equal(t, want, got)

	kept, err := bson.Marshal(want)
	require.NoError(t, err)
	got = shardferry.Selection{}
	require.NoError(t, bson.Unmarshal(kept, &got))
	assert.Equal(t, want, got)

	require.ErrorContains(t, json.Unmarshal([]byte(`{"documentFilters":[{"database":"d","collections":["c"]}]}`), &got), "collections")
	require.ErrorContains(t, json.Unmarshal([]byte(`{"documentFilters":[{"database":"d","collection":"c","filter":"x"}]}`), &got), "filter of d.c")
}

func TestFiltersOfASelection(t *testing.T) {
	s := shardferry.Selection{Documents: []shardferry.DocumentFilter{filtered(t, "d", "c", `{"a":1}`)}}
	require.False(t, s.IsZero())
	r, err := s.Forward()
	require.NoError(t, err)
	assert.Equal(t, query(t, `{"a":1}`), r.Filter(shardferry.Namespace{DB: "d", Coll: "c"}))
	assert.Nil(t, r.Filter(shardferry.Namespace{DB: "d", Coll: "x"}))
	assert.Len(t, r.Filters(), 1)
	assert.Nil(t, shardferry.Route{}.Filter(shardferry.Namespace{DB: "d", Coll: "c"}))

	for name, s := range map[string]shardferry.Selection{
		"documentFilters[0]: d.c is not selected": {
			Exclude: []shardferry.NamespaceRule{{Database: "d"}}, Documents: s.Documents,
		},
		"documentFilters[1]: d.c has another filter already": {Documents: append(s.Documents, s.Documents...)},
		"documentFilters[0]: filter: it is missing":          {Documents: []shardferry.DocumentFilter{{Database: "d", Collection: "c"}}},
		"documentFilters[0]: collection":                     {Documents: []shardferry.DocumentFilter{filtered(t, "d", "system.js", `{}`)}},
		"documentFilters[0]: filter: $expr":                  {Documents: []shardferry.DocumentFilter{filtered(t, "d", "c", `{"$expr":true}`)}},
	} {
		_, err := s.Forward()
		require.ErrorContains(t, err, name)
	}
}
