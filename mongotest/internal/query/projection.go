package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Projection is a compiled projection of find and findAndModify. It may be used
// from many goroutines at once, as far as the hooks of its Options allow it.
type Projection struct {
	o        Options
	empty    bool // gives documents back as they are
	keep     bool // the tree names what stays; otherwise what goes
	tree     *fieldTree
	position path // of "a.$" without the "$", nil if there is none
	slices   []slicedField
	elems    []elemField
	computed []computedField
	scores   []path // of {$meta: "textScore"}
}

// Positional reports whether Apply needs the position that made a document
// match.
func (p *Projection) Positional() bool { return p.position != nil }

type (
	slicedField struct {
		path        path
		skip, limit int // skip < 0 counts from the end
	}

	elemField struct {
		name string
		pred positioned
	}

	computedField struct {
		path path
		expr bson.RawValue
	}
)

// Apply returns what the projection leaves of doc. arrayIdx is the position that
// "a.$" stands for, from MatchArrayIndex; if it is negative, the Matcher of the
// Options is asked.
func (p *Projection) Apply(doc bson.Raw, arrayIdx int) (bson.Raw, error) {
	if p.empty {
		return doc, nil
	}
	out := doc
	if p.position != nil {
		var err error
		if out, err = p.pick(doc, arrayIdx); err != nil {
			return nil, err
		}
	}
	out = p.tree.project(out, p.keep)
	for _, s := range p.slices {
		out = s.apply(out)
	}
	for _, e := range p.elems {
		out = e.apply(out, doc, p.keep)
	}
	for _, c := range p.computed {
		v, err := p.o.Value(c.expr, doc)
		if err != nil {
			return nil, err
		}
		if v.Type != 0 {
			out = setField(out, c.path, v)
		}
	}
	for _, at := range p.scores {
		out = setField(out, at, p.o.Matcher.textScore(doc))
	}
	return out, nil
}

// pick cuts the first array on the positional path down to its matched element.
func (p *Projection) pick(doc bson.Raw, idx int) (bson.Raw, error) {
	if idx < 0 && p.o.Matcher != nil {
		_, idx = p.o.Matcher.MatchArrayIndex(doc)
	}
	unmatched, missing := false, false
	out := editField(doc, p.position, func(v bson.RawValue) bson.RawValue {
		if v.Type != bson.TypeArray {
			return v
		}
		if idx < 0 {
			unmatched = true
			return v
		}
		e, ok := value.Get(bson.Raw(v.Value), value.IndexName(idx))
		if !ok {
			missing = true
			return v
		}
		return value.ArrayOf(e)
	})
	if unmatched {
		return nil, mongoerr.New(51246, "Executor error during find command :: caused by :: "+
			"positional operator '.$' couldn't find a matching element in the array")
	}
	if missing {
		return nil, mongoerr.New(51247, "Executor error during find command :: caused by :: "+
			"positional operator '.$' element mismatch")
	}
	return out, nil
}

// apply leaves of the field the first element that matches, or nothing. Where
// the projection names what stays, the field goes to the end.
func (e elemField) apply(out, doc bson.Raw, keep bool) bson.Raw {
	v, _ := value.Get(doc, e.name)
	var found bson.RawValue
	if i := e.pred.position(v); i >= 0 {
		elem, _ := value.Get(bson.Raw(v.Value), value.IndexName(i))
		found = value.ArrayOf(elem)
	}
	if keep || found.Type == 0 {
		out = without(out, e.name)
	}
	if found.Type == 0 {
		return out
	}
	return setField(out, parsePath(e.name), found)
}

func (s slicedField) apply(doc bson.Raw) bson.Raw {
	return sliceAt(doc, s.path, s)
}

// cut returns the part of an array that is asked for.
func (s slicedField) cut(array bson.RawValue) bson.RawValue {
	n := arrayLen(array)
	skip := min(s.skip, n)
	if skip < 0 {
		skip = max(0, n+skip)
	}
	end := n
	if s.limit < n-skip {
		end = skip + s.limit
	}
	var vals []bson.RawValue
	i := 0
	for _, e := range value.Elements(bson.Raw(array.Value)) {
		if i >= skip && i < end {
			vals = append(vals, e)
		}
		i++
	}
	return value.ArrayOf(vals...)
}
