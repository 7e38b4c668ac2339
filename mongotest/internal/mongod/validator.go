package mongod

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/query"
)

// fulfils is the storage.ValidateFunc of the node: a validator is a filter that
// the documents must match. It gives no details.
func fulfils(validator, doc bson.Raw) (bool, bson.Raw, error) {
	m, err := query.Compile(validator, query.Options{
		Expr: aggregate.ExprHook(aggregate.NewVars(nil, time.Now(), bson.Timestamp{})),
	})
	if err != nil {
		return false, nil, err
	}
	ok, err := m.Match(doc)
	return ok, nil, err
}
