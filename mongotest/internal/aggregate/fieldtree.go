package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// treeKind says what happens to the fields a tree does not name.
type treeKind int

const (
	including treeKind = iota // they go
	excluding                 // they stay
	adding                    // they stay; named fields are computed
)

// fieldTree is a compiled $project, $unset or $addFields: what becomes of each
// named path.
type fieldTree struct {
	kids  map[string]*fieldTree
	order []string
	// On a leaf: computed, or else included or excluded as the root's kind is.
	leaf     bool
	computed evalFunc
	// excluded marks _id: 0 in an inclusion.
	excluded bool
	// computes says that some leaf below is computed.
	computes bool
}

// The codes of a path that comes after one below it or equal, or above it.
const (
	pathCollisionBelow mongoerr.Code = 31249
	pathCollisionAbove mongoerr.Code = 31250
)

// add places a leaf at a path. Two leaves may not touch.
func (t *fieldTree) add(path []string, leaf *fieldTree) error {
	at := t
	for i, p := range path {
		at.computes = at.computes || leaf.computed != nil
		next := at.kids[p]
		last := i == len(path)-1
		switch {
		case next != nil && last:
			return mongoerr.New(pathCollisionAbove, "Path collision at %s", strings.Join(path, "."))
		case next != nil && next.leaf:
			return mongoerr.New(pathCollisionBelow, "Path collision at %s remaining portion %s", strings.Join(path, "."), strings.Join(path[i+1:], "."))
		case next == nil && last:
			next = leaf
		case next == nil:
			next = &fieldTree{}
		}
		if at.kids == nil {
			at.kids = map[string]*fieldTree{}
		}
		if at.kids[p] == nil {
			at.kids[p] = next
			at.order = append(at.order, p)
		}
		at = next
	}
	return nil
}

// project returns what the tree leaves of doc, before computed fields.
func (t *fieldTree) project(doc bson.Raw, kind treeKind) bson.Raw {
	var b rawdoc.Builder
	for k, v := range value.Elements(doc) {
		kid := t.kids[k]
		switch {
		case kid == nil:
			if kind != including {
				b.Add(k, v)
			}
		case !kid.leaf:
			if x, ok := kid.projectValue(v, kind); ok {
				b.Add(k, x)
			}
		case kid.computed != nil:
			if kind == adding {
				b.Add(k, v) // keeps its place
			}
		case kind == including && !kid.excluded:
			b.Add(k, v)
		}
	}
	return b.Bytes()
}

func (t *fieldTree) projectValue(v bson.RawValue, kind treeKind) (bson.RawValue, bool) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return value.Doc(t.project(v.Value, kind)), true
	case bson.TypeArray:
		var b rawdoc.Builder
		for _, e := range value.Elements(v.Value) {
			if x, ok := t.projectValue(e, kind); ok {
				b.Push(x)
			}
		}
		return value.Array(b.Bytes()), true
	default:
		return v, kind != including
	}
}

// compute sets the computed fields of doc; expressions see c.root.
func (t *fieldTree) compute(c evalCtx, doc bson.Raw) (bson.Raw, error) {
	if !t.computes {
		return doc, nil
	}
	for _, name := range t.order {
		kid := t.kids[name]
		switch {
		case kid.computed != nil:
			v, err := kid.computed(c)
			if err != nil {
				return nil, err
			}
			doc = withField(doc, name, v)
		case kid.computes:
			old, _ := value.Get(doc, name)
			v, err := kid.computeValue(c, old)
			if err != nil {
				return nil, err
			}
			doc = withField(doc, name, v)
		}
	}
	return doc, nil
}

func (t *fieldTree) computeValue(c evalCtx, v bson.RawValue) (bson.RawValue, error) {
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		d, err := t.compute(c, v.Value)
		return value.Doc(d), err
	case bson.TypeArray:
		var b rawdoc.Builder
		for _, e := range value.Elements(v.Value) {
			x, err := t.computeValue(c, e)
			if err != nil {
				return v, err
			}
			b.Push(x)
		}
		return value.Array(b.Bytes()), nil
	default:
		d, err := t.compute(c, value.D())
		return value.Doc(d), err
	}
}
