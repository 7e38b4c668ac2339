package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A Fault is what happens to one command instead of or beside its execution.
type Fault struct {
	Hold        <-chan struct{}                 // nil, or wait until it is closed
	Arrive      func(ctx context.Context) error // nil, or then wait for it; its error closes the connection
	Delay       time.Duration                   // then wait this long
	DropRequest bool                            // close the connection, do not run the command
	Error       *mongoerr.Error                 // answer this, do not run the command
	DropReply   bool                            // run the command, close the connection instead of answering
}

// before waits out the hold and the delay. It returns errDropped if the request
// is to be dropped or the connection has closed meanwhile.
func (f *Fault) before(ctx context.Context) error {
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errDropped, context.Cause(ctx))
		}
	}
	if f.Arrive != nil {
		if err := f.Arrive(ctx); err != nil {
			return fmt.Errorf("%w: %w", errDropped, err)
		}
	}
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errDropped, context.Cause(ctx))
		}
	}
	if f.DropRequest {
		return fmt.Errorf("%w: request", errDropped)
	}
	return nil
}
