package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/shardworker"
)

const (
	// guardPause is how often the write block of the destination is looked at.
	guardPause = 5 * time.Second
	// guardPauseBlind is how often it is set where nobody tells whether it is on.
	guardPauseBlind = time.Minute
	// foreignListed bounds the writes of others that are reported.
	foreignListed = 20
)

// A guard is the coordinator.Reconciler that keeps the write block on of the cluster
// that changes flow to: the destination until the commit, the old source after it.
// It is called by one goroutine.
type guard struct {
	*Node

	leg  int       // what follows is of this leg
	next time.Time // when to look again
	// blocked is a time of the destination at which the block was on.
	blocked shardferry.ClusterTime
	// lifted is when the block was found off, until it is recorded what others wrote
	// meanwhile: that it is on again says nothing about that.
	lifted time.Time
}

// Name implements coordinator.Reconciler.
func (*guard) Name() string { return "write block" }

// Reconcile implements coordinator.Reconciler.
func (g *guard) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	if !guarded(s) || time.Now().Before(g.next) {
		return nil, nil
	}
	if g.leg != s.Leg.Number {
		g.leg, g.blocked, g.lifted = s.Leg.Number, shardferry.ClusterTime{}, time.Time{}
	}
	to := g.ends.to(&s.Leg)
	blocked, known, at, err := mongoconn.WriteBlocked(ctx, to.client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", to.name, err)
	}
	if !known {
		g.next = time.Now().Add(guardPauseBlind)
		return nil, g.shut(ctx, to)
	}
	g.next = time.Now().Add(guardPause)
	if slices.ContainsFunc(s.Intrusions, func(i state.Intrusion) bool { return i.Noticed.Equal(g.lifted) }) {
		g.lifted = time.Time{}
	}
	switch {
	case blocked && g.lifted.IsZero():
		g.blocked = at
		return nil, nil
	case !blocked:
		if g.lifted.IsZero() {
			g.lifted = time.Now().Truncate(time.Millisecond) // as it is recorded
		}
		if err := g.shut(ctx, to); err != nil {
			return nil, err
		}
	}
	return g.intruded(ctx, s, to)
}

// intruded looks for what others wrote since the block was last seen on.
func (g *guard) intruded(ctx context.Context, s *state.Sync, to *end) ([]state.Command, error) {
	i := state.Intrusion{Noticed: g.lifted}
	after := g.blocked
	if after.IsZero() { // lifted while nobody looked
		since := s.Job.StartedAt
		if s.Last != nil && s.Leg.Number > 1 {
			since = s.Last.BlockedAt.Add(time.Second)
		}
		after = shardferry.ClusterTime{T: uint32(since.Unix())}
	}
	found, more, err := mongoconn.ForeignWrites(ctx, to.client, after, shardworker.FirstNumber, foreignListed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", to.name, err)
	}
	i.More = more
	for _, w := range found {
		i.Writes = append(i.Writes, state.ForeignWrite(w))
	}
	g.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the write block of the destination was lifted", slog.String("what", i.String()))
	return []state.Command{state.Intruded{Leg: s.Leg.Number, Intrusion: i}}, nil
}

// shut switches the block on, unless a commit has begun meanwhile: it opens the
// destination, and nothing may close it after that.
func (g *guard) shut(ctx context.Context, to *end) error {
	g.blocking.Lock()
	defer g.blocking.Unlock()
	if now, _ := g.coord.Watch(); !guarded(now) {
		return nil
	}
	return g.block(ctx, to, true)
}

// guarded reports whether the cluster that changes flow to should be write-blocked
// now. After a commit that has no way back nothing flows, and what becomes of the old
// source is not ours to decide.
func guarded(s *state.Sync) bool {
	if s.State != shardferry.StatePaused && !s.Active() || s.State == shardferry.StateCommitting {
		return false
	}
	if slices.Contains([]state.Phase{"", state.PhasePlanning, state.PhaseCreating}, s.Leg.Phase) {
		return false
	}
	return s.Job.BlockDest || s.Leg.Number > 1
}
