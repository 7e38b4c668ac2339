package aggregate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// doc reads relaxed extended JSON.
func doc(t testing.TB, json string) bson.Raw {
	t.Helper()
	var d bson.D
	require.NoError(t, bson.UnmarshalExtJSON([]byte(json), false, &d), json)
	raw, err := bson.Marshal(d)
	require.NoError(t, err)
	return raw
}

func val(t testing.TB, json string) bson.RawValue {
	t.Helper()
	v, _ := value.Get(doc(t, `{"v":`+json+`}`), "v")
	return v
}

func show(v bson.RawValue) string {
	if v.Type == 0 {
		return "missing"
	}
	return value.D("v", v).String()
}

func vars() aggregate.Vars {
	return aggregate.NewVars(value.D("p", int32(7)), time.UnixMilli(1700000000123), bson.Timestamp{T: 5, I: 1})
}

// given is the document that the expressions of the tables see.
const given = `{"_id":1,"n":5,"f":2.5,"s":"Hello","a":[1,2,3],"o":{"x":1,"y":{"z":2}},"docs":[{"k":1},{"k":2},{"j":3},4],"nul":null,
	"dec":{"$numberDecimal":"1.10"},"long":{"$numberLong":"9223372036854775807"},"date":{"$date":"2024-02-29T13:14:15.678Z"},"ts":{"$timestamp":{"t":9,"i":2}},
	"id":{"$oid":"507f1f77bcf86cd799439011"},"a.b":"dotted","$d":"dollar"}`

