package aggregate

import (
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
	"github.com/shardferry/shardferry/mongotest/internal/value/valuetest"
)

// checkResult fails unless a result is a valid value or an error with a code.
func checkResult(t *rapid.T, name string, v bson.RawValue, err error) {
	if err != nil {
		if mongoerr.From(err).Code == mongoerr.InternalError {
			t.Fatalf("%s: error without a code: %v", name, err)
		}
		return
	}
	if v.Type == 0 {
		return
	}
	if err := value.Validate(value.D("v", v)); err != nil {
		t.Fatalf("%s: invalid result: %v", name, err)
	}
}

// operand draws a value that may also be missing or a small number, which get
// further into most operators.
func operand(t *rapid.T) bson.RawValue {
	switch rapid.IntRange(0, 4).Draw(t, "operand") {
	case 0:
		return bson.RawValue{}
	case 1:
		return value.Int32(rapid.Int32Range(-3, 5).Draw(t, "small"))
	case 2:
		return value.String(rapid.SampledFrom([]string{"", "a", "äb", "day", "month", "+03:00", "%Y", "2024-01-02", "("}).Draw(t, "string"))
	default:
		return valuetest.Value(2).Draw(t, "value")
	}
}

func TestNoOperandMakesAnOperatorPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, group := range []map[string]plain{arithmeticOps, logicOps, stringOps, arrayOps, elementOps, objectOps, typeOps, dateOps, statOps} {
			for _, name := range sorted(group) {
				def := group[name]
				most := def.max
				if most < 0 {
					most = def.min + 2
				}
				args := make([]bson.RawValue, rapid.IntRange(def.min, most).Draw(t, name))
				for i := range args {
					args[i] = operand(t)
				}
				v, err := def.fn(args)
				checkResult(t, name, v, err)
			}
		}
		for _, group := range []map[string]collated{compareOps, setOps, arrayCompareOps, extremeOps} {
			for _, name := range sorted(group) {
				def := group[name]
				most := def.max
				if most < 0 {
					most = def.min + 2
				}
				args := make([]bson.RawValue, rapid.IntRange(def.min, most).Draw(t, name))
				for i := range args {
					args[i] = operand(t)
				}
				v, err := def.fn(Vars{}, args)
				checkResult(t, name, v, err)
			}
		}
		for _, group := range []map[string]named{stringNamedOps, arrayNamedOps, dateNamedOps} {
			for _, name := range sorted(group) {
				def := group[name]
				args := map[string]bson.RawValue{}
				for _, k := range append(slices.Clone(def.required), def.optional...) {
					if slices.Contains(def.required, k) || rapid.Bool().Draw(t, k) {
						args[k] = operand(t)
					}
				}
				v, err := def.fn(args)
				checkResult(t, name, v, err)
			}
		}
	})
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func TestNoSpecificationMakesCompilingPanic(t *testing.T) {
	names := []string{
		"$literal", "$and", "$cond", "$ifNull", "$switch", "$let", "$map", "$filter", "$reduce", "$getField", "$setField", "$unsetField", "$sortArray", "$convert",
		"$match", "$sort", "$limit", "$skip", "$count", "$unwind", "$sample", "$group", "$sortByCount", "$bucketAuto", "$facet", "$project", "$set", "$unset", "$replaceRoot", "$replaceWith", "$documents",
	}
	rapid.Check(t, func(t *rapid.T) {
		root := valuetest.Document(2).Draw(t, "root")
		for _, n := range names {
			spec := valuetest.Value(3).Draw(t, n)
			vars := NewVars(nil, time.UnixMilli(0), bson.Timestamp{})
			if e, err := CompileExpr(value.Doc(value.D(n, spec))); err == nil {
				v, _, err := e.Eval(root, vars)
				checkResult(t, n, v, err)
			}
			if p, err := CompilePipeline([]bson.Raw{value.D(n, spec)}, Env{Vars: vars}); err == nil {
				_, err := p.Run(FromSlice([]bson.Raw{root})).Next(t.Context())
				checkResult(t, n, bson.RawValue{}, err)
			}
		}
	})
}
