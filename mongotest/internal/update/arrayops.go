package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// each returns the values of {$each: [...]}, or the argument itself.
func each(mod string, arg bson.RawValue) (vals []bson.RawValue, wrapped bool, err error) {
	if arg.Type == bson.TypeEmbeddedDocument {
		if e, ok := value.Get(arg.Value, "$each"); ok {
			if e.Type != bson.TypeArray {
				code := mongoerr.BadValue
				if mod == "$addToSet" {
					code = mongoerr.TypeMismatch
				}
				return nil, true, mongoerr.New(code, "The argument to $each in %s must be an array but it was of type: %s", mod, rawdoc.TypeName(e.Type))
			}
			return rawdoc.Values(e.Value), true, nil
		}
	}
	return []bson.RawValue{arg}, false, nil
}

func compileAddToSet(o *op, _ string, arg bson.RawValue) error {
	vals, wrapped, err := each(o.modifier, arg)
	if err != nil {
		return err
	}
	if wrapped {
		for k, v := range value.Elements(arg.Value) {
			if k != "$each" {
				return mongoerr.New(mongoerr.BadValue, "Found unexpected fields after $each in $addToSet: %s", rawdoc.RenderElement(k, v))
			}
		}
	}
	o.leaf = func(t target) (outcome, error) {
		if !t.missing() && t.cur.Type != bson.TypeArray {
			return outcome{}, mongoerr.New(mongoerr.BadValue, "Cannot apply $addToSet to non-array field. Field named '%s' has non-array type %s", t.key, rawdoc.TypeName(t.cur.Type))
		}
		have := rawdoc.Values(t.cur.Value)
		n := len(have)
		for _, v := range vals {
			if !o.opts.contains(have, v) {
				have = append(have, v)
			}
		}
		if len(have) == n && !t.missing() {
			return outcome{}, nil
		}
		return putValue(value.ArrayOf(have...))
	}
	return nil
}

func (o *Options) contains(vals []bson.RawValue, v bson.RawValue) bool {
	for _, x := range vals {
		if o.Collation.Equal(x, v) {
			return true
		}
	}
	return false
}

func compilePop(o *op, path string, arg bson.RawValue) error {
	if !number.Is(arg) {
		return mongoerr.New(mongoerr.FailedToParse, "Expected a number in: %s", rawdoc.RenderElement(path, arg))
	}
	end, ok := number.Exact(arg)
	if !ok {
		return mongoerr.New(mongoerr.FailedToParse, "Expected an integer: %s", rawdoc.RenderElement(path, arg))
	}
	if end != 1 && end != -1 {
		return mongoerr.New(mongoerr.FailedToParse, "$pop expects 1 or -1, found: %d", end)
	}
	o.creates, o.strict = false, true
	o.leaf = func(t target) (outcome, error) {
		if t.cur.Type != bson.TypeArray {
			return outcome{}, mongoerr.New(mongoerr.TypeMismatch, "Path '%s' contains an element of non-array type '%s'", t.op.text, rawdoc.TypeName(t.cur.Type))
		}
		vals := rawdoc.Values(t.cur.Value)
		switch {
		case len(vals) == 0:
			return outcome{}, nil
		case end == 1:
			vals = vals[:len(vals)-1]
		default:
			vals = vals[1:]
		}
		return putValue(value.ArrayOf(vals...))
	}
	return nil
}

func compilePullAll(o *op, _ string, arg bson.RawValue) error {
	if arg.Type != bson.TypeArray {
		return mongoerr.New(mongoerr.BadValue, "$pullAll requires an array argument but was given a %s", rawdoc.TypeName(arg.Type))
	}
	unwanted := rawdoc.Values(arg.Value)
	return cull(o, func(v bson.RawValue) (bool, error) { return o.opts.contains(unwanted, v), nil })
}

func compilePull(o *op, _ string, arg bson.RawValue) error {
	if arg.Type == bson.TypeRegex || arg.Type == bson.TypeEmbeddedDocument && isCondition(arg.Value) {
		return cullMatching(o, value.D("v", arg), func(v bson.RawValue) (bson.Raw, bool) { return value.D("v", v), true })
	}
	if arg.Type == bson.TypeEmbeddedDocument {
		return cullMatching(o, arg.Value, func(v bson.RawValue) (bson.Raw, bool) {
			return v.Value, v.Type == bson.TypeEmbeddedDocument
		})
	}
	return cull(o, func(v bson.RawValue) (bool, error) { return o.opts.Collation.Equal(v, arg), nil })
}

// isCondition reports whether a $pull argument is a condition on the element
// itself, such as {$gt: 3}, rather than a query on the element's fields.
func isCondition(arg bson.Raw) bool {
	k, _, _ := rawdoc.First(arg)
	switch k {
	case "$and", "$or", "$nor", "$expr", "$comment", "$where", "$jsonSchema", "$alwaysTrue", "$alwaysFalse", "$ref", "$id", "$db":
		return false
	}
	return strings.HasPrefix(k, "$")
}

// cullMatching removes the elements that filter matches; as makes an element
// the document to ask it about.
func cullMatching(o *op, filter bson.Raw, as func(bson.RawValue) (bson.Raw, bool)) error {
	matcher, err := query.Compile(filter, o.opts.matching())
	if err != nil {
		return err
	}
	return cull(o, func(v bson.RawValue) (bool, error) {
		doc, ok := as(v)
		if !ok {
			return false, nil
		}
		return matcher.Match(doc)
	})
}

// cull makes o remove the elements of an array that unwanted picks.
func cull(o *op, unwanted func(bson.RawValue) (bool, error)) error {
	o.creates = false
	o.leaf = func(t target) (outcome, error) {
		if t.cur.Type != bson.TypeArray {
			return outcome{}, mongoerr.New(mongoerr.BadValue, "Cannot apply %s to a non-array value", t.op.modifier)
		}
		var b rawdoc.Builder
		for _, v := range value.Elements(t.cur.Value) {
			gone, err := unwanted(v)
			if err != nil {
				return outcome{}, err
			}
			if !gone {
				b.Push(v)
			}
		}
		return putValue(value.Array(b.Bytes()))
	}
	return nil
}
