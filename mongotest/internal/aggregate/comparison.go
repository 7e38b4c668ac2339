package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var compareOps = map[string]collated{
	"$eq":  {2, 2, comparing(func(c int) bool { return c == 0 })},
	"$ne":  {2, 2, comparing(func(c int) bool { return c != 0 })},
	"$gt":  {2, 2, comparing(func(c int) bool { return c > 0 })},
	"$gte": {2, 2, comparing(func(c int) bool { return c >= 0 })},
	"$lt":  {2, 2, comparing(func(c int) bool { return c < 0 })},
	"$lte": {2, 2, comparing(func(c int) bool { return c <= 0 })},
	"$cmp": {2, 2, func(vars Vars, a []bson.RawValue) (bson.RawValue, error) {
		return value.Int32(sign(vars.compare(a[0], a[1]))), nil
	}},
}

var logicOps = map[string]plain{
	"$not": {1, 1, func(a []bson.RawValue) (bson.RawValue, error) { return value.Bool(!truthy(a[0])), nil }},
}

func comparing(ok func(c int) bool) func(Vars, []bson.RawValue) (bson.RawValue, error) {
	return func(vars Vars, a []bson.RawValue) (bson.RawValue, error) {
		return value.Bool(ok(vars.compare(a[0], a[1]))), nil
	}
}

func sign(c int) int32 {
	switch {
	case c < 0:
		return -1
	case c > 0:
		return 1
	default:
		return 0
	}
}

// elementOrder compiles a sort of array elements: a direction for whole
// elements, or a document of fields.
func elementOrder(spec bson.RawValue) (func(vars Vars, a, b bson.RawValue) int, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		if !number.Is(spec) {
			return nil, mongoerr.New(2942507, "The $sortArray 'sortBy' must be a number or an object, not %s", typeName(spec))
		}
		dir, err := direction(spec)
		if err != nil {
			return nil, mongoerr.New(2942506, "The $sortArray sort must be 1 (for ascending) or -1 (for descending)")
		}
		return func(vars Vars, a, b bson.RawValue) int { return vars.compare(a, b) * dir }, nil
	}
	type key struct {
		path string
		dir  int
	}
	if value.IsEmpty(spec.Value) {
		return nil, mongoerr.New(2942505, "The $sortArray 'sortBy' must not be empty")
	}
	var keys []key
	for k, v := range value.Elements(spec.Value) {
		dir, err := direction(v)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{k, dir})
	}
	return func(vars Vars, a, b bson.RawValue) int {
		for _, k := range keys {
			if c := vars.compare(embedded(a, k.path), embedded(b, k.path)) * k.dir; c != 0 {
				return c
			}
		}
		return 0
	}, nil
}

func direction(v bson.RawValue) (int, error) {
	i, ok := number.Exact(v)
	if !ok || i != 1 && i != -1 {
		return 0, mongoerr.New(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
	}
	return int(i), nil
}

// embedded is null for what has no such field.
func embedded(v bson.RawValue, path string) bson.RawValue {
	if v.Type == bson.TypeEmbeddedDocument {
		if x, ok := value.Lookup(v.Value, path); ok {
			return x
		}
	}
	return value.Null()
}
