package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runAppendOplogNote writes a no-op entry; with maxClusterTime only if the log
// has not reached that time (server-facts 3.6).
func runAppendOplogNote(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	data := a.doc("data")
	limit := a.timestamp("maxClusterTime")
	if a.err != nil {
		return nil, a.err
	}
	if data == nil {
		return nil, missingField(op.req.Name, "data")
	}
	log := op.line.log
	// Holding the engine's lock keeps other entries from coming in between.
	err := op.line.engine.Update(func(*storage.Tx) error {
		if last := log.Last(); !limit.IsZero() && !last.Before(limit) {
			return mongoerr.New(mongoerr.StaleClusterTime,
				"Requested maxClusterTime %v is less or equal to the last primary OpTime: %v", limit, last)
		}
		log.Noop(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value.D(), nil
}
