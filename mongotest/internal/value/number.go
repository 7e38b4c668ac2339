package value

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func i32(v bson.RawValue) int32 {
	if len(v.Value) < 4 {
		return 0
	}
	return int32(binary.LittleEndian.Uint32(v.Value))
}

func f64(v bson.RawValue) float64 { return math.Float64frombits(u64(v)) }

// integer returns the value of an int or a long.
func integer(v bson.RawValue) (int64, bool) {
	switch v.Type {
	case bson.TypeInt32:
		return int64(i32(v)), true
	case bson.TypeInt64:
		return int64(u64(v)), true
	default:
		return 0, false
	}
}

func compareNumbers(a, b bson.RawValue) int {
	ai, aInt := integer(a)
	bi, bInt := integer(b)
	aDouble, bDouble := a.Type == bson.TypeDouble, b.Type == bson.TypeDouble
	switch {
	case aInt && bInt:
		return cmp.Compare(ai, bi)
	case aDouble && bDouble:
		return cmp.Compare(f64(a), f64(b)) // takes NaN as lowest and equal to itself
	case aInt && bDouble:
		return compareIntDouble(ai, f64(b))
	case aDouble && bInt:
		return -compareIntDouble(bi, f64(a))
	default:
		return compareDecimals(a, b)
	}
}

// compareIntDouble compares without rounding i to a double.
func compareIntDouble(i int64, f float64) int {
	switch {
	case math.IsNaN(f) || f < -(1<<63):
		return 1
	case f >= 1<<63:
		return -1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(whole, f)
}

// compareDecimals compares two numbers of which one at least is a decimal.
func compareDecimals(a, b bson.RawValue) int {
	ca, cb := numberClass(a), numberClass(b)
	if ca != cb || ca != finite {
		return cmp.Compare(ca, cb)
	}
	if a.Type == bson.TypeDecimal128 && b.Type == bson.TypeDecimal128 {
		return comparePairOfDecimals(Decimal128(a), Decimal128(b))
	}
	return Rat(a).Cmp(Rat(b))
}

func comparePairOfDecimals(a, b DecimalParts) int {
	as, bs := a.Coefficient.Sign(), b.Coefficient.Sign()
	if a.Negative {
		as = -as
	}
	if b.Negative {
		bs = -bs
	}
	if as != bs || as == 0 {
		return cmp.Compare(as, bs)
	}
	// Numbers whose leading digits stand apart need no exact arithmetic.
	ad, bd := len(a.Coefficient.String())+a.Exponent, len(b.Coefficient.String())+b.Exponent
	if ad != bd {
		return as * cmp.Compare(ad, bd)
	}
	ac, bc := a.Coefficient, b.Coefficient
	if d := a.Exponent - b.Exponent; d > 0 {
		ac = new(big.Int).Mul(ac, Pow10(d))
	} else if d < 0 {
		bc = new(big.Int).Mul(bc, Pow10(-d))
	}
	return as * ac.Cmp(bc)
}

// The classes of numbers, in the order in which they sort.
const (
	notANumber = iota
	minusInfinity
	finite
	plusInfinity
)

func numberClass(v bson.RawValue) int {
	negative := false
	switch v.Type {
	case bson.TypeDouble:
		f := f64(v)
		if math.IsNaN(f) {
			return notANumber
		}
		if !math.IsInf(f, 0) {
			return finite
		}
		negative = f < 0
	case bson.TypeDecimal128:
		p := Decimal128(v)
		if p.Kind == DecimalNaN {
			return notANumber
		}
		if p.Kind == DecimalFinite {
			return finite
		}
		negative = p.Negative
	default:
		return finite
	}
	if negative {
		return minusInfinity
	}
	return plusInfinity
}

// IsNaN reports whether v is the double or decimal NaN.
func IsNaN(v bson.RawValue) bool {
	return IsNumber(v.Type) && numberClass(v) == notANumber
}

// IsFinite reports whether v is a number other than NaN and the infinities.
func IsFinite(v bson.RawValue) bool {
	return IsNumber(v.Type) && numberClass(v) == finite
}

// Rat returns the exact value of a number for which IsFinite holds.
func Rat(v bson.RawValue) *big.Rat {
	if i, ok := integer(v); ok {
		return new(big.Rat).SetInt64(i)
	}
	if v.Type == bson.TypeDecimal128 {
		return Decimal128(v).rat()
	}
	return new(big.Rat).SetFloat64(f64(v))
}
