package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
)

// arrange brings the conditions of a filter into the form and order in which
// the server asks them: those of a nested $and and those on one field stand for
// themselves, simple ones come first. The order shows: of several conditions
// that an array's elements satisfy, the last one asked says which element "$"
// means.
func arrange(nodes []node) andNode {
	out := andNode{}
	for _, n := range nodes {
		switch n := n.(type) {
		case andNode:
			out = append(out, n...)
		case fieldNode:
			conds, several := n.cond.(allCond)
			if !several {
				out = append(out, n)
			}
			for _, c := range conds {
				out = append(out, fieldNode{name: n.name, path: n.path, cond: c})
			}
		default:
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b node) int { return rank(a) - rank(b) })
	return out
}

// The order of conditions that are no comparisons.
const (
	rankOr = iota
	rankElemMatch
	rankSize
	rankComparison
	rankRegex = rankComparison + 5
	rankIn    = rankRegex + iota
	rankOther
)

func rank(n node) int {
	switch n := n.(type) {
	case orNode:
		return rankOr
	case fieldNode:
		if leaf, ok := n.cond.(leafCond); ok {
			return rankOf(leaf.pred)
		}
	}
	return rankOther
}

func rankOf(p predicate) int {
	switch p := p.(type) {
	case elemMatchDoc, elemMatchValue:
		return rankElemMatch
	case sizeIs:
		return rankSize
	case comparison:
		return rankComparison + slices.Index([]operator{opEq, opLte, opLt, opGt, opGte}, p.op)
	case *regex, modulo, exists:
		return rankRegex
	case inList:
		return rankIn
	default:
		return rankOther
	}
}

// disjunction makes the node of $or. Equalities on one field are a single $in,
// which unlike $or says which array element matched.
func disjunction(subs []node) node {
	if len(subs) == 1 {
		return subs[0]
	}
	var name string
	var vals []bson.RawValue
	var coll *collation.Collation
	for i, sub := range subs {
		all, ok := sub.(andNode)
		if !ok || len(all) != 1 {
			return orNode(subs)
		}
		f, ok := all[0].(fieldNode)
		if !ok || i > 0 && f.name != name {
			return orNode(subs)
		}
		leaf, _ := f.cond.(leafCond)
		c, ok := leaf.pred.(comparison)
		if !ok || c.op != opEq {
			return orNode(subs)
		}
		name, vals = f.name, append(vals, c.arg)
		if c.by != nil {
			coll = c.by.coll
		}
	}
	return andNode{fieldNode{name: name, path: parsePath(name), cond: leafCond{pred: newInList(vals, nil, coll)}}}
}
