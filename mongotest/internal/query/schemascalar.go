package query

import (
	"math/big"
	"strconv"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The keywords of $jsonSchema about a value by itself.

func (k keyword) text() (check, error) {
	if k.arg.Type != bson.TypeString {
		return nil, k.wants("of type string")
	}
	return nil, nil
}

// exclusive is read together with the limit it belongs to.
func (k keyword) exclusive() (check, error) {
	if k.arg.Type != bson.TypeBoolean {
		return nil, k.wants("a boolean")
	}
	limit := "minimum"
	if k.name == "exclusiveMaximum" {
		limit = "maximum"
	}
	if _, ok := k.beside(limit); !ok {
		return nil, badSchema("$jsonSchema keyword '%s' must be a present if %s is present", limit, k.name)
	}
	return nil, nil
}

// jsonTypes are the type names of JSON Schema; those of BSON are the aliases of
// $type.
var jsonTypes = map[string]string{
	"array": "array", "boolean": "bool", "null": "null", "number": "number", "object": "object", "string": "string",
}

func (k keyword) types() (check, error) {
	set := typeSet{}
	if k.arg.Type == bson.TypeString {
		name, _ := k.arg.StringValueOK()
		return set.has, k.addType(set, name)
	}
	if k.arg.Type != bson.TypeArray {
		return nil, k.wants("either a string or an array of strings")
	}
	seen := map[string]bool{}
	for _, e := range value.Elements(bson.Raw(k.arg.Value)) {
		name, ok := e.StringValueOK()
		if !ok {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "$jsonSchema keyword '%s' array elements must be strings", k.name)
		}
		if seen[name] {
			return nil, k.invalid("has duplicate value: " + name)
		}
		seen[name] = true
		if err := k.addType(set, name); err != nil {
			return nil, err
		}
	}
	if len(set) == 0 {
		return nil, k.invalid("must name at least one type")
	}
	return set.has, nil
}

func (k keyword) addType(set typeSet, name string) error {
	if name == "integer" {
		return badSchema("$jsonSchema type 'integer' is not currently supported.")
	}
	if k.name == "type" {
		alias, ok := jsonTypes[name]
		if !ok {
			return badValue("Unknown type name alias: %s", name)
		}
		name = alias
	}
	return set.addName(name)
}

func (s typeSet) has(v bson.RawValue) bool { return s[v.Type] }

func (k keyword) enum() (check, error) {
	if k.arg.Type != bson.TypeArray {
		return nil, k.wants("an array")
	}
	if value.IsEmpty(bson.Raw(k.arg.Value)) {
		return nil, k.invalid("cannot be an empty array")
	}
	var vals []bson.RawValue
	for _, e := range value.Elements(bson.Raw(k.arg.Value)) {
		if containsUnordered(vals, e) {
			return nil, k.invalid("array cannot contain duplicate values.")
		}
		vals = append(vals, e)
	}
	return func(v bson.RawValue) bool { return containsUnordered(vals, v) }, nil
}

func (k keyword) limit() (check, error) {
	if !value.IsNumber(k.arg.Type) {
		return nil, k.wants("a number")
	}
	inclusive, strict, flag := opGte, opGt, "exclusiveMinimum"
	if k.name == "maximum" {
		inclusive, strict, flag = opLte, opLt, "exclusiveMaximum"
	}
	c := comparison{op: inclusive, arg: k.arg}
	if v, ok := k.beside(flag); ok && value.Truthy(v) {
		c.op = strict
	}
	return func(v bson.RawValue) bool {
		ok, _ := c.test(v) // a comparison does not fail
		return ok || !value.IsNumber(v.Type)
	}, nil
}

func (k keyword) multiple() (check, error) {
	if !value.IsNumber(k.arg.Type) {
		return nil, k.wants("a number")
	}
	if c := value.Compare(k.arg, value.Int32(0)); c <= 0 && !value.IsNaN(k.arg) {
		return nil, k.invalid("must have a positive value")
	}
	if !value.IsFinite(k.arg) {
		return func(v bson.RawValue) bool { return !value.IsNumber(v.Type) }, nil
	}
	divisor := asDecimal(k.arg)
	return func(v bson.RawValue) bool {
		if !value.IsNumber(v.Type) {
			return true
		}
		return value.IsFinite(v) && new(big.Rat).Quo(asDecimal(v), divisor).IsInt()
	}, nil
}

// asDecimal returns a finite number as the server converts it to a decimal: of
// a double, 15 digits count.
func asDecimal(v bson.RawValue) *big.Rat {
	if v.Type == bson.TypeDouble {
		f, _ := value.AsFloat64(v)
		if r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'e', 14, 64)); ok {
			return r
		}
	}
	return value.Rat(v)
}

// count reads a keyword that bounds how much there is of something.
func (k keyword) count() (check, error) {
	n, err := parseCount(k.name, k.arg)
	if err != nil {
		return nil, err
	}
	least, what := k.name[:3] == "min", k.name[3:]
	return func(v bson.RawValue) bool {
		count, ok := amount(v, what)
		switch {
		case !ok:
			return true
		case least:
			return int64(count) >= n
		default:
			return int64(count) <= n
		}
	}, nil
}

func amount(v bson.RawValue, what string) (n int, ok bool) {
	switch {
	case what == "Length" && v.Type == bson.TypeString:
		s, _ := v.StringValueOK()
		return utf8.RuneCountInString(s), true
	case what == "Items" && v.Type == bson.TypeArray, what == "Properties" && v.Type == bson.TypeEmbeddedDocument:
		return arrayLen(v), true
	default:
		return 0, false
	}
}

func (k keyword) pattern() (check, error) {
	s, ok := k.arg.StringValueOK()
	if !ok {
		return nil, k.wants("a string")
	}
	re, err := newRegex(s, "")
	if err != nil {
		return nil, err
	}
	return func(v bson.RawValue) bool {
		s, ok := v.StringValueOK()
		return !ok || re.matches(s)
	}, nil
}
