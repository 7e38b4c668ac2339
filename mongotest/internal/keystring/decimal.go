package keystring

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const (
	decimalDigits = 34
	// A zero's sign and exponent go into the type bits: the exponent, plus this
	// if negative, in groups of 2^12 of which the number is never 0.
	negativeZero = 0x3000

	continuationBytes = 2 + 16
	continuationBias  = value.DecimalBias + decimalDigits // keeps its exponent positive
)

func (e *encoder) decimal(p value.DecimalParts) {
	e.bits.write(bitsDecimal, 2)
	switch {
	case p.Kind == value.DecimalNaN:
		e.dst = append(e.dst, ctNaN)
		return
	case p.Kind == value.DecimalInfinite:
		e.large(math.Inf(1), 0, p.Negative)
		return
	case p.Coefficient.Sign() == 0:
		z := uint32(p.Exponent + value.DecimalBias)
		if p.Negative {
			z += negativeZero
		}
		e.bits.write(z>>zeroExponentBits+1, zeroKindBits)
		e.bits.write(z, zeroExponentBits)
		e.dst = append(e.dst, ctZero)
		return
	}
	e.bits.write(uint32(p.Exponent+value.DecimalBias), exponentBits)
	if !e.decimalSize(p) {
		e.continuation(p)
	}
}

// decimalSize encodes the number nearest to zero's side of p that the other
// number types' encoding can hold, and reports whether that is all of p.
func (e *encoder) decimalSize(p value.DecimalParts) (exact bool) {
	num, den := ratio(p)
	whole, rest := new(big.Int).QuoRem(num, den, new(big.Int))
	switch {
	case whole.Sign() == 0:
		f, exact := towardsZero(num, den)
		e.small(f, exact, p.Negative)
		return exact
	case whole.BitLen() > 63:
		f, exact := towardsZero(num, den)
		more := uint64(1)
		if exact {
			more = 0
		}
		e.large(f, more, p.Negative)
		return exact
	case rest.Sign() == 0:
		e.whole(whole.Uint64()<<1, p.Negative)
		return true
	}
	ip := whole.Uint64()
	fb := fractionBytes(ip)
	if fb == 0 {
		e.whole(ip<<1|1, p.Negative)
		return false
	}
	frac, rest := rest.QuoRem(rest.Lsh(rest, uint(8*fb)), den, new(big.Int))
	f := frac.Uint64()
	exact = rest.Sign() == 0 && f&3 == 0
	if !exact {
		f |= 3
	}
	e.fraction(ip, fb, f, p.Negative)
	return exact
}

// continuation appends all digits of p, lined up so that they compare as bytes.
// It decides among decimals that decimalSize encodes alike.
func (e *encoder) continuation(p value.DecimalParts) {
	shift := decimalDigits - len(p.Coefficient.String())
	coefficient := new(big.Int).Mul(p.Coefficient, value.Pow10(shift))
	start := len(e.dst)
	e.dst = binary.BigEndian.AppendUint16(e.dst, uint16(p.Exponent-shift+continuationBias))
	var buf [16]byte
	e.dst = append(e.dst, coefficient.FillBytes(buf[:])...)
	if p.Negative {
		invert(e.dst[start:])
	}
}

// ratio returns the size of a finite decimal as a fraction.
func ratio(p value.DecimalParts) (num, den *big.Int) {
	if p.Exponent >= 0 {
		return new(big.Int).Mul(p.Coefficient, value.Pow10(p.Exponent)), big.NewInt(1)
	}
	return p.Coefficient, value.Pow10(-p.Exponent)
}

// towardsZero returns the largest double that is not above num/den.
func towardsZero(num, den *big.Int) (f float64, exact bool) {
	r := new(big.Rat).SetFrac(num, den)
	f, exact = r.Float64()
	if exact {
		return f, true
	}
	if math.IsInf(f, 1) {
		return math.MaxFloat64, false
	}
	if new(big.Rat).SetFloat64(f).Cmp(r) > 0 {
		f = math.Nextafter(f, 0)
	}
	return f, false
}
