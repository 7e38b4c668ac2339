package query_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
)

func TestSchemasHold(t *testing.T) {
	const schema = `{"$jsonSchema": {
		"bsonType": "object", "title": "t", "required": ["a", "n"],
		"properties": {
			"a": {"bsonType": ["string", "null"], "minLength": 2, "maxLength": 3, "pattern": "^a"},
			"n": {"type": "number", "minimum": 1, "maximum": 5, "exclusiveMaximum": true},
			"e": {"enum": [1, "x"]},
			"l": {"bsonType": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true, "items": {"bsonType": "int"}},
			"o": {"bsonType": "object", "additionalProperties": false, "properties": {"k": {}}},
			"c": {"anyOf": [{"bsonType": "bool"}, {"not": {"bsonType": "string"}}]}
		}}}`
	m := compile(t, schema)
	for d, want := range map[string]bool{
		`{"a": "ab", "n": 1}`:                       true,
		`{"a": null, "n": 4.9, "extra": 1}`:         true,
		`{"a": "ab"}`:                               false,
		`{"a": "a", "n": 1}`:                        false,
		`{"a": "abcd", "n": 1}`:                     false,
		`{"a": "ba", "n": 1}`:                       false,
		`{"a": "ab", "n": 5}`:                       false,
		`{"a": "ab", "n": "1"}`:                     false,
		`{"a": "ab", "n": 1, "e": "x"}`:             true,
		`{"a": "ab", "n": 1, "e": 2}`:               false,
		`{"a": "ab", "n": 1, "l": [1, 2]}`:          true,
		`{"a": "ab", "n": 1, "l": []}`:              false,
		`{"a": "ab", "n": 1, "l": [1, 1]}`:          false,
		`{"a": "ab", "n": 1, "l": [1, 2, 3]}`:       false,
		`{"a": "ab", "n": 1, "l": ["x"]}`:           false,
		`{"a": "ab", "n": 1, "o": {"k": 1}}`:        true,
		`{"a": "ab", "n": 1, "o": {"other": 1}}`:    false,
		`{"a": "ab", "n": 1, "c": true}`:            true,
		`{"a": "ab", "n": 1, "c": "text"}`:          false,
		`{"a": "ab", "n": {"$numberLong": "3"}}`:    true,
		`{"a": ["ab"], "n": 1, "comment": "array"}`: false,
	} {
		ok, err := m.Match(doc(t, d))
		require.NoError(t, err)
		assert.Equal(t, want, ok, d)
	}
}

func TestKeywordsThatLookAtTheirNeighbours(t *testing.T) {
	for _, tt := range []struct{ schema, yes, no string }{
		{`{"properties": {"x": {"multipleOf": 0.1}}}`, `{"x": 0.3}`, `{"x": 0.35}`},
		{`{"properties": {"x": {"maximum": 9}}}`, `{"x": "text"}`, `{"x": {"$numberDouble": "NaN"}}`},
		{`{"dependencies": {"a": ["b"]}}`, `{"b": 1}`, `{"a": 1}`},
		{`{"dependencies": {"a": {"required": ["b"]}}}`, `{"a": 1, "b": 1}`, `{"a": 1}`},
		{`{"patternProperties": {"^n": {"bsonType": "int"}}}`, `{"n1": 1, "x": "y"}`, `{"n1": "y"}`},
		{`{"properties": {"_id": {}}, "patternProperties": {"^n": {}}, "additionalProperties": false}`, `{"_id": 1, "n1": 1}`, `{"x": 1}`},
		{`{"properties": {"x": {"items": [{}], "additionalItems": {"bsonType": "int"}}}}`, `{"x": ["a", 1]}`, `{"x": ["a", "b"]}`},
		{`{"properties": {"x": {"items": {}, "additionalItems": false}}}`, `{"x": ["a", 1]}`, ``},
		{`{"properties": {"x": {"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}]}}}`, `{"x": 3}`, `{"x": 15}`},
		{`{"properties": {"x": {"enum": [{"a": 1, "b": 2}]}}}`, `{"x": {"b": 2, "a": 1}}`, `{"x": {"b": 2}}`},
		{`{"properties": {"x": {"uniqueItems": true}}}`, `{"x": [1, 2]}`, `{"x": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}`},
	} {
		m := compile(t, `{"$jsonSchema": `+tt.schema+`}`)
		ok, err := m.Match(doc(t, tt.yes))
		require.NoError(t, err)
		assert.True(t, ok, "%s on %s", tt.schema, tt.yes)
		if tt.no == "" {
			continue
		}
		ok, err = m.Match(doc(t, tt.no))
		require.NoError(t, err)
		assert.False(t, ok, "%s on %s", tt.schema, tt.no)
	}
}

func TestBadSchemasAreRefusedWithTheServersCodes(t *testing.T) {
	for schema, code := range map[string]mongoerr.Code{
		`{"required": 1}`:                               mongoerr.TypeMismatch,
		`{"required": [1]}`:                             mongoerr.TypeMismatch,
		`{"required": []}`:                              mongoerr.FailedToParse,
		`{"required": ["a", "a"]}`:                      mongoerr.FailedToParse,
		`{"title": 1}`:                                  mongoerr.TypeMismatch,
		`{"minLength": 1.5}`:                            mongoerr.FailedToParse,
		`{"minLength": "x"}`:                            mongoerr.FailedToParse,
		`{"maximum": "x"}`:                              mongoerr.TypeMismatch,
		`{"exclusiveMaximum": true}`:                    mongoerr.FailedToParse,
		`{"maximum": 1, "exclusiveMaximum": 1}`:         mongoerr.TypeMismatch,
		`{"multipleOf": 0}`:                             mongoerr.FailedToParse,
		`{"type": "int"}`:                               mongoerr.BadValue,
		`{"type": "integer"}`:                           mongoerr.FailedToParse,
		`{"bsonType": "x"}`:                             mongoerr.BadValue,
		`{"bsonType": 1}`:                               mongoerr.TypeMismatch,
		`{"type": "number", "bsonType": "int"}`:         mongoerr.FailedToParse,
		`{"enum": [1, 1]}`:                              mongoerr.FailedToParse,
		`{"allOf": []}`:                                 mongoerr.BadValue,
		`{"allOf": [1]}`:                                mongoerr.TypeMismatch,
		`{"items": [1]}`:                                mongoerr.TypeMismatch,
		`{"additionalItems": 1}`:                        mongoerr.TypeMismatch,
		`{"uniqueItems": 1}`:                            mongoerr.TypeMismatch,
		`{"dependencies": {"a": []}}`:                   mongoerr.FailedToParse,
		`{"dependencies": {"a": [1]}}`:                  mongoerr.TypeMismatch,
		`{"patternProperties": {"(": {}}}`:              mongoerr.BadValue,
		`{"properties": {"a": {"$ref": "#/x"}}}`:        mongoerr.FailedToParse,
		`{"not": 1}`:                                    mongoerr.TypeMismatch,
		`{"properties": {"a": {"pattern": "("}}}`:       51091,
		`{"additionalProperties": {"unknownWord": {}}}`: mongoerr.FailedToParse,
	} {
		_, err := query.Compile(doc(t, `{"$jsonSchema": `+schema+`}`), query.Options{})
		assert.True(t, mongoerr.Is(err, code), "%s: %v", schema, err)
	}
}
