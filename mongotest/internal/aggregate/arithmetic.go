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
	"$round":    {1, 2, round("$round", number.HalfEven, math.RoundToEven)},
	"$trunc":    {1, 2, round("$trunc", number.Down, math.Trunc)},
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

// dateOf makes a date of a computed number of milliseconds; half of one counts
// as a whole.
func dateOf(ms bson.RawValue) (bson.RawValue, error) {
	switch ms.Type {
	case bson.TypeDouble:
		ms = value.Double(math.Round(ms.Double()))
	case bson.TypeDecimal128:
		if d := number.Decimal(ms); d.IsFinite() {
			ms = d.Quantize(0, number.HalfUp).Value()
		}
	default:
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
		d, _ := number.Sub(value.Int64(0), b)
		ms, err := dateOf(d)
		if err != nil {
			return ms, err
		}
		d, _ = number.Add(value.Int64(a.DateTime()), value.Int64(ms.DateTime()))
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

var errDivideByZero = mongoerr.New(mongoerr.BadValue, "can't $divide by zero")

func divide(args []bson.RawValue) (bson.RawValue, error) {
	a, b := args[0], args[1]
	switch {
	case anyNull(args):
		return value.Null(), nil
	case !number.Is(a) || !number.Is(b):
		return a, mongoerr.New(mongoerr.TypeMismatch, "$divide only supports numeric types, not %s and %s", rawdoc.TypeName(a.Type), rawdoc.TypeName(b.Type))
	case number.IsZero(b):
		return a, errDivideByZero
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
	case number.IsZero(b) && number.Wider(a.Type, b.Type) == bson.TypeDecimal128:
		return a, mongoerr.New(5733415, "can't $mod by zero")
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
