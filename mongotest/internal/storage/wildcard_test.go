package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestWildcardIndexes(t *testing.T) {
	all := value.D("$**", 1)
	for name, tc := range map[string]struct {
		code mongoerr.Code // 0: fine
		spec bson.Raw
	}{
		"all fields":                 {0, value.D("key", all, "name", "w")},
		"below a field":              {0, value.D("key", value.D("a.$**", -1), "name", "w")},
		"compound":                   {0, value.D("key", value.D("b", 1, "a.$**", 1), "name", "w")},
		"some fields":                {0, value.D("key", all, "name", "w", "wildcardProjection", value.D("a", 1, "_id", 0))},
		"two wildcards":              {7246201, value.D("key", value.D("a.$**", 1, "b.$**", 1), "name", "w")},
		"unique":                     {mongoerr.CannotCreateIndex, value.D("key", all, "name", "w", "unique", true)},
		"hashed":                     {mongoerr.CannotCreateIndex, value.D("key", value.D("$**", "hashed"), "name", "w")},
		"TTL":                        {mongoerr.CannotCreateIndex, value.D("key", all, "name", "w", "expireAfterSeconds", 1)},
		"inside a path":              {mongoerr.CannotCreateIndex, value.D("key", value.D("a.$**.b", 1), "name", "w")},
		"a projection on plain ones": {mongoerr.BadValue, value.D("key", value.D("a", 1), "name", "w", "wildcardProjection", value.D("a", 1))},
		"a projection below a field": {mongoerr.FailedToParse, value.D("key", value.D("a.$**", 1), "name", "w", "wildcardProjection", value.D("a", 1))},
		"an empty projection":        {mongoerr.FailedToParse, value.D("key", all, "name", "w", "wildcardProjection", value.D())},
		"a computed projection":      {51271, value.D("key", all, "name", "w", "wildcardProjection", value.D("a", "x"))},
		"a projection that is none":  {mongoerr.TypeMismatch, value.D("key", all, "name", "w", "wildcardProjection", 1)},
	} {
		ix, err := parseIndex(tc.spec, nil)
		if tc.code == 0 {
			require.NoError(t, err, name)
			assert.NotEmpty(t, ix.wildcard(), name)
			continue
		}
		assert.True(t, mongoerr.Is(err, tc.code), "%s: %v", name, err)
	}
}

func TestOptionsOfTextAndGeoIndexes(t *testing.T) {
	text, grid := value.D("a", "text"), value.D("a", "2d")
	for name, tc := range map[string]struct {
		code mongoerr.Code
		spec bson.Raw
	}{
		"a weight of zero":       {mongoerr.CannotCreateIndex, value.D("key", text, "name", "x", "weights", value.D("a", 0))},
		"weights of plain ones":  {mongoerr.CannotCreateIndex, value.D("key", value.D("a", 1), "name", "x", "weights", value.D("a", 1))},
		"an empty override":      {mongoerr.CannotCreateIndex, value.D("key", text, "name", "x", "language_override", "")},
		"a grid without bits":    {mongoerr.InvalidOptions, value.D("key", grid, "name", "x", "bits", 0)},
		"a grid without room":    {mongoerr.InvalidOptions, value.D("key", grid, "name", "x", "min", 1, "max", 1)},
		"an old sphere":          {mongoerr.CannotCreateIndex, value.D("key", value.D("a", "2dsphere"), "name", "x", "2dsphereIndexVersion", 0)},
		"nor in a partial index": {mongoerr.CannotCreateIndex, value.D("key", value.D("a", 1), "name", "x", "partialFilterExpression", value.D("$nor", []bson.Raw{value.D("a", 1)}))},
	} {
		_, err := parseIndex(tc.spec, nil)
		assert.True(t, mongoerr.Is(err, tc.code), "%s: %v", name, err)
	}
}
