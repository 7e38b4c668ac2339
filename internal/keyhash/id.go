package keyhash

import (
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// ID returns a hash of v under which values that compare equal (simple
// collation: 1, 1.0 and Decimal128 1.00; null and undefined; a string and a
// symbol) are equal. It is coarse on purpose: 1 and 1.9 are equal too. A value
// that cannot be parsed hashes by its bytes.
func ID(v bson.RawValue) uint64 { return hashValue(fnvOffset, v) }

// Collated is ID for a collection whose default collation is not simple: all
// values whose order a collation may change hash to one constant.
func Collated(v bson.RawValue) uint64 {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol, bson.TypeEmbeddedDocument, bson.TypeArray:
		return fnvOffset
	default:
		return ID(v)
	}
}

// Key returns a hash of every field of a key document, names included, with
// the same coarseness as ID. Keys that an index holds for equal hash equal.
func Key(key bson.Raw) uint64 { return hashDocument(fnvOffset, key) }

func hashBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

func hashInt(h uint64, i int64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(i))
	return hashBytes(h, b[:])
}

func hashValue(h uint64, v bson.RawValue) uint64 {
	h = hashInt(h, int64(canonicalType(v.Type)))
	switch v.Type {
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
		return h
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return hashInt(h, truncated(v))
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return hashDocument(h, v.Value)
	default:
		return hashBytes(h, v.Value)
	}
}

func hashDocument(h uint64, doc bson.Raw) uint64 {
	elems, err := doc.Elements()
	if err != nil {
		return hashBytes(h, doc)
	}
	for _, e := range elems {
		h = hashBytes(h, []byte(e.Key()))
		h = hashValue(h, e.Value())
	}
	return h
}

// canonicalType is the server's order of BSON types (bsontypes.h
// canonicalizeBSONType), with undefined moved to null.
func canonicalType(t bson.Type) int32 {
	switch t {
	case bson.TypeMinKey:
		return -1
	case bson.TypeMaxKey:
		return 127
	case bson.TypeNull, bson.TypeUndefined:
		return 5
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return 10
	case bson.TypeString, bson.TypeSymbol:
		return 15
	case bson.TypeEmbeddedDocument:
		return 20
	case bson.TypeArray:
		return 25
	case bson.TypeBinary:
		return 30
	case bson.TypeObjectID:
		return 35
	case bson.TypeBoolean:
		return 40
	case bson.TypeDateTime:
		return 45
	case bson.TypeTimestamp:
		return 47
	case bson.TypeRegex:
		return 50
	case bson.TypeDBPointer:
		return 55
	case bson.TypeJavaScript:
		return 60
	case bson.TypeCodeWithScope:
		return 65
	}
	return int32(t)
}

// truncated returns a number cut to an int64: toward zero, clamped, NaN as 0.
// Numbers that compare equal are cut to the same integer.
func truncated(v bson.RawValue) int64 {
	switch v.Type {
	case bson.TypeInt32:
		i, _ := v.Int32OK()
		return int64(i)
	case bson.TypeInt64:
		i, _ := v.Int64OK()
		return i
	case bson.TypeDouble:
		f, _ := v.DoubleOK()
		return clampFloat(f)
	default:
		hi, lo, ok := decimalOf(v)
		if !ok {
			return 0
		}
		return decimalInt(bson.NewDecimal128(hi, lo), false)
	}
}

func decimalOf(v bson.RawValue) (hi, lo uint64, ok bool) {
	if v.Type != bson.TypeDecimal128 || len(v.Value) < 16 {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(v.Value[8:]), binary.LittleEndian.Uint64(v.Value), true
}

func clampFloat(f float64) int64 {
	switch {
	case math.IsNaN(f):
		return 0
	case f >= 1<<63:
		return math.MaxInt64
	case f < -(1 << 63):
		return math.MinInt64
	}
	return int64(f)
}

// decimalInt cuts d to an int64, clamped, NaN as 0; halfEven rounds instead.
func decimalInt(d bson.Decimal128, halfEven bool) int64 {
	switch inf := d.IsInf(); {
	case d.IsNaN():
		return 0
	case inf > 0:
		return math.MaxInt64
	case inf < 0:
		return math.MinInt64
	}
	n, exp, err := d.BigInt()
	if err != nil || n.Sign() == 0 {
		return 0
	}
	switch {
	case exp > 20: // at least 10^21, beyond any int64
		exp = 20
		n = big.NewInt(int64(n.Sign()) * 10)
	case exp < -40: // a coefficient has 34 digits
		return 0
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
	if exp >= 0 {
		n.Mul(n, scale)
	} else {
		n = divide(n, scale, halfEven)
	}
	switch {
	case n.IsInt64():
		return n.Int64()
	case n.Sign() > 0:
		return math.MaxInt64
	}
	return math.MinInt64
}

func divide(n, by *big.Int, halfEven bool) *big.Int {
	q, rest := new(big.Int).QuoRem(n, by, new(big.Int))
	if !halfEven {
		return q
	}
	twice := new(big.Int).Abs(rest)
	twice.Lsh(twice, 1)
	if c := twice.Cmp(by); c > 0 || (c == 0 && q.Bit(0) == 1) {
		q.Add(q, big.NewInt(int64(n.Sign())))
	}
	return q
}
