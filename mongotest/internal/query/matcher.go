package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Matcher is a compiled filter. It may be used from many goroutines at once, as
// far as the hooks of its Options allow it.
type Matcher struct {
	root   andNode
	near   *Near
	search *textSearch // of $text, nil without one
	text   *boundText  // search, once there is an index for it
	coll   *collation.Collation
}

// Compile compiles a filter. A nil filter matches everything. Errors are those
// of the server, mostly BadValue; "unknown operator: $x" among them.
func Compile(filter bson.Raw, o Options) (*Matcher, error) {
	p := &parser{o: o}
	root, err := p.filter(filter)
	if err != nil {
		return nil, err
	}
	if p.near != nil && p.search != nil {
		return nil, badValue("text and geoNear not allowed in same query")
	}
	return &Matcher{root: root, near: p.near, search: p.search, coll: o.Collation}, nil
}

// Match reports whether doc matches. Only the hooks of Options, called for
// $expr, make errors.
func (m *Matcher) Match(doc bson.Raw) (bool, error) {
	return m.root.match(&run{idx: -1, text: m.text}, doc)
}

// usesExpr reports whether the filter asks a $expr of whole documents.
func (m *Matcher) usesExpr() bool {
	return slices.ContainsFunc(m.root, func(n node) bool { _, ok := n.(exprNode); return ok })
}

// MatchArrayIndex reports whether doc matches, and the position of the array
// element that made it match: what "$" means in an update or a projection. It
// is -1 if no array was involved. A failing $expr counts as no match.
func (m *Matcher) MatchArrayIndex(doc bson.Raw) (ok bool, idx int) {
	r := &run{idx: -1, text: m.text}
	ok, err := m.root.match(r, doc)
	if err != nil || !ok {
		return false, -1
	}
	return true, r.idx
}

// run is the state of one match.
type run struct {
	idx  int // position of the last array element that satisfied a condition
	text *boundText
}

// aside is the state of a match whose positions do not count.
func (r *run) aside() *run { return &run{text: r.text} }

// node is a condition on a whole document.
type node interface {
	match(r *run, doc bson.Raw) (bool, error)
}

type (
	andNode []node
	orNode  []node
	norNode []node

	constNode bool

	exprNode struct {
		expr bson.RawValue
		eval func(expr bson.RawValue, doc bson.Raw) (bool, error)
	}

	// sampleNode lets through a share of all documents, always the same ones.
	sampleNode float64

	// fieldNode is a condition on what a path reaches.
	fieldNode struct {
		name string
		path path
		cond cond
	}
)

func (n andNode) match(r *run, doc bson.Raw) (bool, error) {
	for _, sub := range n {
		if ok, err := sub.match(r, doc); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// match takes no positions: an element that one branch matched means nothing to
// the others.
func (n orNode) match(r *run, doc bson.Raw) (bool, error) {
	for _, sub := range n {
		if ok, err := sub.match(r.aside(), doc); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func (n norNode) match(r *run, doc bson.Raw) (bool, error) {
	ok, err := orNode(n).match(r, doc)
	return !ok && err == nil, err
}

func (n constNode) match(*run, bson.Raw) (bool, error) { return bool(n), nil }

func (n exprNode) match(_ *run, doc bson.Raw) (bool, error) { return n.eval(n.expr, doc) }

func (n sampleNode) match(_ *run, doc bson.Raw) (bool, error) {
	h := uint64(hashkey.Hash(value.Doc(doc)))
	return float64(h>>11)/(1<<53) < float64(n), nil
}

func (n fieldNode) match(r *run, doc bson.Raw) (bool, error) {
	return n.cond.at(r, doc, n.path)
}

// cond is a condition on values: on those that a path reaches in a document, or
// on one value by itself, as inside of $elemMatch.
type cond interface {
	at(r *run, doc bson.Raw, p path) (bool, error)
	on(v bson.RawValue) (bool, error)
}

type (
	// leafCond holds if its predicate holds for any of the values.
	leafCond struct {
		pred  predicate
		whole bool // the predicate takes an array as it is, not its elements
	}

	notCond struct{ sub cond }
	allCond []cond
)

func (c leafCond) at(r *run, doc bson.Raw, p path) (bool, error) {
	var failed error
	ok := p.each(doc, !c.whole, func(v bson.RawValue, idx int) bool {
		ok, err := c.pred.test(v)
		if err != nil {
			failed = err
			return true
		}
		if !ok {
			return false
		}
		if em, isElem := c.pred.(positioned); isElem {
			idx = em.position(v)
		}
		if idx >= 0 {
			r.idx = idx
		}
		return true
	})
	return ok && failed == nil, failed
}

func (c leafCond) on(v bson.RawValue) (bool, error) { return c.pred.test(v) }

func (c notCond) at(_ *run, doc bson.Raw, p path) (bool, error) {
	ok, err := c.sub.at(&run{}, doc, p)
	return !ok && err == nil, err
}

func (c notCond) on(v bson.RawValue) (bool, error) {
	ok, err := c.sub.on(v)
	return !ok && err == nil, err
}

func (c allCond) at(r *run, doc bson.Raw, p path) (bool, error) {
	for _, sub := range c {
		if ok, err := sub.at(r, doc, p); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func (c allCond) on(v bson.RawValue) (bool, error) {
	for _, sub := range c {
		if ok, err := sub.on(v); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
