package aggregate

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var typeOps = map[string]plain{
	"$type":             {1, 1, func(a []bson.RawValue) (bson.RawValue, error) { return value.String(rawdoc.TypeName(a[0].Type)), nil }},
	"$isNumber":         {1, 1, func(a []bson.RawValue) (bson.RawValue, error) { return value.Bool(number.Is(a[0])), nil }},
	"$bsonSize":         {1, 1, bsonSize},
	"$binarySize":       {1, 1, binarySize},
	"$toHashedIndexKey": {1, 1, toHashedIndexKey},
}

func bsonSize(args []bson.RawValue) (bson.RawValue, error) {
	switch {
	case nullish(args[0]):
		return value.Null(), nil
	case args[0].Type != bson.TypeEmbeddedDocument:
		return args[0], mongoerr.New(31393, "$bsonSize requires a document input, found: %s", rawdoc.TypeName(args[0].Type))
	}
	return value.Int32(int32(len(args[0].Value))), nil
}

func binarySize(args []bson.RawValue) (bson.RawValue, error) {
	switch args[0].Type {
	case bson.TypeString:
		return value.Int32(int32(len(args[0].StringValue()))), nil
	case bson.TypeBinary:
		_, data := args[0].Binary()
		return value.Int32(int32(len(data))), nil
	default:
	}
	if nullish(args[0]) {
		return value.Null(), nil
	}
	return args[0], mongoerr.New(51276, "$binarySize requires a string or BinData argument, found: %s", rawdoc.TypeName(args[0].Type))
}

func toHashedIndexKey(args []bson.RawValue) (bson.RawValue, error) {
	v := args[0]
	if v.Type == 0 {
		v = value.Null()
	}
	return value.Int64(hashkey.Hash(v)), nil
}

// typeOf reads a type given by alias or number.
func typeOf(v bson.RawValue) (bson.Type, error) {
	if s, ok := v.StringValueOK(); ok {
		if t, ok := typeByName(s); ok {
			return t, nil
		}
		return 0, mongoerr.New(mongoerr.BadValue, "Unknown type name: %s", s)
	}
	i, whole := number.Exact(v)
	switch {
	case !number.Is(v):
		return 0, mongoerr.New(mongoerr.FailedToParse, "$convert's 'to' argument must be a string or number, but is %s", typeName(v))
	case !whole:
		return 0, mongoerr.New(mongoerr.FailedToParse, "In $convert, numeric 'to' argument is not an integer")
	}
	for t := range 256 { // MinKey is -1 as a number
		if name := rawdoc.TypeName(bson.Type(t)); t != 0 && (int64(t) == i || i == -1 && t == 255) && i != 255 && !strings.HasPrefix(name, "unknown") {
			return bson.Type(t), nil
		}
	}
	return 0, mongoerr.New(mongoerr.FailedToParse, "In $convert, numeric value for 'to' does not correspond to a BSON type: %d", i)
}

func typeByName(s string) (bson.Type, bool) {
	for t := range 256 {
		if t != 0 && rawdoc.TypeName(bson.Type(t)) == s {
			return bson.Type(t), true
		}
	}
	return 0, false
}

func unsupported(v bson.RawValue, t bson.Type) error {
	return mongoerr.New(conversionFailure, "Unsupported conversion from %s to %s in $convert with no onError value", rawdoc.TypeName(v.Type), rawdoc.TypeName(t))
}

// conversionFailure is the server's code ConversionFailure.
const conversionFailure mongoerr.Code = 241

// convert changes a value's type by the rules of $convert.
func convert(v bson.RawValue, t bson.Type) (bson.RawValue, error) {
	switch t {
	case bson.TypeBoolean:
		return value.Bool(truthy(v)), nil
	case bson.TypeString:
		return toText(v)
	case bson.TypeInt32, bson.TypeInt64:
		return toInteger(v, t)
	case bson.TypeDouble, bson.TypeDecimal128:
		return toFraction(v, t)
	case bson.TypeDateTime:
		return toDate(v)
	case bson.TypeObjectID:
		if v.Type == bson.TypeObjectID {
			return v, nil
		}
		if s, ok := v.StringValueOK(); ok {
			id, err := bson.ObjectIDFromHex(s)
			if err != nil {
				return v, mongoerr.New(conversionFailure, "Failed to parse objectId '%s' in $convert with no onError value: Invalid string length for parsing to OID", s)
			}
			return value.ObjectID(id), nil
		}
	default:
	}
	return v, unsupported(v, t)
}

