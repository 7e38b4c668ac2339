package aggregate

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func compileLet(name string, arg bson.RawValue) (evalFunc, error) {
	raw, err := rawArgs(name, arg, []string{"vars", "in"}, nil)
	if err != nil {
		return nil, err
	}
	if raw["vars"].Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.FailedToParse, "invalid parameter: expected an object (vars)")
	}
	var names []string
	var fns []evalFunc
	for k, v := range value.Elements(raw["vars"].Value) {
		if err := checkVariable(k); err != nil {
			return nil, err
		}
		fn, err := compile(v)
		if err != nil {
			return nil, err
		}
		names, fns = append(names, k), append(fns, fn)
	}
	in, err := compile(raw["in"])
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		vals, err := evalAll(c, fns)
		if err != nil {
			return bson.RawValue{}, err
		}
		for i, n := range names {
			c.vars = c.vars.With(n, vals[i])
		}
		return in(c)
	}, nil
}

// checkVariable refuses names that a user's variable may not have.
func checkVariable(name string) error {
	if name == "CURRENT" {
		return nil
	}
	if name == "" || name[0] < 0x80 && (name[0] < 'a' || name[0] > 'z') {
		return mongoerr.New(mongoerr.FailedToParse, "'%s' starts with an invalid character for a user variable name", name)
	}
	for i := range len(name) {
		c := name[i]
		if c < 0x80 && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return mongoerr.New(mongoerr.FailedToParse, "'%s' contains an invalid character for a variable name: '%c'", name, c)
		}
	}
	return nil
}

// loop is what $map and $filter share: an input array, a name for the element
// and an expression for each.
type loop struct {
	input, each, limit evalFunc
	as                 string
}

func compileLoop(name, body string, arg bson.RawValue) (loop, error) {
	raw, err := rawArgs(name, arg, []string{"input", body}, []string{"as", "limit"})
	if err != nil {
		return loop{}, err
	}
	l := loop{as: "this"}
	if as, ok := raw["as"]; ok {
		l.as, _ = as.StringValueOK()
		if err := checkVariable(l.as); err != nil {
			return loop{}, err
		}
	}
	if l.input, err = compile(raw["input"]); err != nil {
		return loop{}, err
	}
	if l.each, err = compile(raw[body]); err != nil {
		return loop{}, err
	}
	if x, ok := raw["limit"]; ok {
		l.limit, err = compile(x)
	}
	return l, err
}

// run calls visit with each element and the expression's value for it until
// visit says stop. ok is false for a null input.
func (l loop) run(c evalCtx, name string, code mongoerr.Code, visit func(elem, v bson.RawValue) (more bool)) (ok bool, err error) {
	in, err := l.input(c)
	switch {
	case err != nil:
		return false, err
	case nullish(in):
		return false, nil
	case in.Type != bson.TypeArray:
		return false, mongoerr.New(code, "input to %s must be an array not %s", name, rawdoc.TypeName(in.Type))
	}
	outer := c.vars
	for _, e := range value.Elements(in.Value) {
		c.vars = outer.With(l.as, e)
		v, err := l.each(c)
		if err != nil {
			return false, err
		}
		if !visit(e, v) {
			break
		}
	}
	return true, nil
}

func compileMap(name string, arg bson.RawValue) (evalFunc, error) {
	l, err := compileLoop(name, "in", arg)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		var b rawdoc.Builder
		ok, err := l.run(c, name, 16883, func(_, v bson.RawValue) bool {
			if v.Type == 0 {
				v = value.Null()
			}
			b.Push(v)
			return b.Size() <= rawdoc.MaxSize
		})
		return arrayOrNull(b.Bytes(), ok), err
	}, nil
}

func compileFilter(name string, arg bson.RawValue) (evalFunc, error) {
	l, err := compileLoop(name, "cond", arg)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		limit := int64(-1)
		if l.limit != nil {
			v, err := l.limit(c)
			if err != nil {
				return v, err
			}
			n, whole := number.Exact(v)
			switch {
			case nullish(v):
			case whole && n < 1:
				return v, mongoerr.New(327392, "$filter: limit must be greater than 0, found %d", n)
			case !whole || n > math.MaxInt32:
				return v, mongoerr.New(327391, "$filter: limit must be represented as a 32-bit integral value greater than 0: %s", rawdoc.Render(v))
			}
			if whole {
				limit = n
			}
		}
		var b rawdoc.Builder
		ok, err := l.run(c, name, 28651, func(e, v bson.RawValue) bool {
			if truthy(v) {
				b.Push(e)
			}
			return int64(b.Len()) != limit
		})
		return arrayOrNull(b.Bytes(), ok), err
	}, nil
}

func arrayOrNull(arr bson.Raw, ok bool) bson.RawValue {
	if !ok {
		return value.Null()
	}
	return value.Array(arr)
}

func compileReduce(name string, arg bson.RawValue) (evalFunc, error) {
	fns, err := namedArgs(name, arg, []string{"input", "initialValue", "in"}, nil)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		in, err := fns["input"](c)
		if err != nil {
			return in, err
		}
		if nullish(in) {
			return value.Null(), nil
		}
		if in.Type != bson.TypeArray {
			return in, mongoerr.New(40080, "$reduce requires that 'input' be an array, found: %s", rawdoc.Render(in))
		}
		acc, err := fns["initialValue"](c)
		if err != nil {
			return acc, err
		}
		outer := c.vars
		for _, e := range value.Elements(in.Value) {
			c.vars = outer.With("this", e).With("value", acc)
			if acc, err = fns["in"](c); err != nil {
				return acc, err
			}
		}
		return acc, nil
	}, nil
}

func compileSortArray(name string, arg bson.RawValue) (evalFunc, error) {
	raw, err := rawArgs(name, arg, []string{"input", "sortBy"}, nil)
	if err != nil {
		return nil, err
	}
	less, err := elementOrder(raw["sortBy"])
	if err != nil {
		return nil, err
	}
	input, err := compile(raw["input"])
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		in, err := input(c)
		switch {
		case err != nil:
			return in, err
		case nullish(in):
			return value.Null(), nil
		case in.Type != bson.TypeArray:
			return in, mongoerr.New(2942504, "The input argument to $sortArray must be an array, but was of type: %s", rawdoc.TypeName(in.Type))
		}
		vals := rawdoc.Values(in.Value)
		slices.SortStableFunc(vals, func(a, b bson.RawValue) int { return less(c.vars, a, b) })
		return value.ArrayOf(vals...), nil
	}, nil
}
