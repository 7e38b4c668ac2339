package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Peers carries what nodes say to each other.
type Peers interface {
	// Addr is how other nodes reach this one.
	Addr() string

	// Stream carries raft's messages, until ctx ends.
	Stream(ctx context.Context) raft.StreamLayer

	// Call asks the node at addr, which has the function of this name among its
	// Answers. An error that is shardferry.ErrOutcomeUnknown says that the node may
	// have taken the request; any other, that it has not.
	Call(ctx context.Context, addr, name string, body []byte) ([]byte, error)
}

// What nodes ask the leader.
const (
	askPropose  = "propose"
	askCaughtUp = "caughtup"
	askMembers  = "members"
	askJoin     = "join"
	askPromote  = "promote"
	askLeave    = "leave"
	askTransfer = "transfer"
)

// A request is what the leader does about a question.
type request struct {
	do func(ctx context.Context, body []byte) (reply, error)

	// again says that it may be asked twice.
	again bool
}

func (c *Coordinator) requests() map[string]request {
	return map[string]request{
		askPropose:  {do: c.proposeHere},
		askCaughtUp: {do: c.caughtUpHere, again: true},
		askMembers:  {do: c.membersHere, again: true},
		askJoin:     {do: c.joinHere, again: true},
		askPromote:  {do: c.promoteHere, again: true},
		askLeave:    {do: c.leaveHere, again: true},
		askTransfer: {do: c.transferHere, again: true},
	}
}

// Answers returns what this node answers to others, by name.
func (c *Coordinator) Answers() map[string]func(ctx context.Context, body []byte) ([]byte, error) {
	all := map[string]func(ctx context.Context, body []byte) ([]byte, error){}
	for name, r := range c.requests() {
		all[name] = func(ctx context.Context, body []byte) ([]byte, error) {
			return encodeReply(c.answer(ctx, name, r, body))
		}
	}
	return all
}

// answer does what another node asks, if this node leads.
func (c *Coordinator) answer(ctx context.Context, name string, r request, body []byte) (reply, error) {
	if err := c.started(ctx); err != nil {
		return reply{}, err
	}
	if name == askPropose {
		// What this program cannot read must not come into the log: it would stop
		// every node.
		if _, err := decodeCommand(body); err != nil {
			return reply{}, fmt.Errorf("the leader %s does not take it: %w", c.cfg.ID, err)
		}
	}
	if c.raft.State() != raft.Leader {
		addr, _ := c.raft.LeaderWithID()
		return reply{Leader: string(addr)}, fmt.Errorf("node %s: %w", c.cfg.ID, shardferry.ErrNotLeader)
	}
	return r.do(ctx, body)
}

// started waits until raft may be asked.
func (c *Coordinator) started(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const (
	// leaderWait is how long a question waits for a node that leads. An election
	// takes about a second.
	leaderWait = 5 * time.Second

	// leaderLook is how often it looks whether there is one meanwhile.
	leaderLook = 50 * time.Millisecond

	// callLimit bounds one answer. Who is stopped, and still leads by what is known
	// here, would never answer.
	callLimit = 5 * time.Second
)

// errEnding reports a question to a node that ends. Nothing was done.
var errEnding = fmt.Errorf("the node is ending: %w", shardferry.ErrNotLeader)

// ask has the leader do something, wherever it is. What had no effect because a
// node does not lead is asked again for a while.
func (c *Coordinator) ask(ctx context.Context, name string, body any) (reply, error) {
	if err := c.started(ctx); err != nil {
		return reply{}, err
	}
	raw, ok := body.([]byte)
	if !ok {
		var err error
		if raw, err = bson.Marshal(body); err != nil {
			return reply{}, fmt.Errorf("encode %T: %w", body, err)
		}
	}
	r := c.requests()[name]
	late := time.NewTimer(leaderWait)
	defer late.Stop()
	for {
		changed := c.lookout.leaderChanged()
		got, err := c.askLeader(ctx, name, r, raw)
		again := errors.Is(err, shardferry.ErrNotLeader) || r.again && errors.Is(err, shardferry.ErrOutcomeUnknown)
		if !again || c.cfg.Peers == nil || errors.Is(err, errEnding) {
			return got, err
		}
		look := time.NewTimer(leaderLook)
		select {
		case <-changed:
		case <-look.C:
		case <-late.C:
			return reply{}, err
		case <-ctx.Done():
			return reply{}, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		look.Stop()
	}
}

func (c *Coordinator) askLeader(ctx context.Context, name string, r request, body []byte) (reply, error) {
	addr, id := c.raft.LeaderWithID()
	switch {
	case c.cfg.Peers == nil || c.raft.State() == raft.Leader:
		return r.do(ctx, body)
	case addr == "" || string(id) == c.cfg.ID:
		return reply{}, fmt.Errorf("no node leads at the moment: %w", shardferry.ErrNotLeader)
	}
	return c.askAt(ctx, addr, name, body)
}

// askAt asks the node at addr for as long as it leads, by what is known here.
func (c *Coordinator) askAt(ctx context.Context, addr raft.ServerAddress, name string, body []byte) (reply, error) {
	if !c.gate.enter() {
		return reply{}, errEnding
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	type answer struct {
		body []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		defer c.gate.leave()
		b, err := c.cfg.Peers.Call(ctx, string(addr), name, body)
		got <- answer{b, err}
	}()
	for {
		changed := c.lookout.leaderChanged()
		if now, _ := c.raft.LeaderWithID(); now != addr {
			return reply{}, fmt.Errorf("%s leads no more: %w", addr, shardferry.ErrOutcomeUnknown)
		}
		select {
		case a := <-got:
			switch {
			case errors.Is(a.err, shardferry.ErrOutcomeUnknown):
				return reply{}, a.err
			case a.err != nil:
				return reply{}, fmt.Errorf("%w: the leader does not hear: %w", shardferry.ErrNotLeader, a.err)
			}
			return decodeReply(a.body)
		case <-changed:
		case <-ctx.Done():
			return reply{}, fmt.Errorf("ask %s: %w: %w", addr, shardferry.ErrOutcomeUnknown, context.Cause(ctx))
		}
	}
}