func toText(v bson.RawValue) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol, bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128, bson.TypeDateTime, bson.TypeBoolean, bson.TypeObjectID:
		return value.String(stringOf(v)), nil
	default:
		return v, unsupported(v, bson.TypeString)
	}
}

// stringOf writes a scalar as $toString does.
func stringOf(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeString:
		return v.StringValue()
	case bson.TypeSymbol:
		s, _ := v.SymbolOK()
		return s
	case bson.TypeDouble:
		return rawdoc.FormatDouble(v.Double(), false)
	case bson.TypeDateTime:
		return rawdoc.FormatDate(v.DateTime())
	case bson.TypeObjectID:
		return v.ObjectID().Hex()
	default:
		return rawdoc.Render(v)
	}
}

func toInteger(v bson.RawValue, t bson.Type) (bson.RawValue, error) {
	var i int64
	ok := true
	switch v.Type {
	case bson.TypeBoolean:
		if v.Boolean() {
			i = 1
		}
	case bson.TypeDateTime:
		if t == bson.TypeInt32 {
			return v, unsupported(v, t)
		}
		i = v.DateTime()
	case bson.TypeString:
		var err error
		if i, err = strconv.ParseInt(strings.TrimPrefix(v.StringValue(), "+"), 10, 64); err != nil {
			return v, mongoerr.New(conversionFailure, "Failed to parse number '%s' in $convert with no onError value", v.StringValue())
		}
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		i, ok = number.Int(v)
	default:
		return v, unsupported(v, t)
	}
	if !ok || t == bson.TypeInt32 && (i < math.MinInt32 || i > math.MaxInt32) {
		return v, mongoerr.New(conversionFailure, "Conversion would overflow target type in $convert with no onError value: %s", rawdoc.Render(v))
	}
	return number.Integer(i, t), nil
}

func toFraction(v bson.RawValue, t bson.Type) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeBoolean:
		v = value.Int32(int32(v.Value[0]))
	case bson.TypeDateTime:
		v = value.Int64(v.DateTime())
	case bson.TypeString:
		if t == bson.TypeDouble {
			return toDoubleText(v.StringValue())
		}
		d, ok := number.ParseDecimal(v.StringValue())
		if !ok {
			return v, mongoerr.New(conversionFailure, "Failed to parse number '%s' in $convert with no onError value", v.StringValue())
		}
		v = d
	default:
	}
	switch {
	case !number.Is(v):
		return v, unsupported(v, t)
	case t == v.Type:
		return v, nil
	case t == bson.TypeDouble:
		f := number.Float(v)
		if math.IsInf(f, 0) && number.Decimal(v).IsFinite() {
			return v, mongoerr.New(conversionFailure, "Conversion would overflow target type in $convert with no onError value: %s", rawdoc.Render(v))
		}
		return value.Double(f), nil
	case v.Type == bson.TypeDouble && v.Double() == 0:
		d := number.Decimal(value.Int32(0))
		if math.Signbit(v.Double()) {
			d = d.Neg()
		}
		return d.Value(), nil
	}
	return number.Decimal(v).Value(), nil
}

func toDate(v bson.RawValue) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeDateTime:
		return v, nil
	case bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		i, ok := number.Int(v)
		if !ok {
			return v, mongoerr.New(conversionFailure, "Conversion would overflow target type in $convert with no onError value: %s", rawdoc.Render(v))
		}
		return value.DateTime(i), nil
	case bson.TypeTimestamp:
		t, _ := v.Timestamp()
		return value.DateTime(int64(t) * 1000), nil
	case bson.TypeObjectID:
		id := v.ObjectID()
		return value.DateTime(int64(int32(binary.BigEndian.Uint32(id[:4]))) * 1000), nil
	case bson.TypeString:
		ms, err := parseDate(v.StringValue(), "", nil)
		return value.DateTime(ms), err
	default:
		return v, unsupported(v, bson.TypeDateTime)
	}
}

// toDoubleText reads a double, in hexadecimal too if it has a sign.
func toDoubleText(s string) (bson.RawValue, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Contains(s, "_") || s != strings.TrimSpace(s) {
		return value.Null(), mongoerr.New(conversionFailure, "Failed to parse number '%s' in $convert with no onError value", s)
	}
	return value.Double(f), nil
}
