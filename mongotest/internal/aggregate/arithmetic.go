package aggregate

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var arithmeticOps = map[string]plain{
	"$add":      {0, -1, add},
	"$subtract": {2, 2, subtract},
	"$multiply": {0, -1, multiply},
	"$divide":   {2, 2, divide},
	"$mod":      {2, 2, mod},
	"$abs":      {1, 1, numeric("$abs", abs)},
	"$ceil":     {1, 1, numeric("$ceil", rounded(number.Ceil, math.Ceil))},
	"$floor":    {1, 1, numeric("$floor", rounded(number.Floor, math.Floor))},
	"$round":    {1, 2, round("$round", number.HalfEven)},
	"$trunc":    {1, 2, round("$trunc", number.Down)},
	"$sqrt":     {1, 1, numeric("$sqrt", sqrt)},
	"$exp":      {1, 1, numeric("$exp", float(math.Exp))},
	"$ln":       {1, 1, numeric("$ln", logarithm("$ln", math.Log))},
	"$log10":    {1, 1, numeric("$log10", logarithm("$log10", math.Log10))},
	"$log":      {2, 2, logBase},
	"$pow":      {2, 2, pow},
	"$bitAnd":   {0, -1, bits("$bitAnd", -1, func(a, b int64) int64 { return a & b })},
	"$bitOr":    {0, -1, bits("$bitOr", 0, func(a, b int64) int64 { return a | b })},
	"$bitXor":   {0, -1, bits("$bitXor", 0, func(a, b int64) int64 { return a ^ b })},
	"$bitNot":   {1, 1, bitNot},
}

// anyNull reports whether an operand makes the whole result null.
func anyNull(args []bson.RawValue) bool {
	for _, a := range args {
		if nullish(a) {
			return true
		}
	}
	return false
}

func add(args []bson.RawValue) (bson.RawValue, error) {
	sum := value.Int32(0)
	date := false
	for _, a := range args {
		switch {
		case nullish(a):
			return value.Null(), nil
		case a.Type == bson.TypeDateTime:
			if date {
				return a, mongoerr.New(16612, "only one date allowed in an $add expression")
			}
			date = true
			a = value.Int64(a.DateTime())
		case !number.Is(a):
			return a, mongoerr.New(mongoerr.TypeMismatch, "$add only supports numeric or date types, not %s", rawdoc.TypeName(a.Type))
		}
		sum, _ = number.Add(sum, a)
	}
	if date {
		return dateOf(sum)
	}
	return sum, nil
}

// dateOf makes a date of a computed number of milliseconds.
func dateOf(ms bson.RawValue) (bson.RawValue, error) {
	if ms.Type == bson.TypeDouble {
		ms = value.Double(math.RoundToEven(ms.Double()))
	}
	i, ok := number.Int(ms)
	if !ok {
		return ms, mongoerr.New(mongoerr.Overflow, "date overflow")
	}
	return value.DateTime(i), nil
}

func subtract(args []bson.RawValue) (bson.RawValue, error) {
	a, b := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case number.Is(a) && number.Is(b):
		d, _ := number.Sub(a, b)
		return d, nil
	case a.Type == bson.TypeDateTime && b.Type == bson.TypeDateTime:
		return value.Int64(a.DateTime() - b.DateTime()), nil
	case a.Type == bson.TypeDateTime && number.Is(b):
		d, _ := number.Sub(value.Int64(a.DateTime()), b)
		return dateOf(d)
	}
	return a, mongoerr.New(mongoerr.TypeMismatch, "can't $subtract %s from %s", rawdoc.TypeName(b.Type), rawdoc.TypeName(a.Type))
}

func multiply(args []bson.RawValue) (bson.RawValue, error) {
	product := value.Int32(1)
	for _, a := range args {
		if nullish(a) {
			return value.Null(), nil
		}
		if !number.Is(a) {
			return a, mongoerr.New(mongoerr.TypeMismatch, "$multiply only supports numeric types, not %s", rawdoc.TypeName(a.Type))
		}
		product, _ = number.Mul(product, a)
	}
	return product, nil
}

func divide(args []bson.RawValue) (bson.RawValue, error) {
	a, b := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case !number.Is(a) || !number.Is(b):
		return a, mongoerr.New(mongoerr.TypeMismatch, "$divide only supports numeric types, not %s and %s", rawdoc.TypeName(a.Type), rawdoc.TypeName(b.Type))
	case number.IsZero(b):
		return a, mongoerr.New(mongoerr.BadValue, "can't $divide by zero")
	}
	return number.Div(a, b), nil
}

func mod(args []bson.RawValue) (bson.RawValue, error) {
	a, b := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case !number.Is(a) || !number.Is(b):
		return a, mongoerr.New(16611, "$mod only supports numeric types, not %s and %s", rawdoc.TypeName(a.Type), rawdoc.TypeName(b.Type))
	case number.IsZero(b):
		return a, mongoerr.New(16610, "can't $mod by zero")
	}
	return number.Mod(a, b), nil
}

// numeric wraps a function of one number: null stays null, the rest is an error.
func numeric(name string, f func(bson.RawValue) (bson.RawValue, error)) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		switch {
		case nullish(args[0]):
			return value.Null(), nil
		case !number.Is(args[0]):
			return args[0], mongoerr.New(28765, "%s only supports numeric types, not %s", name, rawdoc.TypeName(args[0].Type))
		}
		return f(args[0])
	}
}

