package coordinator

import (
	"context"
	"fmt"

	"github.com/shardferry/shardferry/coordinator/state"
)

// An OwnerWatcher looks at where the source keeps its documents. Every method may
// be repeated.
type OwnerWatcher interface {
	// Look reads the placement and returns the command that records what it found,
	// nil if it is too early to look again.
	Look(ctx context.Context, s *state.Sync) (state.Command, error)

	// HandOver decides which shards copy what is left of the collections that
	// moved. Only called while every worker stands still at the end of the stretch.
	HandOver(ctx context.Context, s *state.Sync) (state.Settled, error)
}

// Owners is the Reconciler that keeps the events of one document in order although
// it changes shards.
type Owners struct{ Watcher OwnerWatcher }

// Name implements Reconciler.
func (Owners) Name() string { return "owners" }

// Reconcile implements Reconciler. Schema changes go first: none is later than
// the point at which a move waits.
func (r Owners) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	if !s.Active() || s.Leg.Owners == nil {
		return nil, nil
	}
	move := s.Leg.Owners.Move
	switch {
	case move == nil:
		cmd, err := r.Watcher.Look(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("read where documents are: %w", err)
		}
		if cmd == nil {
			return nil, nil
		}
		return []state.Command{cmd}, nil
	case s.Leg.NextSchemaChange() != nil:
		return nil, nil
	case s.Leg.Barrier == nil || s.Leg.OrderPoint().Before(s.Leg.Barrier.Time):
		return []state.Command{state.RaiseBarrier{Leg: s.Leg.Number}}, nil
	case !s.Leg.MoveReached():
		return nil, nil
	case !move.Begun:
		return []state.Command{state.Passed{Leg: s.Leg.Number, Barrier: s.Leg.Barrier.ID}}, nil
	}
	settled, err := r.Watcher.HandOver(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("hand over what moved: %w", err)
	}
	settled.Leg, settled.Barrier = s.Leg.Number, s.Leg.Barrier.ID
	return []state.Command{settled}, nil
}
