package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Drain gives this node's shards, and the lead if it has it, to other nodes, so that
// nobody has to find out that it is gone. It returns when that is done, or when ctx
// ends. A node that is alone has nobody to give them to.
func (n *Node) Drain(ctx context.Context) error {
	if err := n.wait(ctx); err != nil || n.port == nil {
		return err
	}
	if err := n.coord.Propose(ctx, state.Drain{Node: n.cfg.ID}); err != nil {
		return fmt.Errorf("tell that this node stops: %w", err)
	}
	for {
		s, changed := n.coord.Watch()
		if !s.Active() || s.Leg.OwnedBy(n.cfg.ID) == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("give the shards to others: %w", context.Cause(ctx))
		}
	}
	if !n.Leads() {
		return nil
	}
	err := n.coord.TransferLeadership(ctx, "")
	if errors.Is(err, coordinator.ErrMembership) {
		return nil // there is nobody else
	}
	return err
}

// returned tells that a node that was drained runs again.
func (n *Node) returned(ctx context.Context) error {
	for {
		s, changed := n.coord.Watch()
		if !slices.Contains(s.Draining, n.cfg.ID) {
			return nil
		}
		err := n.coord.Propose(ctx, state.Drain{Node: n.cfg.ID, Back: true})
		if err == nil || ctx.Err() != nil {
			return err
		}
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "that this node runs again could not be recorded", slog.Any("error", err))
		again := time.NewTimer(returnedPause)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		again.Stop()
	}
}

// returnedPause is how long a node waits before it tells again that it runs.
const returnedPause = time.Second
