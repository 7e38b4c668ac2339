package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
)

// Options is what a filter or projection needs from its caller.
type Options struct {
	// Let holds the command's variables. It is handed on unread to whoever
	// made the hooks.
	Let bson.Raw
	// Expr evaluates the expression of $expr for a document. Without it
	// $expr is refused.
	Expr func(expr bson.RawValue, doc bson.Raw) (bool, error)
	// Value evaluates an aggregation expression in a projection; a missing
	// value has Type 0. Without it expressions are refused.
	Value func(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error)
	// Collation is how strings are compared; nil compares their bytes.
	Collation *collation.Collation
	// Where compiles the script of $where. Without it $where is refused.
	Where func(code string) (func(doc bson.Raw) (bool, error), error)
	// Near allows $near and $nearSphere; see Matcher.Near for what the caller
	// takes on.
	Near bool
	// Text says whether the filter may have $text.
	Text TextUse
	// Matcher is the filter whose match the positional projection "a.$"
	// refers to. Only CompileProjection reads it.
	Matcher *Matcher
}
