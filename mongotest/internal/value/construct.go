package value

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Int32 returns i as a BSON value.
func Int32(i int32) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt32, Value: bsoncore.AppendInt32(nil, i)}
}

// Int64 returns i as a BSON value.
func Int64(i int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt64, Value: bsoncore.AppendInt64(nil, i)}
}

// Integer returns i as the smallest integer that holds it, as the server's
// BSONObjBuilder::appendNumber does.
func Integer(i int64) bson.RawValue {
	if int64(int32(i)) == i {
		return Int32(int32(i))
	}
	return Int64(i)
}

// Double returns f as a BSON value.
func Double(f float64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeDouble, Value: bsoncore.AppendDouble(nil, f)}
}

// Decimal returns d as a BSON value.
func Decimal(d bson.Decimal128) bson.RawValue {
	h, l := d.GetBytes()
	return bson.RawValue{Type: bson.TypeDecimal128, Value: bsoncore.AppendDecimal128(nil, h, l)}
}

// String returns s as a BSON string.
func String(s string) bson.RawValue {
	return bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, s)}
}

// Bool returns b as a BSON value.
func Bool(b bool) bson.RawValue {
	return bson.RawValue{Type: bson.TypeBoolean, Value: bsoncore.AppendBoolean(nil, b)}
}

// Null returns the null value.
func Null() bson.RawValue { return bson.RawValue{Type: bson.TypeNull} }

// Undefined returns the deprecated undefined value, which indexes use for an
// empty array.
func Undefined() bson.RawValue { return bson.RawValue{Type: bson.TypeUndefined} }

// MinKey returns the value below all others.
func MinKey() bson.RawValue { return bson.RawValue{Type: bson.TypeMinKey} }

// MaxKey returns the value above all others.
func MaxKey() bson.RawValue { return bson.RawValue{Type: bson.TypeMaxKey} }

// DateTime returns a date of ms milliseconds since 1970.
func DateTime(ms int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeDateTime, Value: bsoncore.AppendDateTime(nil, ms)}
}

// Timestamp returns ts as a BSON value.
func Timestamp(ts bson.Timestamp) bson.RawValue {
	return bson.RawValue{Type: bson.TypeTimestamp, Value: bsoncore.AppendTimestamp(nil, ts.T, ts.I)}
}

// Doc returns the document d as a value. It shares the bytes of d.
func Doc(d bson.Raw) bson.RawValue {
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: d}
}

// Array returns a, a document whose names are "0", "1" and so on, as an array.
// It shares the bytes of a.
func Array(a bson.Raw) bson.RawValue {
	return bson.RawValue{Type: bson.TypeArray, Value: a}
}

// ArrayOf returns an array of the given values.
func ArrayOf(vals ...bson.RawValue) bson.RawValue {
	i, dst := bsoncore.AppendArrayStart(nil)
	for n, v := range vals {
		dst = Append(dst, IndexName(n), v)
	}
	return Array(finish(dst, i))
}

// ObjectID returns id as a BSON value.
func ObjectID(id bson.ObjectID) bson.RawValue {
	return bson.RawValue{Type: bson.TypeObjectID, Value: bsoncore.AppendObjectID(nil, id)}
}

// Binary returns binary data b of the subtype sub.
func Binary(sub byte, b []byte) bson.RawValue {
	return bson.RawValue{Type: bson.TypeBinary, Value: bsoncore.AppendBinary(nil, sub, b)}
}

// Regex returns a regular expression value.
func Regex(pattern, options string) bson.RawValue {
	return bson.RawValue{Type: bson.TypeRegex, Value: bsoncore.AppendRegex(nil, pattern, options)}
}
