package mongos

import (
	"context"
	"errors"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// interrupted is the server's error for a wait that the context ended.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return timeExpired()
	}
	return mongoerr.New(mongoerr.Interrupted, "operation was interrupted")
}

func timeExpired() error {
	return mongoerr.New(mongoerr.MaxTimeMSExpired, "operation exceeded time limit")
}
