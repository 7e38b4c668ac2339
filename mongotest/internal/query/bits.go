package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxBitPosition bounds the positions that a $bits operator may list.
const maxBitPosition = 1<<31 - 1

// bitTest is one of the four $bits operators.
type bitTest struct {
	positions []uint
	set       bool // looks for ones rather than zeros
	all       bool // wants all of them rather than any
}

func parseBits(op string, arg bson.RawValue) (predicate, error) {
	t := bitTest{
		set: op == "$bitsAllSet" || op == "$bitsAnySet",
		all: op == "$bitsAllSet" || op == "$bitsAllClear",
	}
	switch arg.Type {
	case bson.TypeArray:
		for _, e := range value.Elements(bson.Raw(arg.Value)) {
			i, ok := wholeNumber(e)
			if !ok || i < 0 || i > maxBitPosition {
				return nil, badValue("Failed to parse bit position. Expected a non-negative integer in: %s", rawdoc.Render(e))
			}
			t.positions = append(t.positions, uint(i))
		}
	case bson.TypeBinary:
		data := binaryBits(arg)
		for i := range uint(len(data) * 8) {
			if data[i/8]>>(i%8)&1 == 1 {
				t.positions = append(t.positions, i)
			}
		}
	default:
		if !value.IsNumber(arg.Type) {
			return nil, badValue("%s takes an Array, a number, or a BinData but received: %s", op, rawdoc.RenderElement(op, arg))
		}
		i, err := parseCount(op, arg)
		if err != nil {
			return nil, err
		}
		for n := range uint(63) {
			if i>>n&1 == 1 {
				t.positions = append(t.positions, n)
			}
		}
	}
	return t, nil
}

func (t bitTest) test(v bson.RawValue) (bool, error) {
	bit, ok := bitsOf(v)
	if !ok {
		return false, nil
	}
	for _, p := range t.positions {
		if hit := bit(p) == t.set; hit != t.all {
			return hit, nil
		}
	}
	return t.all, nil
}

// bitsOf returns how to read the bits of a value: a whole number in two's
// complement, continued by its sign, or binary data from its first byte on.
func bitsOf(v bson.RawValue) (func(p uint) bool, bool) {
	if v.Type == bson.TypeBinary {
		data := binaryBits(v)
		return func(p uint) bool {
			return p/8 < uint(len(data)) && data[p/8]>>(p%8)&1 == 1
		}, true
	}
	i, ok := wholeNumber(v)
	if !ok {
		return nil, false
	}
	return func(p uint) bool { return i>>min(p, 63)&1 == 1 }, true
}

// binaryBits returns the bytes of binary data. In the old subtype 2 these
// begin with a second length, which counts as data here.
func binaryBits(v bson.RawValue) []byte { return v.Value[min(5, len(v.Value)):] }
