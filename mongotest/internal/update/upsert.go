package update

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// UpsertBase returns the document an upsert starts from: the fields that
// filter fixes by equality, in the order it names them. Two values for one
// path are NotSingleValueField.
func UpsertBase(filter bson.Raw) (bson.Raw, error) {
	var eqs []equality
	if err := collectEqualities(filter, &eqs); err != nil {
		return nil, err
	}
	root := newObject("")
	for _, e := range eqs {
		if err := plant(root, strings.Split(e.path, "."), e.value); err != nil {
			return nil, err
		}
	}
	return root.encode(nil), nil
}

type equality struct {
	path  string
	value bson.RawValue
}

func collectEqualities(filter bson.Raw, out *[]equality) error {
	for k, v := range value.Elements(filter) {
		switch {
		case k == "$and", k == "$or" && rawdoc.Len(v.Value) == 1:
			for _, sub := range value.Elements(v.Value) {
				if err := collectEqualities(sub.Value, out); err != nil {
					return err
				}
			}
		case strings.HasPrefix(k, "$") || v.Type == bson.TypeRegex:
		default:
			fixed, ok := fixedValue(v)
			if !ok {
				continue
			}
			if err := addEquality(out, equality{k, fixed}); err != nil {
				return err
			}
		}
	}
	return nil
}

// addEquality refuses a path that is fixed twice or lies inside another.
func addEquality(out *[]equality, e equality) error {
	for _, o := range *out {
		if o.path == e.path || strings.HasPrefix(e.path, o.path+".") || strings.HasPrefix(o.path, e.path+".") {
			if o.path == e.path && value.Identical(o.value, e.value) {
				return nil
			}
			if o.path == e.path {
				return mongoerr.New(mongoerr.NotSingleValueField, "cannot infer query fields to set, path '%s' is matched twice", e.path)
			}
			return mongoerr.New(mongoerr.NotSingleValueField, "cannot infer query fields to set, both paths '%s' and '%s' are matched", e.path, o.path)
		}
	}
	*out = append(*out, e)
	return nil
}

// fixedValue returns the one value a condition allows.
func fixedValue(cond bson.RawValue) (bson.RawValue, bool) {
	if cond.Type != bson.TypeEmbeddedDocument {
		return cond, true
	}
	first, _, ok := rawdoc.First(cond.Value)
	if !ok || !strings.HasPrefix(first, "$") || first == "$ref" || first == "$id" {
		return cond, true
	}
	for k, v := range value.Elements(cond.Value) {
		switch {
		case k == "$eq" && v.Type != bson.TypeRegex:
			return v, true
		case (k == "$in" || k == "$all") && rawdoc.Len(v.Value) == 1:
			_, only, _ := rawdoc.First(v.Value)
			return only, only.Type != bson.TypeRegex
		}
	}
	return bson.RawValue{}, false
}

// plant creates a path in a document.
func plant(n *node, path []string, v bson.RawValue) error {
	k := n.child(path[0])
	if len(path) == 1 {
		if k == nil {
			n.kids = append(n.kids, &node{key: path[0], val: v})
		}
		return nil
	}
	if k == nil {
		k = newObject(path[0])
		n.kids = append(n.kids, k)
	}
	return plant(k, path[1:], v)
}

// upsert returns the document that the statement inserts.
func (u *Update) upsert() (bson.Raw, error) {
	if !u.opts.Upsert {
		return nil, mongoerr.New(mongoerr.InternalError, "an update without upsert needs a document")
	}
	base, err := UpsertBase(u.opts.Query)
	if err != nil {
		return nil, err
	}
	if u.kind == Replacement {
		base = onlyID(base)
	}
	out, err := u.exec.apply(base, -1, true)
	if err != nil {
		return nil, err
	}
	out = idFirst(out)
	return out, checkSize(out)
}

func onlyID(doc bson.Raw) bson.Raw {
	var b rawdoc.Builder
	if id, ok := value.Get(doc, "_id"); ok {
		b.Add("_id", id)
	}
	return b.Bytes()
}

// idFirst moves _id to the front and makes one if there is none.
func idFirst(doc bson.Raw) bson.Raw {
	var b rawdoc.Builder
	id, ok := value.Get(doc, "_id")
	if !ok {
		id = value.ObjectID(bson.NewObjectID())
	}
	b.Add("_id", id)
	for k, v := range value.Elements(doc) {
		if k != "_id" {
			b.Add(k, v)
		}
	}
	return b.Bytes()
}
