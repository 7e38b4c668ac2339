package aggregate

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var setOps = map[string]plain{
	"$setUnion":        {0, -1, setUnion},
	"$setIntersection": {0, -1, setIntersection},
	"$setDifference":   {2, 2, setDifference},
	"$setEquals":       {2, -1, setEquals},
	"$setIsSubset":     {2, 2, setIsSubset},
	"$anyElementTrue":  {1, 1, elementTrue("$anyElementTrue", true)},
	"$allElementsTrue": {1, 1, elementTrue("$allElementsTrue", false)},
}

// set is a sorted list of distinct values.
type set []bson.RawValue

func newSet(name string, v bson.RawValue) (set, error) {
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(17043, "All operands of %s must be arrays. One argument is of type: %s", name, rawdoc.TypeName(v.Type))
	}
	s := set(rawdoc.Values(v.Value))
	slices.SortStableFunc(s, compare)
	return slices.CompactFunc(s, func(a, b bson.RawValue) bool { return compare(a, b) == 0 }), nil
}

func (s set) has(v bson.RawValue) bool {
	_, ok := slices.BinarySearchFunc(s, v, compare)
	return ok
}

func (s set) within(o set) bool {
	return !slices.ContainsFunc(s, func(v bson.RawValue) bool { return !o.has(v) })
}

func newSets(name string, args []bson.RawValue) ([]set, error) {
	out := make([]set, len(args))
	for i, a := range args {
		var err error
		if out[i], err = newSet(name, a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func setUnion(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	all, err := concatArrays(args)
	if err != nil {
		return all, err
	}
	s, err := newSet("$setUnion", all)
	return value.ArrayOf(s...), err
}

func setIntersection(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	sets, err := newSets("$setIntersection", args)
	if err != nil || len(sets) == 0 {
		return value.ArrayOf(), err
	}
	var b rawdoc.Builder
	for _, v := range sets[0] {
		if !slices.ContainsFunc(sets[1:], func(s set) bool { return !s.has(v) }) {
			b.Push(v)
		}
	}
	return value.Array(b.Bytes()), nil
}

func setDifference(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	sets, err := newSets("$setDifference", args)
	if err != nil {
		return args[0], err
	}
	var seen []bson.RawValue
	for _, v := range value.Elements(args[0].Value) {
		if !sets[1].has(v) && !slices.ContainsFunc(seen, func(x bson.RawValue) bool { return compare(x, v) == 0 }) {
			seen = append(seen, v)
		}
	}
	return value.ArrayOf(seen...), nil
}

func setEquals(args []bson.RawValue) (bson.RawValue, error) {
	sets, err := newSets("$setEquals", args)
	if err != nil {
		return args[0], err
	}
	same := !slices.ContainsFunc(sets[1:], func(s set) bool { return len(s) != len(sets[0]) || !s.within(sets[0]) })
	return value.Bool(same), nil
}

func setIsSubset(args []bson.RawValue) (bson.RawValue, error) {
	sets, err := newSets("$setIsSubset", args)
	if err != nil {
		return args[0], err
	}
	return value.Bool(sets[0].within(sets[1])), nil
}

func elementTrue(name string, stop bool) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		if args[0].Type != bson.TypeArray {
			return args[0], mongoerr.New(17041, "%s's argument must be an array, but is %s", name, rawdoc.TypeName(args[0].Type))
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
	"$sum": {0, -1, stat(sumOf)},
	"$avg": {0, -1, stat(avgOf)},
	"$min": {0, -1, stat(func(v []bson.RawValue) bson.RawValue { return extreme(v, -1) })},
	"$max": {0, -1, stat(func(v []bson.RawValue) bson.RawValue { return extreme(v, 1) })},
}

func stat(f func([]bson.RawValue) bson.RawValue) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		if len(args) == 1 && args[0].Type == bson.TypeArray {
			args = rawdoc.Values(args[0].Value)
		}
		return f(args), nil
	}
}

func sumOf(vals []bson.RawValue) bson.RawValue {
	sum := value.Int32(0)
	for _, v := range vals {
		if number.Is(v) {
			sum, _ = number.Add(sum, v)
		}
	}
	return sum
}

func avgOf(vals []bson.RawValue) bson.RawValue {
	vals = slices.DeleteFunc(slices.Clone(vals), func(v bson.RawValue) bool { return !number.Is(v) })
	if len(vals) == 0 {
		return value.Null()
	}
	return number.Div(sumOf(vals), value.Int64(int64(len(vals))))
}

// extreme is the least (dir -1) or greatest (1) value that is not null.
func extreme(vals []bson.RawValue, dir int) bson.RawValue {
	best := value.Null()
	for _, v := range vals {
		if !nullish(v) && (nullish(best) || compare(v, best)*dir > 0) {
			best = v
		}
	}
	return best
}
