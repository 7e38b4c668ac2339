package topology

import (
	"bytes"
	"cmp"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// compareKeys compares two keys of one index whose fields are ascending, as the
// server orders them (manual: comparison and sort order).
func compareKeys(a, b bson.Raw) int {
	x, err1 := a.Values()
	y, err2 := b.Values()
	if err1 != nil || err2 != nil {
		return bytes.Compare(a, b) // broken: bounds come from a server, which checks them
	}
	for i := range min(len(x), len(y)) {
		if c := compareValues(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// ranks has the order of types. Types of one rank are compared with each other.
var ranks = map[bson.Type]int{
	bson.TypeMinKey: 0, bson.TypeUndefined: 1, bson.TypeNull: 2,
	bson.TypeDouble: 3, bson.TypeInt32: 3, bson.TypeInt64: 3, bson.TypeDecimal128: 3,
	bson.TypeString: 4, bson.TypeSymbol: 4, bson.TypeEmbeddedDocument: 5, bson.TypeArray: 6, bson.TypeBinary: 7,
	bson.TypeObjectID: 8, bson.TypeBoolean: 9, bson.TypeDateTime: 10, bson.TypeTimestamp: 11, bson.TypeRegex: 12,
	bson.TypeDBPointer: 13, bson.TypeJavaScript: 14, bson.TypeCodeWithScope: 15, bson.TypeMaxKey: 16,
}

func compareValues(a, b bson.RawValue) int {
	if c := cmp.Compare(ranks[a.Type], ranks[b.Type]); c != 0 {
		return c
	}
	switch a.Type {
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128:
		return compareNumbers(a, b)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return bytes.Compare(a.Value[4:], b.Value[4:]) // after the length
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return compareDocuments(a.Value, b.Value)
	case bson.TypeBinary:
		return cmp.Or(bytes.Compare(reversed(a.Value[:4]), reversed(b.Value[:4])), bytes.Compare(a.Value[4:], b.Value[4:]))
	case bson.TypeDateTime:
		return cmp.Compare(a.DateTime(), b.DateTime())
	case bson.TypeTimestamp:
		return bytes.Compare(reversed(a.Value), reversed(b.Value))
	default:
		return bytes.Compare(a.Value, b.Value)
	}
}

func compareDocuments(a, b bson.Raw) int {
	x, _ := a.Elements()
	y, _ := b.Elements()
	for i := range min(len(x), len(y)) {
		v, w := x[i].Value(), y[i].Value()
		if c := cmp.Or(cmp.Compare(ranks[v.Type], ranks[w.Type]), cmp.Compare(x[i].Key(), y[i].Key()), compareValues(v, w)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// compareNumbers compares by value, whatever the types; NaN comes first.
func compareNumbers(a, b bson.RawValue) int {
	x, xNaN := number(a)
	y, yNaN := number(b)
	switch {
	case xNaN || yNaN:
		return cmp.Compare(rankNaN(xNaN), rankNaN(yNaN))
	default:
		return x.Cmp(y)
	}
}

func rankNaN(is bool) int {
	if is {
		return 0
	}
	return 1
}

// number returns the value of a number, and whether it is none.
func number(v bson.RawValue) (f *big.Float, isNaN bool) {
	const precision = 256 // bits; a Decimal128 has 113 and an exponent of 10
	f = new(big.Float).SetPrec(precision)
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return f.SetInt64(v.AsInt64()), false
	case bson.TypeDouble:
		d := v.Double()
		if math.IsNaN(d) {
			return f, true
		}
		return f.SetFloat64(d), false
	default:
		d := v.Decimal128()
		if d.IsNaN() {
			return f, true
		}
		if sign := d.IsInf(); sign != 0 {
			return f.SetInf(sign < 0), false
		}
		f, _, err := big.ParseFloat(d.String(), 10, precision, big.ToNearestEven)
		return f, err != nil
	}
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c
	}
	return out
}
