package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// results runs {$setWindowFields: {sortBy, output: {r: field}}} and lists r.
func results(t *testing.T, in, sortBy, field string) string {
	t.Helper()
	got, err := run(t, store{}, docs(t, in), `[{"$setWindowFields":{"sortBy":`+sortBy+`,"output":{"r":`+field+`}}},{"$sort":{"_id":1}},{"$group":{"_id":1,"r":{"$push":"$r"}}}]`)
	require.NoError(t, err)
	v, _ := value.Get(got[0], "r")
	return show(v)
}

func TestWindowFunctions(t *testing.T) {
	const in = `[{"_id":1,"x":1,"v":10},{"_id":2,"x":2,"v":20},{"_id":3,"x":2,"v":60},{"_id":4,"x":5,"v":30}]`
	for _, tt := range []struct{ name, field, want string }{
		{"the whole partition", `{"$sum":"$v"}`, `[120,120,120,120]`},
		{"up to the current document", `{"$sum":"$v","window":{"documents":["unbounded","current"]}}`, `[10,30,90,120]`},
		{"a sliding frame", `{"$max":"$v","window":{"documents":[-1,0]}}`, `[10,20,60,60]`},
		{"a frame beyond the end", `{"$push":"$v","window":{"documents":[1,2]}}`, `[[20,60],[60,30],[30],[]]`},
		{"a frame far beyond", `{"$push":"$v","window":{"documents":[9,10]}}`, `[[],[],[],[]]`},
		{"a range of values", `{"$push":"$v","window":{"range":[-1,0]}}`, `[[10],[10,20,60],[10,20,60],[30]]`},
		{"rank", `{"$rank":{}}`, `[1,2,2,4]`},
		{"dense rank", `{"$denseRank":{}}`, `[1,2,2,3]`},
		{"document number", `{"$documentNumber":{}}`, `[1,2,3,4]`},
		{"shift", `{"$shift":{"output":"$v","by":1,"default":0}}`, `[20,60,30,0]`},
		{"derivative", `{"$derivative":{"input":"$v"},"window":{"documents":["unbounded","current"]}}`, `[null,10.0,50.0,5.0]`},
		{"integral", `{"$integral":{"input":"$v"},"window":{"documents":["unbounded","current"]}}`, `[0.0,15.0,15.0,150.0]`},
		{"moving average", `{"$expMovingAvg":{"input":"$v","alpha":0.5}}`, `[10.0,15.0,37.5,33.75]`},
		{"covariance", `{"$covariancePop":["$x","$v"]}`, `[5.0,5.0,5.0,5.0]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, show(val(t, tt.want)), results(t, in, `{"x":1}`, tt.field))
		})
	}
}

func TestWindowFillsGaps(t *testing.T) {
	const in = `[{"_id":1,"v":1},{"_id":2,"v":null},{"_id":3},{"_id":4,"v":7}]`
	assert.Equal(t, show(val(t, `[1,1,1,7]`)), results(t, in, `{"_id":1}`, `{"$locf":"$v"}`))
	assert.Equal(t, show(val(t, `[1,3.0,5.0,7]`)), results(t, in, `{"_id":1}`, `{"$linearFill":"$v"}`))
}

func TestWindowRefuses(t *testing.T) {
	for _, tt := range []struct {
		stage string
		code  mongoerr.Code
	}{
		{`{"sortBy":{"x":1}}`, 40414},
		{`{"output":{},"nope":1}`, 40415},
		{`{"output":5}`, 14},
		{`{"output":{"r":{"$sum":1,"window":{"documents":[1,0]}}}}`, 5339900},
		{`{"output":{"r":{"$sum":1,"window":{"documents":[0.5,1]}}}}`, 9},
		{`{"output":{"r":{"$sum":1,"window":{"range":[0,1]}}}}`, 5339902},
		{`{"sortBy":{"x":-1},"output":{"r":{"$sum":1,"window":{"range":[0,1]}}}}`, 8947401},
		{`{"sortBy":{"x":1},"output":{"r":{"$sum":1,"window":{"range":[0,1]}}}}`, 5429414},
		{`{"output":{"r":{"$rank":{}}}}`, 5371602},
		{`{"sortBy":{"x":1},"output":{"r":{"$rank":{"a":1}}}}`, 5371603},
		{`{"output":{"r":{"$nope":1}}}`, 9},
		{`{"partitionBy":[],"output":{"r":{"$sum":1}}}`, 14},
	} {
		_, err := run(t, store{}, docs(t, `[{"_id":1,"x":"text"}]`), `[{"$setWindowFields":`+tt.stage+`}]`)
		require.Error(t, err, tt.stage)
		assert.Equal(t, tt.code, mongoerr.From(err).Code, "%s: %v", tt.stage, err)
	}
}