func TestExpressions(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`"$n"`, `5`},
		{`"$o.y.z"`, `2`},
		{`"$docs.k"`, `[1,2]`},
		{`"$nope.x"`, ``},
		{`"$$ROOT.n"`, `5`},
		{`"$$p"`, `7`},
		{`"$$NOW"`, `{"$date":{"$numberLong":"1700000000123"}}`},
		{`"$$CLUSTER_TIME"`, `{"$timestamp":{"t":5,"i":1}}`},
		{`"$$REMOVE"`, ``},
		{`{"$literal":"$n"}`, `"$n"`},
		{`{"x":"$n","y":"$nope","z":[1,"$nope"]}`, `{"x":5,"z":[1,null]}`},

		{`{"$add":["$n",1]}`, `6`},
		{`{"$add":["$n",0.5]}`, `5.5`},
		{`{"$add":["$n","$nul"]}`, `null`},
		{`{"$add":["$dec",1]}`, `{"$numberDecimal":"2.10"}`},
		{`{"$add":["$long",1]}`, `9223372036854775808.0`},
		{`{"$add":["$date",1000]}`, `{"$date":"2024-02-29T13:14:16.678Z"}`},
		{`{"$subtract":["$n",7]}`, `-2`},
		{`{"$subtract":["$date","$date"]}`, `{"$numberLong":"0"}`},
		{`{"$multiply":["$n",2,3]}`, `30`},
		{`{"$divide":["$n",2]}`, `2.5`},
		{`{"$divide":["$dec",2]}`, `{"$numberDecimal":"0.55"}`},
		{`{"$mod":[-7,3]}`, `-1`},
		{`{"$abs":-3}`, `3`},
		{`{"$ceil":2.1}`, `3.0`},
		{`{"$floor":-2.1}`, `-3.0`},
		{`{"$round":[2.5]}`, `2.0`},
		{`{"$round":[1234.567,-2]}`, `1200.0`},
		{`{"$trunc":[2.79,1]}`, `2.7`},
		{`{"$sqrt":16}`, `4.0`},
		{`{"$pow":[2,10]}`, `1024`},
		{`{"$bitAnd":[12,10]}`, `8`},

		{`{"$cmp":["$n",7]}`, `-1`},
		{`{"$eq":["$n",5.0]}`, `true`},
		{`{"$lt":["$nope",null]}`, `true`},
		{`{"$gt":["a",5]}`, `true`},
		{`{"$and":[1,"$n"]}`, `true`},
		{`{"$or":[0,"$nope"]}`, `false`},
		{`{"$not":["$nul"]}`, `true`},
		{`{"$cond":[{"$gt":["$n",3]},"big","small"]}`, `"big"`},
		{`{"$cond":{"if":false,"then":1,"else":2}}`, `2`},
		{`{"$ifNull":["$nope","$nul","x"]}`, `"x"`},
		{`{"$switch":{"branches":[{"case":{"$eq":["$n",1]},"then":"a"},{"case":true,"then":"b"}]}}`, `"b"`},
		{`{"$let":{"vars":{"x":"$n"},"in":{"$add":["$$x",1]}}}`, `6`},

		{`{"$concat":["$s"," ","there"]}`, `"Hello there"`},
		{`{"$concat":["$s","$nope"]}`, `null`},
		{`{"$toUpper":"$s"}`, `"HELLO"`},
		{`{"$substrCP":["$s",1,3]}`, `"ell"`},
		{`{"$substrBytes":["$s",1,-1]}`, `"ello"`},
		{`{"$strLenCP":"äb"}`, `2`},
		{`{"$strLenBytes":"äb"}`, `3`},
		{`{"$split":["a-b-c","-"]}`, `["a","b","c"]`},
		{`{"$indexOfBytes":["$s","l"]}`, `2`},
		{`{"$indexOfCP":["äbc","c"]}`, `2`},
		{`{"$trim":{"input":"  x "}}`, `"x"`},
		{`{"$ltrim":{"input":"xxay","chars":"x"}}`, `"ay"`},
		{`{"$regexMatch":{"input":"$s","regex":"^hel","options":"i"}}`, `true`},
		{`{"$regexFind":{"input":"abc","regex":"b(c)"}}`, `{"match":"bc","idx":1,"captures":["c"]}`},
		{`{"$replaceAll":{"input":"a.a","find":"a","replacement":"b"}}`, `"b.b"`},
		{`{"$strcasecmp":["A","b"]}`, `-1`},

		{`{"$arrayElemAt":["$a",-1]}`, `3`},
		{`{"$arrayElemAt":["$a",9]}`, ``},
		{`{"$first":"$a"}`, `1`},
		{`{"$size":"$a"}`, `3`},
		{`{"$isArray":["$a"]}`, `true`},
		{`{"$concatArrays":["$a",[4]]}`, `[1,2,3,4]`},
		{`{"$slice":["$a",2]}`, `[1,2]`},
		{`{"$slice":["$a",-2]}`, `[2,3]`},
		{`{"$slice":["$a",1,1]}`, `[2]`},
		{`{"$slice":["$a",0]}`, `[]`},
		{`{"$in":[2,"$a"]}`, `true`},
		{`{"$indexOfArray":["$a",3]}`, `2`},
		{`{"$range":[0,5,2]}`, `[0,2,4]`},
		{`{"$range":[2147483647,-2147483648,-2000000000]}`, `[2147483647,147483647,-1852516353]`},
		{`{"$reverseArray":"$a"}`, `[3,2,1]`},
		{`{"$map":{"input":"$a","as":"x","in":{"$multiply":["$$x",2]}}}`, `[2,4,6]`},
		{`{"$filter":{"input":"$a","cond":{"$gt":["$$this",1]}}}`, `[2,3]`},
		{`{"$filter":{"input":"$a","cond":true,"limit":1}}`, `[1]`},
		{`{"$reduce":{"input":"$a","initialValue":0,"in":{"$add":["$$value","$$this"]}}}`, `6`},
		{`{"$zip":{"inputs":[[1,2],["a"]],"useLongestLength":true,"defaults":[0,"z"]}}`, `[[1,"a"],[2,"z"]]`},
		{`{"$sortArray":{"input":[3,1,2],"sortBy":-1}}`, `[3,2,1]`},
		{`{"$sortArray":{"input":[{"a":2},{"a":1}],"sortBy":{"a":1}}}`, `[{"a":1},{"a":2}]`},
		{`{"$firstN":{"n":2,"input":"$a"}}`, `[1,2]`},
		{`{"$maxN":{"n":2,"input":"$a"}}`, `[3,2]`},

		{`{"$setUnion":[[2,1],[1,3]]}`, `[1,2,3]`},
		{`{"$setIntersection":[[2,1],[1,3]]}`, `[1]`},
		{`{"$setDifference":[[2,1],[1,3]]}`, `[2]`},
		{`{"$setEquals":[[2,1],[1,2,2]]}`, `true`},
		{`{"$setIsSubset":[[1],[1,2]]}`, `true`},
		{`{"$anyElementTrue":[[0,1]]}`, `true`},
		{`{"$sum":"$a"}`, `6`},
		{`{"$avg":[1,2,"x"]}`, `1.5`},
		{`{"$max":["$n",9,null]}`, `9`},

		{`{"$mergeObjects":["$o",{"x":9,"w":1},null]}`, `{"x":9,"y":{"z":2},"w":1}`},
		{`{"$objectToArray":{"a":1}}`, `[{"k":"a","v":1}]`},
		{`{"$arrayToObject":[[["a",1],["b",2]]]}`, `{"a":1,"b":2}`},
		{`{"$getField":"a.b"}`, `"dotted"`},
		{`{"$getField":{"field":{"$literal":"$d"},"input":"$$ROOT"}}`, `"dollar"`},
		{`{"$setField":{"field":"x","input":"$o","value":"$n"}}`, `{"x":5,"y":{"z":2}}`},
		{`{"$setField":{"field":"x","input":"$o","value":"$$REMOVE"}}`, `{"y":{"z":2}}`},
		{`{"$unsetField":{"field":"y","input":"$o"}}`, `{"x":1}`},

		{`{"$type":"$nope"}`, `"missing"`},
		{`{"$type":"$dec"}`, `"decimal"`},
		{`{"$isNumber":"$n"}`, `true`},
		{`{"$toInt":"42"}`, `42`},
		{`{"$toLong":2.9}`, `{"$numberLong":"2"}`},
		{`{"$toDouble":"$dec"}`, `1.1`},
		{`{"$toDecimal":"1.20"}`, `{"$numberDecimal":"1.20"}`},
		{`{"$toString":2.5}`, `"2.5"`},
		{`{"$toString":"$id"}`, `"507f1f77bcf86cd799439011"`},
		{`{"$toBool":0}`, `false`},
		{`{"$toDate":{"$toLong":1000}}`, `{"$date":"1970-01-01T00:00:01Z"}`},
		{`{"$toDate":"2024-01-02"}`, `{"$date":"2024-01-02T00:00:00Z"}`},
		{`{"$convert":{"input":"x","to":"int","onError":-1}}`, `-1`},
		{`{"$bsonSize":{"a":1}}`, `12`},
		{`{"$toHashedIndexKey":{"$literal":42}}`, `{"$numberLong":"-944302157085130861"}`},
		{`{"$toHashedIndexKey":"$nope"}`, `{"$numberLong":"2338878944348059895"}`},

		{`{"$year":"$date"}`, `2024`},
		{`{"$dayOfWeek":"$date"}`, `5`},
		{`{"$dayOfYear":"$date"}`, `60`},
		{`{"$hour":{"date":"$date","timezone":"+02:00"}}`, `15`},
		{`{"$dateToString":{"date":"$date"}}`, `"2024-02-29T13:14:15.678Z"`},
		{`{"$dateToString":{"date":"$date","format":"%d/%m/%Y %%"}}`, `"29/02/2024 %"`},
		{`{"$dateFromString":{"dateString":"2024-02-29T13:14:15.678Z"}}`, `{"$date":"2024-02-29T13:14:15.678Z"}`},
		{`{"$dateFromParts":{"year":2024,"month":2}}`, `{"$date":"2024-02-01T00:00:00Z"}`},
		{`{"$dateAdd":{"startDate":"$date","unit":"year","amount":1}}`, `{"$date":"2025-02-28T13:14:15.678Z"}`},
		{`{"$dateSubtract":{"startDate":"$date","unit":"hour","amount":14}}`, `{"$date":"2024-02-28T23:14:15.678Z"}`},
		{`{"$dateDiff":{"startDate":{"$toDate":"2023-12-31"},"endDate":"$date","unit":"month"}}`, `{"$numberLong":"2"}`},
		{`{"$dateTrunc":{"date":"$date","unit":"hour"}}`, `{"$date":"2024-02-29T13:00:00Z"}`},
		{`{"$tsSecond":"$ts"}`, `{"$numberLong":"9"}`},
	} {
		t.Run(tt.expr, func(t *testing.T) {
			e, err := aggregate.CompileExpr(val(t, tt.expr))
			require.NoError(t, err)
			v, missing, err := e.Eval(doc(t, given), vars())
			require.NoError(t, err)
			if tt.want == "" {
				assert.True(t, missing, show(v))
				return
			}
			assert.Equal(t, show(val(t, tt.want)), show(v))
		})
	}
}

