package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Bounds is what a filter demands of one path, in BSON order. It is a superset:
// what lies inside still has to be matched. If an array may lie on the path,
// different elements may satisfy Min and Max, so only one of them may be used.
type Bounds struct {
	Eq               []bson.RawValue // one of these values, sorted; nil means no such demand, empty that nothing matches
	Min, Max         *bson.RawValue
	MinIncl, MaxIncl bool

	coll *collation.Collation
}

// Bounds returns the demands on path that stand at the top level of the filter
// or in its $and. ok is false if there are none. A demand that an index on the
// path could not answer, such as equality to a whole array, is left out. On
// _id, comparisons with constants in $expr count too.
func (m *Matcher) Bounds(path string) (b Bounds, ok bool) {
	b.coll = m.coll
	b.collect(m.root, path)
	return b, b.Eq != nil || b.Min != nil || b.Max != nil
}

// Requires reports whether the filter demands, at its top level, that path
// exists.
func (m *Matcher) Requires(path string) bool { return requires(m.root, path) }

func requires(nodes andNode, path string) bool {
	for _, n := range nodes {
		switch n := n.(type) {
		case andNode:
			if requires(n, path) {
				return true
			}
		case fieldNode:
			if n.name == path && demandsExistence(n.cond) {
				return true
			}
		}
	}
	return false
}

func demandsExistence(c cond) bool {
	switch c := c.(type) {
	case allCond:
		return slices.ContainsFunc(c, demandsExistence)
	case leafCond:
		_, ok := c.pred.(exists)
		return ok
	default:
		return false
	}
}

// HasStrings reports whether a demand depends on how strings are compared.
func (b *Bounds) HasStrings() bool {
	for _, v := range b.Eq {
		if collation.HasStrings(v) {
			return true
		}
	}
	return b.Min != nil && collation.HasStrings(*b.Min) || b.Max != nil && collation.HasStrings(*b.Max)
}

// Collation is how the filter compares strings.
func (m *Matcher) Collation() *collation.Collation {
	if m == nil {
		return nil
	}
	return m.coll
}

func (b *Bounds) collect(nodes andNode, path string) {
	for _, n := range nodes {
		switch n := n.(type) {
		case andNode:
			b.collect(n, path)
		case fieldNode:
			if n.name == path {
				b.demand(n.cond)
			}
		case exprNode:
			if path == "_id" { // never an array, so that order is all there is to it
				b.expression(n.expr)
			}
		}
	}
}

func (b *Bounds) demand(c cond) {
	switch c := c.(type) {
	case allCond:
		for _, sub := range c {
			b.demand(sub)
		}
	case leafCond:
		switch pred := c.pred.(type) {
		case comparison:
			if pred.arg.Type != bson.TypeArray {
				b.comparison(pred.op, pred.arg)
			}
		case inList:
			b.in(pred)
		}
	}
}

func (b *Bounds) in(in inList) {
	if len(in.regexes) > 0 || b.Eq != nil {
		return
	}
	for _, v := range in.vals {
		if v.Type == bson.TypeArray {
			return
		}
	}
	b.Eq = append([]bson.RawValue{}, in.vals...)
}

func (b *Bounds) comparison(op operator, arg bson.RawValue) {
	switch op {
	case opEq:
		if b.Eq == nil || len(b.Eq) > 1 {
			b.Eq = []bson.RawValue{arg}
		}
	case opGt, opGte:
		b.above(arg, op == opGte)
	case opLt, opLte:
		b.below(arg, op == opLte)
	}
}

// above keeps the tighter of two lower ends.
func (b *Bounds) above(v bson.RawValue, incl bool) {
	if b.Min != nil {
		if c := b.coll.Compare(v, *b.Min); c < 0 || (c == 0 && !b.MinIncl) {
			return
		}
	}
	b.Min, b.MinIncl = &v, incl
}

func (b *Bounds) below(v bson.RawValue, incl bool) {
	if b.Max != nil {
		if c := b.coll.Compare(v, *b.Max); c > 0 || (c == 0 && !b.MaxIncl) {
			return
		}
	}
	b.Max, b.MaxIncl = &v, incl
}

// expression reads {$and: [...]} and {$gte: ["$_id", constant]}.
func (b *Bounds) expression(expr bson.RawValue) {
	if expr.Type != bson.TypeEmbeddedDocument {
		return
	}
	for name, arg := range value.Elements(bson.Raw(expr.Value)) {
		if arg.Type != bson.TypeArray {
			return
		}
		var args []bson.RawValue
		for _, a := range value.Elements(bson.Raw(arg.Value)) {
			args = append(args, a)
		}
		if name == "$and" {
			for _, a := range args {
				b.expression(a)
			}
			return
		}
		op, ok := map[string]operator{"$eq": opEq, "$lt": opLt, "$lte": opLte, "$gt": opGt, "$gte": opGte}[name]
		if !ok || len(args) != 2 {
			return
		}
		if s, isString := args[0].StringValueOK(); !isString || s != "$_id" {
			return
		}
		// Expressions order a missing value below null, an index as null.
		if c, ok := constant(args[1]); ok && value.CanonicalType(c.Type) > value.CanonicalType(bson.TypeNull) {
			b.comparison(op, c)
		}
		return
	}
}

// constant returns the value of an expression that is one.
func constant(expr bson.RawValue) (bson.RawValue, bool) {
	switch expr.Type {
	case bson.TypeString:
		s, _ := expr.StringValueOK()
		return expr, len(s) == 0 || s[0] != '$'
	case bson.TypeEmbeddedDocument:
		v, ok := value.Get(bson.Raw(expr.Value), "$literal")
		return v, ok
	case bson.TypeArray:
		return bson.RawValue{}, false
	default:
		return expr, true
	}
}
