package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fieldTree is a set of paths by their components. A nil tree is the end of a path.
type fieldTree struct {
	fields map[string]*fieldTree
	// computed says that a field will be set inside, so that documents are made
	// where other values stand: those are left to mark the place.
	computed bool
}

// project copies doc, leaving out what the tree names, or all else if keep.
func (t *fieldTree) project(doc bson.Raw, keep bool) bson.Raw {
	return rebuild(doc, func(name string, v bson.RawValue) bson.RawValue {
		sub, named := t.fields[name]
		switch {
		case !named:
			return kept(v, !keep)
		case sub == nil:
			return kept(v, keep)
		default:
			return sub.projectValue(v, keep)
		}
	})
}

func kept(v bson.RawValue, keep bool) bson.RawValue {
	if keep {
		return v
	}
	return bson.RawValue{}
}

func (t *fieldTree) projectValue(v bson.RawValue, keep bool) bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return value.Doc(t.project(bson.Raw(v.Value), keep))
	case bson.TypeArray:
		var vals []bson.RawValue
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if e = t.projectValue(e, keep); e.Type != 0 {
				vals = append(vals, e)
			}
		}
		return value.ArrayOf(vals...)
	default:
		return kept(v, !keep || t.computed)
	}
}

// rebuild copies a document with each value as f returns it; a missing one
// (Type 0) is left out.
func rebuild(doc bson.Raw, f func(name string, v bson.RawValue) bson.RawValue) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)))
	for name, v := range value.Elements(doc) {
		if v = f(name, v); v.Type != 0 {
			dst = value.Append(dst, name, v)
		}
	}
	return end(dst, i)
}

// end closes a document that was begun at index i.
func end(dst []byte, i int32) bson.Raw {
	dst = append(dst, 0)
	return bsoncore.UpdateLength(dst, i, int32(len(dst))-i)
}

func without(doc bson.Raw, field string) bson.Raw {
	if _, ok := value.Get(doc, field); !ok {
		return doc
	}
	return rebuild(doc, func(name string, v bson.RawValue) bson.RawValue { return kept(v, name != field) })
}

// editField replaces the value at a path by what f returns, or the first array
// on the way there. Where nothing is found, nothing changes.
func editField(doc bson.Raw, p path, f func(bson.RawValue) bson.RawValue) bson.Raw {
	return rebuild(doc, func(name string, v bson.RawValue) bson.RawValue {
		switch {
		case name != p[0].name:
			return v
		case len(p) > 1 && v.Type == bson.TypeEmbeddedDocument:
			return value.Doc(editField(bson.Raw(v.Value), p[1:], f))
		case len(p) > 1 && v.Type != bson.TypeArray:
			return v
		default:
			return f(v)
		}
	})
}

// sliceAt cuts the arrays at the end of the path, in each document of the arrays
// on the way.
func sliceAt(doc bson.Raw, p path, s slicedField) bson.Raw {
	return rebuild(doc, func(name string, v bson.RawValue) bson.RawValue {
		switch {
		case name != p[0].name:
			return v
		case len(p) > 1:
			return sliceInside(v, p[1:], s)
		case v.Type == bson.TypeArray:
			return s.cut(v)
		default:
			return v
		}
	})
}

func sliceInside(v bson.RawValue, p path, s slicedField) bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return value.Doc(sliceAt(bson.Raw(v.Value), p, s))
	case bson.TypeArray:
		return value.Array(rebuild(bson.Raw(v.Value), func(_ string, e bson.RawValue) bson.RawValue {
			return sliceInside(e, p, s)
		}))
	default:
		return v
	}
}

// setField sets the value at a path, making the documents on the way, and in
// each element of the arrays on the way. A new _id goes first, other new fields
// last.
func setField(doc bson.Raw, p path, v bson.RawValue) bson.Raw {
	found := false
	out := rebuild(doc, func(name string, old bson.RawValue) bson.RawValue {
		if name != p[0].name {
			return old
		}
		found = true
		return setInside(old, p[1:], v)
	})
	if found {
		return out
	}
	fresh := setInside(bson.RawValue{}, p[1:], v)
	i, dst := bsoncore.AppendDocumentStart(nil)
	if p[0].name == "_id" {
		dst = value.Append(dst, "_id", fresh)
		dst = append(dst, out[4:len(out)-1]...)
	} else {
		dst = append(dst, out[4:len(out)-1]...)
		dst = value.Append(dst, p[0].name, fresh)
	}
	return end(dst, i)
}

func setInside(old bson.RawValue, p path, v bson.RawValue) bson.RawValue {
	switch {
	case len(p) == 0:
		return v
	case old.Type == bson.TypeEmbeddedDocument:
		return value.Doc(setField(bson.Raw(old.Value), p, v))
	case old.Type == bson.TypeArray:
		return value.Array(rebuild(bson.Raw(old.Value), func(_ string, e bson.RawValue) bson.RawValue {
			return setInside(e, p, v)
		}))
	default:
		return value.Doc(setField(value.D(), p, v))
	}
}
