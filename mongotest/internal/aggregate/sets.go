package aggregate

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var setOps = map[string]collated{
	"$setUnion":        {0, -1, setUnion},
	"$setIntersection": {0, -1, setIntersection},
	"$setDifference":   {2, 2, setDifference},
	"$setIsSubset":     {2, 2, setIsSubset},
}

// elementOps ask whether the elements of an array are true.
var elementOps = map[string]plain{
	"$anyElementTrue":  {1, 1, elementTrue("$anyElementTrue", 17041, true)},
	"$allElementsTrue": {1, 1, elementTrue("$allElementsTrue", 17040, false)},
}

// set is a sorted list of distinct values.
type set struct {
	vals []bson.RawValue
	vars Vars
}

func newSet(vars Vars, name string, code mongoerr.Code, v bson.RawValue) (set, error) {
	if v.Type != bson.TypeArray {
		return set{}, mongoerr.New(code, "All operands of %s must be arrays. One argument is of type: %s", name, rawdoc.TypeName(v.Type))
	}
	return set{distinct(vars, rawdoc.Values(v.Value)), vars}, nil
}

// distinct sorts values and drops repetitions.
func distinct(vars Vars, vals []bson.RawValue) []bson.RawValue {
	slices.SortStableFunc(vals, vars.compare)
	return slices.CompactFunc(vals, func(a, b bson.RawValue) bool { return vars.compare(a, b) == 0 })
}

func (s set) has(v bson.RawValue) bool {
	_, ok := slices.BinarySearchFunc(s.vals, v, s.vars.compare)
	return ok
}

func (s set) within(o set) bool {
	return !slices.ContainsFunc(s.vals, func(v bson.RawValue) bool { return !o.has(v) })
}

// newSets reads operands as sets; codes are those of the operands that are no
// arrays, the last one of all that follow.
func newSets(vars Vars, name string, args []bson.RawValue, codes ...mongoerr.Code) ([]set, error) {
	out := make([]set, len(args))
	for i, a := range args {
		var err error
		if out[i], err = newSet(vars, name, codes[min(i, len(codes)-1)], a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func setUnion(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	sets, err := newSets(vars, "$setUnion", args, 17043)
	if err != nil {
		return value.Null(), err
	}
	var all []bson.RawValue
	for _, s := range sets {
		all = append(all, s.vals...)
	}
	return value.ArrayOf(distinct(vars, all)...), nil
}

func setIntersection(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	sets, err := newSets(vars, "$setIntersection", args, 17047)
	if err != nil || len(sets) == 0 {
		return value.ArrayOf(), err
	}
	var b rawdoc.Builder
	for _, v := range sets[0].vals {
		if !slices.ContainsFunc(sets[1:], func(s set) bool { return !s.has(v) }) {
			b.Push(v)
		}
	}
	return value.Array(b.Bytes()), nil
}

func setDifference(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	sets, err := newSets(vars, "$setDifference", args, 17048, 17049)
	if err != nil {
		return args[0], err
	}
	var seen []bson.RawValue
	for _, v := range value.Elements(args[0].Value) {
		if !sets[1].has(v) && !slices.ContainsFunc(seen, func(x bson.RawValue) bool { return vars.compare(x, v) == 0 }) {
			seen = append(seen, v)
		}
	}
	return value.ArrayOf(seen...), nil
}

func setEquals(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	sets, err := newSets(vars, "$setEquals", args, 17044)
	if err != nil {
		return args[0], err
	}
	same := !slices.ContainsFunc(sets[1:], func(s set) bool { return len(s.vals) != len(sets[0].vals) || !s.within(sets[0]) })
	return value.Bool(same), nil
}

func setIsSubset(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	sets, err := newSets(vars, "$setIsSubset", args, 17046, 17042)
	if err != nil {
		return args[0], err
	}
	return value.Bool(sets[0].within(sets[1])), nil
}

func elementTrue(name string, code mongoerr.Code, stop bool) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		if args[0].Type != bson.TypeArray {
			return args[0], mongoerr.New(code, "%s's argument must be an array, but is %s", name, rawdoc.TypeName(args[0].Type))
		}
		for _, v := range value.Elements(args[0].Value) {
			if truthy(v) == stop {
				return value.Bool(stop), nil
			}
		}
		return value.Bool(!stop), nil
	}
}

// statOps are accumulators used as expressions: over their operands, or over
// the elements of the one array operand.
var statOps = map[string]plain{
	"$sum":        {0, -1, stat(accumulated(func() accumulator { return &sumAcc{} }))},
	"$avg":        {0, -1, stat(accumulated(func() accumulator { return &avgAcc{} }))},
	"$stdDevPop":  {0, -1, stat(accumulated(func() accumulator { return &deviation{} }))},
	"$stdDevSamp": {0, -1, stat(accumulated(func() accumulator { return &deviation{sample: true} }))},
}

var extremeOps = map[string]collated{
	"$min": {0, -1, extreme(-1)},
	"$max": {0, -1, extreme(1)},
}

func stat(f func([]bson.RawValue) bson.RawValue) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		return f(spread(args)), nil
	}
}

// spread returns the elements of the only operand if it is an array.
func spread(args []bson.RawValue) []bson.RawValue {
	if len(args) == 1 && args[0].Type == bson.TypeArray {
		return rawdoc.Values(args[0].Value)
	}
	return args
}

// accumulated makes an expression of an accumulator that cannot fail.
func accumulated(mk func() accumulator) func([]bson.RawValue) bson.RawValue {
	return func(vals []bson.RawValue) bson.RawValue {
		acc := mk()
		for _, v := range vals {
			if acc.add(v) != nil {
				return value.Null()
			}
		}
		return acc.result()
	}
}

// compileSetEquals refuses too few operands and constants that are no arrays
// before the first document.
func compileSetEquals(name string, arg bson.RawValue) (evalFunc, error) {
	operands := []bson.RawValue{arg}
	if arg.Type == bson.TypeArray {
		operands = rawdoc.Values(arg.Value)
	}
	if len(operands) < 2 {
		return nil, mongoerr.New(17045, "%s needs at least two arguments had: %d", name, len(operands))
	}
	for _, v := range operands {
		if v.Type == bson.TypeEmbeddedDocument {
			if first, _, _ := rawdoc.First(v.Value); len(first) > 0 && first[0] == '$' {
				continue
			}
		}
		if c, ok := constant(v); ok && c.Type != bson.TypeArray {
			return nil, mongoerr.New(5887502, "All operands of $setEquals must be arrays. One argument is of type: %s", typeName(c))
		}
	}
	return compileCollated(name, collated{2, -1, setEquals}, arg)
}

// extreme gives the least (dir -1) or greatest (1) value that is not null.
func extreme(dir int) func(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	return func(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
		best := value.Null()
		for _, v := range spread(args) {
			if !nullish(v) && (nullish(best) || vars.compare(v, best)*dir > 0) {
				best = v
			}
		}
		return best, nil
	}
}
