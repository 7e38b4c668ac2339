package update

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// push is the argument of $push.
type push struct {
	vals     []bson.RawValue
	position *int64
	slice    *int64
	order    func(a, b bson.RawValue) int
}

func compilePush(o *op, _ string, arg bson.RawValue) error {
	vals, wrapped, err := each(o.modifier, arg)
	if err != nil {
		return err
	}
	p := &push{vals: vals}
	if wrapped {
		if err := p.modifiers(arg.Value, o.opts.Collation); err != nil {
			return err
		}
	}
	o.leaf = func(t target) (outcome, error) {
		if !t.missing() && t.cur.Type != bson.TypeArray {
			return outcome{}, mongoerr.New(mongoerr.BadValue, "The field '%s' must be an array but is of type %s in document %s", t.op.text, rawdoc.TypeName(t.cur.Type), t.run.id())
		}
		return putValue(value.ArrayOf(p.apply(rawdoc.Values(t.cur.Value))...))
	}
	return nil
}

func (p *push) modifiers(spec bson.Raw, coll *collation.Collation) error {
	for k, v := range value.Elements(spec) {
		i, whole := number.Exact(v)
		switch k {
		case "$each":
		case "$position":
			if !whole {
				return mongoerr.New(mongoerr.BadValue, "The value for $position must be an integer value, not of type: %s", rawdoc.TypeName(v.Type))
			}
			p.position = &i
		case "$slice":
			if !whole {
				return mongoerr.New(mongoerr.BadValue, "The value for $slice must be an integer value but was given type: %s", rawdoc.TypeName(v.Type))
			}
			p.slice = &i
		case "$sort":
			var err error
			if p.order, err = pushOrder(v, coll); err != nil {
				return err
			}
		default:
			return mongoerr.New(mongoerr.BadValue, "Unrecognized clause in $push: %s", k)
		}
	}
	return nil
}

// apply inserts, then sorts, then slices.
func (p *push) apply(have []bson.RawValue) []bson.RawValue {
	at := len(have)
	if p.position != nil {
		n := int64(len(have))
		if *p.position < 0 {
			at = int(max(n+*p.position, 0))
		} else {
			at = int(min(*p.position, n))
		}
	}
	have = slices.Insert(have, at, p.vals...)
	if p.order != nil {
		slices.SortStableFunc(have, p.order)
	}
	if p.slice != nil {
		n := int64(len(have))
		if *p.slice < 0 {
			have = have[max(n+*p.slice, 0):]
		} else {
			have = have[:min(*p.slice, n)]
		}
	}
	return have
}

// pushOrder compiles $sort: a direction for whole elements, or fields of
// embedded documents with one each.
func pushOrder(spec bson.RawValue, coll *collation.Collation) (func(a, b bson.RawValue) int, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		dir, ok := direction(spec)
		if !ok {
			return nil, mongoerr.New(mongoerr.BadValue, "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields")
		}
		return func(a, b bson.RawValue) int { return coll.Compare(a, b) * dir }, nil
	}
	if value.IsEmpty(spec.Value) {
		return nil, mongoerr.New(mongoerr.BadValue, "The $sort pattern is empty when it should be a set of fields.")
	}
	type field struct {
		path string
		dir  int
	}
	var fields []field
	for k, v := range value.Elements(spec.Value) {
		dir, ok := direction(v)
		if !ok {
			return nil, mongoerr.New(mongoerr.BadValue, "The $sort element value must be either 1 or -1")
		}
		if k == "" {
			return nil, mongoerr.New(mongoerr.BadValue, "The $sort field cannot be empty")
		}
		if slices.Contains(strings.Split(k, "."), "") {
			return nil, mongoerr.New(mongoerr.BadValue, "The $sort field is a dotted field but has an empty part: %s", k)
		}
		fields = append(fields, field{k, dir})
	}
	return func(a, b bson.RawValue) int {
		for _, f := range fields {
			if c := coll.Compare(sortKey(a, f.path), sortKey(b, f.path)) * f.dir; c != 0 {
				return c
			}
		}
		return 0
	}, nil
}

func direction(v bson.RawValue) (int, bool) {
	i, ok := number.Exact(v)
	return int(i), ok && (i == 1 || i == -1)
}

// sortKey is null for what has no such field.
func sortKey(v bson.RawValue, path string) bson.RawValue {
	if v.Type == bson.TypeEmbeddedDocument {
		if k, ok := value.Lookup(v.Value, path); ok {
			return k
		}
	}
	return value.Null()
}