func TestExpressionErrors(t *testing.T) {
	for _, tt := range []struct {
		expr string
		code mongoerr.Code
	}{
		{`{"$nope":1}`, 168},
		{`{"$add":[1],"x":2}`, 15983},
		{`{"$add":["x"]}`, 14},
		{`{"$divide":[1,0]}`, 2},
		{`{"$divide":[1]}`, 16020},
		{`{"$mod":[1,0]}`, 16610},
		{`{"$size":"$n"}`, 17124},
		{`"$"`, 16872},
		{`"$a..b"`, 15998},
		{`"$$nope"`, 17276},
		{`{"a.b":1}`, 16412},
		{`{"$toInt":"x"}`, 241},
		{`{"$switch":{"branches":[{"case":"$nope","then":1}]}}`, 40066},
		{`{"$setField":{"field":"$n","input":"$$ROOT","value":1}}`, 4161108},
		{`{"$concat":[1]}`, 16702},
		{`{"$in":[1,2]}`, 40081},
	} {
		t.Run(tt.expr, func(t *testing.T) {
			e, err := aggregate.CompileExpr(val(t, tt.expr))
			if err == nil {
				_, _, err = e.Eval(doc(t, given), vars())
			}
			require.Error(t, err)
			assert.Equal(t, tt.code, mongoerr.From(err).Code, err)
		})
	}
}

func TestHooks(t *testing.T) {
	ok, err := aggregate.ExprHook(vars())(val(t, `{"$gt":["$n","$$p"]}`), doc(t, `{"n":8}`))
	require.NoError(t, err)
	assert.True(t, ok)
	let, err := aggregate.EvalLet(doc(t, `{"x":{"$add":[1,2]}}`), vars())
	require.NoError(t, err)
	assert.Equal(t, doc(t, `{"x":3}`), let)
}
