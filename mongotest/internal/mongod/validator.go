package mongod

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/query"
)

// fulfils is the storage.ValidateFunc of the node: a validator is a filter that
// the documents must match. It gives no details.
func fulfils(validator, doc bson.Raw, coll *collation.Collation) (bool, bson.Raw, error) {
	m, err := query.Compile(validator, query.Options{
		Collation: coll,
		Expr:      aggregate.ExprHook(aggregate.NewVars(nil, time.Now(), bson.Timestamp{}).Collated(coll)),
	})
	if err != nil {
		return false, nil, err
	}
	ok, err := m.Match(doc)
	return ok, nil, err
}
