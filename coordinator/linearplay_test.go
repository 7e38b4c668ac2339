package coordinator_test

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/internal/linear"
)

// prelude brings the sync so far, without faults.
func (p *piece) prelude(steps int) {
	c := &client{piece: p, number: 0}
	for _, kind := range prelude[:steps] {
		for shard := range shards {
			in := c.fill(p.seats[shard], kind, shard)
			require.Equal(p.t, linear.Accepted, c.give(p.seats[shard], in), "seed %d: %s", p.seed, kind)
			if kind != linear.Assign && kind != linear.Take && kind != linear.Report {
				break
			}
		}
	}
}

// fill makes the command that fits to what the node has.
func (c *client) fill(s *seat, kind linear.Kind, shard int) linear.Input {
	in := linear.Input{Kind: kind}
	if slices.Contains(operators, kind) {
		in.ID, in.Key = int(c.ids.Add(1)), int(c.keys.Add(1))
		return in
	}
	now := linear.View{}
	if l := s.there(); l != nil {
		now = view(l)
	}
	sh := now.Shards[shard]
	in.Leg = now.Leg
	switch kind {
	case linear.Planned:
		in.Leg, in.Time = 0, 1
	case linear.Created:
		in.Leg = 0
	case linear.Committed:
		in.Time = 1
	case linear.Assign:
		in.Shard, in.Owner = shard, s.host
	case linear.Take:
		in.Shard, in.Owner = shard, sh.Owner
	case linear.Report:
		tick := c.ticks.Add(1)
		in.Shard, in.Epoch, in.Time, in.Events = shard, sh.Epoch, tick+1, tick
	case linear.Advance:
		in.To = linear.Steps[min(slices.Index(linear.Steps, now.Step)+1, len(linear.Steps)-1)]
		if in.To == "draining" {
			in.Time = max(1, min(now.Shards[0].Applied, now.Shards[1].Applied)+int64(c.chance(2)))
		}
	default:
	}
	return in
}

// chance is 1 once in n times, and else 0. Who has no dice is never lucky.
func (c *client) chance(n int) int {
	if c.rnd != nil && c.rnd.IntN(n) == 0 {
		return 1
	}
	return 0
}

func (c *client) pick() *seat { return c.seats[c.rnd.IntN(len(c.seats))] }

// run does so many things.
func (c *client) run(things int) {
	home := c.pick()
	for range things {
		time.Sleep(time.Duration(c.rnd.Int64N(int64(400 * time.Millisecond))))
		s := home
		if home.there() == nil || c.rnd.IntN(3) == 0 {
			s = c.pick()
		}
		switch n := c.rnd.IntN(100); {
		case n < 15:
			c.read(s)
		case n < 28:
			c.look(s)
		case n < 36:
			c.leads(s)
		case c.number == 1, n < 50:
			c.operate(s)
		case c.number == 2:
			c.decide(s)
		default:
			c.work(s)
		}
	}
}

// operate gives an operator's command, and if nobody knows what came of it, the same
// again at another node.
func (c *client) operate(s *seat) {
	kind := operators[c.rnd.IntN(len(operators))]
	if l := s.there(); l != nil && c.rnd.IntN(3) > 0 {
		kind = map[string]linear.Kind{
			"IDLE": linear.Start, "RUNNING": linear.Pause, "PAUSED": linear.Resume, "COMMITTED": linear.Reverse,
		}[view(l).State]
		if kind == "" || kind == linear.Pause && c.chance(2) == 1 {
			kind = linear.Commit
		}
	}
	in := c.fill(s, kind, 0)
	if c.chance(4) == 1 {
		in.Key = 0
	}
	for range 3 {
		r := c.give(s, in)
		again := r == linear.Unknown || r == linear.Withdrawn || r == 0 || c.chance(8) == 1
		if in.Key == 0 || !again {
			return
		}
		s = c.pick()
		in.ID = int(c.ids.Add(1))
		if c.chance(12) == 1 {
			in.Kind = operators[c.rnd.IntN(len(operators))] // with the key of another
		}
	}
}

// decide gives what the leader decides after looking at the state.
func (c *client) decide(s *seat) {
	l := s.there()
	if l == nil {
		return
	}
	now := view(l)
	kind := linear.Assign
	switch {
	case now.Phase == "planning":
		kind = linear.Planned
	case now.Phase == "creating":
		kind = linear.Created
	case now.State == "COMMITTING" && now.Step == linear.Aborting:
		kind = linear.Aborted
	case now.State == "COMMITTING" && c.chance(8) == 1:
		kind = linear.Abort
	case now.State == "COMMITTING" && now.Step == "opening":
		kind = linear.Committed
	case now.State == "COMMITTING":
		kind = linear.Advance
	case now.State == "REVERSING":
		kind = linear.Turned
	}
	in := c.fill(s, kind, c.rnd.IntN(2))
	if in.Leg > 1 && c.chance(10) == 1 {
		in.Leg--
	}
	c.give(s, in)
}

// work takes a shard or reports of it, now and then of the past.
func (c *client) work(s *seat) {
	kind := linear.Report
	if c.chance(5) == 1 {
		kind = linear.Take
	}
	in := c.fill(s, kind, c.rnd.IntN(2))
	switch {
	case in.Kind == linear.Take:
	case in.Epoch > 0 && c.chance(5) == 1:
		in.Epoch--
	case c.chance(5) == 1:
		in.Time -= int64(c.rnd.IntN(int(in.Time)))
	}
	c.give(s, in)
	if c.chance(4) == 1 { // it is sent twice
		c.give(c.pick(), in)
	}
}
