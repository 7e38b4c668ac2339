package hashkey

import (
	"crypto/md5"
	"encoding/binary"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Hash returns the server's 64 bit hash of v with seed 0. A missing value
// hashes as null. Numbers that agree in their whole part hash the same.
func Hash(v bson.RawValue) int64 {
	if v.Type == 0 {
		v = value.Null()
	}
	buf := make([]byte, 4, 64) // the seed comes first: int32 0
	sum := md5.Sum(appendRecord(buf, "", false, v))
	return int64(binary.LittleEndian.Uint64(sum[:8]))
}

// appendRecord appends what the server feeds its hash with for one element.
func appendRecord(dst []byte, name string, named bool, v bson.RawValue) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(value.CanonicalType(v.Type))))
	if named {
		dst = append(dst, name...)
		dst = append(dst, 0)
	}
	switch {
	case value.IsNumber(v.Type):
		return binary.LittleEndian.AppendUint64(dst, uint64(whole(v)))
	case v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray:
		return appendFields(dst, bson.Raw(v.Value))
	case v.Type == bson.TypeCodeWithScope && len(v.Value) >= 8:
		n := int(binary.LittleEndian.Uint32(v.Value[4:]))
		if n < 0 || 8+n > len(v.Value) {
			return dst
		}
		dst = append(dst, v.Value[8:8+n]...)
		return appendFields(dst, bson.Raw(v.Value[8+n:]))
	default:
		return append(dst, v.Value...)
	}
}

func appendFields(dst []byte, doc bson.Raw) []byte {
	for name, v := range value.Elements(doc) {
		dst = appendRecord(dst, name, true, v)
	}
	return append(dst, 0, 0, 0, 0) // the canonical type of the end of a document
}

// whole returns the number that is hashed in v's place.
func whole(v bson.RawValue) int64 {
	if f, ok := v.DoubleOK(); ok && f == 1<<63 {
		// The server's check for the upper limit lets exactly 2^63 through, and
		// the conversion that follows turns it into the lowest long.
		return math.MinInt64
	}
	if v.Type == bson.TypeDecimal128 && value.IsFinite(v) {
		return value.RoundHalfEven(v)
	}
	i, _ := value.AsInt64(v)
	return i
}
