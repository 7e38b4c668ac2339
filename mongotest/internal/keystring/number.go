package keystring

import (
	"encoding/binary"
	"math"
	"math/bits"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The bytes that start numbers. An integer of k bytes starts with
// ctPositive1-1+k or ctNegative1+1-k; a fraction from 1 on starts like its
// integer part.
const (
	ctNaN           = 0x1E
	ctNegativeLarge = 0x1F // down from -2^63
	ctNegative8     = 0x20
	ctNegative1     = 0x27
	ctNegativeSmall = 0x28 // between -1 and 0
	ctZero          = 0x29
	ctPositiveSmall = 0x2A // between 0 and 1
	ctPositive1     = 0x2B
	ctPositive8     = 0x32
	ctPositiveLarge = 0x33 // from 2^63 on
)

const (
	infinity = math.MaxUint64 // in place of a large number's bits

	// From this size down a small number keeps all but its sign bit, and so
	// starts with other bits than a larger one.
	tinyLimit = 0x1p-255
	tinyBits  = 0b11 << 62
)

func (e *encoder) number(v bson.RawValue) {
	switch v.Type {
	case bson.TypeInt32:
		e.bits.write(bitsInt, 2)
		e.integer(int64(v.Int32()))
	case bson.TypeInt64:
		e.bits.write(bitsLong, 2)
		e.integer(v.Int64())
	case bson.TypeDouble:
		e.double(v.Double())
	default:
		e.decimal(value.Decimal128(v))
	}
}

func (e *encoder) integer(i int64) {
	switch {
	case i == 0:
		e.dst = append(e.dst, ctZero)
	case i == math.MinInt64: // its size does not fit shifted into 64 bits
		e.large(-(1 << 63), 0, true)
	case i < 0:
		e.whole(uint64(-i)<<1, true)
	default:
		e.whole(uint64(i)<<1, false)
	}
}

func (e *encoder) double(d float64) {
	if d == 0 && math.Signbit(d) {
		e.bits.write(bitsDecimal, 2) // the prefix of the special zeros
		e.bits.write(0, zeroKindBits)
		e.dst = append(e.dst, ctZero)
		return
	}
	e.bits.write(bitsDouble, 2)
	size, negative := math.Abs(d), d < 0
	switch {
	case math.IsNaN(d):
		e.dst = append(e.dst, ctNaN)
	case size == 0:
		e.dst = append(e.dst, ctZero)
	case size >= 1<<63:
		e.large(size, 0, negative)
	case size < 1:
		e.small(size, true, negative)
	case size == math.Trunc(size):
		e.whole(uint64(size)<<1, negative)
	default:
		ip := uint64(size)
		fb := fractionBytes(ip)
		e.fraction(ip, fb, uint64(math.Ldexp(size, 8*fb))-ip<<(8*fb), negative)
	}
}

// whole encodes the shifted size of an integer in as few bytes as it takes. The
// lowest bit is 1 if more than the integer follows.
func (e *encoder) whole(shifted uint64, negative bool) {
	k := (bits.Len64(shifted) + 7) / 8
	start := len(e.dst)
	e.dst = append(e.dst, byte(ctPositive1-1+k))
	for i := k - 1; i >= 0; i-- {
		e.dst = append(e.dst, byte(shifted>>(8*i)))
	}
	if negative {
		e.dst[start] = byte(ctNegative1 + 1 - k)
		invert(e.dst[start+1:])
	}
}

// fractionBytes returns how many of eight bytes are left for the fraction of a
// number with the integer part ip.
func fractionBytes(ip uint64) int { return bits.LeadingZeros64(ip<<1) / 8 }

// fraction encodes a number from 1 to 2^63 with the integer part ip and the
// fraction frac/256^fb.
func (e *encoder) fraction(ip uint64, fb int, frac uint64, negative bool) {
	ctype := byte(ctPositive8 - fb)
	if negative {
		ctype = byte(ctNegative8 + fb)
	}
	e.sized(ctype, (ip<<1|1)<<(8*fb)+frac, negative)
}

// small encodes a number below 1. If it is not exactly size, more follows.
func (e *encoder) small(size float64, exact, negative bool) {
	ctype := byte(ctPositiveSmall)
	if negative {
		ctype = ctNegativeSmall
	}
	shift, more := 1, uint64(1)
	if size >= tinyLimit {
		shift, more = 2, 3
	}
	b := math.Float64bits(size) << shift
	if !exact {
		b |= more
	}
	e.sized(ctype, b, negative)
}

// large encodes a number from 2^63 on by its bits without the sign and the
// exponent's highest bit, which is always 1.
func (e *encoder) large(d float64, more uint64, negative bool) {
	ctype := byte(ctPositiveLarge)
	if negative {
		ctype = ctNegativeLarge
	}
	b := uint64(infinity)
	if !math.IsInf(d, 0) {
		b = math.Float64bits(d)<<1&^(1<<63) | more
	}
	e.sized(ctype, b, negative)
}

func (e *encoder) sized(ctype byte, b uint64, negative bool) {
	if negative {
		b = ^b
	}
	e.dst = binary.BigEndian.AppendUint64(append(e.dst, ctype), b)
}
