package number

import (
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Sum adds numbers without losing what a plain addition of doubles would: it
// keeps the rounding error beside the total. The zero Sum is 0.
type Sum struct {
	hi, lo float64 // of the ints, longs and doubles
	plain  float64 // the simple total, for infinities and NaN
	dec    Dec
	wide   bson.Type // the widest type seen
	n      int64
}

// Add adds a number; other values change nothing.
func (s *Sum) Add(v bson.RawValue) {
	if !Is(v) {
		return
	}
	s.n++
	s.wide = Wider(s.wide, v.Type)
	switch v.Type {
	case bson.TypeDecimal128:
		s.dec = s.total().add(Decimal(v)).rounded()
	case bson.TypeInt64:
		i := v.Int64()
		high := i &^ (1<<11 - 1)
		s.addFloat(float64(high))
		s.addFloat(float64(i - high))
	default:
		s.addFloat(Float(v))
	}
}

// addFloat is Knuth's two-sum.
func (s *Sum) addFloat(x float64) {
	s.plain += x
	a := s.hi
	sum := a + x
	b := sum - a
	s.lo += (a - (sum - b)) + (x - b)
	s.hi = sum
}

// float is the total of all but the decimals.
func (s *Sum) float() float64 {
	if math.IsInf(s.plain, 0) || math.IsNaN(s.plain) {
		return s.plain
	}
	return s.hi + s.lo
}

// whole is the total of ints and longs if a long holds it.
func (s *Sum) whole() (int64, bool) {
	if sum := s.hi + s.lo; math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, false
	}
	hi, lo := big.NewFloat(s.hi), big.NewFloat(s.lo)
	i, acc := new(big.Float).SetPrec(200).Add(hi, lo).Int64()
	return i, acc == big.Exact
}

// Count returns how many numbers were added.
func (s *Sum) Count() int64 { return s.n }

// Value returns the total in the widest type seen; ints and longs that
// overflow a long become a double.
func (s *Sum) Value() bson.RawValue {
	switch s.wide {
	case bson.TypeDecimal128:
		return s.decimal().Value()
	case bson.TypeDouble:
		return value.Double(s.float())
	case bson.TypeInt32, bson.TypeInt64:
		if i, ok := s.whole(); ok {
			return Integer(i, s.wide)
		}
		return value.Double(s.float())
	default:
		return value.Int32(0)
	}
}

// decimal is the total of everything.
func (s *Sum) decimal() Dec {
	f := s.float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return s.total().add(fromFloat(f, digits))
	}
	d := s.total()
	for _, part := range []float64{s.hi, s.lo} {
		if part != 0 {
			d = d.add(fromFloat(part, digits).trim(0))
		}
	}
	return d
}

// total is the sum of the decimals alone.
func (s *Sum) total() Dec {
	if s.dec.coef == nil && s.dec.inf == 0 && !s.dec.nan {
		return zero
	}
	return s.dec
}

// Average returns the mean: a decimal if one was added, else a double; null of
// nothing.
func (s *Sum) Average() bson.RawValue {
	switch {
	case s.n == 0:
		return value.Null()
	case s.wide == bson.TypeDecimal128:
		return s.decimal().rounded().quo(Dec{coef: big.NewInt(s.n)}).Value()
	}
	return value.Double(s.float() / float64(s.n))
}

// rounded keeps the digits that a decimal128 has.
func (d Dec) rounded() Dec {
	if d.coef == nil {
		return d
	}
	return d.round(digits).signed(d.Negative())
}
