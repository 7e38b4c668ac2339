package number

import (
	"math/big"
	"sync"
)

// prec is the precision in bits in which functions are computed before they
// are rounded to the 34 digits of a decimal128.
const prec = 420

func newFloat() *big.Float { return new(big.Float).SetPrec(prec) }

func floatOf(n int64) *big.Float { return newFloat().SetInt64(n) }

// big converts a finite d.
func (d Dec) big() *big.Float {
	f := newFloat().SetInt(d.coef)
	scale := newFloat().SetInt(pow10(abs(d.exp)))
	if d.exp < 0 {
		return f.Quo(f, scale)
	}
	return f.Mul(f, scale)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// fromBig rounds to all digits of a decimal128.
func fromBig(f *big.Float) Dec {
	if f.IsInf() {
		return Dec{inf: f.Sign()}
	}
	mant, exp := splitExp(f.Text('e', digits-1))
	coef, _ := new(big.Int).SetString(mant, 10)
	return Dec{coef: coef, exp: exp - (digits - 1)}
}

// series sums the terms that next makes, each from its number and the one
// before, until they no longer count.
func series(first *big.Float, next func(n int64, term *big.Float)) *big.Float {
	sum, term := newFloat().Set(first), newFloat().Set(first)
	for n := int64(1); ; n++ {
		next(n, term)
		if term.Sign() == 0 || sum.Sign() != 0 && term.MantExp(nil) < sum.MantExp(nil)-prec {
			return sum
		}
		sum.Add(sum, term)
	}
}

// odd sums z^(2n+1)/(2n+1), with changing signs if alternate: atan or atanh.
func odd(z *big.Float, alternate bool) *big.Float {
	square := newFloat().Mul(z, z)
	if alternate {
		square.Neg(square)
	}
	power := newFloat().Set(z)
	return series(z, func(n int64, term *big.Float) {
		power.Mul(power, square)
		term.Quo(power, floatOf(2*n+1))
	})
}

var (
	bigLn2 = sync.OnceValue(func() *big.Float {
		return newFloat().Mul(floatOf(2), odd(newFloat().Quo(floatOf(1), floatOf(3)), false))
	})
	bigLn10 = sync.OnceValue(func() *big.Float { return bigLn(floatOf(10)) })
	// Machin: π = 16 atan(1/5) - 4 atan(1/239).
	bigPi = sync.OnceValue(func() *big.Float {
		a := odd(newFloat().Quo(floatOf(1), floatOf(5)), true)
		b := odd(newFloat().Quo(floatOf(1), floatOf(239)), true)
		return newFloat().Sub(a.Mul(a, floatOf(16)), b.Mul(b, floatOf(4)))
	})
)

// bigLn is the natural logarithm of a positive number.
func bigLn(x *big.Float) *big.Float {
	m := newFloat()
	k := x.MantExp(m) // m in [0.5, 1)
	z := newFloat().Quo(newFloat().Sub(m, floatOf(1)), newFloat().Add(m, floatOf(1)))
	r := odd(z, false)
	r.Mul(r, floatOf(2))
	return r.Add(r, newFloat().Mul(floatOf(int64(k)), bigLn2()))
}

// bigExp is e^x for |x| below about 2^30.
func bigExp(x *big.Float) *big.Float {
	k, _ := newFloat().Quo(x, bigLn2()).Int64()
	r := newFloat().Sub(x, newFloat().Mul(floatOf(k), bigLn2()))
	sum := series(floatOf(1), func(n int64, term *big.Float) {
		term.Mul(term, r)
		term.Quo(term, floatOf(n))
	})
	return sum.SetMantExp(sum, int(k))
}

// bigSinCos reduces x to (-2π, 2π) and sums the series.
func bigSinCos(x *big.Float) (sin, cos *big.Float) {
	turn := newFloat().Mul(bigPi(), floatOf(2))
	k, _ := newFloat().Quo(x, turn).Int(nil)
	r := newFloat().Sub(x, newFloat().Mul(newFloat().SetInt(k), turn))
	square := newFloat().Mul(r, r)
	square.Neg(square)
	sin = series(r, func(n int64, term *big.Float) {
		term.Mul(term, square)
		term.Quo(term, floatOf(2*n*(2*n+1)))
	})
	cos = series(floatOf(1), func(n int64, term *big.Float) {
		term.Mul(term, square)
		term.Quo(term, floatOf(2*n*(2*n-1)))
	})
	return sin, cos
}

// bigAtan halves the angle until the series is short.
func bigAtan(x *big.Float) *big.Float {
	one := floatOf(1)
	z, doubled := newFloat().Set(x), 0
	for ; doubled < 4; doubled++ {
		root := newFloat().Sqrt(newFloat().Add(one, newFloat().Mul(z, z)))
		z.Quo(z, root.Add(root, one))
	}
	r := odd(z, true)
	return r.SetMantExp(r, doubled)
}
