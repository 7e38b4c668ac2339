package aggregate

import (
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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
//
// The function is safe for concurrent use. It keeps what it has compiled: a
// filter asks about the same few expressions for every document.
func ValueHook(vars Vars) func(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error) {
	var compiled sync.Map // type and bytes of the expression to evalFunc
	return func(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error) {
		key := string(append([]byte{byte(expr.Type)}, expr.Value...))
		fn, ok := compiled.Load(key)
		if !ok {
			var err error
			if fn, err = compile(expr); err != nil {
				return bson.RawValue{}, err
			}
			compiled.Store(key, fn)
		}
		return fn.(evalFunc)(evalCtx{root: doc, vars: vars})
	}
}
