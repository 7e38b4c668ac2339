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

func parse(t *testing.T, pairs ...any) timeseries.Options {
	t.Helper()
	o, err := timeseries.Parse(value.D(append([]any{"timeField", "t"}, pairs...)...))
	require.NoError(t, err)
	return o
}

// What is not given is filled in, as listCollections shows it.
func TestOptionsAreCompleted(t *testing.T) {
	for _, tt := range []struct{ given, shown []any }{
		{nil, []any{"timeField", "t", "granularity", "seconds", "bucketMaxSpanSeconds", 3600}},
		{[]any{"metaField", "m", "granularity", "minutes"}, []any{"timeField", "t", "metaField", "m", "granularity", "minutes", "bucketMaxSpanSeconds", 86400}},
		{[]any{"granularity", "hours", "bucketMaxSpanSeconds", 2592000}, []any{"timeField", "t", "granularity", "hours", "bucketMaxSpanSeconds", 2592000}},
		{[]any{"bucketMaxSpanSeconds", 1.5, "bucketRoundingSeconds", 1}, []any{"timeField", "t", "bucketRoundingSeconds", 1, "bucketMaxSpanSeconds", 1}},
	} {
		o := parse(t, tt.given...)
		assert.Equal(t, value.D(tt.shown...).String(), o.Document().String())
		again, err := timeseries.Parse(o.Document())
		require.NoError(t, err)
		assert.Equal(t, o, again)
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, pairs := range map[string][]any{
		"a span alone":           {"bucketMaxSpanSeconds", 300},
		"a rounding alone":       {"bucketRoundingSeconds", 300},
		"two lengths":            {"bucketMaxSpanSeconds", 300, "bucketRoundingSeconds", 600},
		"another span":           {"granularity", "seconds", "bucketMaxSpanSeconds", 3601},
		"rounding a granularity": {"granularity", "seconds", "bucketRoundingSeconds", 300},
	} {
		_, err := timeseries.Parse(value.D(append([]any{"timeField", "t"}, pairs...)...))
		assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%s: %v", name, err)
	}
	for name, options := range map[string]bson.Raw{
		"a path as time":     value.D("timeseries", value.D("timeField", "a.b")),
		"a path as metadata": value.D("timeseries", value.D("timeField", "t", "metaField", "a.b")),
		"the _id":            value.D("timeseries", value.D("timeField", "t", "metaField", "_id")),
		"one field for both": value.D("timeseries", value.D("timeField", "t", "metaField", "t")),
		"a capped one":       value.D("timeseries", value.D("timeField", "t"), "capped", true),
		"a validator":        value.D("timeseries", value.D("timeField", "t"), "validator", value.D()),
	} {
		err := timeseries.CheckCreate("db.c", options)
		assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%s: %v", name, err)
	}
}

// Buckets only ever get longer.
func TestModify(t *testing.T) {
	seconds, hours, own := parse(t), parse(t, "granularity", "hours"), parse(t, "bucketMaxSpanSeconds", 600, "bucketRoundingSeconds", 600)
	for name, tt := range map[string]struct {
		from timeseries.Options
		mod  bson.Raw
		to   *timeseries.Options // nil: refused
	}{
		"nothing":              {seconds, value.D(), &seconds},
		"longer":               {seconds, value.D("granularity", "hours"), &hours},
		"the same":             {hours, value.D("granularity", "hours"), &hours},
		"shorter":              {hours, value.D("granularity", "minutes"), nil},
		"to lengths":           {parse(t, "bucketMaxSpanSeconds", 60, "bucketRoundingSeconds", 60), value.D("bucketMaxSpanSeconds", 600, "bucketRoundingSeconds", 600), &own},
		"shorter lengths":      {own, value.D("bucketMaxSpanSeconds", 599, "bucketRoundingSeconds", 599), nil},
		"lengths below hours":  {hours, value.D("bucketMaxSpanSeconds", 600, "bucketRoundingSeconds", 600), nil},
		"to a granularity":     {own, value.D("granularity", "hours"), &hours},
		"a rounding too fine":  {own, value.D("granularity", "seconds"), nil},
		"one length":           {own, value.D("bucketMaxSpanSeconds", 900), nil},
		"a granularity's span": {seconds, value.D("granularity", "hours", "bucketMaxSpanSeconds", 7200), nil},
	} {
		got, err := tt.from.Modify(tt.mod)
		if tt.to == nil {
			assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%s: %v", name, err)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, *tt.to, got, name)
	}
}
