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

// Propose replicates cmd and returns what applying it returned. It may be called
// on any node; when it returns, this node's copy of the state holds the command.
// It returns shardferry.ErrNotLeader if the command had no effect because no node
// led, and shardferry.ErrOutcomeUnknown if it may yet have one.
func (c *Coordinator) Propose(ctx context.Context, cmd state.Command) error {
	data, err := encodeCommand(cmd)
	if err != nil {
		return err
	}
	r, err := c.ask(ctx, askPropose, data)
	return c.proposed(ctx, cmd, r, err)
}

// decide is Propose for what was decided because this node leads. Another leader
// decides for itself.
func (c *Coordinator) decide(ctx context.Context, cmd state.Command) error {
	data, err := encodeCommand(cmd)
	if err != nil {
		return err
	}
	r, err := c.proposeHere(ctx, data)
	return c.proposed(ctx, cmd, r, err)
}

// appliedLimit bounds the wait for this node's own copy of the state.
const appliedLimit = 10 * time.Second

func (c *Coordinator) proposed(ctx context.Context, cmd state.Command, r reply, err error) error {
	if err != nil {
		return fmt.Errorf("propose %T: %w", cmd, err)
	}
	ctx, cancel := context.WithTimeout(ctx, appliedLimit)
	defer cancel()
	if err := c.fsm.reached(ctx, r.Index); err != nil {
		return fmt.Errorf("propose %T: %w: what came of it is not known here yet: %w", cmd, shardferry.ErrOutcomeUnknown, err)
	}
	return r.Refused
}

func (c *Coordinator) proposeHere(ctx context.Context, data []byte) (reply, error) {
	var future raft.ApplyFuture
	// raft's timeout bounds only the wait for its queue, so ctx is watched too.
	err := c.settle(ctx, func() raft.Future {
		future = c.raft.ApplyLog(raft.Log{Data: data, Extensions: sumOf(data)}, enqueueTimeout)
		return future
	})
	if err != nil {
		return reply{}, err
	}
	r := reply{Index: future.Index()}
	r.Refused, _ = future.Response().(error)
	return r, nil
}

// settle asks raft for something and waits for the answer.
func (c *Coordinator) settle(ctx context.Context, begin func() raft.Future) error {
	if !c.gate.enter() {
		return errEnding
	}
	future := begin()
	done := make(chan error, 1)
	go func() {
		defer c.gate.leave()
		done <- future.Error()
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", shardferry.ErrOutcomeUnknown, context.Cause(ctx))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return shardferry.ErrNotLeader
	}
	// The entry may yet be committed by the next leader.
	return fmt.Errorf("%w: %w", shardferry.ErrOutcomeUnknown, err)
}

// Leads reports whether this node leads, and waits until there is a leader.
func (c *Coordinator) Leads(ctx context.Context) (bool, error) {
	if err := c.started(ctx); err != nil {
		return false, err
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
// node's copy of the state. Only the leader can know that, and is asked; without
// one it returns shardferry.ErrNotLeader.
func (c *Coordinator) CaughtUp(ctx context.Context) error {
	r, err := c.ask(ctx, askCaughtUp, []byte(nil))
	if err == nil {
		err = c.fsm.reached(ctx, r.Index)
	}
	if err != nil {
		return fmt.Errorf("wait for earlier commands: %w", err)
	}
	return c.fsm.whyBroken()
}

func (c *Coordinator) caughtUpHere(context.Context, []byte) (reply, error) {
	if !c.gate.enter() {
		return reply{}, errEnding
	}
	defer c.gate.leave()
	if err := c.raft.Barrier(enqueueTimeout).Error(); err != nil {
		return reply{}, fmt.Errorf("%w: %w", shardferry.ErrNotLeader, err)
	}
	return reply{Index: c.fsm.applied()}, nil
}
