package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

func eval(t *testing.T, expr string) (string, error) {
	t.Helper()
	e, err := aggregate.CompileExpr(val(t, expr))
	if err != nil {
		return "", err
	}
	v, _, err := e.Eval(doc(t, given), vars())
	if err != nil {
		return "", err
	}
	return show(v), nil
}

func TestConversionsOfBinaryData(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`{"$convert":{"input":"aGk=","to":"binData","format":"base64"}}`, `{"$binary":{"base64":"aGk=","subType":"00"}}`},
		{`{"$convert":{"input":"hi","to":{"type":"binData","subtype":5},"format":"utf8"}}`, `{"$binary":{"base64":"aGk=","subType":"05"}}`},
		{`{"$convert":{"input":1,"to":"binData","byteOrder":"big"}}`, `{"$binary":{"base64":"AAAAAQ==","subType":"00"}}`},
		{`{"$toInt":{"$binary":{"base64":"/w==","subType":"00"}}}`, `-1`},
		{`{"$toDouble":{"$binary":{"base64":"AACAPw==","subType":"00"}}}`, `1.0`},
		{`{"$toString":{"$toUUID":"00112233-4455-6677-8899-aabbccddeeff"}}`, `"00112233-4455-6677-8899-aabbccddeeff"`},
		{`{"$convert":{"input":{"$binary":{"base64":"aGk=","subType":"00"}},"to":"string","format":"hex"}}`, `"6869"`},
		{`{"$convert":{"input":"x","to":null}}`, `null`},
		{`{"$convert":{"input":"x","to":"int","onError":"$n"}}`, `5`},
		{`{"$toDate":{"$oid":"ffffffff0000000000000000"}}`, `{"$date":{"$numberLong":"-1000"}}`},
		{`{"$toDecimal":-0.0}`, `{"$numberDecimal":"-0"}`},
	} {
		got, err := eval(t, tt.expr)
		require.NoError(t, err, tt.expr)
		assert.Equal(t, show(val(t, tt.want)), got, tt.expr)
	}
}

func TestCalendarOperators(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`{"$dateTrunc":{"date":"$date","unit":"hour","binSize":6}}`, `{"$date":"2024-02-29T12:00:00Z"}`},
		{`{"$dateTrunc":{"date":"$date","unit":"week","startOfWeek":"mon"}}`, `{"$date":"2024-02-26T00:00:00Z"}`},
		{`{"$dateTrunc":{"date":"$date","unit":"year","binSize":5}}`, `{"$date":"2020-01-01T00:00:00Z"}`},
		{`{"$dateDiff":{"startDate":{"$date":"2024-02-25T00:00:00Z"},"endDate":{"$date":"2024-02-26T00:00:00Z"},"unit":"week","startOfWeek":"Monday"}}`, `{"$numberLong":"1"}`},
		{`{"$dateFromParts":{"isoWeekYear":2024,"isoWeek":9,"isoDayOfWeek":4}}`, `{"$date":"2024-02-29T00:00:00Z"}`},
		{`{"$dateToParts":{"date":"$date","iso8601":true}}`, `{"isoWeekYear":2024,"isoWeek":9,"isoDayOfWeek":4,"hour":13,"minute":14,"second":15,"millisecond":678}`},
		{`{"$toLower":1234567.5}`, `"1.23457e+06"`},
		{`{"$toUpper":{"$timestamp":{"t":1,"i":10}}}`, `"JAN  1 00:00:01:10"`},
		{`{"$hour":{"date":"$date","timezone":null}}`, `null`},
		{`{"$hour":{"date":"$date","timezone":"America/New_York"}}`, `8`},
	} {
		got, err := eval(t, tt.expr)
		require.NoError(t, err, tt.expr)
		assert.Equal(t, show(val(t, tt.want)), got, tt.expr)
	}
}

