package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// ErrDifferences reports that the clusters are not equal although everything
// was applied. A commit that meets it is given up.
var ErrDifferences = errors.New("the clusters differ")

// A CutoverClusters does the steps of a commit on the clusters of the current
// leg. Every method may be repeated.
type CutoverClusters interface {
	// BlockSource keeps users from writing to the leg's source. When it returns,
	// no admitted write is still running.
	BlockSource(ctx context.Context, s *state.Sync) error

	// EndTime returns a cluster time of the source that no user write follows.
	// Only called once the source is blocked.
	EndTime(ctx context.Context, s *state.Sync) (shardferry.ClusterTime, error)

	// Verify compares both clusters. It returns ErrDifferences, wrapped with the
	// first of them, if they are not equal.
	Verify(ctx context.Context, s *state.Sync) (state.Verified, error)

	// Finish gives indexes and limits of the destination their final form, and
	// returns those that have got it; none are left when it returns none.
	Finish(ctx context.Context, s *state.Sync) (state.Finished, error)

	// Arm captures where the opposite leg starts. Only called while both
	// clusters are blocked and equal.
	Arm(ctx context.Context, s *state.Sync) (*state.Armed, error)

	// OpenDestination lets users write to the leg's destination.
	OpenDestination(ctx context.Context, s *state.Sync) error

	// UnblockSource lets users write to the leg's source again.
	UnblockSource(ctx context.Context, s *state.Sync) error
}

// A Carrier brings over, inside a commit, what change streams say nothing about.
// Every method may be repeated.
type Carrier interface {
	// Carry is called once everything else is applied and the source is blocked.
	// It returns a command that must be recorded before it is called again, or
	// none when all of it is there.
	Carry(ctx context.Context, s *state.Sync) (state.Command, error)

	// Clear removes what Carry needed on the destination for a while. Only called
	// when a commit is given up that left something there.
	Clear(ctx context.Context, s *state.Sync) error
}

// Cutover is the Reconciler that drives a commit from step to step.
type Cutover struct {
	Clusters CutoverClusters
	Carrier  Carrier
}

// Name implements Reconciler.
func (Cutover) Name() string { return "commit" }

// Reconcile implements Reconciler.
func (r Cutover) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	if s.State == shardferry.StateRunning && s.RollingBack {
		if ok, _ := s.CanCommit(); ok {
			return []state.Command{state.Commit{At: time.Now(), From: "rollback"}}, nil
		}
		return nil, nil
	}
	if s.State != shardferry.StateCommitting || s.Leg.Cutover == nil {
		return nil, nil
	}
	cut := s.Leg.Cutover
	if cut.Expired(time.Now()) {
		return []state.Command{state.Abort{Leg: s.Leg.Number, Reason: "the time budget ran out while it was " + string(cut.Step)}}, nil
	}
	ctx, cancel := r.bounded(ctx, cut)
	defer cancel()
	cmd, err := r.step(ctx, s)
	if err != nil && errors.Is(context.Cause(ctx), errBudget) {
		return []state.Command{state.Abort{Leg: s.Leg.Number, Reason: "the time budget ran out while it was " + string(cut.Step)}}, nil
	}
	if err != nil || cmd == nil {
		return nil, err
	}
	return []state.Command{cmd}, nil
}

var errBudget = errors.New("time budget of the commit exceeded")

// bounded gives the steps that can be given up no more time than is left.
func (Cutover) bounded(ctx context.Context, cut *state.Cutover) (context.Context, context.CancelFunc) {
	if !cut.Revocable() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, cut.Deadline, errBudget)
}

// step does the current step and returns the command that records it, or nil if
// it must wait.
func (r Cutover) step(ctx context.Context, s *state.Sync) (state.Command, error) {
	next := state.Advance{Leg: s.Leg.Number, At: time.Now()}
	var err error
	switch s.Leg.Cutover.Step {
	case state.StepBlocking:
		next.To, err = state.StepBlocked, r.Clusters.BlockSource(ctx, s)
		next.At = time.Now()
	case state.StepBlocked:
		next.To = state.StepDraining
		next.End, err = r.Clusters.EndTime(ctx, s)
	case state.StepDraining:
		if !s.Leg.Drained() {
			return nil, nil
		}
		next.To = state.StepVerifying
		if cmd, err := r.Carrier.Carry(ctx, s); err != nil || cmd != nil {
			return cmd, err
		}
	case state.StepVerifying:
		next.To = state.StepFinishing
		next.Verified, err = r.Clusters.Verify(ctx, s)
		if n := next.Verified.Differences; err == nil && n != 0 {
			err = fmt.Errorf("%w in %d places", ErrDifferences, n)
		}
	case state.StepFinishing:
		return r.finish(ctx, s, next)
	case state.StepArming:
		next.To = state.StepOpening
		next.Next, err = r.Clusters.Arm(ctx, s)
	case state.StepOpening:
		if err := r.Clusters.OpenDestination(ctx, s); err != nil {
			return nil, err
		}
		return state.Committed{Leg: s.Leg.Number, At: time.Now()}, nil
	case state.StepAborting:
		if err := r.Clusters.UnblockSource(ctx, s); err != nil {
			return nil, err
		}
		if s.Accounts.Temporary {
			if err := r.Carrier.Clear(ctx, s); err != nil {
				return nil, err
			}
			return state.Carried{Leg: s.Leg.Number, Accounts: s.Accounts.Carried}, nil
		}
		return state.Aborted{Leg: s.Leg.Number}, nil
	}
	if err != nil {
		return nil, err
	}
	return next, nil
}

func (r Cutover) finish(ctx context.Context, s *state.Sync, next state.Advance) (state.Command, error) {
	done, err := r.Clusters.Finish(ctx, s)
	if len(done.Indexes)+len(done.Limits) > 0 {
		done.Leg = s.Leg.Number
		return done, nil
	}
	if err != nil {
		return nil, err
	}
	next.To = state.StepArming
	return next, nil
}
