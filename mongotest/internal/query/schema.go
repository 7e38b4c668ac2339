package query

import (
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// check is one keyword of a $jsonSchema, asked of one value. A keyword that
// does not concern the value's type holds.
type check func(v bson.RawValue) bool

// schema is a compiled $jsonSchema: all of its keywords.
type schema []check

func (s schema) holds(v bson.RawValue) bool {
	for _, c := range s {
		if !c(v) {
			return false
		}
	}
	return true
}

// match makes a schema a node: the document is the value.
func (s schema) match(_ *run, doc bson.Raw) (bool, error) { return s.holds(value.Doc(doc)), nil }

func parseSchemaNode(v bson.RawValue) (node, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "$jsonSchema must be an object")
	}
	return parseSchema(bson.Raw(v.Value), 1)
}

func parseSchema(doc bson.Raw, depth int) (schema, error) {
	if depth > maxFilterDepth {
		return nil, badSchema("exceeded maximum depth of %d", maxFilterDepth)
	}
	var s schema
	for name, arg := range value.Elements(doc) {
		c, err := parseKeyword(name, arg, doc, depth)
		if err != nil {
			return nil, err
		}
		if c != nil {
			s = append(s, c)
		}
	}
	return s, nil
}

func badSchema(format string, args ...any) error {
	return mongoerr.New(mongoerr.FailedToParse, "$jsonSchema: "+format, args...)
}

func parseKeyword(name string, arg bson.RawValue, doc bson.Raw, depth int) (check, error) {
	switch name {
	case "title", "description", "exclusiveMinimum", "exclusiveMaximum": // the latter two are read with their limit
		return nil, nil
	case "bsonType", "type":
		return schemaTypes(arg, name == "type")
	case "required":
		return schemaRequired(arg)
	case "enum":
		if arg.Type != bson.TypeArray {
			return nil, badSchema("enum must be an array")
		}
		return func(v bson.RawValue) bool { return contains(arg, v) }, nil
	case "minimum", "maximum":
		return schemaLimit(name, arg, doc)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		return schemaCount(name, arg)
	case "pattern":
		return schemaPattern(arg)
	case "properties":
		return schemaProperties(arg, depth)
	case "additionalProperties":
		return schemaAdditional(arg, doc, depth)
	case "items":
		return schemaItems(arg, depth)
	case "uniqueItems":
		return schemaUnique(arg), nil
	case "allOf", "anyOf", "oneOf":
		return schemaCombined(name, arg, depth)
	case "not":
		sub, err := subSchema(name, arg, depth)
		return func(v bson.RawValue) bool { return !sub.holds(v) }, err
	default:
		return nil, badSchema("Unknown $jsonSchema keyword: %s", name)
	}
}

func subSchema(name string, arg bson.RawValue, depth int) (schema, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, badSchema("%s must be an object", name)
	}
	return parseSchema(bson.Raw(arg.Value), depth+1)
}

func contains(array, v bson.RawValue) bool {
	for _, e := range value.Elements(bson.Raw(array.Value)) {
		if value.Equal(e, v) {
			return true
		}
	}
	return false
}

// jsonTypes are the type names of JSON Schema that BSON names differently.
var jsonTypes = map[string]string{"boolean": "bool"}

func schemaTypes(arg bson.RawValue, json bool) (check, error) {
	set := typeSet{}
	add := func(v bson.RawValue) error {
		name, ok := v.StringValueOK()
		if !ok {
			return badSchema("types must be strings")
		}
		if other, ok := jsonTypes[name]; json && ok {
			name = other
		}
		return set.addName(name)
	}
	if arg.Type != bson.TypeArray {
		if err := add(arg); err != nil {
			return nil, err
		}
	} else {
		for _, e := range value.Elements(bson.Raw(arg.Value)) {
			if err := add(e); err != nil {
				return nil, err
			}
		}
	}
	return func(v bson.RawValue) bool { return set[v.Type] }, nil
}

func schemaRequired(arg bson.RawValue) (check, error) {
	if arg.Type != bson.TypeArray || value.IsEmpty(bson.Raw(arg.Value)) {
		return nil, badSchema("required must be a non-empty array")
	}
	var names []string
	for _, e := range value.Elements(bson.Raw(arg.Value)) {
		name, ok := e.StringValueOK()
		if !ok {
			return nil, badSchema("required must hold strings")
		}
		names = append(names, name)
	}
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeEmbeddedDocument {
			return true
		}
		for _, name := range names {
			if _, ok := value.Get(bson.Raw(v.Value), name); !ok {
				return false
			}
		}
		return true
	}, nil
}

func schemaLimit(name string, arg bson.RawValue, doc bson.Raw) (check, error) {
	if !value.IsNumber(arg.Type) {
		return nil, badSchema("%s must be a number", name)
	}
	sign, exclusiveName := 1, "exclusiveMinimum"
	if name == "maximum" {
		sign, exclusiveName = -1, "exclusiveMaximum"
	}
	exclusive := false
	if v, ok := value.Get(doc, exclusiveName); ok {
		if exclusive, ok = v.BooleanOK(); !ok {
			return nil, badSchema("%s must be a boolean", exclusiveName)
		}
	}
	return func(v bson.RawValue) bool {
		if !value.IsNumber(v.Type) {
			return true
		}
		c := sign * value.Compare(v, arg)
		return c > 0 || (c == 0 && !exclusive)
	}, nil
}

func schemaCount(name string, arg bson.RawValue) (check, error) {
	n, ok := wholeNumber(arg)
	if !ok || n < 0 {
		return nil, badSchema("%s must be a non-negative integer", name)
	}
	least, what := name[:3] == "min", name[3:]
	return func(v bson.RawValue) bool {
		count := 0
		switch {
		case what == "Length" && v.Type == bson.TypeString:
			s, _ := v.StringValueOK()
			count = utf8.RuneCountInString(s)
		case what == "Items" && v.Type == bson.TypeArray, what == "Properties" && v.Type == bson.TypeEmbeddedDocument:
			count = arrayLen(v)
		default:
			return true
		}
		if least {
			return int64(count) >= n
		}
		return int64(count) <= n
	}, nil
}

func schemaPattern(arg bson.RawValue) (check, error) {
	s, ok := arg.StringValueOK()
	if !ok {
		return nil, badSchema("pattern must be a string")
	}
	re, err := newRegex(s, "")
	if err != nil {
		return nil, err
	}
	return func(v bson.RawValue) bool {
		s, ok := v.StringValueOK()
		return !ok || re.re.MatchString(s)
	}, nil
}
