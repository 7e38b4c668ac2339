package storage

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// partialOperators are what a partial index may ask of a field: what the planner
// can tell from a query to follow.
var partialOperators = map[string]bool{
	"$eq": true, "$gt": true, "$gte": true, "$lt": true, "$lte": true, "$in": true, "$type": true,
	"$geoWithin": true, "$geoIntersects": true, "$within": true,
}

// checkPartial refuses filters that a partial index cannot have.
func checkPartial(filter bson.Raw) error {
	return eachElement(filter, func(name string, v bson.RawValue) error {
		switch {
		case name == "$expr":
			return mongoerr.New(mongoerr.QueryFeatureNotAllowed, "$expr is not allowed in partial index filters")
		case name == "$and" || name == "$or":
			return checkPartials(v)
		case name == "$nor":
			return mongoerr.New(mongoerr.CannotCreateIndex, "Expression not supported in partial index: $nor")
		case strings.HasPrefix(name, "$"):
			return nil // whether there is such an operator, its compilation says
		}
		return checkPartialField(name, v)
	})
}

func checkPartials(list bson.RawValue) error {
	arr, ok := list.ArrayOK()
	if !ok {
		return nil
	}
	return eachElement(bson.Raw(arr), func(_ string, v bson.RawValue) error {
		if d, ok := v.DocumentOK(); ok {
			return checkPartial(d)
		}
		return nil
	})
}

func checkPartialField(name string, v bson.RawValue) error {
	unsupported := mongoerr.New(mongoerr.CannotCreateIndex, "Expression not supported in partial index: %s: %s", name, renderValue(v))
	if v.Type == bson.TypeRegex {
		return unsupported
	}
	d, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	return eachElement(d, func(op string, operand bson.RawValue) error {
		switch {
		case op == "$exists" && value.Truthy(operand), partialOperators[op], !strings.HasPrefix(op, "$"):
			return nil
		default:
			return unsupported
		}
	})
}
