package query

import (
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

// keyword is one entry of a schema, with the schema it stands in: some keywords
// depend on their neighbours.
type keyword struct {
	name   string
	arg    bson.RawValue
	schema bson.Raw
	depth  int
}

func parseSchema(doc bson.Raw, depth int) (schema, error) {
	if depth > maxFilterDepth {
		return nil, badSchema("$jsonSchema exceeded maximum depth of %d", maxFilterDepth)
	}
	if _, ok := value.Get(doc, "type"); ok {
		if _, both := value.Get(doc, "bsonType"); both {
			return nil, badSchema("Cannot specify both $jsonSchema keywords 'type' and 'bsonType'")
		}
	}
	var s schema
	seen := map[string]bool{}
	for name, arg := range value.Elements(doc) {
		if seen[name] {
			return nil, badSchema("Duplicate $jsonSchema keyword: %s", name)
		}
		seen[name] = true
		parse, err := schemaKeyword(name)
		if err != nil {
			return nil, err
		}
		c, err := parse(keyword{name: name, arg: arg, schema: doc, depth: depth})
		if err != nil {
			return nil, err
		}
		if c != nil {
			s = append(s, c)
		}
	}
	return s, nil
}

// schemaKeyword returns the parser of a keyword.
func schemaKeyword(name string) (func(keyword) (check, error), error) {
	switch name {
	case "title", "description":
		return keyword.text, nil
	case "exclusiveMinimum", "exclusiveMaximum":
		return keyword.exclusive, nil
	case "bsonType", "type":
		return keyword.types, nil
	case "enum":
		return keyword.enum, nil
	case "minimum", "maximum":
		return keyword.limit, nil
	case "multipleOf":
		return keyword.multiple, nil
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		return keyword.count, nil
	case "pattern":
		return keyword.pattern, nil
	case "required":
		return keyword.required, nil
	case "properties":
		return keyword.properties, nil
	case "patternProperties", "additionalProperties":
		return keyword.others, nil
	case "dependencies":
		return keyword.dependencies, nil
	case "items":
		return keyword.items, nil
	case "additionalItems":
		return keyword.additionalItems, nil
	case "uniqueItems":
		return keyword.unique, nil
	case "allOf", "anyOf", "oneOf":
		return keyword.combined, nil
	case "not":
		return keyword.not, nil
	case "$ref", "$schema", "default", "definitions", "format", "id":
		return nil, badSchema("$jsonSchema keyword '%s' is not currently supported", name)
	default:
		return nil, badSchema("Unknown $jsonSchema keyword: %s", name)
	}
}

func badSchema(format string, args ...any) error {
	return mongoerr.New(mongoerr.FailedToParse, format, args...)
}

// wants is the error of a keyword whose argument has the wrong type.
func (k keyword) wants(what string) error {
	return mongoerr.New(mongoerr.TypeMismatch, "$jsonSchema keyword '%s' must be %s", k.name, what)
}

// invalid is the error of a keyword whose argument has the right type.
func (k keyword) invalid(what string) error {
	return badSchema("$jsonSchema keyword '%s' %s", k.name, what)
}

// beside returns the argument of another keyword of the same schema.
func (k keyword) beside(name string) (bson.RawValue, bool) { return value.Get(k.schema, name) }

// sub parses a schema below the keyword.
func (k keyword) sub(v bson.RawValue) (schema, error) {
	return parseSchema(bson.Raw(v.Value), k.depth+1)
}

// subs parses the schemas of an array.
func (k keyword) subs() ([]schema, error) {
	var out []schema
	for _, e := range value.Elements(bson.Raw(k.arg.Value)) {
		if e.Type != bson.TypeEmbeddedDocument {
			return nil, k.wants("an array of objects")
		}
		s, err := k.sub(e)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (k keyword) combined() (check, error) {
	if k.arg.Type != bson.TypeArray {
		return nil, k.wants("an array")
	}
	if value.IsEmpty(bson.Raw(k.arg.Value)) {
		return nil, badValue("$jsonSchema keyword '%s' must be a non-empty array", k.name)
	}
	subs, err := k.subs()
	if err != nil {
		return nil, err
	}
	return func(v bson.RawValue) bool {
		n := 0
		for _, sub := range subs {
			if sub.holds(v) {
				n++
			}
		}
		switch k.name {
		case "allOf":
			return n == len(subs)
		case "oneOf":
			return n == 1
		default:
			return n > 0
		}
	}, nil
}

func (k keyword) not() (check, error) {
	if k.arg.Type != bson.TypeEmbeddedDocument {
		return nil, k.wants("an object")
	}
	sub, err := k.sub(k.arg)
	return func(v bson.RawValue) bool { return !sub.holds(v) }, err
}
