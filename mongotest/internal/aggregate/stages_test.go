package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

func TestLaterStages(t *testing.T) {
	s := store{"tree": docs(t, `[{"_id":1,"name":"a","up":"b"},{"_id":2,"name":"b","up":"c"},{"_id":3,"name":"c","up":"a"}]`)}
	for _, tt := range []struct{ name, in, pipeline, want string }{
		{
			"bucket by lower boundary", `[{"_id":1,"v":1},{"_id":2,"v":5},{"_id":3,"v":7},{"_id":4,"v":99}]`,
			`[{"$bucket":{"groupBy":"$v","boundaries":[0,5,10],"default":"other"}}]`, `[{"_id":0,"count":1},{"_id":5,"count":2},{"_id":"other","count":1}]`,
		},
		{
			"redact level by level", `[{"_id":1,"l":1,"in":[{"l":2,"x":1},{"l":9,"x":2}],"sub":{"l":9}}]`,
			`[{"$redact":{"$cond":[{"$gt":["$l",5]},"$$PRUNE","$$DESCEND"]}}]`, `[{"_id":1,"l":1,"in":[{"l":2,"x":1}]}]`,
		},
		{
			"graph with a cycle", `[{"_id":1,"from":"a"}]`,
			`[{"$graphLookup":{"from":"tree","startWith":"$from","connectFromField":"up","connectToField":"name","as":"path","depthField":"d"}},{"$project":{"path._id":1,"path.d":1}}]`,
			`[{"_id":1,"path":[{"_id":1,"d":{"$numberLong":"0"}},{"_id":2,"d":{"$numberLong":"1"}},{"_id":3,"d":{"$numberLong":"2"}}]}]`,
		},
		{
			"graph to a depth", `[{"_id":1,"from":"a"}]`,
			`[{"$graphLookup":{"from":"tree","startWith":"$from","connectFromField":"up","connectToField":"name","as":"path","maxDepth":0}},{"$project":{"path._id":1}}]`, `[{"_id":1,"path":[{"_id":1}]}]`,
		},
		{
			"densify between the ends", `[{"_id":1,"x":1},{"_id":2,"x":4}]`,
			`[{"$densify":{"field":"x","range":{"step":1,"bounds":"full"}}}]`, `[{"_id":1,"x":1},{"x":2},{"x":3},{"_id":2,"x":4}]`,
		},
		{
			"densify dates within bounds", `[{"t":{"$date":"2024-01-31T00:00:00Z"}}]`,
			`[{"$densify":{"field":"t","range":{"step":1,"unit":"month","bounds":[{"$date":"2024-01-31T00:00:00Z"},{"$date":"2024-03-31T00:00:00Z"}]}}}]`,
			`[{"t":{"$date":"2024-01-31T00:00:00Z"}},{"t":{"$date":"2024-02-29T00:00:00Z"}}]`,
		},
		{
			"fill with a value and along a line", `[{"_id":1,"v":1},{"_id":2},{"_id":3,"v":3,"w":5}]`,
			`[{"$fill":{"sortBy":{"_id":1},"output":{"v":{"method":"linear"},"w":{"value":0}}}}]`, `[{"_id":1,"v":1,"w":0},{"_id":2,"v":2.0,"w":0},{"_id":3,"v":3,"w":5}]`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := run(t, s, docs(t, tt.in), tt.pipeline)
			require.NoError(t, err)
			assert.Equal(t, lines(docs(t, tt.want)), lines(got))
		})
	}
}

func TestLaterStagesRefuse(t *testing.T) {
	for _, tt := range []struct {
		stage string
		code  mongoerr.Code
	}{
		{`{"$bucket":{"groupBy":"$v"}}`, 40198},
		{`{"$bucket":{"groupBy":"v","boundaries":[1,2]}}`, 40202},
		{`{"$bucket":{"groupBy":"$v","boundaries":[2,1]}}`, 40194},
		{`{"$bucket":{"groupBy":"$v","boundaries":[1,"a"]}}`, 40193},
		{`{"$bucket":{"groupBy":"$v","boundaries":[1,5],"default":2}}`, 40199},
		{`{"$redact":"keep it"}`, 17053},
		{`{"$graphLookup":{"from":"x"}}`, 40105},
		{`{"$densify":{"field":"v","range":{"step":0,"bounds":"full"}}}`, 5733401},
		{`{"$fill":{"output":{}}}`, 6050203},
		{`{"$project":{"x":"$a\u0000b"}}`, 16411},
	} {
		_, err := run(t, store{}, docs(t, `[{"_id":1,"v":1}]`), `[`+tt.stage+`]`)
		require.Error(t, err, tt.stage)
		assert.Equal(t, tt.code, mongoerr.From(err).Code, "%s: %v", tt.stage, err)
	}
}
