package update_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestUpdatesCompareByTheCollation(t *testing.T) {
	coll, err := collation.Parse(value.D("locale", "en", "strength", 2))
	require.NoError(t, err)
	for _, tt := range []struct{ update, filter, pre, post string }{
		{`{"$addToSet":{"a":{"$each":["X","y"]}}}`, "", `{"a":["x"]}`, `{"a":["x","y"]}`},
		{`{"$pull":{"a":"X"}}`, "", `{"a":["x","y"]}`, `{"a":["y"]}`},
		{`{"$pull":{"a":{"$in":["X"]}}}`, "", `{"a":["x","y"]}`, `{"a":["y"]}`},
		{`{"$pull":{"a":{"b":"X"}}}`, "", `{"a":[{"b":"x"}]}`, `{"a":[]}`},
		{`{"$pullAll":{"a":["X"]}}`, "", `{"a":["x","y"]}`, `{"a":["y"]}`},
		{`{"$push":{"a":{"$each":["B"],"$sort":1}}}`, "", `{"a":["c","a"]}`, `{"a":["a","B","c"]}`},
		{`{"$min":{"a":"b"}}`, "", `{"a":"C"}`, `{"a":"b"}`},
		{`{"$max":{"a":"b"}}`, "", `{"a":"C"}`, `{"a":"C"}`},
		{`{"$set":{"a.$[e]":1}}`, `{"e":"X"}`, `{"a":["x","y"]}`, `{"a":[1,"y"]}`},
		{`[{"$set":{"same":{"$eq":["$a","X"]}}}]`, "", `{"a":"x"}`, `{"a":"x","same":true}`},
	} {
		o := update.Options{Collation: coll, Now: clock}
		if tt.filter != "" {
			o.ArrayFilters = []bson.Raw{doc(t, tt.filter)}
		}
		u, err := update.Compile(val(t, tt.update), o)
		require.NoError(t, err, tt.update)
		post, err := u.Apply(doc(t, tt.pre), -1)
		require.NoError(t, err, tt.update)
		assert.Equal(t, show(doc(t, tt.post)), show(post), tt.update)
	}
}
