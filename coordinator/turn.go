package coordinator

import (
	"context"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Turn is the Reconciler that ends REVERSING: the leg that kept the old source
// current goes on as the sync itself.
type Turn struct{}

// Name implements Reconciler.
func (Turn) Name() string { return "reverse" }

// Reconcile implements Reconciler.
func (Turn) Reconcile(_ context.Context, s *state.Sync) ([]state.Command, error) {
	if s.State != shardferry.StateReversing {
		return nil, nil
	}
	for _, sh := range s.Leg.Shards {
		if sh.Epoch == 0 {
			return nil, nil // no worker has taken it yet
		}
	}
	return []state.Command{state.Turned{Leg: s.Leg.Number}}, nil
}
