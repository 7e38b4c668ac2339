package coordinator

import (
	"context"
	"fmt"

	"github.com/shardferry/shardferry"
)

// StillLeads asks the other nodes whether this one leads, and returns
// shardferry.ErrNotLeader if they do not say so. A leader that stood still for a while
// takes itself for one until it has heard from the others: ask before a step that a
// later leader would not repeat.
func (c *Coordinator) StillLeads(ctx context.Context) error {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !c.gate.enter() {
		return fmt.Errorf("the node is ending: %w", shardferry.ErrNotLeader)
	}
	defer c.gate.leave()
	if err := c.raft.VerifyLeader().Error(); err != nil {
		return fmt.Errorf("%w: %w", shardferry.ErrNotLeader, err)
	}
	return nil
}
