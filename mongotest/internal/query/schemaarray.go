package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The keywords of $jsonSchema about arrays.

// ofElements makes a check of each element and its position one of all values.
func ofElements(f func(i int, e bson.RawValue) bool) check {
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeArray {
			return true
		}
		i := 0
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if !f(i, e) {
				return false
			}
			i++
		}
		return true
	}
}

// items takes one schema for all elements, or an array with one for each
// position.
func (k keyword) items() (check, error) {
	switch k.arg.Type {
	case bson.TypeEmbeddedDocument:
		all, err := k.sub(k.arg)
		return ofElements(func(_ int, e bson.RawValue) bool { return all.holds(e) }), err
	case bson.TypeArray:
		each, err := k.subs()
		return ofElements(func(i int, e bson.RawValue) bool { return i >= len(each) || each[i].holds(e) }), err
	default:
		return nil, k.wants("an array or an object")
	}
}

// additionalItems is about the elements after those that items names by
// position; without these it has no effect.
func (k keyword) additionalItems() (check, error) {
	rest, err := k.schemaOrBool()
	if err != nil {
		return nil, err
	}
	items, _ := k.beside("items")
	if items.Type != bson.TypeArray {
		return nil, nil
	}
	named := arrayLen(items)
	return ofElements(func(i int, e bson.RawValue) bool { return i < named || rest(e) }), nil
}

func (k keyword) unique() (check, error) {
	if k.arg.Type != bson.TypeBoolean {
		return nil, k.wants("a boolean")
	}
	if !value.Truthy(k.arg) {
		return nil, nil
	}
	return func(v bson.RawValue) bool {
		if v.Type != bson.TypeArray {
			return true
		}
		var seen []bson.RawValue
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if containsUnordered(seen, e) {
				return false
			}
			seen = append(seen, e)
		}
		return true
	}, nil
}

func containsUnordered(vals []bson.RawValue, v bson.RawValue) bool {
	for _, x := range vals {
		if equalUnordered(x, v) {
			return true
		}
	}
	return false
}

// equalUnordered is equality as JSON Schema has it: the order of a document's
// fields does not matter.
func equalUnordered(a, b bson.RawValue) bool {
	if a.Type != b.Type || a.Type != bson.TypeEmbeddedDocument && a.Type != bson.TypeArray {
		return value.Equal(a, b)
	}
	if arrayLen(a) != arrayLen(b) {
		return false
	}
	for name, x := range value.Elements(bson.Raw(a.Value)) { // an array's names are its positions
		if y, ok := value.Get(bson.Raw(b.Value), name); !ok || !equalUnordered(x, y) {
			return false
		}
	}
	return true
}
