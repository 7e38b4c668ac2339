package aggregate

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var stringOps = map[string]plain{
	"$concat":       {0, -1, concat},
	"$toUpper":      {1, 1, mapString("$toUpper", upperASCII)},
	"$toLower":      {1, 1, mapString("$toLower", lowerASCII)},
	"$substr":       {3, 3, substrBytes},
	"$substrBytes":  {3, 3, substrBytes},
	"$substrCP":     {3, 3, substrCP},
	"$strLenBytes":  {1, 1, strLen("$strLenBytes", 34473, func(s string) int { return len(s) })},
	"$strLenCP":     {1, 1, strLen("$strLenCP", 34471, utf8.RuneCountInString)},
	"$strcasecmp":   {2, 2, strcasecmp},
	"$split":        {2, 2, split},
	"$indexOfBytes": {2, 4, indexOfBytes},
	"$indexOfCP":    {2, 4, indexOfCP},
}

var stringNamedOps = map[string]named{
	"$trim":         {[]string{"input"}, []string{"chars"}, trim("$trim", true, true)},
	"$ltrim":        {[]string{"input"}, []string{"chars"}, trim("$ltrim", true, false)},
	"$rtrim":        {[]string{"input"}, []string{"chars"}, trim("$rtrim", false, true)},
	"$replaceOne":   {[]string{"input", "find", "replacement"}, nil, replace("$replaceOne", 1)},
	"$replaceAll":   {[]string{"input", "find", "replacement"}, nil, replace("$replaceAll", -1)},
	"$regexMatch":   {[]string{"input", "regex"}, []string{"options"}, regexMatch},
	"$regexFind":    {[]string{"input", "regex"}, []string{"options"}, regexFind},
	"$regexFindAll": {[]string{"input", "regex"}, []string{"options"}, regexFindAll},
}

func concat(args []bson.RawValue) (bson.RawValue, error) {
	var b strings.Builder
	for _, a := range args {
		if nullish(a) {
			return value.Null(), nil
		}
		s, ok := a.StringValueOK()
		if !ok {
			return a, mongoerr.New(16702, "$concat only supports strings, not %s", rawdoc.TypeName(a.Type))
		}
		if b.Len()+len(s) >= maxString {
			return a, errStringTooLong("$concat")
		}
		b.WriteString(s)
	}
	return value.String(b.String()), nil
}

// text reads an operand as a string: null is empty, numbers and dates are
// written out.
func text(name string, v bson.RawValue) (string, error) {
	if nullish(v) {
		return "", nil
	}
	switch v.Type {
	case bson.TypeDouble: // as the server's StringBuilder writes it, with "%g"
		return shortDouble(v.Double()), nil
	case bson.TypeTimestamp:
		return timestampText(v), nil
	case bson.TypeJavaScript:
		return v.JavaScript(), nil
	case bson.TypeString, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128, bson.TypeDateTime, bson.TypeSymbol:
		return stringOf(v), nil
	default:
		return "", mongoerr.New(16007, "can't convert from BSON type %s to String (in %s)", rawdoc.TypeName(v.Type), name)
	}
}

// shortDouble writes a double with at most six digits.
func shortDouble(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', 6, 64)), "+")
	}
	return strconv.FormatFloat(f, 'g', 6, 64)
}

// timestampText writes a timestamp as the server does in messages.
func timestampText(v bson.RawValue) string {
	t, i := v.Timestamp()
	return time.Unix(int64(t), 0).UTC().Format("Jan _2 15:04:05") + ":" + strconv.FormatUint(uint64(i), 10)
}

func mapString(name string, f func(string) string) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		s, err := text(name, args[0])
		return value.String(f(s)), err
	}
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 32
		}
		return r
	}, s)
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 32
		}
		return r
	}, s)
}

