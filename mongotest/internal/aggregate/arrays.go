package aggregate

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var arrayOps = map[string]plain{
	"$arrayElemAt":  {2, 2, arrayElemAt},
	"$first":        {1, 1, func(a []bson.RawValue) (bson.RawValue, error) { return edge("$first", a[0], 0) }},
	"$last":         {1, 1, func(a []bson.RawValue) (bson.RawValue, error) { return edge("$last", a[0], -1) }},
	"$size":         {1, 1, size},
	"$isArray":      {1, 1, func(a []bson.RawValue) (bson.RawValue, error) { return value.Bool(a[0].Type == bson.TypeArray), nil }},
	"$concatArrays": {0, -1, concatArrays},
	"$slice":        {2, 3, slice},
	"$range":        {2, 3, numberRange},
	"$reverseArray": {1, 1, reverseArray},
}

// arrayCompareOps look for a value in an array.
var arrayCompareOps = map[string]collated{
	"$in":           {2, 2, in},
	"$indexOfArray": {2, 4, indexOfArray},
}

var arrayNamedOps = map[string]named{
	"$zip":    {[]string{"inputs"}, []string{"useLongestLength", "defaults"}, zip},
	"$firstN": {[]string{"n", "input"}, nil, firstN},
	"$lastN":  {[]string{"n", "input"}, nil, lastN},
}

func arrayElemAt(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	if args[0].Type != bson.TypeArray {
		return args[0], mongoerr.New(28689, "$arrayElemAt's first argument must be an array, but is %s", rawdoc.TypeName(args[0].Type))
	}
	i, ok := number.Exact(args[1])
	if !ok {
		return args[1], mongoerr.New(28690, "$arrayElemAt's second argument must be a numeric value, but is %s", rawdoc.TypeName(args[1].Type))
	}
	return at(rawdoc.Values(args[0].Value), i), nil
}

// at counts from the end when i is negative; missing beyond either end.
func at(vals []bson.RawValue, i int64) bson.RawValue {
	if i < 0 {
		i += int64(len(vals))
	}
	if i < 0 || i >= int64(len(vals)) {
		return bson.RawValue{}
	}
	return vals[i]
}

func edge(name string, v bson.RawValue, i int64) (bson.RawValue, error) {
	switch {
	case nullish(v):
		return value.Null(), nil
	case v.Type != bson.TypeArray:
		return v, mongoerr.New(28689, "%s's argument must be an array, but is %s", name, rawdoc.TypeName(v.Type))
	}
	return at(rawdoc.Values(v.Value), i), nil
}

func size(args []bson.RawValue) (bson.RawValue, error) {
	if args[0].Type != bson.TypeArray {
		return args[0], mongoerr.New(17124, "The argument to $size must be an array, but was of type: %s", rawdoc.TypeName(args[0].Type))
	}
	return value.Int32(int32(rawdoc.Len(args[0].Value))), nil
}

func concatArrays(args []bson.RawValue) (bson.RawValue, error) {
	var b rawdoc.Builder
	for _, a := range args {
		if nullish(a) {
			return value.Null(), nil
		}
		if a.Type != bson.TypeArray {
			return a, mongoerr.New(28664, "$concatArrays only supports arrays, not %s", rawdoc.TypeName(a.Type))
		}
		for _, v := range value.Elements(a.Value) {
			b.Push(v)
		}
	}
	return value.Array(b.Bytes()), nil
}

