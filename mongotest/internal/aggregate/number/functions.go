package number

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Function is a function of one number: in doubles, and in decimals with all
// their digits.
type Function struct {
	Float func(float64) float64
	Dec   func(Dec) Dec
}

// splitExp cuts "-1.234e+05" into "-1234" and 5.
func splitExp(s string) (mant string, exp int) {
	mant, e, _ := strings.Cut(s, "e")
	exp, _ = strconv.Atoi(e)
	return strings.Replace(mant, ".", "", 1), exp
}

var zero, one = Dec{coef: new(big.Int)}, Dec{coef: big.NewInt(1)}

// Exp is e^d.
func (d Dec) Exp() Dec {
	switch {
	case d.nan || d.inf > 0:
		return d
	case d.inf < 0:
		return zero
	case d.isZero():
		return one
	}
	switch f := d.float(); {
	case f > 15000:
		return Dec{inf: 1}
	case f < -15000:
		return Dec{coef: new(big.Int), exp: minExp}
	case math.Abs(f) < 1e-35:
		return one
	}
	return fromBig(bigExp(d.big()))
}

// Ln is the natural logarithm of a d that is not negative.
func (d Dec) Ln() Dec {
	switch {
	case d.nan || d.inf != 0:
		return d
	case d.isZero():
		return Dec{inf: -1}
	case d.cmp(one) == 0:
		return zero
	}
	return fromBig(bigLn(d.big()))
}

// Log10 is the decimal logarithm of a d that is not negative, exact for the
// powers of ten.
func (d Dec) Log10() Dec {
	if d.coef == nil || d.isZero() {
		return d.Ln()
	}
	if t := d.trim(math.MaxInt32); t.coef.Cmp(one.coef) == 0 {
		return Dec{coef: big.NewInt(int64(t.exp))}
	}
	r := fromBig(newFloat().Quo(bigLn(d.big()), bigLn10()))
	if whole := r.trim(0); whole.exp == 0 {
		return whole
	}
	return r
}

// Log is the logarithm of d to a base: the quotient of two rounded logarithms.
func (d Dec) Log(base Dec) Dec { return d.Ln().quo(base.Ln()) }

// Sqrt is the square root of a d that is not negative.
func (d Dec) Sqrt() Dec {
	if d.coef == nil {
		return d
	}
	ideal := d.exp >> 1
	if d.isZero() {
		return Dec{coef: new(big.Int), exp: ideal, minus: d.minus}
	}
	coef := new(big.Int).Set(d.coef)
	if d.exp != 2*ideal {
		coef.Mul(coef, big.NewInt(10))
	}
	const extra = digits + 6
	coef.Mul(coef, pow10(2*extra))
	root := new(big.Int).Sqrt(coef)
	if new(big.Int).Mul(root, root).Cmp(coef) == 0 {
		return Dec{coef: root, exp: ideal - extra}.trim(ideal)
	}
	root.Add(root.Mul(root, big.NewInt(10)), big.NewInt(1)) // inexact: no tie when it is rounded
	return Dec{coef: root, exp: ideal - extra - 1}
}

// Pow is d to the power of o, with all digits unless it is exact by nature.
func (d Dec) Pow(o Dec) Dec {
	switch {
	case o.isZero() || d.coef != nil && d.cmp(one) == 0:
		return one
	case d.nan || o.nan:
		return Dec{nan: true}
	case d.coef == nil || o.coef == nil || d.isZero():
		if f := math.Pow(d.float(), o.float()); f != 0 {
			return fromFloat(f, digits)
		}
		return Dec{coef: new(big.Int), exp: minExp}
	}
	whole := o.Scale(0, Down)
	integral := Dec{coef: whole}.cmp(o) == 0
	if d.sign() < 0 && !integral {
		return Dec{nan: true}
	}
	magnitude := d
	if d.sign() < 0 {
		magnitude = d.neg()
	}
	e := newFloat().Mul(bigLn(magnitude.big()), o.big())
	var r Dec
	switch f, _ := e.Float64(); {
	case f > 15000:
		r = Dec{inf: 1}
	case f < -15000:
		r = Dec{coef: new(big.Int), exp: minExp}
	default:
		r = fromBig(bigExp(e))
	}
	if d.sign() < 0 && whole.Bit(0) == 1 {
		return r.neg()
	}
	return r
}

// Neg is -d.
func (d Dec) Neg() Dec { return d.neg() }

// Sign is -1, 0 or +1; NaN has none.
func (d Dec) Sign() int { return d.sign() }

// Compare orders numbers that are not NaN.
func (d Dec) Compare(o Dec) int {
	if d.inf != 0 || o.inf != 0 {
		return d.inf - o.inf
	}
	return d.cmp(o)
}
