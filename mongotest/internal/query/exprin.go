package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// expression is the node of $expr. The server asks an {$in: ["$field", [constants]]}
// at its top, or in its $and, a second time as a condition on the field, which
// forgets the collation; so with one, both have to hold.
func (p *parser) expression(expr bson.RawValue) node {
	n := exprNode{expr: expr, eval: p.o.Expr}
	if p.o.Collation == nil {
		return n
	}
	return append(andNode{n}, rewrittenIns(expr)...)
}

func rewrittenIns(expr bson.RawValue) (out []node) {
	if expr.Type != bson.TypeEmbeddedDocument {
		return nil
	}
	for name, arg := range value.Elements(bson.Raw(expr.Value)) {
		if arg.Type != bson.TypeArray {
			return nil
		}
		var args []bson.RawValue
		for _, a := range value.Elements(bson.Raw(arg.Value)) {
			args = append(args, a)
		}
		switch {
		case name == "$and":
			for _, a := range args {
				out = append(out, rewrittenIns(a)...)
			}
		case name == "$in" && len(args) == 2:
			if n, ok := inConstants(args[0], args[1]); ok {
				out = append(out, n)
			}
		}
	}
	return out
}

func inConstants(field, list bson.RawValue) (node, bool) {
	name, ok := field.StringValueOK()
	if !ok || len(name) < 2 || name[0] != '$' || name[1] == '$' || list.Type != bson.TypeArray {
		return nil, false
	}
	var vals []bson.RawValue
	for _, e := range value.Elements(bson.Raw(list.Value)) {
		v, ok := constant(e)
		if !ok || v.Type == bson.TypeEmbeddedDocument {
			return nil, false
		}
		vals = append(vals, v)
	}
	return fieldNode{name: name[1:], path: parsePath(name[1:]), cond: leafCond{pred: newInList(vals, nil, nil)}}, true
}
