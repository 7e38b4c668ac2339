package number

import (
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Is reports whether v is an int, long, double or decimal.
func Is(v bson.RawValue) bool { return rank(v.Type) > 0 }

func rank(t bson.Type) int {
	switch t {
	case bson.TypeInt32:
		return 1
	case bson.TypeInt64:
		return 2
	case bson.TypeDouble:
		return 3
	case bson.TypeDecimal128:
		return 4
	default:
		return 0
	}
}

// Wider returns the type a computation with both types has.
func Wider(a, b bson.Type) bson.Type {
	if rank(a) >= rank(b) {
		return a
	}
	return b
}

// Float returns a number as a double, rounded where it must be.
func Float(v bson.RawValue) float64 {
	switch v.Type {
	case bson.TypeInt32:
		return float64(v.Int32())
	case bson.TypeInt64:
		return float64(v.Int64())
	case bson.TypeDouble:
		return v.Double()
	case bson.TypeDecimal128:
		return Decimal(v).float()
	default:
		return 0
	}
}

// Int returns a number without its fraction. It is not ok when v is no number
// or does not fit an int64.
func Int(v bson.RawValue) (int64, bool) {
	switch v.Type {
	case bson.TypeInt32:
		return int64(v.Int32()), true
	case bson.TypeInt64:
		return v.Int64(), true
	case bson.TypeDouble:
		f := math.Trunc(v.Double())
		if math.IsNaN(f) || f < -(1<<63) || f >= 1<<63 {
			return 0, false
		}
		return int64(f), true
	case bson.TypeDecimal128:
		i, ok := Decimal(v).trunc()
		return i, ok
	default:
		return 0, false
	}
}

// Exact returns a number that has no fraction and fits an int64.
func Exact(v bson.RawValue) (int64, bool) {
	i, ok := Int(v)
	if !ok {
		return 0, false
	}
	switch v.Type {
	case bson.TypeDouble:
		return i, float64(i) == v.Double()
	case bson.TypeDecimal128:
		return i, Decimal(v).cmp(Dec{coef: big.NewInt(i)}) == 0
	default:
		return i, true
	}
}

// Add returns a+b. fits is false when two integers overflow a long; the result
// is a double then.
func Add(a, b bson.RawValue) (sum bson.RawValue, fits bool) {
	return apply(a, b, addInt, func(x, y float64) float64 { return x + y }, Dec.add)
}

// Sub returns a-b like Add.
func Sub(a, b bson.RawValue) (bson.RawValue, bool) {
	return apply(a, b, subInt, func(x, y float64) float64 { return x - y }, Dec.sub)
}

// Mul returns a*b like Add.
func Mul(a, b bson.RawValue) (bson.RawValue, bool) {
	return apply(a, b, mulInt, func(x, y float64) float64 { return x * y }, Dec.mul)
}

// Div returns a/b: a double unless one of them is a decimal. The caller has
// ruled out a zero divisor where that is an error.
func Div(a, b bson.RawValue) bson.RawValue {
	if Wider(a.Type, b.Type) == bson.TypeDecimal128 {
		return Decimal(a).quo(Decimal(b)).Value()
	}
	return value.Double(Float(a) / Float(b))
}

// Mod returns the remainder of a/b with the sign of a. The caller has ruled
// out a zero divisor.
func Mod(a, b bson.RawValue) bson.RawValue {
	switch t := Wider(a.Type, b.Type); t {
	case bson.TypeDecimal128:
		return Decimal(a).rem(Decimal(b)).Value()
	case bson.TypeDouble:
		return value.Double(math.Mod(Float(a), Float(b)))
	default:
		x, _ := Int(a)
		y, _ := Int(b)
		if y == -1 {
			return Integer(0, t)
		}
		return Integer(x%y, t)
	}
}

// IsZero reports whether a number is zero.
func IsZero(v bson.RawValue) bool {
	if v.Type == bson.TypeDecimal128 {
		return Decimal(v).isZero()
	}
	return Float(v) == 0
}

// Integer returns i as an int if t asks for one and it fits, else as a long.
func Integer(i int64, t bson.Type) bson.RawValue {
	if t == bson.TypeInt32 && i >= math.MinInt32 && i <= math.MaxInt32 {
		return value.Int32(int32(i))
	}
	return value.Int64(i)
}

func apply(a, b bson.RawValue, ints func(x, y int64) (int64, bool), floats func(x, y float64) float64, decs func(x, y Dec) Dec) (bson.RawValue, bool) {
	switch t := Wider(a.Type, b.Type); t {
	case bson.TypeDecimal128:
		return decs(Decimal(a), Decimal(b)).Value(), true
	case bson.TypeDouble:
		return value.Double(floats(Float(a), Float(b))), true
	default:
		x, _ := Int(a)
		y, _ := Int(b)
		if r, ok := ints(x, y); ok {
			return Integer(r, t), true
		}
		return value.Double(floats(float64(x), float64(y))), false
	}
}

func addInt(x, y int64) (int64, bool) {
	r := x + y
	return r, (r > x) == (y > 0)
}

func subInt(x, y int64) (int64, bool) {
	r := x - y
	return r, (r < x) == (y > 0)
}

func mulInt(x, y int64) (int64, bool) {
	if x == 0 || y == 0 {
		return 0, true
	}
	r := x * y
	if x == -1 && y == math.MinInt64 || y == -1 && x == math.MinInt64 {
		return 0, false
	}
	return r, r/y == x
}