func TestOperatorsRefuse(t *testing.T) {
	for _, tt := range []struct {
		expr string
		code mongoerr.Code
	}{
		{`{"$let":{"in":1}}`, 16876},
		{`{"$let":{"vars":{"a*b":1},"in":1}}`, 9},
		{`{"$map":{"input":[]}}`, 16882},
		{`{"$filter":{"input":[],"cond":true,"limit":0}}`, 327392},
		{`{"$cond":1}`, 16020},
		{`{"$switch":{"branches":[{"case":false,"then":1}]}}`, 40069},
		{`{"$rand":1}`, 10065},
		{`{"$substrCP":["a","b",1]}`, 34450},
		{`{"$substrCP":["a",0.5,1]}`, 34451},
		{`{"$substrCP":["a",0,"b"]}`, 34452},
		{`{"$substrBytes":["a",0,"b"]}`, 16035},
		{`{"$substrBytes":["\u00e9",1,1]}`, 28656},
		{`{"$substrBytes":["\u00e9",0,1]}`, 28657},
		{`{"$replaceAll":{"input":"a","find":1,"replacement":"b"}}`, 10503901},
		{`{"$split":["a",1]}`, 10503900},
		{`{"$setEquals":[1,[]]}`, 5887502},
		{`{"$setEquals":["$n",[]]}`, 17044},
		{`{"$setIsSubset":[[],"$n"]}`, 17042},
		{`{"$setUnion":["$n"]}`, 17043},
		{`{"$range":[0,"a"]}`, 34445},
		{`{"$range":[0,1,1.5]}`, 34448},
		{`{"$slice":["$a","b"]}`, 28725},
		{`{"$indexOfArray":["$a",1,-1]}`, 9711601},
		{`{"$indexOfCP":["a",1]}`, 40094},
		{`{"$arrayToObject":[[["a",1],{"k":"b","v":1}]]}`, 40396},
		{`{"$regexFind":{"input":"a","regex":"a","options":"q"}}`, 51108},
		{`{"$toInt":[1,2]}`, 50723},
		{`{"$convert":{"input":"x","to":"binData"}}`, 4341115},
		{`{"$convert":{"input":1,"to":255}}`, 9},
		{`{"$convert":{"input":1,"to":"binData","byteOrder":"middle"}}`, 9130002},
		{`{"$hour":{"date":"$date","timezone":1}}`, 40517},
		{`{"$hour":{"date":"$date","timezone":"Nowhere"}}`, 40485},
		{`{"$dateTrunc":{"date":"$date","unit":1}}`, 5439013},
		{`{"$dateTrunc":{"date":"$date","unit":"day","binSize":0}}`, 5439018},
		{`{"$dateAdd":{"startDate":1,"unit":"day","amount":1}}`, 5166403},
		{`{"$dateFromParts":{"year":0}}`, 40523},
		{`{"$round":[1,"a"]}`, 16004},
		{`{"$log10":0}`, 28761},
		{`{"$pow":[0,-1]}`, 28764},
		{`{"$acos":2}`, 50989},
		{`{"$meta":"nope"}`, 17308},
	} {
		_, err := eval(t, tt.expr)
		require.Error(t, err, tt.expr)
		assert.Equal(t, tt.code, mongoerr.From(err).Code, "%s: %v", tt.expr, err)
	}
}

func TestExpressionsCannotTakeAllMemory(t *testing.T) {
	const doubled = `{"$reduce":{"input":{"$range":[0,40]},"initialValue":"x","in":{"$concat":["$$value","$$value"]}}}`
	_, err := eval(t, doubled)
	assert.Equal(t, mongoerr.Code(16493), mongoerr.From(err).Code, err)
	const big = `{"$reduce":{"input":{"$range":[0,23]},"initialValue":"x","in":{"$concat":["$$value","$$value"]}}}`
	_, err = eval(t, `{"$let":{"vars":{"s":`+big+`},"in":{"$map":{"input":{"$range":[0,4000]},"in":"$$s"}}}}`)
	assert.Equal(t, mongoerr.ExceededMemoryLimit, mongoerr.From(err).Code, err)
}
