package value

import (
	"encoding/binary"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// DecimalKind says whether a decimal is a number.
type DecimalKind int

// The kinds of decimals.
const (
	DecimalFinite DecimalKind = iota
	DecimalInfinite
	DecimalNaN
)

// DecimalBias is what is added to a decimal's exponent in its encoding.
const DecimalBias = 6176

// DecimalParts is a decimal taken apart: (-1)^Negative * Coefficient * 10^Exponent.
// Coefficient is nil unless Kind is DecimalFinite.
type DecimalParts struct {
	Kind        DecimalKind
	Negative    bool
	Coefficient *big.Int
	Exponent    int
}

// Decimal128 takes a decimal value apart. A coefficient of more than 34 digits
// is not canonical and counts as zero, as IEEE 754 asks for.
func Decimal128(v bson.RawValue) DecimalParts {
	if v.Type != bson.TypeDecimal128 || len(v.Value) < 16 {
		return DecimalParts{Kind: DecimalNaN}
	}
	low, high := binary.LittleEndian.Uint64(v.Value), binary.LittleEndian.Uint64(v.Value[8:])
	p := DecimalParts{Negative: high>>63 == 1}
	switch high >> 58 & 0x1f {
	case 0x1e:
		p.Kind = DecimalInfinite
		return p
	case 0x1f:
		p.Kind = DecimalNaN
		return p
	}
	p.Coefficient = new(big.Int)
	if high>>61&3 == 3 { // a form whose coefficient is always too large
		p.Exponent = int(high>>47&0x3fff) - DecimalBias
		return p
	}
	p.Exponent = int(high>>49&0x3fff) - DecimalBias
	p.Coefficient.SetUint64(high & (1<<49 - 1))
	p.Coefficient.Lsh(p.Coefficient, 64)
	p.Coefficient.Or(p.Coefficient, new(big.Int).SetUint64(low))
	if p.Coefficient.Cmp(Pow10(34)) >= 0 {
		p.Coefficient.SetInt64(0)
	}
	return p
}

// DecimalOf puts a finite decimal together. The coefficient must be below
// 10^34 and not negative, the exponent within a decimal's range.
func DecimalOf(negative bool, coefficient *big.Int, exponent int) bson.RawValue {
	var buf [16]byte
	coefficient.FillBytes(buf[:])
	high, low := binary.BigEndian.Uint64(buf[:8]), binary.BigEndian.Uint64(buf[8:])
	high |= uint64(exponent+DecimalBias) << 49
	if negative {
		high |= 1 << 63
	}
	return Decimal(bson.NewDecimal128(high, low))
}

// Pow10 returns 10^n; n must not be negative.
func Pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// rat returns the exact value of a finite decimal.
func (p DecimalParts) rat() *big.Rat {
	c := p.Coefficient
	if p.Negative {
		c = new(big.Int).Neg(c)
	}
	if p.Exponent >= 0 {
		return new(big.Rat).SetInt(new(big.Int).Mul(c, Pow10(p.Exponent)))
	}
	return new(big.Rat).SetFrac(c, Pow10(-p.Exponent))
}