func slice(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	if args[0].Type != bson.TypeArray {
		return args[0], mongoerr.New(28724, "First argument to $slice must be an array, but is of type: %s", rawdoc.TypeName(args[0].Type))
	}
	vals := rawdoc.Values(args[0].Value)
	n := int64(len(vals))
	if !number.Is(args[1]) {
		return args[1], mongoerr.New(28725, "Second argument to $slice must be a numeric value, but is of type: %s", typeName(args[1]))
	}
	first, ok := number.Exact(args[1])
	if !ok || first != int64(int32(first)) {
		return args[1], mongoerr.New(28726, "Second argument to $slice can't be represented as a 32-bit integer: %s", rawdoc.Render(args[1]))
	}
	start, count := int64(0), first
	if len(args) == 2 {
		if first < 0 {
			start, count = max(n+first, 0), n
		}
	} else {
		if !number.Is(args[2]) {
			return args[2], mongoerr.New(28725, "Third argument to $slice must be numeric, but is of type: %s", typeName(args[2]))
		}
		if count, ok = number.Exact(args[2]); !ok || count != int64(int32(count)) {
			return args[2], mongoerr.New(28726, "Third argument to $slice can't be represented as a 32-bit integer: %s", rawdoc.Render(args[2]))
		}
		if count <= 0 {
			return args[2], mongoerr.New(28729, "Third argument to $slice must be positive: %s", rawdoc.Render(args[2]))
		}
		start = min(first, n)
		if first < 0 {
			start = max(n+first, 0)
		}
	}
	end := n
	if count < n-start {
		end = start + count
	}
	return value.ArrayOf(vals[start:end]...), nil
}

func in(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	if args[1].Type != bson.TypeArray {
		return args[1], mongoerr.New(40081, "$in requires an array as a second argument, found: %s", rawdoc.TypeName(args[1].Type))
	}
	for _, v := range value.Elements(args[1].Value) {
		if vars.compare(v, args[0]) == 0 {
			return value.Bool(true), nil
		}
	}
	return value.Bool(false), nil
}

func indexOfArray(vars Vars, args []bson.RawValue) (bson.RawValue, error) {
	switch {
	case nullish(args[0]):
		return value.Null(), nil
	case args[0].Type != bson.TypeArray:
		return args[0], mongoerr.New(40090, "$indexOfArray requires an array as a first argument, found: %s", rawdoc.TypeName(args[0].Type))
	}
	vals := rawdoc.Values(args[0].Value)
	start, end, err := bounds("$indexOfArray", args, len(vals))
	if err != nil {
		return args[0], err
	}
	for i := start; i < end; i++ {
		if vars.compare(vals[i], args[1]) == 0 {
			return value.Int32(int32(i)), nil
		}
	}
	return value.Int32(-1), nil
}

// bounds reads the optional third and fourth operands of the $indexOf family.
func bounds(name string, args []bson.RawValue, n int) (start, end int, err error) {
	end = n
	for i, v := range args[2:] {
		x, ok := number.Exact(v)
		integral, negative := mongoerr.Code(40096), mongoerr.Code(40097)
		if name == "$indexOfArray" {
			integral, negative = 9711600, 9711601
		}
		if !ok {
			return 0, 0, mongoerr.New(integral, "%s requires an integral index, found a value %s of type: %s", name, showMissing(v), typeName(v))
		}
		if x < 0 {
			return 0, 0, mongoerr.New(negative, "%s requires a nonnegative index, found: %d", name, x)
		}
		if i == 0 {
			start = int(min(x, int64(n)))
		} else {
			end = int(min(x, int64(n)))
		}
	}
	return start, end, nil
}

func numberRange(args []bson.RawValue) (bson.RawValue, error) {
	step := int64(1)
	lims := make([]int64, 2, 3)
	for i, a := range args {
		code := mongoerr.Code(34443 + 2*i) // and the next one
		if !number.Is(a) {
			return a, mongoerr.New(code, "$range requires numeric arguments, found value of type: %s", typeName(a))
		}
		x, ok := number.Exact(a)
		if !ok || x != int64(int32(x)) {
			return a, mongoerr.New(code+1, "$range requires values that can be represented as a 32-bit integer, found value: %s", rawdoc.Render(a))
		}
		if i == 2 {
			step = x
		} else {
			lims[i] = x
		}
	}
	if step == 0 {
		return args[2], mongoerr.New(34449, "$range requires a non-zero step value")
	}
	if (lims[1]-lims[0])/step > 1<<22 {
		return args[1], mongoerr.New(mongoerr.ExceededMemoryLimit, "$range would use too much memory")
	}
	var b rawdoc.Builder
	for i := lims[0]; step > 0 && i < lims[1] || step < 0 && i > lims[1]; i += step {
		b.Push(value.Int32(int32(i)))
	}
	return value.Array(b.Bytes()), nil
}

