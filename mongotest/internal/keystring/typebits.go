package keystring

import (
	"encoding/binary"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// typeBits is the stream of bits that tells apart what the key encodes alike.
// Bits fill each byte from the low end. A nil *typeBits drops what is written.
type typeBits struct {
	bytes []byte
	n     int // bits written or read so far
}

// The two bits that a number takes, and the one that a string takes.
const (
	bitsInt     = 0
	bitsLong    = 1
	bitsDouble  = 2
	bitsDecimal = 3

	bitString = 0
	bitSymbol = 1
)

// The decimal exponent keeps its low bits only: the digits tell the rest.
const (
	exponentBits     = 6
	zeroKindBits     = 3
	zeroExponentBits = 12
)

// write appends the low width bits of v, the highest first.
func (t *typeBits) write(v uint32, width int) {
	if t == nil {
		return
	}
	for i := width - 1; i >= 0; i-- {
		if t.n%8 == 0 {
			t.bytes = append(t.bytes, 0)
		}
		t.bytes[t.n/8] |= byte(v>>i&1) << (t.n % 8)
		t.n++
	}
}

// read returns the next width bits. Past the end all bits are 0.
func (t *typeBits) read(width int) uint32 {
	var v uint32
	for range width {
		v <<= 1
		if t.n/8 < len(t.bytes) {
			v |= uint32(t.bytes[t.n/8] >> (t.n % 8) & 1)
		}
		t.n++
	}
	return v
}

// serialize returns the form in which type bits are stored, nil if none is set.
func (t *typeBits) serialize() []byte {
	set := byte(0)
	for _, b := range t.bytes {
		set |= b
	}
	n := len(t.bytes)
	switch {
	case set == 0:
		return nil
	case n == 1 && t.bytes[0] < 0x80:
		return []byte{t.bytes[0]}
	case n <= 127:
		return append([]byte{0x80 | byte(n)}, t.bytes...)
	default:
		out := binary.LittleEndian.AppendUint32([]byte{0x80}, uint32(n))
		return append(out, t.bytes...)
	}
}

// parseTypeBits reads the stored form.
func parseTypeBits(b []byte) (*typeBits, error) {
	if len(b) == 0 {
		return &typeBits{}, nil
	}
	first, rest := b[0], b[1:]
	n := int64(first & 0x7f)
	switch {
	case first < 0x80:
		rest, n = b, 1
	case first == 0x80:
		if len(rest) < 4 {
			return nil, malformed("type bits are cut off")
		}
		n = int64(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
	}
	if n != int64(len(rest)) {
		return nil, malformed("type bits have a wrong length")
	}
	return &typeBits{bytes: rest}, nil
}

func malformed(format string, args ...any) error {
	return mongoerr.New(mongoerr.FailedToParse, "malformed KeyString: "+format, args...)
}
