package value

import (
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// AsInt64 returns a number as an int64: the fraction of a double is cut off, that
// of a decimal rounded, what lies outside the range becomes the nearest limit,
// NaN becomes 0. ok is false if v is no number.
func AsInt64(v bson.RawValue) (i int64, ok bool) {
	if i, ok := integer(v); ok {
		return i, true
	}
	switch v.Type {
	case bson.TypeDouble:
		return clampFloat(f64(v)), true
	case bson.TypeDecimal128:
		switch numberClass(v) {
		case notANumber:
			return 0, true
		case minusInfinity:
			return math.MinInt64, true
		case plusInfinity:
			return math.MaxInt64, true
		}
		return clampRat(Rat(v)), true
	default:
		return 0, false
	}
}

// Truncate returns a finite number without its fraction, limited to the range of
// longs.
func Truncate(v bson.RawValue) int64 {
	if v.Type != bson.TypeDecimal128 {
		i, _ := AsInt64(v)
		return i
	}
	r := Rat(v)
	return clampRat(new(big.Rat).SetInt(new(big.Int).Quo(r.Num(), r.Denom())))
}

func clampFloat(f float64) int64 {
	switch {
	case math.IsNaN(f):
		return 0
	case f >= 1<<63:
		return math.MaxInt64
	case f < -(1 << 63):
		return math.MinInt64
	default:
		return int64(f)
	}
}

// clampRat rounds to the nearest integer, to the even one from the middle, as
// the server does with decimals.
func clampRat(r *big.Rat) int64 {
	q, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	half := rest.Abs(rest).Lsh(rest, 1).Cmp(r.Denom())
	if half > 0 || half == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(r.Sign())))
	}
	switch {
	case q.IsInt64():
		return q.Int64()
	case q.Sign() < 0:
		return math.MinInt64
	default:
		return math.MaxInt64
	}
}

// AsFloat64 returns a number as the nearest double. ok is false if v is no number.
func AsFloat64(v bson.RawValue) (f float64, ok bool) {
	if i, ok := integer(v); ok {
		return float64(i), true
	}
	switch v.Type {
	case bson.TypeDouble:
		return f64(v), true
	case bson.TypeDecimal128:
		switch numberClass(v) {
		case notANumber:
			return math.NaN(), true
		case minusInfinity:
			return math.Inf(-1), true
		case plusInfinity:
			return math.Inf(1), true
		}
		f, _ := Rat(v).Float64()
		return f, true
	default:
		return 0, false
	}
}

// Truthy reports whether the server takes v as true where a boolean is wanted:
// everything but false, zero, null, undefined and missing.
func Truthy(v bson.RawValue) bool {
	switch v.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return false
	case bson.TypeBoolean:
		return len(v.Value) > 0 && v.Value[0] != 0
	case bson.TypeInt32, bson.TypeInt64:
		i, _ := integer(v)
		return i != 0
	case bson.TypeDouble:
		return f64(v) != 0
	case bson.TypeDecimal128:
		p := Decimal128(v)
		return p.Kind != DecimalFinite || p.Coefficient.Sign() != 0
	default:
		return true
	}
}

// RoundHalfEven returns a finite number rounded to the nearest long, a half
// towards the even neighbour, and limited to the range of longs. It is how the
// server turns a decimal into a long.
func RoundHalfEven(v bson.RawValue) int64 {
	r := Rat(v)
	// floor(r + 1/2) is off only for a half above an even number.
	double := new(big.Int).Lsh(r.Num(), 1)
	den := new(big.Int).Lsh(r.Denom(), 1)
	q, m := new(big.Int).DivMod(double.Add(double, r.Denom()), den, new(big.Int))
	if m.Sign() == 0 && q.Bit(0) == 1 {
		q.Sub(q, big.NewInt(1))
	}
	return clampRat(new(big.Rat).SetInt(q))
}
