package aggregate

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fakeScript answers with its source and the arguments it was given.
type fakeScript struct{}

func (fakeScript) Call(code string, args []bson.RawValue) (bson.RawValue, error) {
	if code == "fail" {
		return bson.RawValue{}, errors.New("failed")
	}
	s := []string{code}
	for _, a := range args {
		s = append(s, a.String())
	}
	return value.String(strings.Join(s, " ")), nil
}

func (fakeScript) Map(code string, doc bson.Raw, emit func(k, v bson.RawValue) error) error {
	return emit(value.String(code), value.Doc(doc))
}

func TestFunctionArguments(t *testing.T) {
	vars := Vars{}.WithScript(fakeScript{}).With("v", value.Int32(7))
	eval := func(expr string, vars Vars) (bson.RawValue, error) {
		var d bson.Raw
		require.NoError(t, bson.UnmarshalExtJSON([]byte(expr), false, &d))
		e, err := CompileExpr(value.Doc(d))
		if err != nil {
			return bson.RawValue{}, err
		}
		v, _, err := e.Eval(value.D("a", 1), vars)
		return v, err
	}
	v, err := eval(`{"$function": {"body": "f", "args": ["$a", "$$v", "$missing"], "lang": "js"}}`, vars)
	require.NoError(t, err)
	assert.Equal(t, `f {"$numberInt":"1"} {"$numberInt":"7"} null`, v.StringValue())
	v, err = eval(`{"$_internalJsEmit": {"eval": "m", "this": "$$ROOT"}}`, vars)
	require.NoError(t, err)
	assert.JSONEq(t, `[{"k": "m","v": {"a": {"$numberInt":"1"}}}]`, v.String())

	for expr, code := range map[string]mongoerr.Code{
		`1`:                         31260,
		`{}`:                        31261,
		`{"body": 1}`:               31262,
		`{"body": "$a"}`:            31432,
		`{"body": "f"}`:             31263,
		`{"body": "f", "args": []}`: 31418,
		`{"body": "f", "args": [], "lang": "lua"}`:   31419,
		`{"body": "f", "args": "$a", "lang": "js"}`:  31266,
		`{"body": "fail", "args": [], "lang": "js"}`: mongoerr.InternalError,
	} {
		_, err := eval(`{"$function": `+expr+`}`, vars)
		require.Error(t, err, expr)
		assert.Equal(t, code, mongoerr.From(err).Code, "%s: %v", expr, err)
	}
	_, err = eval(`{"$function": {"body": "f", "args": [], "lang": "js"}}`, Vars{})
	assert.True(t, mongoerr.Is(err, 31264), "without an engine: %v", err)
}
