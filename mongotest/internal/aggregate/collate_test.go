package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func caselessVars(t *testing.T) aggregate.Vars {
	t.Helper()
	c, err := collation.Parse(value.D("locale", "en", "strength", 2))
	require.NoError(t, err)
	return vars().Collated(c)
}

// Who compares values does so by the collation; who looks into strings does not.
func TestExpressionsCompareByTheCollation(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`{"$eq":["a","A"]}`, `true`},
		{`{"$gt":["C","b"]}`, `true`},
		{`{"$cmp":[{"x":"a"},{"x":"A"}]}`, `0`},
		{`{"$in":["a",["A"]]}`, `true`},
		{`{"$indexOfArray":[["b","A"],"a"]}`, `1`},
		{`{"$setEquals":[["a","B"],["b","A"]]}`, `true`},
		{`{"$setUnion":[["b","A"],["a","C"]]}`, `["A","b","C"]`},
		{`{"$setIntersection":[["a","b"],["B"]]}`, `["b"]`},
		{`{"$setDifference":[["a","b"],["B"]]}`, `["a"]`},
		{`{"$setIsSubset":[["a"],["A","b"]]}`, `true`},
		{`{"$min":["b","C"]}`, `"b"`},
		{`{"$max":["b","C"]}`, `"C"`},
		{`{"$maxN":{"n":1,"input":["b","C"]}}`, `["C"]`},
		{`{"$sortArray":{"input":["C","a","B"],"sortBy":1}}`, `["a","B","C"]`},
		{`{"$filter":{"input":["a","A","b"],"cond":{"$eq":["$$this","a"]}}}`, `["a","A"]`},
		{`{"$switch":{"branches":[{"case":{"$eq":["a","A"]},"then":1}],"default":2}}`, `1`},
		{`{"$let":{"vars":{"x":"A"},"in":{"$eq":["$$x","a"]}}}`, `true`},
		{`{"$indexOfCP":["A","a"]}`, `-1`},
		{`{"$strcasecmp":["a","b"]}`, `-1`},
		{`{"$regexMatch":{"input":"A","regex":"a"}}`, `false`},
		{`{"$eq":[{"$toLower":"A"},"a"]}`, `true`},
	} {
		e, err := aggregate.CompileExpr(val(t, tt.expr))
		require.NoError(t, err, tt.expr)
		v, _, err := e.Eval(doc(t, given), caselessVars(t))
		require.NoError(t, err, tt.expr)
		assert.Equal(t, show(val(t, tt.want)), show(v), tt.expr)
	}
}

func TestStagesCompareByTheCollation(t *testing.T) {
	docs := []bson.Raw{doc(t, `{"_id":1,"a":"b"}`), doc(t, `{"_id":2,"a":"C"}`), doc(t, `{"_id":3,"a":"B"}`), doc(t, `{"_id":4,"a":"a"}`)}
	for stages, want := range map[string]string{
		`[{"$match":{"a":"b"}},{"$count":"n"}]`:                                                                                                      `[{"n":2}]`,
		`[{"$sort":{"a":1,"_id":1}},{"$group":{"_id":null,"ids":{"$push":"$_id"}}},{"$unset":"_id"}]`:                                                `[{"ids":[4,1,3,2]}]`,
		`[{"$group":{"_id":"$a","n":{"$sum":1}}},{"$match":{"n":2}}]`:                                                                                `[{"_id":"b","n":2}]`,
		`[{"$group":{"_id":null,"s":{"$addToSet":"$a"},"m":{"$max":"$a"}}},{"$unset":"_id"}]`:                                                        `[{"s":["b","C","a"],"m":"C"}]`,
		`[{"$group":{"_id":null,"t":{"$top":{"sortBy":{"a":-1},"output":"$_id"}}}},{"$unset":"_id"}]`:                                                `[{"t":2}]`,
		`[{"$sortByCount":"$a"},{"$limit":1}]`:                                                                                                       `[{"_id":"b","count":2}]`,
		`[{"$bucket":{"groupBy":"$a","boundaries":["A","B","D"]}}]`:                                                                                  `[{"_id":"A","count":1},{"_id":"B","count":3}]`,
		`[{"$setWindowFields":{"partitionBy":"$a","sortBy":{"_id":1},"output":{"n":{"$sum":1}}}},{"$match":{"_id":3}},{"$project":{"n":1,"_id":0}}]`: `[{"n":2}]`,
		`[{"$facet":{"x":[{"$match":{"a":"B"}},{"$count":"n"}]}}]`:                                                                                   `[{"x":[{"n":2}]}]`,
	} {
		var list []bson.Raw
		for _, s := range value.Elements(val(t, stages).Value) {
			list = append(list, s.Value)
		}
		p, err := aggregate.CompilePipeline(list, aggregate.Env{DB: "db", Vars: caselessVars(t)})
		require.NoError(t, err, stages)
		out, err := aggregate.Collect(t.Context(), p.Run(aggregate.FromSlice(docs)))
		require.NoError(t, err, stages)
		assert.Equal(t, show(val(t, want)), show(value.Of(out)), stages)
	}
}
