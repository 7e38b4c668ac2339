package storage

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// render writes a document as the server's messages do: { a: 1, b: "x" }.
func render(doc bson.Raw) string {
	var b strings.Builder
	b.WriteString("{")
	sep := " "
	_ = eachElement(doc, func(key string, v bson.RawValue) error {
		b.WriteString(sep + key + ": " + renderValue(v))
		sep = ", "
		return nil
	})
	if sep == " " {
		return "{}"
	}
	return b.String() + " }"
}

func renderArray(arr bson.Raw) string {
	var parts []string
	_ = eachElement(arr, func(_ string, v bson.RawValue) error {
		parts = append(parts, renderValue(v))
		return nil
	})
	if len(parts) == 0 {
		return "[]"
	}
	return "[ " + strings.Join(parts, ", ") + " ]"
}

func renderValue(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return render(bson.Raw(v.Value))
	case bson.TypeArray:
		return renderArray(bson.Raw(v.Value))
	case bson.TypeString:
		return `"` + v.StringValue() + `"`
	case bson.TypeSymbol:
		return `"` + v.Symbol() + `"`
	case bson.TypeInt32:
		return strconv.Itoa(int(v.Int32()))
	case bson.TypeInt64:
		return strconv.FormatInt(v.Int64(), 10)
	case bson.TypeDouble:
		return renderDouble(v.Double())
	case bson.TypeDecimal128:
		return v.Decimal128().String()
	case bson.TypeBoolean:
		return strconv.FormatBool(v.Boolean())
	case bson.TypeNull:
		return "null"
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeMinKey:
		return "MinKey"
	case bson.TypeMaxKey:
		return "MaxKey"
	case bson.TypeObjectID, bson.TypeDateTime, bson.TypeTimestamp, bson.TypeRegex, bson.TypeBinary,
		bson.TypeJavaScript, bson.TypeCodeWithScope, bson.TypeDBPointer:
	}
	return renderSpecial(v)
}

// renderSpecial renders the values that look like calls in the shell.
func renderSpecial(v bson.RawValue) string {
	if id, ok := v.ObjectIDOK(); ok {
		return "ObjectId('" + id.Hex() + "')"
	}
	if ms, ok := v.DateTimeOK(); ok {
		return fmt.Sprintf("new Date(%d)", ms)
	}
	if t, i, ok := v.TimestampOK(); ok {
		return fmt.Sprintf("Timestamp(%d, %d)", t, i)
	}
	if pattern, options, ok := v.RegexOK(); ok {
		return "/" + pattern + "/" + options
	}
	if sub, data, ok := v.BinaryOK(); ok {
		return renderBinary(sub, data)
	}
	return v.String()
}

func renderDouble(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if strings.ContainsAny(s, ".eIN") {
		return s
	}
	return s + ".0"
}

func renderBinary(sub byte, data []byte) string {
	if sub == 4 && len(data) == 16 {
		return fmt.Sprintf(`UUID("%x-%x-%x-%x-%x")`, data[:4], data[4:6], data[6:8], data[8:10], data[10:])
	}
	return fmt.Sprintf("BinData(%d, %s)", sub, strings.ToUpper(hex.EncodeToString(data)))
}
