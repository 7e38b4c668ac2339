package aggregate

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// uuidSubtype is the subtype of UUIDs among binary data.
const uuidSubtype = 4

func errConversion(format string, args ...any) error {
	return mongoerr.New(conversionFailure, format+" in $convert with no onError value", args...)
}

func (cv conversion) toBinary(v bson.RawValue) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeString:
		return cv.parseBinary(v.StringValue())
	case bson.TypeBinary:
		if sub, _ := v.Binary(); sub != cv.subtype {
			return v, errConversion("Conversions between different binData subtypes are not supported")
		}
		return v, nil
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		if cv.subtype == uuidSubtype {
			return v, unsupported(v, cv.to)
		}
		data := slices.Clone(v.Value) // BSON itself is little-endian
		if cv.big {
			slices.Reverse(data)
		}
		return value.Binary(cv.subtype, data), nil
	default:
		return v, unsupported(v, cv.to)
	}
}

// parseBinary reads binary data written in the format.
func (cv conversion) parseBinary(s string) (bson.RawValue, error) {
	format := cv.format
	if format == "auto" {
		format = "base64"
		if cv.subtype == uuidSubtype {
			format = "uuid"
		}
	}
	if (format == "uuid") != (cv.subtype == uuidSubtype) && format != "" {
		return value.Null(), errConversion("Only the UUID format is allowed with the UUID subtype")
	}
	var data []byte
	var err error
	switch format {
	case "":
		return value.Null(), mongoerr.New(4341115, "Format must be speficied when converting from 'string' to 'binData'")
	case "utf8":
		data = []byte(s)
	case "hex":
		data, err = hex.DecodeString(s)
	case "base64":
		data, err = base64.StdEncoding.Strict().DecodeString(s)
	case "base64url":
		data, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	case "uuid":
		if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return value.Null(), errConversion("Input string is not a valid UUID: %s", s)
		}
		data, err = hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	}
	if err != nil || format == "uuid" && len(data) != 16 {
		return value.Null(), errConversion("Input string is not a valid %s string: %s", format, s)
	}
	return value.Binary(cv.subtype, data), nil
}

// binaryText writes binary data in the format.
func (cv conversion) binaryText(v bson.RawValue) (bson.RawValue, error) {
	sub, data := v.Binary()
	format := cv.format
	isUUID := sub == uuidSubtype && len(data) == 16
	if format == "auto" {
		format = "base64"
		if isUUID {
			format = "uuid"
		}
	}
	switch format {
	case "base64":
		return value.String(base64.StdEncoding.EncodeToString(data)), nil
	case "base64url":
		return value.String(base64.RawURLEncoding.EncodeToString(data)), nil
	case "hex":
		return value.String(strings.ToUpper(hex.EncodeToString(data))), nil
	case "utf8":
		if !utf8.Valid(data) {
			return v, errConversion("BinData is not valid UTF-8")
		}
		return value.String(string(data)), nil
	case "uuid":
		if !isUUID {
			return v, errConversion("Only the UUID subtype can be written in the UUID format")
		}
		h := hex.EncodeToString(data)
		return value.String(strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")), nil
	default:
		return v, mongoerr.New(4341115, "Format must be speficied when converting from 'binData' to 'string'")
	}
}

// binaryNumber reads a number of the size that the data has.
func (cv conversion) binaryNumber(v bson.RawValue) (bson.RawValue, error) {
	sub, data := v.Binary()
	if sub == uuidSubtype {
		return v, unsupported(v, cv.to)
	}
	data = slices.Clone(data)
	if cv.big {
		slices.Reverse(data)
	}
	n := len(data)
	switch {
	case cv.to == bson.TypeDouble && n == 4:
		return value.Double(float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))), nil
	case cv.to == bson.TypeDouble && n == 8:
		return value.Double(math.Float64frombits(binary.LittleEndian.Uint64(data))), nil
	case cv.to == bson.TypeDouble || n != 1 && n != 2 && n != 4 && (n != 8 || cv.to == bson.TypeInt32):
		return v, errConversion("Failed to convert '%s' to number of type %s: BinData has %d bytes", "binData", typeName(bson.RawValue{Type: cv.to}), n)
	}
	var i int64
	switch n {
	case 1:
		i = int64(int8(data[0]))
	case 2:
		i = int64(int16(binary.LittleEndian.Uint16(data)))
	case 4:
		i = int64(int32(binary.LittleEndian.Uint32(data)))
	default:
		i = int64(binary.LittleEndian.Uint64(data))
	}
	if cv.to == bson.TypeInt32 {
		return value.Int32(int32(i)), nil
	}
	return value.Int64(i), nil
}
