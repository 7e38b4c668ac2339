package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestAccumulators(t *testing.T) {
	const in = `[{"_id":1,"v":3,"a":[1,2]},{"_id":2,"v":1,"a":[2,3]},{"_id":3,"v":null},{"_id":4,"v":8,"a":[]}]`
	for _, tt := range []struct{ acc, want string }{
		{`{"$firstN":{"n":2,"input":"$v"}}`, `[3,1]`},
		{`{"$lastN":{"n":2,"input":"$v"}}`, `[null,8]`},
		{`{"$minN":{"n":2,"input":"$v"}}`, `[1,3]`},
		{`{"$maxN":{"n":5,"input":"$v"}}`, `[8,3,1]`},
		{`{"$top":{"sortBy":{"v":-1},"output":"$_id"}}`, `4`},
		{`{"$bottom":{"sortBy":{"v":-1},"output":"$_id"}}`, `3`},
		{`{"$topN":{"n":2,"sortBy":{"v":-1},"output":"$_id"}}`, `[4,1]`},
		{`{"$bottomN":{"n":2,"sortBy":{"v":-1},"output":"$_id"}}`, `[2,3]`},
		{`{"$stdDevPop":"$v"}`, `2.943920288775949`},
		{`{"$stdDevSamp":"$_id"}`, `1.2909944487358056`},
		{`{"$concatArrays":"$a"}`, `[1,2,2,3]`},
		{`{"$setUnion":"$a"}`, `[1,2,3]`},
		{`{"$median":{"input":"$v","method":"approximate"}}`, `3.0`},
		{`{"$percentile":{"input":"$v","p":[0,0.9],"method":"approximate"}}`, `[1.0,8.0]`},
		{`{"$percentile":{"input":"$v","p":[0.25],"method":"continuous"}}`, `[2.0]`},
		{`{"$count":{}}`, `4`},
	} {
		got, err := run(t, store{}, docs(t, in), `[{"$group":{"_id":null,"r":`+tt.acc+`}}]`)
		require.NoError(t, err, tt.acc)
		v, _ := value.Get(got[0], "r")
		assert.Equal(t, show(val(t, tt.want)), show(v), tt.acc)
	}
}

func TestSumsKeepWhatDoublesLose(t *testing.T) {
	got, err := run(t, store{}, docs(t, `[{"v":1e16},{"v":1.0},{"v":-1e16},{"v":{"$numberLong":"9223372036854775807"}},{"v":{"$numberLong":"-9223372036854775807"}}]`),
		`[{"$group":{"_id":null,"r":{"$sum":"$v"}}}]`)
	require.NoError(t, err)
	v, _ := value.Get(got[0], "r")
	assert.Equal(t, show(val(t, `1.0`)), show(v))
}

func TestAccumulatorsRefuse(t *testing.T) {
	for _, tt := range []struct {
		acc  string
		code mongoerr.Code
	}{
		{`{"$sum":[1,2]}`, 40237},
		{`{"$sum":1,"$avg":1}`, 40238},
		{`{"$firstN":{"input":1}}`, 5787906},
		{`{"$topN":{"sortBy":{"a":1},"output":1}}`, 5788003},
		{`{"$percentile":{"input":1,"p":0.5,"method":"approximate"}}`, 7750301},
		{`{"$percentile":{"input":1,"p":[2],"method":"approximate"}}`, 7750303},
		{`{"$mergeObjects":1}`, 5911200},
		{`{"$setUnion":1}`, 14},
		{`{"$sum":{"$divide":[1,0]}}`, 4848401},
		{`{"$accumulator":1}`, 4544703},
		{`{"$accumulator":{}}`, 4544707},
		{`{"$accumulator":{"init":"$a"}}`, 4544701},
		{`{"$accumulator":{"init":1}}`, 4544702},
		{`{"$accumulator":{"lang":1}}`, 4544704},
		{`{"$accumulator":{"lang":"py"}}`, 4544705},
		{`{"$accumulator":{"more":1}}`, 4544706},
		{`{"$accumulator":{"init":"f"}}`, 4544708},
		{`{"$accumulator":{"init":"f","accumulate":"f"}}`, 4544709},
		{`{"$accumulator":{"init":"f","accumulate":"f","merge":"f","lang":"js"}}`, 4544710},
		{`{"$accumulator":{"init":"f","accumulate":"f","merge":"f","accumulateArgs":[],"lang":"js"}}`, 31264},
	} {
		_, err := run(t, store{}, docs(t, `[{"_id":1}]`), `[{"$group":{"_id":null,"r":`+tt.acc+`}}]`)
		require.Error(t, err, tt.acc)
		assert.Equal(t, tt.code, mongoerr.From(err).Code, "%s: %v", tt.acc, err)
	}
}
