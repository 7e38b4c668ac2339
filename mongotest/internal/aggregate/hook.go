package aggregate

import "go.mongodb.org/mongo-driver/v2/bson"

// ExprHook returns the function that package query calls for $expr
// (query.Options.Expr): whether the expression is true for the document.
func ExprHook(vars Vars) func(expr bson.RawValue, doc bson.Raw) (bool, error) {
	eval := ValueHook(vars)
	return func(expr bson.RawValue, doc bson.Raw) (bool, error) {
		v, err := eval(expr, doc)
		return err == nil && truthy(v), err
	}
}

// ValueHook returns the function that package query calls for an expression in
// a projection (query.Options.Value). A missing value has type 0.
func ValueHook(vars Vars) func(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error) {
	return func(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error) {
		fn, err := compile(expr)
		if err != nil {
			return bson.RawValue{}, err
		}
		return fn(evalCtx{root: doc, vars: vars})
	}
}