func abs(v bson.RawValue) (bson.RawValue, error) {
	if compare(v, value.Int32(0)) >= 0 {
		return v, nil
	}
	if v.Type == bson.TypeInt64 && v.Int64() == math.MinInt64 {
		return v, mongoerr.New(28680, "can't take $abs of long long min")
	}
	r, _ := number.Mul(v, value.Int32(-1))
	return r, nil
}

func rounded(dir number.Direction, f func(float64) float64) func(bson.RawValue) (bson.RawValue, error) {
	return func(v bson.RawValue) (bson.RawValue, error) {
		switch v.Type {
		case bson.TypeDouble:
			return value.Double(f(v.Double())), nil
		case bson.TypeDecimal128:
			return number.Decimal(v).Round(0, dir).Value(), nil
		default:
			return v, nil
		}
	}
}

func round(name string, dir number.Direction) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		v := args[0]
		places := int64(0)
		if anyNull(args) {
			return value.Null(), nil
		}
		if !number.Is(v) {
			return v, mongoerr.New(51081, "%s only supports numeric types, not %s", name, rawdoc.TypeName(v.Type))
		}
		if len(args) == 2 {
			var ok bool
			if places, ok = number.Exact(args[1]); !ok || places < -20 || places > 100 {
				return v, mongoerr.New(51083, "cannot apply %s with precision value %s value must be in [-20, 100]", name, rawdoc.Render(args[1]))
			}
		}
		if v.Type == bson.TypeDouble && (math.IsNaN(v.Double()) || math.IsInf(v.Double(), 0)) {
			return v, nil
		}
		if (v.Type == bson.TypeInt32 || v.Type == bson.TypeInt64) && places >= 0 {
			return v, nil
		}
		r := number.Decimal(v).Round(int(places), dir).Value()
		switch v.Type {
		case bson.TypeDecimal128:
			return r, nil
		case bson.TypeDouble:
			return value.Double(number.Float(r)), nil
		default:
			i, _ := number.Int(r)
			return number.Integer(i, v.Type), nil
		}
	}
}

// float lifts a function of doubles; a decimal stays one.
func float(f func(float64) float64) func(bson.RawValue) (bson.RawValue, error) {
	return func(v bson.RawValue) (bson.RawValue, error) {
		r := value.Double(f(number.Float(v)))
		if v.Type == bson.TypeDecimal128 {
			return number.Decimal(r).Value(), nil
		}
		return r, nil
	}
}

func sqrt(v bson.RawValue) (bson.RawValue, error) {
	if number.Float(v) < 0 {
		return v, mongoerr.New(28714, "$sqrt's argument must be greater than or equal to 0")
	}
	return float(math.Sqrt)(v)
}

func logarithm(name string, f func(float64) float64) func(bson.RawValue) (bson.RawValue, error) {
	return func(v bson.RawValue) (bson.RawValue, error) {
		if number.Float(v) <= 0 {
			return v, mongoerr.New(28766, "%s's argument must be a positive number, but is %s", name, rawdoc.Render(v))
		}
		return float(f)(v)
	}
}

func logBase(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	if !number.Is(args[0]) || !number.Is(args[1]) {
		return args[0], mongoerr.New(28756, "$log's argument must be numeric, not %s", rawdoc.TypeName(args[0].Type))
	}
	x, base := number.Float(args[0]), number.Float(args[1])
	if x <= 0 || base <= 0 || base == 1 {
		return args[0], mongoerr.New(28758, "$log's argument must be a positive number, but is %s", rawdoc.Render(args[0]))
	}
	return value.Double(math.Log(x) / math.Log(base)), nil
}

func pow(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	if !number.Is(args[0]) || !number.Is(args[1]) {
		return args[0], mongoerr.New(28762, "$pow's base must be numeric, not %s", rawdoc.TypeName(args[0].Type))
	}
	r := math.Pow(number.Float(args[0]), number.Float(args[1]))
	switch t := number.Wider(args[0].Type, args[1].Type); t {
	case bson.TypeDecimal128:
		return number.Decimal(value.Double(r)).Value(), nil
	case bson.TypeInt32, bson.TypeInt64:
		if r == math.Trunc(r) && math.Abs(r) < 1<<53 {
			return number.Integer(int64(r), t), nil
		}
		return value.Double(r), nil
	default:
		return value.Double(r), nil
	}
}

func bits(name string, unit int64, f func(a, b int64) int64) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		acc, t := unit, bson.TypeInt32
		for _, a := range args {
			if nullish(a) {
				return value.Null(), nil
			}
			if a.Type != bson.TypeInt32 && a.Type != bson.TypeInt64 {
				return a, mongoerr.New(mongoerr.TypeMismatch, "%s only supports int and long operands.", name)
			}
			i, _ := number.Int(a)
			acc, t = f(acc, i), number.Wider(t, a.Type)
		}
		return number.Integer(acc, t), nil
	}
}

func bitNot(args []bson.RawValue) (bson.RawValue, error) {
	a := args[0]
	switch {
	case nullish(a):
		return value.Null(), nil
	case a.Type != bson.TypeInt32 && a.Type != bson.TypeInt64:
		return a, mongoerr.New(28765, "$bitNot only supports int and long, not: %s.", rawdoc.TypeName(a.Type))
	}
	i, _ := number.Int(a)
	return number.Integer(^i, a.Type), nil
}
