package aggregate

import "go.mongodb.org/mongo-driver/v2/bson"

// Expr is a compiled expression. It is immutable and safe for concurrent use.
type Expr struct {
	constant bool
}

// CompileExpr parses an aggregation expression.
func CompileExpr(v bson.RawValue) (*Expr, error) { return &Expr{}, nil }

// Eval computes the expression for a document. missing is true when the result
// is no value at all, such as the path of an absent field.
func (e *Expr) Eval(doc bson.Raw, vars Vars) (v bson.RawValue, missing bool, err error) {
	return bson.RawValue{}, true, nil
}
