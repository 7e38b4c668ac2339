package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/linear"
)

// A client asks nodes, one thing at a time.
type client struct {
	*piece
	number int
	rnd    *rand.Rand
}

// patience bounds what a client waits for an answer.
const patience = 6 * time.Second

// ask asks one node, and notes what came of it. It returns what that was: zero if
// nobody is there.
func (c *client) ask(s *seat, in linear.Input, do func(context.Context, *life) linear.Output) linear.Output {
	l := s.there()
	if l == nil {
		return linear.Output{}
	}
	s.wait()
	in.Node = s.number
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	answered := c.says.Call(c.number, in)
	out := do(ctx, l)
	s.wait()
	if l.ctx.Err() != nil && out.Result != linear.Withdrawn {
		out = linear.Output{Result: linear.Unknown} // it died before it could tell
	}
	answered(out)
	return out
}

// give gives a command.
func (c *client) give(s *seat, in linear.Input) linear.Result {
	return c.ask(s, in, func(ctx context.Context, l *life) linear.Output {
		before := l.c.LeadsIn()
		var err error
		if in.Kind == linear.Report {
			err = l.reports.Report(ctx, in.Leg, report(in))
		} else {
			err = l.c.Propose(ctx, command(in))
		}
		out := linear.Output{Result: c.result(err)}
		if before == l.c.LeadsIn() && in.Kind != linear.Report {
			out.Term = before
		}
		return out
	}).Result
}

// result is what an answer means.
func (c *client) result(err error) linear.Result {
	var refused *state.RefusedError
	var wrong *shardferry.StateError
	switch {
	case err == nil:
		return linear.Accepted
	case errors.Is(err, shardferry.ErrOutcomeUnknown):
		return linear.Unknown
	case errors.Is(err, shardferry.ErrNotLeader):
		return linear.Withdrawn
	case errors.As(err, &refused):
		return map[string]linear.Result{state.KindInvalidState: linear.InvalidState, state.KindNotYet: linear.NotYet}[refused.Kind]
	case errors.As(err, &wrong):
		return linear.InvalidState
	case errors.Is(err, state.ErrKeyReused):
		return linear.KeyReused
	case errors.Is(err, shardferry.ErrStaleEpoch):
		return linear.StaleEpoch
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		c.t.Errorf("seed %d: whoever gave a command is not told whether it was taken: %v", c.seed, err)
	}
	return linear.Refused
}

// read asks for what is current, and reports whether it was answered.
func (c *client) read(s *seat) bool {
	return c.ask(s, linear.Input{Kind: linear.Read}, func(ctx context.Context, l *life) linear.Output {
		if err := l.c.CaughtUp(ctx); err != nil {
			return linear.Output{Result: linear.Unknown}
		}
		return linear.Output{Result: linear.Accepted, View: view(l)}
	}).Result == linear.Accepted
}

// look asks for what the node has.
func (c *client) look(s *seat) {
	c.ask(s, linear.Input{Kind: linear.Look}, func(_ context.Context, l *life) linear.Output {
		return linear.Output{Result: linear.Accepted, View: view(l)}
	})
}

// leads asks whether the node still leads.
func (c *client) leads(s *seat) {
	c.ask(s, linear.Input{Kind: linear.Leads}, func(ctx context.Context, l *life) linear.Output {
		term := l.c.LeadsIn()
		if err := l.c.StillLeads(ctx); err != nil || term == 0 || l.c.LeadsIn() != term {
			return linear.Output{Result: linear.Unknown}
		}
		return linear.Output{Result: linear.Accepted, Term: term}
	})
}

// view is what can be seen of a node's copy.
func view(l *life) linear.View {
	s, _ := l.c.Watch()
	v := linear.View{State: string(s.State), Leg: s.Leg.Number, Phase: string(s.Leg.Phase)}
	if s.Leg.Cutover != nil {
		v.Step = linear.Step(s.Leg.Cutover.Step)
	}
	for i, sh := range s.Leg.Shards {
		v.Shards[i] = linear.Shard{Owner: sh.Owner, Epoch: sh.Epoch, Applied: int64(sh.Applied.T), Events: sh.Now.Events}
	}
	var audit strings.Builder
	for _, e := range s.Audit {
		var id int
		_, _ = fmt.Sscan(e.With, &id)
		r := linear.Accepted
		switch e.Kind {
		case state.KindInvalidState:
			r = linear.InvalidState
		case state.KindNotYet:
			r = linear.NotYet
		}
		audit.WriteString(linear.Entry(id, r))
	}
	v.Audit = audit.String()
	return v
}

var shards = []shardferry.ShardID{"s0", "s1"}

func at(tick int64) shardferry.ClusterTime { return shardferry.ClusterTime{T: uint32(tick)} }

func report(in linear.Input) shardferry.Report {
	return shardferry.Report{Shard: shards[in.Shard], Epoch: in.Epoch, Applied: at(in.Time), Events: in.Events}
}

// command is what the product makes of what a client asks.
func command(in linear.Input) state.Command {
	now := time.Now()
	switch in.Kind {
	case linear.Planned:
		return state.Planned{Plan: bson.Raw{5, 0, 0, 0, 0}, Start: at(in.Time), Shards: shards, Reversible: true}
	case linear.Created:
		return state.Created{}
	case linear.Assign:
		return state.Assign{Leg: in.Leg, Shard: shards[in.Shard], Owner: in.Owner}
	case linear.Take:
		return state.Take{Leg: in.Leg, Shard: shards[in.Shard], Owner: in.Owner}
	case linear.Advance:
		next := &state.Armed{Start: at(1), Shards: shards}
		return state.Advance{Leg: in.Leg, To: state.Step(in.To), At: now, End: at(in.Time), Next: next}
	case linear.Committed:
		return state.Committed{Leg: in.Leg, At: now}
	case linear.Abort:
		return state.Abort{Leg: in.Leg, Reason: "somebody asked for it"}
	case linear.Aborted:
		return state.Aborted{Leg: in.Leg}
	case linear.Turned:
		return state.Turned{Leg: in.Leg}
	default:
	}
	asked := state.Asked{At: now, Command: string(in.Kind), By: "op", From: "1.2.3.4:5", With: fmt.Sprint(in.ID)}
	if in.Key != 0 {
		asked.Key, asked.Hash = fmt.Sprint(in.Key), []byte(in.Kind)
	}
	switch in.Kind {
	case linear.Start:
		asked.Start = &state.Start{Job: state.Job{CommitBudget: 60_000}}
	case linear.Pause:
		asked.Pause = &state.Pause{At: now}
	case linear.Resume:
		asked.Resume = &state.Resume{At: now}
	case linear.Commit:
		asked.Commit = &state.Commit{At: now}
	case linear.Reverse, linear.Rollback:
		asked.TurnAround = &state.TurnAround{At: now, Rollback: in.Kind == linear.Rollback}
	default:
	}
	return asked
}

var operators = []linear.Kind{linear.Start, linear.Pause, linear.Resume, linear.Commit, linear.Reverse, linear.Rollback}

// prelude leads through a whole sync, and back. A history begins somewhere in it.
var prelude = slices.Concat(
	[]linear.Kind{linear.Start, linear.Planned, linear.Created, linear.Assign, linear.Take, linear.Report, linear.Commit},
	slices.Repeat([]linear.Kind{linear.Advance}, len(linear.Steps)-1),
	[]linear.Kind{linear.Committed, linear.Reverse, linear.Turned},
)
