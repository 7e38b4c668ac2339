package value

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Append appends one element, type byte, name and value, to dst.
func Append(dst []byte, key string, v bson.RawValue) []byte {
	dst = append(dst, byte(v.Type))
	dst = append(dst, key...)
	dst = append(dst, 0)
	return append(dst, v.Value...)
}

// IndexName returns the element name of position i of an array.
func IndexName(i int) string { return strconv.Itoa(i) }

// D builds a small document of name, value pairs:
// D("ok", 1.0, "n", int32(3)). Values may be BSON values, documents, slices of
// documents or strings, plain Go values (an int becomes an int32 if it fits), or
// whatever the driver can marshal. A missing RawValue (Type 0) is left out.
// It panics if a name is no string or a value cannot be a BSON value, since
// either is a mistake of the calling code.
func D(pairs ...any) bson.Raw {
	if len(pairs)%2 != 0 {
		panic("value.D: a name without a value")
	}
	i, dst := bsoncore.AppendDocumentStart(nil)
	for n := 0; n < len(pairs); n += 2 {
		if v := Of(pairs[n+1]); v.Type != 0 {
			dst = Append(dst, pairs[n].(string), v)
		}
	}
	return finish(dst, i)
}

// A builds an array of values, which may be of the types that D takes.
func A(vals ...any) bson.RawValue {
	raws := make([]bson.RawValue, len(vals))
	for i, v := range vals {
		raws[i] = Of(v)
	}
	return ArrayOf(raws...)
}

// Of returns a Go value as a BSON value; see D for what it takes.
func Of(x any) bson.RawValue {
	switch x := x.(type) {
	case nil:
		return Null()
	case bson.RawValue:
		return x
	case bson.Raw:
		if x == nil {
			return Null()
		}
		return Doc(x)
	case bson.RawArray:
		return Array(bson.Raw(x))
	case string:
		return String(x)
	case bool:
		return Bool(x)
	case int:
		if x >= math.MinInt32 && x <= math.MaxInt32 {
			return Int32(int32(x))
		}
		return Int64(int64(x))
	case int32:
		return Int32(x)
	case int64:
		return Int64(x)
	case float64:
		return Double(x)
	default:
		return ofDriverType(x)
	}
}

func ofDriverType(x any) bson.RawValue {
	switch x := x.(type) {
	case bson.ObjectID:
		return ObjectID(x)
	case bson.Timestamp:
		return Timestamp(x)
	case bson.DateTime:
		return DateTime(int64(x))
	case time.Time:
		return DateTime(x.UnixMilli())
	case bson.Decimal128:
		return Decimal(x)
	case bson.Binary:
		return Binary(x.Subtype, x.Data)
	case UUID:
		return Binary(4, x[:])
	case []bson.Raw:
		return arrayFrom(x, Doc)
	case []bson.RawValue:
		return ArrayOf(x...)
	case []string:
		return arrayFrom(x, String)
	case bson.A:
		return A(x...)
	}
	t, b, err := bson.MarshalValue(x)
	if err != nil {
		panic(fmt.Sprintf("value.Of: %T: %v", x, err))
	}
	return bson.RawValue{Type: t, Value: b}
}

func arrayFrom[T any](xs []T, f func(T) bson.RawValue) bson.RawValue {
	raws := make([]bson.RawValue, len(xs))
	for i, x := range xs {
		raws[i] = f(x)
	}
	return ArrayOf(raws...)
}

// finish writes the terminator and the length of a document begun at index i.
func finish(dst []byte, i int32) bson.Raw {
	dst = append(dst, 0)
	return bsoncore.UpdateLength(dst, i, int32(len(dst))-i)
}
