package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestStageArguments(t *testing.T) {
	for _, tt := range []struct {
		stage string
		code  mongoerr.Code
	}{
		{`{"$limit":1.5}`, 5107201},
		{`{"$limit":-1}`, 5107201},
		{`{"$count":""}`, 40157},
		{`{"$count":"a.b"}`, 40160},
		{`{"$count":"_id"}`, 9039800},
		{`{"$sample":{"size":0.9}}`, 28747},
		{`{"$sample":{"size":"1"}}`, 28746},
		{`{"$sort":{"a":"asc"}}`, 15974},
		{`{"$sort":{"a":2}}`, 15975},
		{`{"$sort":{"a":{"$meta":"nope"}}}`, 31138},
		{`{"$sort":{"a.":1}}`, 40353},
		{`{"$unwind":1}`, 15981},
		{`{"$unwind":{"path":1}}`, 28808},
		{`{"$unwind":{"path":"$a","preserveNullAndEmptyArrays":1}}`, 28809},
		{`{"$unwind":{"path":"$a","includeArrayIndex":""}}`, 28810},
		{`{"$unset":[1]}`, 31120},
		{`{"$unset":["a.b","a"]}`, 31250},
		{`{"$project":{"":1}}`, 40352},
		{`{"$project":{"a":0,"b":null}}`, 31310},
		{`{"$set":{"a":{"x.y":1}}}`, 40183},
		{`{"$group":{"_id":{"a":1}}}`, 17390},
		{`{"$group":{"_id":1,"n":{"$firstN":{"n":0,"input":1}}}}`, 7548606},
		{`{"$facet":{"a":[{"$facet":{"b":[]}}]}}`, 40600},
		{`{"$facet":{"a":[{"$lookup":{"from":"x","pipeline":[{"$collStats":{}}],"as":"y"}}]}}`, 40600},
		{`{"$facet":{"a":1}}`, 40170},
		{`{"$facet":{"$a":[]}}`, 16410},
		{`{"$indexStats":{}}`, 40602},
		{`{"$lookup":{"from":"x","localField":1,"foreignField":"a","as":"y"}}`, 14},
		{`{"$lookup":{"from":"x","localField":"a","foreignField":"a"}}`, 40414},
		{`{"$lookup":{"from":"","localField":"a","foreignField":"a","as":"y"}}`, 73},
		{`{"$lookup":{"from":"x","pipeline":[],"let":{"A":1},"as":"y"}}`, 9},
		{`{"$bucketAuto":{"groupBy":"$a","buckets":1.5}}`, 40242},
		{`{"$bucketAuto":{"groupBy":"$a","buckets":1,"granularity":"R7"}}`, 40257},
		{`{"$bucketAuto":{"groupBy":"$a","buckets":1,"granularity":"R5"}}`, 40258},
	} {
		_, err := run(t, store{}, docs(t, `[{"_id":1,"a":"text"}]`), `[`+tt.stage+`]`)
		require.Error(t, err, tt.stage)
		assert.Equal(t, tt.code, mongoerr.From(err).Code, "%s: %v", tt.stage, err)
	}
}

func TestBucketAutoRoundsToPreferredNumbers(t *testing.T) {
	for _, tt := range []struct{ granularity, want string }{
		{"R5", `[{"_id":{"min":0.6300000000000001,"max":2.5},"count":2},{"_id":{"min":2.5,"max":100.0},"count":2}]`},
		{"POWERSOF2", `[{"_id":{"min":0.5,"max":4.0},"count":3},{"_id":{"min":4.0,"max":128.0},"count":1}]`},
		{"1-2-5", `[{"_id":{"min":0.5,"max":5.0},"count":3},{"_id":{"min":5.0,"max":100.0},"count":1}]`},
	} {
		got, err := run(t, store{}, docs(t, `[{"v":1},{"v":2},{"v":3},{"v":90}]`), `[{"$bucketAuto":{"groupBy":"$v","buckets":2,"granularity":"`+tt.granularity+`"}}]`)
		require.NoError(t, err)
		assert.Equal(t, lines(docs(t, tt.want)), lines(got), tt.granularity)
	}
}

func TestLookupOfMadeDocuments(t *testing.T) {
	got, err := run(t, store{}, docs(t, `[{"_id":1,"v":7}]`), `[{"$lookup":{"let":{"x":"$v"},"pipeline":[{"$documents":[{"a":1}]},{"$set":{"b":"$$x"}}],"as":"j"}}]`)
	require.NoError(t, err)
	j, _ := value.Get(got[0], "j")
	assert.Equal(t, show(val(t, `[{"a":1,"b":7}]`)), show(j))
}
