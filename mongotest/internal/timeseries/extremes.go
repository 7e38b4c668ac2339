package timeseries

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The direction in which a value replaces another one in control.min and
// control.max.
const (
	least    = -1
	greatest = 1
)

// extreme returns what control.min (least) or control.max (greatest) says of a
// field after v. Documents and arrays are taken apart: each of their fields has
// an extreme of its own.
func extreme(have, v bson.RawValue, direction int) bson.RawValue {
	switch {
	case have.Type == 0:
		return v
	case have.Type == v.Type && v.Type == bson.TypeEmbeddedDocument:
		return value.Doc(extremes(have.Value, v.Value, direction))
	case have.Type == v.Type && v.Type == bson.TypeArray:
		return value.Array(extremes(have.Value, v.Value, direction))
	case value.Compare(v, have)*direction > 0:
		return v
	default:
		return have
	}
}

// extremes is extreme for all fields of two documents or arrays.
func extremes(have, doc bson.Raw, direction int) bson.Raw {
	dst := newDoc(max(len(have), len(doc)))
	for name, old := range value.Elements(have) {
		if v, ok := value.Get(doc, name); ok {
			old = extreme(old, v, direction)
		}
		dst = value.Append(dst, name, old)
	}
	for name, v := range value.Elements(doc) {
		if _, ok := value.Get(have, name); !ok {
			dst = value.Append(dst, name, v)
		}
	}
	return endDoc(dst)
}

// alike reports whether v may stand in a bucket beside values like have: a
// bucket holds one kind of value for each field, so that min and max say
// something about all of them.
func alike(have, v bson.RawValue) bool {
	if have.Type == 0 {
		return true
	}
	if value.CanonicalType(have.Type) != value.CanonicalType(v.Type) {
		return false
	}
	if have.Type != bson.TypeEmbeddedDocument && have.Type != bson.TypeArray {
		return true
	}
	for name, inner := range value.Elements(v.Value) {
		if old, ok := value.Get(have.Value, name); ok && !alike(old, inner) {
			return false
		}
	}
	return true
}
