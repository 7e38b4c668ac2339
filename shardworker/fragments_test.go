package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

func fragment(t *testing.T, n, of int32, fields ...bson.E) bson.Raw {
	t.Helper()
	return raw(t, append(bson.D{{"_id", n}, {"splitEvent", bson.D{{"fragment", n}, {"of", of}}}}, fields...))
}

// An event that comes in fragments is whole again; one that lacks some is not
// passed on.
func TestFragmentsBecomeOneEvent(t *testing.T) {
	var a assembler
	plain := raw(t, bson.D{{"_id", 0}, {"operationType", "delete"}})
	got, err := a.add(plain)
	require.NoError(t, err)
	assert.Equal(t, plain, got)

	for n, part := range []bson.Raw{
		fragment(t, 1, 3, bson.E{Key: "operationType", Value: "insert"}),
		fragment(t, 2, 3, bson.E{Key: "documentKey", Value: bson.D{{"_id", 1}}}),
		fragment(t, 3, 3, bson.E{Key: "fullDocument", Value: bson.D{{"_id", 1}, {"splitEvent", "a name of the user's"}}}),
	} {
		got, err = a.add(part)
		require.NoError(t, err)
		assert.Equal(t, n == 2, got != nil)
	}
	assert.Equal(t, raw(t, bson.D{
		{"operationType", "insert"},
		{"documentKey", bson.D{{"_id", 1}}},
		{"fullDocument", bson.D{{"_id", 1}, {"splitEvent", "a name of the user's"}}},
	}), got)

	for name, parts := range map[string][]bson.Raw{
		"the first is lost":   {fragment(t, 2, 3)},
		"one is lost":         {fragment(t, 1, 3), fragment(t, 3, 3)},
		"the last is lost":    {fragment(t, 1, 2), plain},
		"more than there are": {fragment(t, 1, 0)},
	} {
		var a assembler
		for i, part := range parts {
			if _, err = a.add(part); i < len(parts)-1 {
				require.NoError(t, err, name)
			}
		}
		require.ErrorIs(t, err, errFragments, name)
		assert.Equal(t, mongoconn.Transient, mongoconn.Classify(err))
	}
}
