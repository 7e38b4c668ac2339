package shardworker

import (
	"context"
)

// Worker moves one source shard until it is stopped, replaced or fails.
type Worker struct {
	cfg Config
}

// New returns a Worker. It does no I/O and starts nothing; Run does.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Worker{cfg: cfg}, nil
}

// Run copies and applies until ctx ends, the worker is replaced
// (shardferry.ErrStaleEpoch) or something fails for good. It returns after every
// goroutine it started has, and may be called once.
func (w *Worker) Run(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
