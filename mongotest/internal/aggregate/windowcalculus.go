package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// compileCalculus compiles $derivative and $integral, over the sort value as
// their variable.
func compileCalculus(op string, arg bson.RawValue, windowed bool, keys []sortKey) (windowFunc, error) {
	raw, err := rawArgs(op, arg, []string{"input"}, []string{"unit"})
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 || op == "$derivative" && !windowed {
		return nil, mongoerr.New(mongoerr.FailedToParse, "%s requires a sortBy with exactly one element and an explicit window", op)
	}
	scale := 0.0
	if u, given := raw["unit"]; given {
		s, ok := u.StringValueOK()
		ms, fixed := unitMillis(s)
		if !ok || !fixed {
			return nil, mongoerr.New(5490704, "unit must be 'week' or smaller")
		}
		scale = ms
	}
	input, err := compile(raw["input"])
	if err != nil {
		return nil, err
	}
	return func(p partition) ([]bson.RawValue, error) {
		ys, err := p.eval(input)
		if err != nil {
			return nil, err
		}
		sorted, err := sortValues(p, keys)
		if err != nil {
			return nil, err
		}
		spans, err := p.spans(func() ([]bson.RawValue, error) { return sorted, nil })
		if err != nil {
			return nil, err
		}
		xs, err := abscissas(op, sorted, scale)
		if err != nil {
			return nil, err
		}
		out := make([]bson.RawValue, len(ys))
		for i, s := range spans {
			if op == "$derivative" {
				out[i], err = slope(xs[s.from:s.to], ys[s.from:s.to])
			} else {
				out[i] = trapezoids(xs[s.from:s.to], ys[s.from:s.to])
			}
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	}, nil
}

// abscissas are the sort values as numbers: dates in units since 1970.
func abscissas(op string, vals []bson.RawValue, scale float64) ([]bson.RawValue, error) {
	out := make([]bson.RawValue, len(vals))
	for i, v := range vals {
		switch {
		case v.Type == bson.TypeDateTime && scale == 0:
			return nil, mongoerr.New(5624900, "%s where the sortBy is a Date requires an 'unit'", op)
		case v.Type == bson.TypeDateTime:
			out[i] = value.Double(float64(v.DateTime()) / scale)
		case !number.Is(v):
			return nil, mongoerr.New(5624901, "%s where the sortBy is not numeric or a Date: found %s", op, typeName(v))
		case scale != 0:
			return nil, mongoerr.New(5624902, "%s with unit expects the sortBy field to be a Date", op)
		default:
			out[i] = v
		}
	}
	return out, nil
}

// slope between the ends of a frame.
func slope(xs, ys []bson.RawValue) (bson.RawValue, error) {
	if len(xs) < 2 {
		return value.Null(), nil
	}
	first, last := ys[0], ys[len(ys)-1]
	if nullish(first) || nullish(last) {
		return value.Null(), nil
	}
	if !number.Is(first) || !number.Is(last) {
		return first, mongoerr.New(5624903, "$derivative input must be numeric")
	}
	dy, _ := number.Sub(last, first)
	dx, _ := number.Sub(xs[len(xs)-1], xs[0])
	if number.IsZero(dx) {
		return value.Null(), nil
	}
	return number.Div(dy, dx), nil
}

// trapezoids is the area under the points by the trapezoidal rule.
func trapezoids(xs, ys []bson.RawValue) bson.RawValue {
	if len(xs) == 0 {
		return value.Null()
	}
	sum := value.Double(0)
	for i := range xs {
		if !number.Is(ys[i]) {
			return value.Null()
		}
		if i == 0 {
			continue
		}
		h, _ := number.Add(ys[i], ys[i-1])
		w, _ := number.Sub(xs[i], xs[i-1])
		t, _ := number.Mul(h, w)
		sum, _ = number.Add(sum, number.Div(t, value.Int32(2)))
	}
	return sum
}

// compileWindowFill compiles $locf and $linearFill, which replace nulls from
// their neighbours.
func compileWindowFill(op string, arg bson.RawValue, windowed bool, keys []sortKey) (windowFunc, error) {
	input, err := compile(arg)
	if err != nil {
		return nil, err
	}
	switch {
	case windowed:
		return nil, mongoerr.New(mongoerr.FailedToParse, "'window' field is not allowed in %s", op)
	case op == "$linearFill" && len(keys) != 1:
		return nil, mongoerr.New(605001, "$linearFill must be specified with a top level sortBy expression with exactly one element")
	}
	return func(p partition) ([]bson.RawValue, error) {
		vals, err := p.eval(input)
		if err != nil {
			return nil, err
		}
		if op == "$locf" {
			last := value.Null()
			for i, v := range vals {
				if !nullish(v) {
					last = v
				}
				vals[i] = last
			}
			return vals, nil
		}
		xs, err := sortValues(p, keys)
		if err != nil {
			return nil, err
		}
		return interpolated(xs, vals)
	}, nil
}

func interpolated(xs, vals []bson.RawValue) ([]bson.RawValue, error) {
	known := -1
	for i, v := range vals {
		if nullish(v) {
			vals[i] = value.Null()
			continue
		}
		if !number.Is(v) {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "Value to be filled must be numeric or nullish")
		}
		for k := known + 1; known >= 0 && k < i; k++ {
			x, err := fraction(xs[known], xs[k], xs[i])
			if err != nil {
				return nil, err
			}
			dy, _ := number.Sub(v, vals[known])
			part, _ := number.Mul(dy, x)
			vals[k], _ = number.Add(vals[known], part)
		}
		known = i
	}
	return vals, nil
}

// fraction says how far x is from a to b.
func fraction(a, x, b bson.RawValue) (bson.RawValue, error) {
	num := [3]bson.RawValue{a, x, b}
	for i, v := range num {
		if v.Type == bson.TypeDateTime {
			num[i] = value.Int64(v.DateTime())
		} else if !number.Is(v) {
			return v, mongoerr.New(mongoerr.TypeMismatch, "$linearFill sortBy values must be numeric or dates")
		}
	}
	top, _ := number.Sub(num[1], num[0])
	bottom, _ := number.Sub(num[2], num[0])
	if number.IsZero(bottom) {
		return a, mongoerr.New(6050106, "There can be no repeated values in the sort field")
	}
	return number.Div(top, bottom), nil
}
