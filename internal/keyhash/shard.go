package keyhash

import (
	"crypto/md5"
	"encoding/binary"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Shard returns the hash that the server keeps in a hashed index for v
// (db/hasher.cpp): the first eight bytes of an MD5 over a seed of zero, the
// canonical type and the value, numbers cut to 64-bit integers. A missing field
// hashes as null.
func Shard(v bson.RawValue) int64 {
	buf := make([]byte, 4, 64)
	buf = appendHashed(buf, "", false, v)
	sum := md5.Sum(buf)
	return int64(binary.LittleEndian.Uint64(sum[:8]))
}

func appendHashed(dst []byte, name string, named bool, v bson.RawValue) []byte {
	canonical := canonicalType(v.Type)
	if v.Type == bson.TypeUndefined {
		canonical = 0
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(canonical))
	if named {
		dst = append(append(dst, name...), 0)
	}
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return binary.LittleEndian.AppendUint64(dst, uint64(serverLong(v)))
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return appendHashedDocument(dst, v.Value)
	case bson.TypeCodeWithScope:
		return appendHashedCode(dst, v.Value)
	default:
		return append(dst, v.Value...)
	}
}

func appendHashedDocument(dst []byte, doc bson.Raw) []byte {
	elems, err := doc.Elements()
	if err != nil {
		return append(dst, doc...)
	}
	for _, e := range elems {
		dst = appendHashed(dst, e.Key(), true, e.Value())
	}
	return append(dst, 0, 0, 0, 0)
}

// appendHashedCode hashes code with scope: int32 length, a string, a document.
func appendHashedCode(dst, value []byte) []byte {
	if len(value) < 8 {
		return append(dst, value...)
	}
	end := 8 + int(binary.LittleEndian.Uint32(value[4:]))
	if end < 8 || end > len(value) {
		return append(dst, value...)
	}
	return appendHashedDocument(append(dst, value[8:end]...), value[end:])
}

// serverLong is BSONElement::safeNumberLongForHash.
func serverLong(v bson.RawValue) int64 {
	switch v.Type {
	case bson.TypeDouble:
		if f, _ := v.DoubleOK(); f == 1<<63 {
			return math.MinInt64
		}
	case bson.TypeDecimal128:
		if hi, lo, ok := decimalOf(v); ok {
			return decimalInt(bson.NewDecimal128(hi, lo), true)
		}
	default: // every other number is cut alike
	}
	return truncated(v)
}
