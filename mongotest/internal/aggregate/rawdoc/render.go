package rawdoc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var typeNames = map[bson.Type]string{
	0:                         "missing",
	bson.TypeDouble:           "double",
	bson.TypeString:           "string",
	bson.TypeEmbeddedDocument: "object",
	bson.TypeArray:            "array",
	bson.TypeBinary:           "binData",
	bson.TypeUndefined:        "undefined",
	bson.TypeObjectID:         "objectId",
	bson.TypeBoolean:          "bool",
	bson.TypeDateTime:         "date",
	bson.TypeNull:             "null",
	bson.TypeRegex:            "regex",
	bson.TypeDBPointer:        "dbPointer",
	bson.TypeJavaScript:       "javascript",
	bson.TypeSymbol:           "symbol",
	bson.TypeCodeWithScope:    "javascriptWithScope",
	bson.TypeInt32:            "int",
	bson.TypeTimestamp:        "timestamp",
	bson.TypeInt64:            "long",
	bson.TypeDecimal128:       "decimal",
	bson.TypeMinKey:           "minKey",
	bson.TypeMaxKey:           "maxKey",
}

// TypeName returns the alias of a type as $type and the server's messages
// spell it; type 0 is "missing".
func TypeName(t bson.Type) string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return "unknown type " + strconv.Itoa(int(t))
}

// Render shows a value as the server's messages do: {a: 1, b: "x"}.
func Render(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return RenderDoc(v.Value)
	case bson.TypeArray:
		parts := make([]string, 0, 8)
		for _, e := range value.Elements(v.Value) {
			parts = append(parts, Render(e))
		}
		if len(parts) == 0 {
			return "[]"
		}
		return "[ " + strings.Join(parts, ", ") + " ]"
	case bson.TypeString:
		return strconv.Quote(v.StringValue())
	case bson.TypeSymbol:
		s, _ := v.SymbolOK()
		return strconv.Quote(s)
	case bson.TypeNull:
		return "null"
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeMinKey:
		return "MinKey"
	case bson.TypeMaxKey:
		return "MaxKey"
	case bson.TypeBoolean:
		return strconv.FormatBool(v.Boolean())
	case bson.TypeInt32:
		return strconv.Itoa(int(v.Int32()))
	case bson.TypeInt64:
		return strconv.FormatInt(v.Int64(), 10)
	case bson.TypeDouble:
		return FormatDouble(v.Double(), true)
	case bson.TypeDecimal128:
		return v.Decimal128().String()
	case bson.TypeObjectID:
		return "ObjectId('" + v.ObjectID().Hex() + "')"
	case bson.TypeDateTime:
		return "new Date(" + strconv.FormatInt(v.DateTime(), 10) + ")"
	case bson.TypeTimestamp:
		t, i := v.Timestamp()
		return fmt.Sprintf("Timestamp(%d, %d)", t, i)
	case bson.TypeRegex:
		p, o := v.Regex()
		return "/" + p + "/" + o
	case bson.TypeBinary:
		sub, data := v.Binary()
		if sub == 4 && len(data) == 16 {
			return fmt.Sprintf("UUID(\"%x-%x-%x-%x-%x\")", data[:4], data[4:6], data[6:8], data[8:10], data[10:])
		}
		return fmt.Sprintf("BinData(%d, %X)", sub, data)
	default:
		return TypeName(v.Type)
	}
}

// RenderDoc shows a document as the server's messages do.
func RenderDoc(doc []byte) string {
	parts := make([]string, 0, 8)
	for k, v := range value.Elements(doc) {
		parts = append(parts, k+": "+Render(v))
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// RenderElement shows a named value: a: 1.
func RenderElement(key string, v bson.RawValue) string { return key + ": " + Render(v) }

// FormatDouble writes a double as the server does; withPoint keeps ".0" on
// whole numbers, as messages do and $toString does not.
func FormatDouble(f float64, withPoint bool) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if math.Abs(f) >= 1e-4 && math.Abs(f) < 1e15 || f == 0 {
		s = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if withPoint && !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// FormatDate writes a date as $dateToString does by default: ISO 8601 in UTC
// with milliseconds.
func FormatDate(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
