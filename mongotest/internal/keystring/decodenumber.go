package keystring

import (
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// decoded is a number as the key tells it: double, or whole if not nil, or all
// digits of a decimal if not nil.
type decoded struct {
	negative bool
	size     float64
	whole    *uint64
	digits   *value.DecimalParts
	exact    *big.Rat // set where size may be rounded
}

func (d *decoder) number(ctype byte) (bson.RawValue, error) {
	kind := d.bits.read(2)
	switch {
	case ctype == ctZero:
		return d.zero(kind), nil
	case ctype == ctNaN && kind == bitsDecimal:
		return value.Decimal(bson.NewDecimal128(0x1f<<58, 0)), nil
	case ctype == ctNaN:
		return value.Double(math.NaN()), nil
	}
	n, err := d.size(ctype)
	if err != nil {
		return bson.RawValue{}, err
	}
	if kind == bitsDecimal {
		return d.asDecimal(n)
	}
	if n.digits != nil {
		return bson.RawValue{}, malformed("digits of a decimal for another number")
	}
	return n.plain(kind)
}

func (d *decoder) zero(kind uint32) bson.RawValue {
	switch kind {
	case bitsInt:
		return value.Int32(0)
	case bitsLong:
		return value.Int64(0)
	case bitsDouble:
		return value.Double(0)
	}
	special := d.bits.read(zeroKindBits)
	if special == 0 {
		return value.Double(math.Copysign(0, -1))
	}
	z := (special-1)<<zeroExponentBits | d.bits.read(zeroExponentBits)
	negative := z >= negativeZero
	if negative {
		z -= negativeZero
	}
	exponent := min(int(z), negativeZero-1) - value.DecimalBias
	return value.DecimalOf(negative, new(big.Int), exponent)
}

// size reads what follows a number's first byte.
func (d *decoder) size(ctype byte) (decoded, error) {
	switch {
	case ctype == ctNegativeLarge || ctype == ctPositiveLarge:
		return d.large(ctype == ctNegativeLarge)
	case ctype == ctNegativeSmall || ctype == ctPositiveSmall:
		return d.small(ctype == ctNegativeSmall)
	case ctype <= ctNegative1:
		return d.whole(int(ctNegative1+1-ctype), true)
	default:
		return d.whole(int(ctype-ctPositive1+1), false)
	}
}

func (d *decoder) sized(n int, negative bool) (uint64, error) {
	b, err := d.take(n)
	if err != nil {
		return 0, err
	}
	var buf [8]byte
	copy(buf[8-n:], b)
	if negative {
		invert(buf[8-n:])
	}
	return binary.BigEndian.Uint64(buf[:]), nil
}

func (d *decoder) large(negative bool) (decoded, error) {
	n := decoded{negative: negative, size: math.Inf(1)}
	b, err := d.sized(8, negative)
	if err != nil || b == infinity {
		return n, err
	}
	if b>>63 == 1 {
		return n, malformed("a large number is not in the form of this package")
	}
	n.size = math.Float64frombits(b>>1 | 1<<62)
	if math.IsInf(n.size, 0) || math.IsNaN(n.size) {
		return n, malformed("a large number is out of range")
	}
	return d.more(n, b&1 != 0)
}

func (d *decoder) small(negative bool) (decoded, error) {
	n := decoded{negative: negative}
	b, err := d.sized(8, negative)
	if err != nil {
		return n, err
	}
	shift := 1
	if b >= tinyBits {
		shift = 2
	}
	n.size = math.Float64frombits(b >> shift)
	if n.size >= 1 {
		return n, malformed("a small number is out of range")
	}
	more := b&(1<<shift-1) != 0
	if n.size == 0 && !more {
		return n, malformed("a small number is zero")
	}
	return d.more(n, more)
}

// whole reads an integer of k bytes and the fraction that may follow.
func (d *decoder) whole(k int, negative bool) (decoded, error) {
	n := decoded{negative: negative}
	v, err := d.sized(k, negative)
	if err != nil {
		return n, err
	}
	ip := v >> 1
	if v&1 == 0 {
		if ip == 0 {
			return n, malformed("an integer is zero")
		}
		n.whole = &ip
		return n, nil
	}
	fb := 8 - k
	frac, err := d.sized(fb, negative)
	if err != nil {
		return n, err
	}
	more := fb == 0 || frac&3 != 0
	frac &^= 3
	n.exact = new(big.Rat).SetFrac(new(big.Int).SetUint64(frac), new(big.Int).Lsh(big.NewInt(1), uint(8*fb)))
	n.exact.Add(n.exact, new(big.Rat).SetFrac(new(big.Int).SetUint64(ip), big.NewInt(1)))
	n.size, _ = n.exact.Float64()
	return d.more(n, more)
}

// more reads the digits of a decimal if there are some.
func (d *decoder) more(n decoded, more bool) (decoded, error) {
	if !more {
		return n, nil
	}
	raw, err := d.take(continuationBytes)
	if err != nil {
		return n, err
	}
	b := append([]byte(nil), raw...)
	if n.negative {
		invert(b)
	}
	n.digits = &value.DecimalParts{
		Negative:    n.negative,
		Coefficient: new(big.Int).SetBytes(b[2:]),
		Exponent:    int(binary.BigEndian.Uint16(b)) - continuationBias,
	}
	return n, nil
}

// plain returns the number as an int, long or double.
func (n decoded) plain(kind uint32) (bson.RawValue, error) {
	if kind == bitsDouble || n.whole == nil {
		f := n.size
		if n.whole != nil {
			f = float64(*n.whole)
		}
		if n.negative {
			f = -f
		}
		if kind == bitsLong && f == -(1<<63) {
			return value.Int64(math.MinInt64), nil
		}
		return value.Double(f), nil
	}
	i := int64(*n.whole)
	if n.negative {
		i = -i
	}
	if kind == bitsInt && i >= math.MinInt32 && i <= math.MaxInt32 {
		return value.Int32(int32(i)), nil
	}
	return value.Int64(i), nil
}

// asDecimal returns the decimal whose exponent ends in the bits that the type
// bits hold.
func (d *decoder) asDecimal(n decoded) (bson.RawValue, error) {
	if math.IsInf(n.size, 0) {
		high := uint64(0x1e) << 58
		if n.negative {
			high |= 1 << 63
		}
		return value.Decimal(bson.NewDecimal128(high, 0)), nil
	}
	stored := int(d.bits.read(exponentBits))
	coefficient, exponent := n.shortest()
	ten, r := big.NewInt(10), new(big.Int)
	for q := new(big.Int); ; {
		if q.QuoRem(coefficient, ten, r); r.Sign() != 0 || coefficient.Sign() == 0 {
			break
		}
		coefficient.Set(q)
		exponent++
	}
	for digits := len(coefficient.String()); digits <= decimalDigits; digits++ {
		biased := exponent + value.DecimalBias
		if biased >= 0 && biased < negativeZero && biased&(1<<exponentBits-1) == stored {
			return value.DecimalOf(n.negative, coefficient, exponent), nil
		}
		coefficient.Mul(coefficient, ten)
		exponent--
	}
	return bson.RawValue{}, malformed("a decimal has no such exponent")
}

// shortest returns the number as an integer times a power of ten.
func (n decoded) shortest() (coefficient *big.Int, exponent int) {
	switch {
	case n.digits != nil:
		return n.digits.Coefficient, n.digits.Exponent
	case n.whole != nil:
		return new(big.Int).SetUint64(*n.whole), 0
	}
	r := n.exact
	if r == nil {
		r = new(big.Rat).SetFloat64(n.size)
	}
	// The denominator is 2^k, so 5^k makes it a power of ten.
	k := r.Denom().BitLen() - 1
	fives := new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(k)), nil)
	return new(big.Int).Mul(r.Num(), fives), -k
}
