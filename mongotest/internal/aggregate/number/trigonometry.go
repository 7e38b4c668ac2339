package number

import (
	"math"
	"math/big"
)

// Trigonometric returns the function of an operator such as $sin.
func Trigonometric(name string) (Function, bool) {
	f, ok := map[string]Function{
		"$sin":   {math.Sin, ofFinite(func(x *big.Float) *big.Float { s, _ := bigSinCos(x); return s })},
		"$cos":   {math.Cos, ofFinite(func(x *big.Float) *big.Float { _, c := bigSinCos(x); return c })},
		"$tan":   {math.Tan, ofFinite(func(x *big.Float) *big.Float { s, c := bigSinCos(x); return s.Quo(s, c) })},
		"$asin":  {math.Asin, ofFinite(bigAsin)},
		"$acos":  {math.Acos, ofFinite(func(x *big.Float) *big.Float { return newFloat().Sub(half(bigPi()), bigAsin(x)) })},
		"$atan":  {math.Atan, decAtan},
		"$sinh":  {math.Sinh, hyperbolic(math.Sinh, func(p, n *big.Float) *big.Float { return half(p.Sub(p, n)) })},
		"$cosh":  {math.Cosh, hyperbolic(math.Cosh, func(p, n *big.Float) *big.Float { return half(p.Add(p, n)) })},
		"$tanh":  {math.Tanh, hyperbolic(math.Tanh, func(p, n *big.Float) *big.Float { return newFloat().Quo(newFloat().Sub(p, n), newFloat().Add(p, n)) })},
		"$asinh": {math.Asinh, area(math.Asinh, 1)},
		"$acosh": {math.Acosh, area(math.Acosh, -1)},
		"$atanh": {math.Atanh, decAtanh},
	}[name]
	return f, ok
}

func half(x *big.Float) *big.Float { return newFloat().Quo(x, floatOf(2)) }

// ofFinite lifts a function that infinite arguments do not have.
func ofFinite(f func(*big.Float) *big.Float) func(Dec) Dec {
	return func(d Dec) Dec {
		if d.coef == nil {
			return Dec{nan: true}
		}
		r := f(d.big())
		if r.Sign() == 0 {
			return zero.signed(d.Negative())
		}
		return fromBig(r)
	}
}

func bigAsin(x *big.Float) *big.Float {
	rest := newFloat().Sub(floatOf(1), newFloat().Mul(x, x))
	if rest.Sign() <= 0 {
		quarter := half(bigPi())
		if x.Sign() < 0 {
			quarter.Neg(quarter)
		}
		return quarter
	}
	return bigAtan(newFloat().Quo(x, rest.Sqrt(rest)))
}

func decAtan(d Dec) Dec {
	if d.inf != 0 {
		f := half(bigPi())
		if d.inf < 0 {
			f.Neg(f)
		}
		return fromBig(f)
	}
	return ofFinite(bigAtan)(d)
}

// hyperbolic makes a function of e^x and e^-x; what leaves the range of e^x is
// as in doubles.
func hyperbolic(limit func(float64) float64, f func(p, n *big.Float) *big.Float) func(Dec) Dec {
	return func(d Dec) Dec {
		if d.coef == nil || math.Abs(d.float()) > 15000 {
			return fromFloat(limit(d.float()), digits)
		}
		if d.isZero() {
			return fromFloat(limit(0), 1).trim(0).signed(d.minus)
		}
		x := d.big()
		return fromBig(f(bigExp(x), bigExp(newFloat().Neg(x))))
	}
}

// area is ln(x + sqrt(x²±1)).
func area(limit func(float64) float64, sign int64) func(Dec) Dec {
	return func(d Dec) Dec {
		if d.coef == nil {
			return fromFloat(limit(d.float()), digits)
		}
		if sign > 0 && d.sign() < 0 { // odd, and exact only on this side
			return area(limit, sign)(d.neg()).neg()
		}
		x := d.big()
		root := newFloat().Mul(x, x)
		root.Add(root, floatOf(sign))
		r := bigLn(x.Add(x, root.Sqrt(root)))
		if r.Sign() == 0 {
			return zero.signed(d.minus)
		}
		return fromBig(r)
	}
}

func decAtanh(d Dec) Dec {
	if d.coef == nil {
		return Dec{nan: true}
	}
	if c := d.cmp(one); c == 0 || d.neg().cmp(one) == 0 {
		return Dec{inf: d.sign()}
	}
	return ofFinite(func(x *big.Float) *big.Float {
		if x.Sign() == 0 {
			return x
		}
		q := newFloat().Quo(newFloat().Add(floatOf(1), x), newFloat().Sub(floatOf(1), x))
		return half(bigLn(q))
	})(d)
}

// Atan2 is the angle of the point (x, y).
func Atan2(y, x Dec) Dec {
	if y.coef == nil || x.coef == nil || x.isZero() || y.isZero() {
		f := math.Atan2(y.float(), x.float())
		switch {
		case math.Abs(f) == math.Pi:
			return signedBig(bigPi(), f)
		case math.Abs(f) == math.Pi/2:
			return signedBig(half(bigPi()), f)
		}
		return fromFloat(f, digits)
	}
	a := bigAtan(newFloat().Quo(y.big(), x.big()))
	if x.sign() < 0 {
		if y.sign() < 0 {
			a.Sub(a, bigPi())
		} else {
			a.Add(a, bigPi())
		}
	}
	return fromBig(a)
}

func signedBig(f *big.Float, sign float64) Dec {
	if sign < 0 {
		return fromBig(newFloat().Neg(f))
	}
	return fromBig(f)
}

// Degrees converts an angle in radians.
func (d Dec) Degrees() Dec { return d.scaled(floatOf(180), bigPi()) }

// Radians converts an angle in degrees.
func (d Dec) Radians() Dec { return d.scaled(bigPi(), floatOf(180)) }

func (d Dec) scaled(num, den *big.Float) Dec {
	if d.coef == nil || d.isZero() {
		return d
	}
	f := newFloat().Mul(d.big(), num)
	return fromBig(f.Quo(f, den))
}