func substrBytes(args []bson.RawValue) (bson.RawValue, error) {
	s, err := text("$substrBytes", args[0])
	if err != nil {
		return args[0], err
	}
	start, ok1 := value.AsInt64(args[1])
	n, ok2 := value.AsInt64(args[2])
	switch {
	case !ok1:
		return args[1], mongoerr.New(16034, "$substrBytes: starting index must be a numeric type (is BSON type %s)", typeName(args[1]))
	case !ok2:
		return args[2], mongoerr.New(16035, "$substrBytes: length must be a numeric type (is BSON type %s)", typeName(args[2]))
	}
	for _, v := range args[1:] {
		if f, ok := v.DoubleOK(); ok && !(math.Abs(f) < 1<<63) {
			return v, mongoerr.New(31109, "Can't coerce out of range value %s to long", rawdoc.Render(v))
		}
	}
	if f, _ := value.AsFloat64(args[1]); args[1].Type == bson.TypeDecimal128 && (math.IsNaN(f) || math.IsInf(f, 0)) {
		start = -1
	}
	if start < 0 {
		return args[1], mongoerr.New(50752, "$substrBytes: starting index must be non-negative (got: %d)", start)
	}
	start = min(start, int64(len(s)))
	end := int64(len(s))
	if n >= 0 && n < end-start {
		end = start + n
	}
	switch {
	case start < int64(len(s)) && !utf8.RuneStart(s[start]):
		return args[0], mongoerr.New(28656, "$substrBytes:  Invalid range, starting index is a UTF-8 continuation byte.")
	case end < int64(len(s)) && !utf8.RuneStart(s[end]):
		return args[0], mongoerr.New(28657, "$substrBytes:  Invalid range, ending index is in the middle of a UTF-8 character.")
	}
	return value.String(s[start:end]), nil
}

func substrCP(args []bson.RawValue) (bson.RawValue, error) {
	s, err := text("$substrCP", args[0])
	if err != nil {
		return args[0], err
	}
	start, err := codePoints("starting index", args[1], 34450)
	if err != nil {
		return args[1], err
	}
	n, err := codePoints("length", args[2], 34452)
	switch {
	case err != nil:
		return args[2], err
	case n < 0:
		return args[2], mongoerr.New(34454, "$substrCP: length must be a nonnegative integer")
	case start < 0:
		return args[1], mongoerr.New(34455, "$substrCP: the starting index must be nonnegative integer")
	}
	runes := []rune(s)
	total := int64(len(runes))
	start = min(start, total)
	return value.String(string(runes[start : start+min(n, total-start)])), nil
}

// codePoints reads a number of code points, or a place among them. The code of
// what is no 32-bit integer follows that of what is no number.
func codePoints(what string, v bson.RawValue, notNumber mongoerr.Code) (int64, error) {
	if _, ok := value.AsInt64(v); !ok {
		return 0, mongoerr.New(notNumber, "$substrCP: %s must be a numeric type (is BSON type %s)", what, typeName(v))
	}
	n, ok := number.Exact(v)
	if !ok || n != int64(int32(n)) {
		return 0, mongoerr.New(notNumber+1, "$substrCP: %s cannot be represented as a 32-bit integral value: %s", what, rawdoc.Render(v))
	}
	return n, nil
}

func strLen(name string, code mongoerr.Code, f func(string) int) func([]bson.RawValue) (bson.RawValue, error) {
	return func(args []bson.RawValue) (bson.RawValue, error) {
		s, ok := args[0].StringValueOK()
		if !ok {
			return args[0], mongoerr.New(code, "%s requires a string argument, found: %s", name, rawdoc.TypeName(args[0].Type))
		}
		return value.Int32(int32(f(s))), nil
	}
}

func strcasecmp(args []bson.RawValue) (bson.RawValue, error) {
	a, err := text("$strcasecmp", args[0])
	if err != nil {
		return args[0], err
	}
	b, err := text("$strcasecmp", args[1])
	return value.Int32(sign(strings.Compare(upperASCII(a), upperASCII(b)))), err
}

func split(args []bson.RawValue) (bson.RawValue, error) {
	if anyNull(args) {
		return value.Null(), nil
	}
	s, ok1 := args[0].StringValueOK()
	sep, ok2 := args[1].StringValueOK()
	switch {
	case !ok1:
		return args[0], mongoerr.New(40085, "$split requires an expression that evaluates to a string as a first argument, found: %s", rawdoc.TypeName(args[0].Type))
	case !ok2:
		return args[1], mongoerr.New(10503900, "$split requires an expression that evaluates to a string as a second argument, found: %s", rawdoc.TypeName(args[1].Type))
	case sep == "":
		return args[1], mongoerr.New(40087, "$split requires a non-empty separator")
	}
	var b rawdoc.Builder
	for _, p := range strings.Split(s, sep) {
		b.Push(value.String(p))
	}
	return value.Array(b.Bytes()), nil
}

