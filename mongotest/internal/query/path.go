package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// path is a dotted path, cut once.
type path []component

type component struct {
	name    string
	index   int // the array position that name may mean, if numeric
	numeric bool
}

func parsePath(s string) path {
	names := strings.Split(s, ".")
	p := make(path, len(names))
	for i, n := range names {
		index, numeric := value.ArrayIndex(n)
		p[i] = component{name: n, index: index, numeric: numeric}
	}
	return p
}

// visit takes one value that a path reaches and the position in the outermost
// array that led to it, -1 if none did. A missing value has Type 0. It returns
// true to end the walk.
type visit func(v bson.RawValue, idx int) bool

// each walks to all values that p reaches in doc, in the way of the query
// language: through each document of an array on the way, and by position where
// a component is a number. If leaf, an array at the end is entered too: its
// elements come first, then the array. It returns whether f ended the walk.
func (p path) each(doc bson.Raw, leaf bool, f visit) bool {
	return p.field(doc, leaf, -1, f)
}

func (p path) field(doc bson.Raw, leaf bool, idx int, f visit) bool {
	v, ok := value.Get(doc, p[0].name)
	if !ok {
		return f(bson.RawValue{}, idx)
	}
	return p[1:].inside(v, leaf, idx, f)
}

// inside walks on from the value v.
func (p path) inside(v bson.RawValue, leaf bool, idx int, f visit) bool {
	if len(p) == 0 {
		return atEnd(v, leaf, idx, f)
	}
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return p.field(bson.Raw(v.Value), leaf, idx, f)
	case bson.TypeArray:
		return p.elements(bson.Raw(v.Value), leaf, idx, f)
	default:
		return f(bson.RawValue{}, idx)
	}
}

func atEnd(v bson.RawValue, leaf bool, idx int, f visit) bool {
	if leaf && v.Type == bson.TypeArray {
		i := 0
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if f(e, outermost(idx, i)) {
				return true
			}
			i++
		}
	}
	return f(v, idx)
}

// elements walks on into an array. Elements that cannot hold the rest of the
// path are not missing values: they are passed over.
func (p path) elements(array bson.Raw, leaf bool, idx int, f visit) bool {
	i := 0
	for _, e := range value.Elements(array) {
		here := outermost(idx, i)
		named := p[0].numeric && p[0].index == i
		if e.Type == bson.TypeEmbeddedDocument {
			found := f
			if named { // the position answers for the name, so the name is not missing
				found = func(v bson.RawValue, idx int) bool { return v.Type != 0 && f(v, idx) }
			}
			if p.field(bson.Raw(e.Value), leaf, here, found) {
				return true
			}
		}
		if named && p[1:].position(e, leaf, idx, f) { // the path says which element, not the match
			return true
		}
		i++
	}
	return false
}

// position walks on from an array's element that the path named by its
// position: at the end of the path it is not entered.
func (p path) position(e bson.RawValue, leaf bool, idx int, f visit) bool {
	if len(p) == 0 {
		return f(e, idx)
	}
	if e.Type != bson.TypeEmbeddedDocument && e.Type != bson.TypeArray {
		return false
	}
	return p.inside(e, leaf, idx, f)
}

func outermost(idx, here int) int {
	if idx >= 0 {
		return idx
	}
	return here
}
