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

func TestWhere(t *testing.T) {
	o := query.Options{Where: func(code string) (func(bson.Raw) (bool, error), error) {
		return func(doc bson.Raw) (bool, error) { return doc.Lookup("s").StringValue() == code, nil }, nil
	}}
	m, err := query.Compile(value.D("$or", value.A(value.D("$where", "x"), value.D("a", 1))), o)
	require.NoError(t, err)
	for _, tt := range []struct {
		doc  bson.Raw
		want bool
	}{{value.D("s", "x", "a", 2), true}, {value.D("s", "y", "a", 1), true}, {value.D("s", "y", "a", 2), false}} {
		got, err := m.Match(tt.doc)
		require.NoError(t, err)
		assert.Equal(t, tt.want, got, tt.doc)
	}
	for name, c := range map[string]struct {
		filter bson.Raw
		code   mongoerr.Code
	}{
		"number":        {value.D("$where", 1), mongoerr.BadValue},
		"empty":         {value.D("$where", ""), mongoerr.BadValue},
		"with scope":    {value.D("$where", bson.CodeWithScope{Code: "x", Scope: bson.D{}}), 4649201},
		"of a field":    {value.D("a", value.D("$where", "x")), mongoerr.BadValue},
		"of an element": {value.D("a", value.D("$elemMatch", value.D("$where", "x"))), mongoerr.BadValue},
	} {
		_, err := query.Compile(c.filter, o)
		assert.True(t, mongoerr.Is(err, c.code), "%s: %v", name, err)
	}
}
