package timeseries_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An index on measurements is one on buckets, and shown as what it was.
func TestIndexesAreMappedToBuckets(t *testing.T) {
	o := parse(t, "metaField", "m")
	for _, tt := range []struct {
		given, mapped bson.Raw
		original      bool // kept beside the mapped one
	}{
		{value.D("m", 1, "t", 1), value.D("meta", 1, "control.min.t", 1, "control.max.t", 1), false},
		{value.D("t", -1), value.D("control.max.t", -1, "control.min.t", -1), false},
		{value.D("m.a.b", -1), value.D("meta.a.b", -1), false},
		{value.D("m", "hashed"), value.D("meta", "hashed"), false},
		{value.D("v", 1), value.D("control.min.v", 1, "control.max.v", 1), true},
		{value.D("place", "2dsphere"), value.D("data.place", "2dsphere_bucket"), true},
	} {
		spec := value.D("key", tt.given, "name", "x")
		out, err := o.BucketIndexes([]bson.Raw{spec})
		require.NoError(t, err, "%s", tt.given)
		assert.Equal(t, tt.mapped.String(), out[0].Lookup("key").String())
		assert.Equal(t, tt.original, out[0].Lookup(timeseries.OriginalSpec).Type != 0, "%s", tt.given)
		assert.Equal(t, tt.given.String(), o.MeasurementIndex(out[0]).Lookup("key").String())
	}
	assert.Nil(t, o.MeasurementIndex(value.D("key", value.D("control.min.t", 1), "name", "half")))
	assert.Nil(t, o.MeasurementIndex(value.D("key", value.D("data.v", 1), "name", "inside")))
	assert.Nil(t, parse(t).DefaultIndex())
}

func TestIndexesRefused(t *testing.T) {
	o := parse(t, "metaField", "m")
	for name, tt := range map[string]struct {
		spec bson.Raw
		code mongoerr.Code
	}{
		"unique":              {value.D("key", value.D("m", 1), "unique", true), mongoerr.InvalidOptions},
		"text":                {value.D("key", value.D("v", "text")), mongoerr.InvalidOptions},
		"sparse":              {value.D("key", value.D("v", 1), "sparse", true), mongoerr.InvalidOptions},
		"hashed":              {value.D("key", value.D("v", "hashed")), mongoerr.CannotCreateIndex},
		"a place as time":     {value.D("key", value.D("t", "2dsphere")), mongoerr.CannotCreateIndex},
		"no key":              {value.D("key", value.D()), mongoerr.CannotCreateIndex},
		"expiry":              {value.D("key", value.D("t", 1), "expireAfterSeconds", 1), mongoerr.InvalidOptions},
		"expiry by a value":   {value.D("key", value.D("t", 1), "expireAfterSeconds", 1, "partialFilterExpression", value.D("v", 1)), mongoerr.InvalidOptions},
		"expiry of metadata":  {value.D("key", value.D("m", 1), "expireAfterSeconds", 1, "partialFilterExpression", value.D("m", 1)), mongoerr.InvalidOptions},
		"expiry of two":       {value.D("key", value.D("t", 1, "m", 1), "expireAfterSeconds", 1, "partialFilterExpression", value.D("m", 1)), mongoerr.CannotCreateIndex},
		"a filter of no sort": {value.D("key", value.D("v", 1), "partialFilterExpression", value.D("v", value.D("$exists", true))), 5916301},
	} {
		_, err := o.BucketIndexes([]bson.Raw{tt.spec})
		assert.True(t, mongoerr.Is(err, tt.code), "%s: %v", name, err)
	}
}

// A partial index on buckets takes every bucket that may hold a match.
func TestPartialFilters(t *testing.T) {
	o := parse(t, "metaField", "m")
	for _, tt := range []struct{ given, mapped bson.Raw }{
		{value.D("m.a", true), value.D("meta.a", true)},
		{value.D("v", value.D("$gt", 5)), value.D("control.max.v", value.D("$gt", 5))},
		{value.D("v", value.D("$lt", 5)), value.D("control.min.v", value.D("$lt", 5))},
		{value.D("v", 5), value.D("control.min.v", value.D("$lte", 5), "control.max.v", value.D("$gte", 5))},
		{value.D("$and", value.A(value.D("m", 1), value.D("t", value.D("$gte", 2)))), value.D("$and", value.A(value.D("meta", 1), value.D("control.max.t", value.D("$gte", 2))))},
	} {
		out, err := o.BucketIndexes([]bson.Raw{value.D("key", value.D("v", 1), "partialFilterExpression", tt.given)})
		require.NoError(t, err)
		assert.Equal(t, tt.mapped.String(), out[0].Lookup("partialFilterExpression").String())
	}
	out, err := o.BucketIndexes([]bson.Raw{value.D("key", value.D("t", 1), "expireAfterSeconds", 1, "partialFilterExpression", value.D("m", 1))})
	require.NoError(t, err)
	assert.Equal(t, value.D("control.min.t", 1).String(), out[0].Lookup("key").String())
}

// An update asks about and changes nothing but metadata.
func TestUpdatesOfMetadata(t *testing.T) {
	o := parse(t, "metaField", "m")
	q, err := o.MetaQuery(value.D("m.a", 1, "$or", value.A(value.D("m", 2), value.D("m.b", value.D("$gt", 3)))))
	require.NoError(t, err)
	assert.Equal(t, value.D("meta.a", 1, "$or", value.A(value.D("meta", 2), value.D("meta.b", value.D("$gt", 3)))), q)
	u, err := o.MetaUpdate(value.Doc(value.D("$set", value.D("m.a", 1), "$rename", value.D("m.b", "m.c"))))
	require.NoError(t, err)
	assert.Equal(t, value.D("$set", value.D("meta.a", 1), "$rename", value.D("meta.b", "meta.c")), bson.Raw(u.Value))
	for _, filter := range []bson.Raw{value.D("v", 1), value.D("mm", 1), value.D("$and", value.A(value.D("t", 1))), value.D("$expr", true)} {
		_, err := o.MetaQuery(filter)
		assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%s: %v", filter, err)
	}
	for _, u := range []bson.RawValue{
		value.Doc(value.D("$set", value.D("v", 1))), value.Doc(value.D("$set", value.D("m", 1, "t", 1))), value.Doc(value.D("$rename", value.D("m", "n"))),
		value.Doc(value.D("m", 1)), value.Doc(value.D()), value.A(value.D("$set", value.D("m", 1))),
	} {
		_, err := o.MetaUpdate(u)
		assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%s: %v", u, err)
	}
}
