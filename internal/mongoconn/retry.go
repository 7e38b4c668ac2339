package mongoconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	firstPause = 50 * time.Millisecond
	longPause  = 5 * time.Second
)

// Retry runs op until it succeeds, fails with an error that is not transient,
// or ctx ends. Pauses grow from 50 ms to 5 s. The first and then each long
// pause is logged with what is being done, so that an operator sees why nothing
// moves.
func Retry(ctx context.Context, log *slog.Logger, what string, op func(context.Context) error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstPause, longPause
	for {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), err))
		}
		if Classify(err) != Transient {
			return fmt.Errorf("%s: %w", what, err)
		}
		pause := b.NextBackOff()
		if log != nil && (pause < 2*firstPause || pause >= longPause/2) {
			log.LogAttrs(ctx, slog.LevelWarn, "retrying after a transient error",
				slog.String("operation", what), slog.Duration("pause", pause), slog.Any("error", err))
		}
		if err := Sleep(ctx, pause); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// Sleep waits for d or until ctx ends, and then returns the cause.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
