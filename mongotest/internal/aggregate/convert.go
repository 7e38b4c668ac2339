package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// conversion is what $convert is asked for.
type conversion struct {
	to      bson.Type
	subtype byte
	format  string // of binary data in a string; empty if not given
	big     bool   // byte order of numbers in binary data
}

// compileConvert compiles $convert, whose onError stands in for a failed
// conversion and onNull for a null input.
func compileConvert(name string, arg bson.RawValue) (evalFunc, error) {
	raw, err := rawArgs(name, arg, []string{"input", "to"}, []string{"onError", "onNull", "format", "byteOrder"})
	if err != nil {
		return nil, err
	}
	fns := map[string]evalFunc{}
	for k, v := range raw {
		if k == "to" && v.Type == bson.TypeEmbeddedDocument {
			if first, _, _ := rawdoc.First(v.Value); !strings.HasPrefix(first, "$") {
				if _, err := rawArgs("$convert.to", v, []string{"type"}, []string{"subtype"}); err != nil {
					return nil, err
				}
			}
		}
		if fns[k], err = compile(v); err != nil {
			return nil, err
		}
	}
	return func(c evalCtx) (bson.RawValue, error) {
		in, err := fns["input"](c)
		if err != nil {
			return in, err
		}
		args := map[string]bson.RawValue{}
		for _, k := range []string{"to", "format", "byteOrder"} {
			if fns[k] == nil {
				continue
			}
			if args[k], err = fns[k](c); err != nil {
				return in, err
			}
		}
		return convertOr(c, in, args, fns["onNull"], fns["onError"])
	}, nil
}

func convertOr(c evalCtx, in bson.RawValue, args map[string]bson.RawValue, onNull, onError evalFunc) (bson.RawValue, error) {
	if !nullish(in) && nullish(args["to"]) {
		return value.Null(), nil
	}
	if nullish(in) && onNull != nil {
		return onNull(c)
	}
	if nullish(args["to"]) {
		return value.Null(), nil
	}
	cv, null, err := readConversion(args)
	if err != nil || null || nullish(in) {
		return value.Null(), err
	}
	v, err := cv.convert(in)
	if mongoerr.Is(err, conversionFailure) && onError != nil {
		return onError(c)
	}
	return v, err
}

// readConversion reads the operands of $convert but the input.
func readConversion(args map[string]bson.RawValue) (cv conversion, null bool, err error) {
	target, subtype := args["to"], bson.RawValue{}
	if target.Type == bson.TypeEmbeddedDocument {
		subtype, _ = value.Get(target.Value, "subtype")
		target, _ = value.Get(target.Value, "type")
	}
	if nullish(target) {
		return cv, true, nil
	}
	if cv.to, err = typeOf(target); err != nil {
		return cv, false, err
	}
	if subtype.Type != 0 && subtype.Type != bson.TypeNull {
		n, whole := number.Exact(subtype)
		switch {
		case !number.Is(subtype):
			return cv, false, mongoerr.New(4341108, "In $convert, 'subtype' must be numeric, but got %s", typeName(subtype))
		case !whole:
			return cv, false, mongoerr.New(4341106, "In $convert, numeric 'subtype' argument is not an integer")
		case n < 0 || n > 255 || n > 9 && n < 128:
			return cv, false, mongoerr.New(4341107, "In $convert, numeric value for 'subtype' does not correspond to a BinData type: %d", n)
		}
		cv.subtype = byte(n)
	}
	if f := args["format"]; !nullish(f) {
		var ok bool
		if cv.format, ok = f.StringValueOK(); !ok {
			return cv, false, mongoerr.New(4341114, "$convert requires that 'format' be a string, found: %s", typeName(f))
		}
		switch cv.format {
		case "base64", "base64url", "utf8", "hex", "uuid", "auto":
		default:
			return cv, false, mongoerr.New(4341125, "Invalid 'format' argument for $convert: %s", cv.format)
		}
	}
	if o := args["byteOrder"]; !nullish(o) {
		s, ok := o.StringValueOK()
		switch {
		case !ok:
			return cv, false, mongoerr.New(9130001, "$convert requires that 'byteOrder' be a string, found: %s", typeName(o))
		case s != "big" && s != "little":
			return cv, false, mongoerr.New(9130002, "Invalid 'byteOrder' argument for $convert: %s", s)
		}
		cv.big = s == "big"
	}
	return cv, false, nil
}

// convert changes a value's type by the rules of $convert.
func (cv conversion) convert(v bson.RawValue) (bson.RawValue, error) {
	switch {
	case cv.to == bson.TypeBinary:
		return cv.toBinary(v)
	case v.Type != bson.TypeBinary:
		return convert(v, cv.to)
	}
	switch cv.to {
	case bson.TypeString:
		return cv.binaryText(v)
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		return cv.binaryNumber(v)
	default:
		return convert(v, cv.to)
	}
}

// to makes the operator of a conversion that has a name of its own.
func to(name string, cv conversion) special {
	return func(_ string, arg bson.RawValue) (evalFunc, error) {
		if arg.Type == bson.TypeArray {
			if n := rawdoc.Len(arg.Value); n != 1 {
				return nil, mongoerr.New(50723, "%s requires a single argument, got %d", name, n)
			}
			_, arg, _ = rawdoc.First(arg.Value)
		}
		fn, err := compile(arg)
		if err != nil {
			return nil, err
		}
		return func(c evalCtx) (bson.RawValue, error) {
			v, err := fn(c)
			if err != nil || nullish(v) {
				return value.Null(), err
			}
			return cv.convert(v)
		}, nil
	}
}

// conversions are the operators that convert to one type.
var conversions = map[string]conversion{
	"$toInt": {to: bson.TypeInt32}, "$toLong": {to: bson.TypeInt64}, "$toDouble": {to: bson.TypeDouble}, "$toDecimal": {to: bson.TypeDecimal128},
	"$toString": {to: bson.TypeString, format: "auto"}, "$toBool": {to: bson.TypeBoolean}, "$toDate": {to: bson.TypeDateTime},
	"$toObjectId": {to: bson.TypeObjectID}, "$toUUID": {to: bson.TypeBinary, subtype: 4, format: "uuid"},
}
