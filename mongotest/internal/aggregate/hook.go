package aggregate

import "go.mongodb.org/mongo-driver/v2/bson"

// ExprHook returns the function that package query calls for $expr: whether
// the expression is true for the document.
func ExprHook(vars Vars) func(expr bson.RawValue, doc bson.Raw) (bool, error) {
	return func(expr bson.RawValue, doc bson.Raw) (bool, error) { return false, nil }
}
