package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The keywords of $jsonSchema that hold schemas of their own.

func schemaProperties(arg bson.RawValue, depth int) (check, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, badSchema("properties must be an object")
	}
	subs := map[string]schema{}
	for name, v := range value.Elements(bson.Raw(arg.Value)) {
		sub, err := subSchema("properties", v, depth)
		if err != nil {
			return nil, err
		}
		subs[name] = sub
	}
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeEmbeddedDocument {
			return true
		}
		for name, e := range value.Elements(bson.Raw(v.Value)) {
			if sub, ok := subs[name]; ok && !sub.holds(e) {
				return false
			}
		}
		return true
	}, nil
}

// schemaAdditional is about the fields that "properties" beside it leaves out.
func schemaAdditional(arg bson.RawValue, doc bson.Raw, depth int) (check, error) {
	var sub schema
	allowed, isBool := arg.BooleanOK()
	if !isBool {
		var err error
		if sub, err = subSchema("additionalProperties", arg, depth); err != nil {
			return nil, err
		}
		allowed = true
	}
	properties, _ := value.Get(doc, "properties")
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeEmbeddedDocument {
			return true
		}
		for name, e := range value.Elements(bson.Raw(v.Value)) {
			if _, known := value.Get(bson.Raw(properties.Value), name); known {
				continue
			}
			if !allowed || !sub.holds(e) {
				return false
			}
		}
		return true
	}, nil
}

// schemaItems takes one schema for all elements, or an array with one for each
// position.
func schemaItems(arg bson.RawValue, depth int) (check, error) {
	var each []schema
	if arg.Type == bson.TypeArray {
		for _, e := range value.Elements(bson.Raw(arg.Value)) {
			sub, err := subSchema("items", e, depth)
			if err != nil {
				return nil, err
			}
			each = append(each, sub)
		}
	}
	var all schema
	if arg.Type != bson.TypeArray {
		var err error
		if all, err = subSchema("items", arg, depth); err != nil {
			return nil, err
		}
	}
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeArray {
			return true
		}
		i := 0
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if !all.holds(e) || (i < len(each) && !each[i].holds(e)) {
				return false
			}
			i++
		}
		return true
	}, nil
}

func schemaUnique(arg bson.RawValue) check {
	if !value.Truthy(arg) {
		return nil
	}
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeArray {
			return true
		}
		seen := inList{}
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if ok, _ := seen.test(e); ok {
				return false
			}
			seen = newInList(append(seen.vals, e), nil)
		}
		return true
	}
}

func schemaCombined(name string, arg bson.RawValue, depth int) (check, error) {
	if arg.Type != bson.TypeArray || value.IsEmpty(bson.Raw(arg.Value)) {
		return nil, badSchema("%s must be a non-empty array", name)
	}
	var subs []schema
	for _, e := range value.Elements(bson.Raw(arg.Value)) {
		sub, err := subSchema(name, e, depth)
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	return func(v bson.RawValue) bool {
		n := 0
		for _, sub := range subs {
			if sub.holds(v) {
				n++
			}
		}
		switch name {
		case "allOf":
			return n == len(subs)
		case "oneOf":
			return n == 1
		default:
			return n > 0
		}
	}, nil
}
