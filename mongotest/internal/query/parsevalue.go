package query

import (
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func (p *parser) in(op string, arg bson.RawValue) (cond, error) {
	if arg.Type != bson.TypeArray {
		return nil, badValue("%s needs an array", op)
	}
	var vals []bson.RawValue
	var regexes []*regex
	for _, e := range value.Elements(bson.Raw(arg.Value)) {
		switch {
		case isOperators(e):
			return nil, badValue("cannot nest $ under %s", op)
		case e.Type == bson.TypeUndefined:
			return nil, badValue("cannot compare to undefined")
		case e.Type == bson.TypeRegex:
			pattern, options, _ := e.RegexOK()
			re, err := newRegex(pattern, options)
			if err != nil {
				return nil, err
			}
			regexes = append(regexes, re)
		default:
			vals = append(vals, e)
		}
	}
	return leafCond{pred: newInList(vals, regexes, p.o.Collation)}, nil
}

// typeAliases are the names that $type and $jsonSchema know types by.
var typeAliases = map[string]bson.Type{
	"double":              bson.TypeDouble,
	"string":              bson.TypeString,
	"object":              bson.TypeEmbeddedDocument,
	"array":               bson.TypeArray,
	"binData":             bson.TypeBinary,
	"undefined":           bson.TypeUndefined,
	"objectId":            bson.TypeObjectID,
	"bool":                bson.TypeBoolean,
	"date":                bson.TypeDateTime,
	"null":                bson.TypeNull,
	"regex":               bson.TypeRegex,
	"dbPointer":           bson.TypeDBPointer,
	"javascript":          bson.TypeJavaScript,
	"symbol":              bson.TypeSymbol,
	"javascriptWithScope": bson.TypeCodeWithScope,
	"int":                 bson.TypeInt32,
	"timestamp":           bson.TypeTimestamp,
	"long":                bson.TypeInt64,
	"decimal":             bson.TypeDecimal128,
	"minKey":              bson.TypeMinKey,
	"maxKey":              bson.TypeMaxKey,
}

func parseType(arg bson.RawValue) (cond, error) {
	set := typeSet{}
	if arg.Type != bson.TypeArray {
		if err := set.add(arg); err != nil {
			return nil, err
		}
		return leafCond{pred: set}, nil
	}
	for _, e := range value.Elements(bson.Raw(arg.Value)) {
		if err := set.add(e); err != nil {
			return nil, err
		}
	}
	if len(set) == 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$type must match at least one type")
	}
	return leafCond{pred: set}, nil
}

func (s typeSet) add(arg bson.RawValue) error {
	if name, ok := arg.StringValueOK(); ok {
		return s.addName(name)
	}
	if !value.IsNumber(arg.Type) {
		return mongoerr.New(mongoerr.TypeMismatch, "type must be represented as a number or a string")
	}
	f, _ := value.AsFloat64(arg)
	i, _ := value.AsInt64(arg)
	if f != float64(i) || (i != -1 && (i < 1 || i > 19) && i != 127) {
		return badValue("Invalid numerical type code: %v", f)
	}
	s[bson.Type(byte(i))] = true
	return nil
}

func (s typeSet) addName(name string) error {
	if name == "number" {
		for _, t := range []bson.Type{bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128} {
			s[t] = true
		}
		return nil
	}
	t, ok := typeAliases[name]
	if !ok {
		return badValue("Unknown type name alias: %s", name)
	}
	s[t] = true
	return nil
}

// wholeNumber returns the value of a number without a fraction that fits a long.
func wholeNumber(v bson.RawValue) (int64, bool) {
	if !value.IsNumber(v.Type) || !value.IsFinite(v) || !value.Rat(v).IsInt() {
		return 0, false
	}
	i, _ := value.AsInt64(v)
	return i, value.Equal(v, value.Int64(i))
}

func parseSize(arg bson.RawValue) (cond, error) {
	i, err := parseCount("$size", arg)
	if err != nil {
		return nil, badValue("Failed to parse $size. %s", mongoerr.From(err).Message)
	}
	if i > math.MaxInt32 {
		return nil, badValue("Failed to parse $size. Cannot represent as a 32-bit integer: %s", rawdoc.RenderElement("$size", arg))
	}
	return leafCond{pred: sizeIs(i), whole: true}, nil
}

func parseMod(arg bson.RawValue) (cond, error) {
	if arg.Type != bson.TypeArray {
		return nil, badValue("malformed mod, needs to be an array")
	}
	var args []bson.RawValue
	for _, e := range value.Elements(bson.Raw(arg.Value)) {
		args = append(args, e)
	}
	switch {
	case len(args) < 2:
		return nil, badValue("malformed mod, not enough elements")
	case len(args) > 2:
		return nil, badValue("malformed mod, too many elements")
	case !value.IsNumber(args[0].Type) || !value.IsFinite(args[0]):
		return nil, badValue("malformed mod, divisor not a number")
	case !value.IsNumber(args[1].Type) || !value.IsFinite(args[1]):
		return nil, badValue("malformed mod, remainder not a number")
	}
	d, err := modArgument("divisor", args[0])
	if err != nil {
		return nil, err
	}
	r, err := modArgument("remainder", args[1])
	if err != nil {
		return nil, err
	}
	if d == 0 {
		return nil, badValue("divisor cannot be 0")
	}
	return leafCond{pred: modulo{divisor: d, remainder: r}}, nil
}

// modArgument cuts off the fraction of a number that has to fit a long.
func modArgument(name string, v bson.RawValue) (int64, error) {
	if value.Compare(v, value.Int64(math.MaxInt64)) > 0 || value.Compare(v, value.Int64(math.MinInt64)) < 0 {
		return 0, badValue("malformed mod, %s value is invalid :: caused by :: Cannot represent as a 64-bit integer: %s", name, rawdoc.Render(v))
	}
	return value.Truncate(v), nil
}

// parseRegex parses $regex together with the $options beside it.
func parseRegex(arg bson.RawValue, doc bson.Raw) (cond, error) {
	pattern, isString := arg.StringValueOK()
	options := ""
	if !isString {
		var ok bool
		if pattern, options, ok = arg.RegexOK(); !ok {
			return nil, badValue("$regex has to be a string")
		}
	}
	if strings.ContainsRune(pattern, 0) {
		return nil, badValue("Regular expression cannot contain an embedded null byte")
	}
	if v, ok := value.Get(doc, "$options"); ok {
		given, isString := v.StringValueOK()
		if !isString {
			return nil, badValue("$options has to be a string")
		}
		if options != "" {
			code := codeOptionsAfterRegex
			if optionsFirst(doc) {
				code = codeOptionsBeforeRegex
			}
			return nil, mongoerr.New(code, "options set in both $regex and $options")
		}
		options = given
	}
	re, err := newRegex(pattern, options)
	return leafCond{pred: re}, err
}

const (
	codeOptionsBeforeRegex mongoerr.Code = 51074
	codeOptionsAfterRegex  mongoerr.Code = 51075
)

// optionsFirst reports whether $options stands before $regex.
func optionsFirst(doc bson.Raw) bool {
	for name := range value.Elements(doc) {
		if name == "$options" || name == "$regex" {
			return name == "$options"
		}
	}
	return false
}
