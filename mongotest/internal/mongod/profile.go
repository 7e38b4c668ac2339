package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runProfile tells that nothing is profiled: -1 asks, 0 switches off. There is
// no profiler to switch on.
func runProfile(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	level := a.int64("profile", 0)
	switch {
	case a.err != nil:
		return nil, a.err
	case level < -1 || level > 2:
		return nil, mongoerr.New(mongoerr.BadValue, "profile level must be -1, 0, 1 or 2")
	case level > 0:
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "the profiler is not supported")
	}
	return value.D("was", 0, "slowms", 100, "sampleRate", 1.0), nil
}
