package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The keywords of $jsonSchema about documents.

// ofObject makes a check of documents one of all values.
func ofObject(f func(doc bson.Raw) bool) check {
	return func(v bson.RawValue) bool { return v.Type != bson.TypeEmbeddedDocument || f(bson.Raw(v.Value)) }
}

func (k keyword) required() (check, error) {
	if k.arg.Type != bson.TypeArray {
		return nil, k.wants("an array")
	}
	names, err := k.names(k.arg)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, k.invalid("cannot be an empty array")
	}
	return ofObject(func(doc bson.Raw) bool { return hasAll(doc, names) }), nil
}

// names reads an array of distinct strings.
func (k keyword) names(array bson.RawValue) ([]string, error) {
	var names []string
	for _, e := range value.Elements(bson.Raw(array.Value)) {
		name, ok := e.StringValueOK()
		if !ok {
			return nil, k.wants("an array of strings")
		}
		if slices.Contains(names, name) {
			return nil, k.invalid("array cannot contain duplicate values")
		}
		names = append(names, name)
	}
	return names, nil
}

func hasAll(doc bson.Raw, names []string) bool {
	for _, name := range names {
		if _, ok := value.Get(doc, name); !ok {
			return false
		}
	}
	return true
}

func (k keyword) properties() (check, error) {
	if k.arg.Type != bson.TypeEmbeddedDocument {
		return nil, k.wants("an object")
	}
	subs := map[string]schema{}
	for name, v := range value.Elements(bson.Raw(k.arg.Value)) {
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "Nested schema for $jsonSchema property '%s' must be an object", name)
		}
		sub, err := k.sub(v)
		if err != nil {
			return nil, err
		}
		subs[name] = sub
	}
	return ofObject(func(doc bson.Raw) bool {
		for name, e := range value.Elements(doc) {
			if sub, ok := subs[name]; ok && !sub.holds(e) {
				return false
			}
		}
		return true
	}), nil
}

// patternSchema is a schema for the fields whose name matches a pattern.
type patternSchema struct {
	name *regex
	schema
}

// others reads patternProperties and additionalProperties: the latter is about
// the fields that neither properties nor a pattern names.
func (k keyword) others() (check, error) {
	if k.name == "patternProperties" {
		patterns, err := k.patterns(k.arg)
		if err != nil {
			return nil, err
		}
		return ofObject(func(doc bson.Raw) bool {
			for name, v := range value.Elements(doc) {
				for _, p := range patterns {
					if p.name.matches(name) && !p.holds(v) {
						return false
					}
				}
			}
			return true
		}), nil
	}
	rest, err := k.schemaOrBool()
	if err != nil {
		return nil, err
	}
	var patterns []patternSchema
	if arg, ok := k.beside("patternProperties"); ok {
		if patterns, err = k.patterns(arg); err != nil {
			return nil, err
		}
	}
	properties, _ := k.beside("properties")
	return ofObject(func(doc bson.Raw) bool {
		for name, v := range value.Elements(doc) {
			_, known := value.Get(bson.Raw(properties.Value), name)
			known = known || slices.ContainsFunc(patterns, func(p patternSchema) bool { return p.name.matches(name) })
			if !known && !rest(v) {
				return false
			}
		}
		return true
	}), nil
}

func (k keyword) patterns(arg bson.RawValue) ([]patternSchema, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "$jsonSchema keyword 'patternProperties' must be an object")
	}
	var out []patternSchema
	for pattern, v := range value.Elements(bson.Raw(arg.Value)) {
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.TypeMismatch,
				"$jsonSchema keyword 'patternProperties' has property '%s' which is not an object", pattern)
		}
		sub, err := k.sub(v)
		if err != nil {
			return nil, err
		}
		re, err := newRegex(pattern, "")
		if err != nil {
			return nil, badValue("Invalid regular expression in $jsonSchema keyword 'patternProperties': %s", pattern)
		}
		out = append(out, patternSchema{name: re, schema: sub})
	}
	return out, nil
}

// schemaOrBool reads an argument that is a schema or says yes or no to all.
func (k keyword) schemaOrBool() (check, error) {
	switch k.arg.Type {
	case bson.TypeBoolean:
		allowed := value.Truthy(k.arg)
		return func(bson.RawValue) bool { return allowed }, nil
	case bson.TypeEmbeddedDocument:
		s, err := k.sub(k.arg)
		return s.holds, err
	default:
		return nil, k.wants("an object or a boolean")
	}
}

// dependency is what the presence of a field asks for.
type dependency struct {
	name string
	then check
}

func (k keyword) dependencies() (check, error) {
	if k.arg.Type != bson.TypeEmbeddedDocument {
		return nil, k.wants("an object")
	}
	var deps []dependency
	for name, v := range value.Elements(bson.Raw(k.arg.Value)) {
		then, err := k.dependency(name, v)
		if err != nil {
			return nil, err
		}
		deps = append(deps, dependency{name: name, then: then})
	}
	return ofObject(func(doc bson.Raw) bool {
		for _, d := range deps {
			if _, ok := value.Get(doc, d.name); ok && !d.then(value.Doc(doc)) {
				return false
			}
		}
		return true
	}), nil
}

func (k keyword) dependency(name string, v bson.RawValue) (check, error) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		s, err := k.sub(v)
		return s.holds, err
	case bson.TypeArray:
		if value.IsEmpty(bson.Raw(v.Value)) {
			return nil, badSchema("property '%s' in $jsonSchema keyword 'dependencies' cannot be an empty array", name)
		}
		names, err := k.names(v)
		return ofObject(func(doc bson.Raw) bool { return hasAll(doc, names) }), err
	default:
		return nil, mongoerr.New(mongoerr.TypeMismatch,
			"property '%s' in $jsonSchema keyword 'dependencies' must be either an object or an array", name)
	}
}
