package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shardferry/shardferry"
)

// A lead is one time in which this node leads, from when it knew all that earlier
// leaders recorded.
type lead struct {
	term  uint64
	since time.Time
}

// LedFor waits until this node, which leads, has led for so long. What a leader
// before it had begun with no more time than that is over then, if it asked whether
// it still led after it had begun.
func (c *Coordinator) LedFor(ctx context.Context, d time.Duration) error {
	l := c.latest.Load()
	if l == nil {
		return nil // it does not lead: StillLeads says so
	}
	if left := time.Until(l.since.Add(d)); left > 0 {
		return waitFor(ctx, nil, left)
	}
	return nil
}

// InCharge reports whether this node leads, by its own word, and its copy of the state
// has all that earlier leaders recorded.
func (c *Coordinator) InCharge() bool {
	l := c.latest.Load()
	return l != nil && c.raft.State() == raft.Leader && c.raft.CurrentTerm() == l.term
}

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
