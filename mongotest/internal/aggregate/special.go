package aggregate

import (
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// specialOp returns the compiler of an operator that does not simply take
// evaluated operands.
func specialOp(name string) (special, bool) {
	if cv, ok := conversions[name]; ok {
		return to(name, cv), true
	}
	switch name {
	case "$literal", "$const":
		return func(_ string, arg bson.RawValue) (evalFunc, error) { return literal(arg), nil }, true
	case "$expr":
		return func(_ string, arg bson.RawValue) (evalFunc, error) { return compile(arg) }, true
	case "$and", "$or":
		return compileLogic, true
	case "$cond":
		return compileCond, true
	case "$ifNull":
		return compileIfNull, true
	case "$switch":
		return compileSwitch, true
	case "$let":
		return compileLet, true
	case "$map":
		return compileMap, true
	case "$filter":
		return compileFilter, true
	case "$reduce":
		return compileReduce, true
	case "$getField":
		return compileGetField, true
	case "$setField", "$unsetField":
		return compileSetField, true
	case "$sortArray":
		return compileSortArray, true
	case "$convert":
		return compileConvert, true
	case "$percentile", "$median":
		return compilePercentileExpr, true
	case "$meta":
		return compileMeta, true
	case "$minN", "$maxN":
		return compileExtremeN, true
	case "$setEquals":
		return compileSetEquals, true
	case "$sigmoid":
		return compileSigmoid, true
	case "$rand":
		return compileRand, true
	case "$function":
		return compileFunction, true
	case "$_internalJsEmit":
		return compileEmit, true
	default:
		return nil, false
	}
}

func compileRand(_ string, arg bson.RawValue) (evalFunc, error) {
	if arg.Type != bson.TypeEmbeddedDocument && arg.Type != bson.TypeArray || !value.IsEmpty(arg.Value) {
		return nil, mongoerr.New(10065, "$rand does not currently accept arguments")
	}
	return func(evalCtx) (bson.RawValue, error) { return value.Double(rand.Float64()), nil }, nil
}

func compileLogic(name string, arg bson.RawValue) (evalFunc, error) {
	fns, err := compileAll(arg)
	if err != nil {
		return nil, err
	}
	stop := name == "$or" // the operand that decides
	return func(c evalCtx) (bson.RawValue, error) {
		for _, fn := range fns {
			v, err := fn(c)
			if err != nil {
				return v, err
			}
			if truthy(v) == stop {
				return value.Bool(stop), nil
			}
		}
		return value.Bool(!stop), nil
	}, nil
}

func compileCond(name string, arg bson.RawValue) (evalFunc, error) {
	var test, yes, no evalFunc
	if arg.Type != bson.TypeEmbeddedDocument {
		fns, err := compileAll(arg)
		if err != nil {
			return nil, err
		}
		if len(fns) != 3 {
			return nil, mongoerr.New(16020, "Expression $cond takes exactly 3 arguments. %d were passed in.", len(fns))
		}
		test, yes, no = fns[0], fns[1], fns[2]
	} else {
		fns, err := namedArgs(name, arg, []string{"if", "then", "else"}, nil)
		if err != nil {
			return nil, err
		}
		test, yes, no = fns["if"], fns["then"], fns["else"]
	}
	return func(c evalCtx) (bson.RawValue, error) {
		v, err := test(c)
		if err != nil {
			return v, err
		}
		if truthy(v) {
			return yes(c)
		}
		return no(c)
	}, nil
}

func compileIfNull(_ string, arg bson.RawValue) (evalFunc, error) {
	fns, err := compileAll(arg)
	if err != nil {
		return nil, err
	}
	if len(fns) < 2 {
		return nil, mongoerr.New(1257300, "$ifNull needs at least two arguments, had: %d", len(fns))
	}
	return func(c evalCtx) (bson.RawValue, error) {
		for _, fn := range fns[:len(fns)-1] {
			v, err := fn(c)
			if err != nil || !nullish(v) {
				return v, err
			}
		}
		return fns[len(fns)-1](c)
	}, nil
}

func caseOf(branch bson.RawValue) bson.RawValue {
	v, _ := value.Get(branch.Value, "case")
	return v
}

var errNoBranch = mongoerr.New(40066, "$switch could not find a matching branch for an input, and no default was specified.")

func compileSwitch(name string, arg bson.RawValue) (evalFunc, error) {
	raw, err := rawArgs(name, arg, []string{"branches"}, []string{"default"})
	if err != nil {
		return nil, err
	}
	if raw["branches"].Type != bson.TypeArray {
		return nil, mongoerr.New(40061, "$switch expected an array for 'branches', found: %s", rawdoc.TypeName(raw["branches"].Type))
	}
	var branches []map[string]evalFunc
	possible := false // that some case is true
	for _, b := range value.Elements(raw["branches"].Value) {
		fns, err := namedArgs("$switch branch", b, []string{"case", "then"}, nil)
		if err != nil {
			return nil, err
		}
		branches = append(branches, fns)
		c, known := constant(caseOf(b))
		possible = possible || !known || truthy(c)
	}
	if len(branches) == 0 {
		return nil, mongoerr.New(40068, "$switch requires at least one branch.")
	}
	var otherwise evalFunc
	if d, ok := raw["default"]; ok {
		if otherwise, err = compile(d); err != nil {
			return nil, err
		}
	} else if !possible {
		return nil, mongoerr.New(40069, "One cannot execute a switch statement where all the cases evaluate to false without a default.")
	}
	return func(c evalCtx) (bson.RawValue, error) {
		for _, b := range branches {
			v, err := b["case"](c)
			if err != nil {
				return v, err
			}
			if truthy(v) {
				return b["then"](c)
			}
		}
		if otherwise == nil {
			return bson.RawValue{}, errNoBranch
		}
		return otherwise(c)
	}, nil
}