func reverseArray(args []bson.RawValue) (bson.RawValue, error) {
	switch {
	case nullish(args[0]):
		return value.Null(), nil
	case args[0].Type != bson.TypeArray:
		return args[0], mongoerr.New(34435, "The argument to $reverseArray must be an array, but was of type: %s", rawdoc.TypeName(args[0].Type))
	}
	vals := rawdoc.Values(args[0].Value)
	slices.Reverse(vals)
	return value.ArrayOf(vals...), nil
}

func zip(args map[string]bson.RawValue) (bson.RawValue, error) {
	if args["inputs"].Type != bson.TypeArray {
		return args["inputs"], mongoerr.New(34461, "inputs must be an array of expressions, found %s", rawdoc.TypeName(args["inputs"].Type))
	}
	var rows [][]bson.RawValue
	shortest, longest := -1, 0
	for _, in := range value.Elements(args["inputs"].Value) {
		if nullish(in) {
			return value.Null(), nil
		}
		if in.Type != bson.TypeArray {
			return in, mongoerr.New(34468, "$zip found a non-array expression in input: %s", rawdoc.Render(in))
		}
		row := rawdoc.Values(in.Value)
		rows = append(rows, row)
		longest = max(longest, len(row))
		if shortest < 0 || len(row) < shortest {
			shortest = len(row)
		}
	}
	n := max(shortest, 0)
	if truthy(args["useLongestLength"]) {
		n = longest
	}
	defaults := rawdoc.Values(args["defaults"].Value)
	var b rawdoc.Builder
	for i := range n {
		tuple := make([]bson.RawValue, len(rows))
		for j, row := range rows {
			tuple[j] = value.Null()
			switch {
			case i < len(row):
				tuple[j] = row[i]
			case j < len(defaults):
				tuple[j] = defaults[j]
			}
		}
		b.Push(value.ArrayOf(tuple...))
	}
	return value.Array(b.Bytes()), nil
}

// nAndInput reads the operands of the $firstN family.
func nAndInput(args map[string]bson.RawValue) (int, []bson.RawValue, error) {
	n, ok := number.Exact(args["n"])
	if !ok || n < 1 {
		return 0, nil, mongoerr.New(5787908, "'n' must be greater than 0, found %s", rawdoc.Render(args["n"]))
	}
	if args["input"].Type != bson.TypeArray {
		return 0, nil, mongoerr.New(5788200, "Input must be an array")
	}
	vals := rawdoc.Values(args["input"].Value)
	return int(min(n, int64(len(vals)))), vals, nil
}

func firstN(args map[string]bson.RawValue) (bson.RawValue, error) {
	n, vals, err := nAndInput(args)
	if err != nil {
		return args["n"], err
	}
	return value.ArrayOf(vals[:n]...), nil
}

func lastN(args map[string]bson.RawValue) (bson.RawValue, error) {
	n, vals, err := nAndInput(args)
	if err != nil {
		return args["n"], err
	}
	return value.ArrayOf(vals[len(vals)-n:]...), nil
}

// compileExtremeN compiles $minN and $maxN.
func compileExtremeN(name string, arg bson.RawValue) (evalFunc, error) {
	fns, err := namedArgs(name, arg, []string{"n", "input"}, nil)
	if err != nil {
		return nil, err
	}
	dir := 1
	if name == "$maxN" {
		dir = -1
	}
	return func(c evalCtx) (bson.RawValue, error) {
		args := map[string]bson.RawValue{}
		for k, fn := range fns {
			v, err := fn(c)
			if err != nil {
				return bson.RawValue{}, err
			}
			args[k] = v
		}
		_, vals, err := nAndInput(args)
		if err != nil {
			return args["n"], err
		}
		vals = slices.DeleteFunc(vals, nullish)
		slices.SortStableFunc(vals, func(a, b bson.RawValue) int { return c.vars.compare(a, b) * dir })
		n, _ := number.Exact(args["n"])
		return value.ArrayOf(vals[:min(n, int64(len(vals)))]...), nil
	}, nil
}
