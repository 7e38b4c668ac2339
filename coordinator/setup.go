package coordinator

import (
	"context"

	"github.com/shardferry/shardferry/coordinator/state"
)

// A Preparer reads the source and makes the destination ready. Every method may
// be repeated, and may find its own earlier work.
type Preparer interface {
	// Plan reads the source and decides what is to be made of it. It writes
	// nothing but notes in the oplogs.
	Plan(ctx context.Context, s *state.Sync) (state.Planned, error)

	// Create makes what the leg's plan lists.
	Create(ctx context.Context, s *state.Sync) error

	// BuildIndexes builds some of the leg's indexes that are not built, and
	// returns those that exist now.
	BuildIndexes(ctx context.Context, s *state.Sync) ([]state.IndexRef, error)
}

// Setup is the Reconciler that brings a leg from planning to streaming.
type Setup struct{ Preparer Preparer }

// Name implements Reconciler.
func (Setup) Name() string { return "setup" }

// Reconcile implements Reconciler.
func (r Setup) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	if !s.Working() {
		return nil, nil
	}
	switch s.Leg.Phase {
	case state.PhasePlanning:
		planned, err := r.Preparer.Plan(ctx, s)
		if err != nil {
			return nil, err
		}
		return []state.Command{planned}, nil
	case state.PhaseCreating:
		if err := r.Preparer.Create(ctx, s); err != nil {
			return nil, err
		}
		return []state.Command{state.Created{}}, nil
	case state.PhaseBuilding, state.PhaseStreaming:
		if s.Leg.Barrier != nil {
			return nil, nil // the catalogue is about to change
		}
		built, err := r.Preparer.BuildIndexes(ctx, s)
		if len(built) == 0 {
			return nil, err
		}
		return []state.Command{state.IndexesBuilt{Leg: s.Leg.Number, Indexes: built}}, err
	case state.PhaseCopying:
	}
	return nil, nil
}
