package coordinator

import (
	"context"
	"fmt"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A SchemaApplier makes one schema change on the destination of the leg, and
// returns what it made of the catalogue. It may be repeated.
type SchemaApplier interface {
	ApplySchema(ctx context.Context, s *state.Sync, change shardferry.SchemaChange) (state.Resolve, error)
}

// Schema is the Reconciler that applies schema changes, one at a time and in
// the order of their cluster times, while every worker stands still.
type Schema struct{ Applier SchemaApplier }

// Name implements Reconciler.
func (Schema) Name() string { return "schema change" }

// Reconcile implements Reconciler.
func (r Schema) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	if !s.Active() {
		return nil, nil
	}
	change := s.Leg.NextSchemaChange()
	switch {
	case change == nil:
		return nil, nil
	case s.Leg.Barrier == nil || change.Time.Before(s.Leg.Barrier.Time):
		return []state.Command{state.RaiseBarrier{Leg: s.Leg.Number}}, nil
	case !s.Leg.StandsStill():
		return nil, nil
	}
	resolve, err := r.Applier.ApplySchema(ctx, s, *change)
	if err != nil {
		return nil, fmt.Errorf("apply %s of %s at %v: %w", change.Kind, change.NS, change.Time, err)
	}
	resolve.Leg, resolve.Barrier, resolve.Change = s.Leg.Number, s.Leg.Barrier.ID, *change
	return []state.Command{resolve}, nil
}