func indexOfBytes(args []bson.RawValue) (bson.RawValue, error) {
	return indexOf("$indexOfBytes", args, func(s string) int { return len(s) }, func(s string, i int) string { return s[i:] }, func(s string, n int) string { return s[:n] })
}

func indexOfCP(args []bson.RawValue) (bson.RawValue, error) {
	from := func(s string, i int) string { return string([]rune(s)[i:]) }
	to := func(s string, n int) string { return string([]rune(s)[:n]) }
	return indexOf("$indexOfCP", args, utf8.RuneCountInString, from, to)
}

// indexOf finds one string in another, counting in the unit of length.
func indexOf(name string, args []bson.RawValue, length func(string) int, from, to func(string, int) string) (bson.RawValue, error) {
	if nullish(args[0]) {
		return value.Null(), nil
	}
	code := mongoerr.Code(40091)
	if name == "$indexOfCP" {
		code = 40093
	}
	s, ok := args[0].StringValueOK()
	if !ok {
		return args[0], mongoerr.New(code, "%s requires a string as the first argument, found: %s", name, typeName(args[0]))
	}
	sub, ok := args[1].StringValueOK()
	if !ok {
		return args[1], mongoerr.New(code+1, "%s requires a string as the second argument, found: %s", name, typeName(args[1]))
	}
	start, end, err := bounds(name, args, length(s))
	if err != nil || end < start {
		return value.Int32(-1), err
	}
	i := strings.Index(from(to(s, end), start), sub)
	if i < 0 {
		return value.Int32(-1), nil
	}
	return value.Int32(int32(start + length(from(to(s, end), start)[:i]))), nil
}

const whitespace = "\x00 \t\n\v\f\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"

func trim(name string, left, right bool) func(map[string]bson.RawValue) (bson.RawValue, error) {
	return func(args map[string]bson.RawValue) (bson.RawValue, error) {
		chars, given := args["chars"]
		if nullish(args["input"]) || given && nullish(chars) {
			return value.Null(), nil
		}
		s, ok := args["input"].StringValueOK()
		if !ok {
			return args["input"], mongoerr.New(50699, "%s requires its input to be a string, got %s instead.", name, rawdoc.Render(args["input"]))
		}
		cut := whitespace
		if given {
			if cut, ok = chars.StringValueOK(); !ok {
				return chars, mongoerr.New(50700, "%s requires 'chars' to be a string, got %s instead.", name, rawdoc.Render(chars))
			}
		}
		if left {
			s = strings.TrimLeft(s, cut)
		}
		if right {
			s = strings.TrimRight(s, cut)
		}
		return value.String(s), nil
	}
}

// replaceCodes are the server's codes for arguments of $replaceOne and
// $replaceAll that are no strings.
var replaceCodes = map[string]mongoerr.Code{"input": 10503904, "find": 10503901, "replacement": 10503902}

func replace(name string, n int) func(map[string]bson.RawValue) (bson.RawValue, error) {
	return func(args map[string]bson.RawValue) (bson.RawValue, error) {
		for _, k := range []string{"input", "find", "replacement"} {
			if !nullish(args[k]) && args[k].Type != bson.TypeString {
				return args[k], mongoerr.New(replaceCodes[k], "%s requires that '%s' be a string, found: %s", name, k, rawdoc.Render(args[k]))
			}
		}
		if nullish(args["input"]) || nullish(args["find"]) || nullish(args["replacement"]) {
			return value.Null(), nil
		}
		in, find, by := args["input"].StringValue(), args["find"].StringValue(), args["replacement"].StringValue()
		if n < 0 && strings.Count(in, find)*len(by) > maxString {
			return value.Null(), errStringTooLong(name)
		}
		return value.String(strings.Replace(in, find, by, n)), nil
	}
}
