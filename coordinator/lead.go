package coordinator

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

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
	if err := c.confirm().Error(); err != nil {
		return fmt.Errorf("%w: %w", shardferry.ErrNotLeader, err)
	}
	return nil
}

// confirm has a majority say that this node leads: they take an entry from it. What
// raft.VerifyLeader asks is not enough. It counts answers to heartbeats that were sent
// before it was called, and these may come after another node was made the leader.
func (c *Coordinator) confirm() raft.Future { return c.raft.Barrier(enqueueTimeout) }
