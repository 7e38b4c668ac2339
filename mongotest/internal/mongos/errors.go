package mongos

import (
	"context"
	"errors"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// interrupted is the server's error for a wait that the context ended.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return mongoerr.New(mongoerr.MaxTimeMSExpired, "operation exceeded time limit")
	}
	return mongoerr.New(mongoerr.Interrupted, "operation was interrupted")
}
