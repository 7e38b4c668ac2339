package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

const enqueueTimeout = 10 * time.Second

// Propose replicates cmd and returns what applying it returned. It returns
// shardferry.ErrNotLeader if the command had no effect because this node does
// not lead, and shardferry.ErrOutcomeUnknown if it may yet have one.
func (c *Coordinator) Propose(ctx context.Context, cmd state.Command) error {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	data, err := encodeCommand(cmd)
	if err != nil {
		return err
	}
	if !c.gate.enter() {
		return fmt.Errorf("propose %T: the node is ending: %w", cmd, shardferry.ErrNotLeader)
	}
	// raft's timeout bounds only the wait for its queue, so ctx is watched here.
	future := c.raft.Apply(data, enqueueTimeout)
	done := make(chan error, 1)
	go func() {
		defer c.gate.leave()
		done <- future.Error()
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return fmt.Errorf("propose %T: %w: %w", cmd, shardferry.ErrOutcomeUnknown, context.Cause(ctx))
	}
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("propose %T: %w", cmd, shardferry.ErrNotLeader)
	case err != nil:
		// The entry may yet be committed by the next leader.
		return fmt.Errorf("propose %T: %w: %w", cmd, shardferry.ErrOutcomeUnknown, err)
	}
	if err, ok := future.Response().(error); ok {
		return err
	}
	return nil
}

// Leads reports whether this node leads, and waits until there is a leader.
func (c *Coordinator) Leads(ctx context.Context) (bool, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	for {
		if addr, _ := c.raft.LeaderWithID(); addr != "" {
			return c.raft.State() == raft.Leader, nil
		}
		if err := waitFor(ctx, nil, 10*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// CaughtUp waits until everything that was committed before is applied to this
// node's copy of the state. Only the leader can know that; on another node it
// returns shardferry.ErrNotLeader.
func (c *Coordinator) CaughtUp(ctx context.Context) error {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !c.gate.enter() {
		return fmt.Errorf("wait for earlier commands: the node is ending: %w", shardferry.ErrNotLeader)
	}
	defer c.gate.leave()
	if err := c.raft.Barrier(enqueueTimeout).Error(); err != nil {
		return fmt.Errorf("wait for earlier commands: %w: %w", shardferry.ErrNotLeader, err)
	}
	return c.fsm.whyBroken()
}
