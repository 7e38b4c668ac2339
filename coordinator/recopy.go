package coordinator

import (
	"context"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A Recopier brings shards back whose changes are gone from the source's oplog.
type Recopier interface {
	// Recopy does the next step towards new copy tasks for the shards that are
	// lost, and returns the command that records it; nil if it must wait for the
	// other shards. It may be repeated.
	Recopy(ctx context.Context, s *state.Sync) (state.Command, error)
}

// Recopy is the Reconciler that has lost shards copied again, once the operator
// has agreed.
type Recopy struct{ Recopier Recopier }

// Name implements Reconciler.
func (Recopy) Name() string { return "copy again" }

// Reconcile implements Reconciler.
func (r Recopy) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	if s.State != shardferry.StateRunning || !s.Recopying || len(s.Leg.Lost()) == 0 || s.Leg.Barrier != nil {
		return nil, nil
	}
	cmd, err := r.Recopier.Recopy(ctx, s)
	if err != nil || cmd == nil {
		return nil, err
	}
	return []state.Command{cmd}, nil
}
