package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func (b *projectionBuilder) positional(name, at string, v bson.RawValue) error {
	if err := checkFieldPath(at); err != nil {
		return err
	}
	if b.out.position != nil {
		return mongoerr.New(codeTwoPositional, "Cannot specify more than one positional projection per query.")
	}
	switch {
	case len(b.out.elems) > 0:
		return mongoerr.New(codeElemThenPositional, "Cannot specify both positional operator and $elemMatch in a projection.")
	case v.Type == bson.TypeEmbeddedDocument:
		return mongoerr.New(codePositionalObject, "positional projection cannot be used with an expression or sub object")
	case !value.IsNumber(v.Type) && v.Type != bson.TypeBoolean:
		return mongoerr.New(codePositionalLiteral, "positional projection cannot be used with a literal: %s", rawdoc.RenderElement(name, v))
	case b.out.o.Matcher != nil && b.out.o.Matcher.usesExpr():
		return mongoerr.New(mongoerr.QueryFeatureNotAllowed, "$expr is not allowed in this context")
	}
	if !value.Truthy(v) || b.mode == excluding {
		return mongoerr.New(codePositionalExclusion, "positional projection cannot be used with exclusion")
	}
	p := parsePath(at)
	if err := b.all.add(at, p); err != nil {
		return err
	}
	b.out.position = p
	if err := b.decide(name, including); err != nil {
		return err
	}
	return b.out.tree.add(at, p)
}

// besidePositional refuses the operators that do not go with a positional
// projection before them.
func (b *projectionBuilder) besidePositional(p path, v bson.RawValue) error {
	if b.out.position == nil || v.Type != bson.TypeEmbeddedDocument {
		return nil
	}
	switch op, arg, _ := rawdoc.First(v.Value); {
	case op == "$elemMatch":
		return mongoerr.New(codePositionalThenElem, "Cannot specify positional operator and $elemMatch.")
	case op == "$slice" && arg.Type != bson.TypeArray && slices.Equal(p, b.out.position): // then it is the expression
		return mongoerr.New(codeSliceArity, "Expression $slice takes at least 2 arguments, and at most 3, but 1 were passed in.")
	default:
		return nil
	}
}
