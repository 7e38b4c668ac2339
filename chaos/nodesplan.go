package chaos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shardferry/shardferry/coordinator/state"
)

// NewNodesPlan draws the plan of a seed with several nodes: a short story with a
// rollback, and in each part of it a fault of one node. Seeds in a row go through
// all cells of each part, in another order each time around.
func NewNodesPlan(seed uint64, nodes int) Plan {
	r := rand.New(rand.NewPCG(seed, 0xf1ee7))
	p := Plan{
		Seed:         seed,
		Nodes:        nodes,
		SourceShards: pick(r, 2, 3, 3, 3),
		DestShards:   pick(r, 2, 3, 3, 3),
		Members:      1,
		Docs:         40 + r.IntN(60),
		Writers:      2,
		Pace:         time.Duration(40+r.IntN(40)) * time.Millisecond,
		Latency:      time.Duration(1+r.IntN(4)) * time.Millisecond,
		BatchDocs:    5 + r.IntN(10),
		Schema:       r.IntN(4) == 0,
		Ending:       Rollback,
		Linger:       time.Duration(500+r.IntN(1000)) * time.Millisecond,
	}
	for i, part := range parts() {
		f := nodeFault(r, nth(part, uint64(i), seed), p.Linger)
		p.giveUp(f.Place)
		p.NodeFaults = append(p.NodeFaults, f)
	}
	if r.IntN(6) == 0 {
		p.last(r)
	}
	return p
}

// shortBudget is less than the commit's writes are held up where it is to be given
// up.
const shortBudget = 1500 * time.Millisecond

// giveUp makes the commit at whose end a fault waits be given up at first: what is
// applied is not acknowledged until its budget is spent.
func (p *Plan) giveUp(at Place) {
	if !strings.HasSuffix(string(at), string(state.StepAborting)) {
		return
	}
	f := Fault{Kind: HoldMajority, Stage: at.stage(), Side: Destination, For: 2 * shortBudget}
	shards := p.DestShards
	if f.Stage == Returning {
		f.Side, shards = Source, p.SourceShards
	}
	for f.Shard = range shards {
		p.Faults = append(p.Faults, f)
	}
	p.Commits.budget = shortBudget
}

// last makes the fault of the commit last: who leads no more acts when the
// applications have moved, or when they are on the way back.
func (p *Plan) last(r *rand.Rand) {
	p.Commits.lasts = true
	p.NodeFaults = slices.DeleteFunc(p.NodeFaults, func(f NodeFault) bool {
		return f.Place.stage() == Living || f.Place.stage() == Returning
	})
	for i := range p.NodeFaults {
		if f := &p.NodeFaults[i]; f.Place.stage() == Committing && f.Kind != NodeRestart {
			f.For = ms(r, 6000, 16000)
		}
	}
	p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.Stage == Returning })
}

// parts are the cells by the part of the story. No two faults of a plan are in
// the same one.
func parts() [][]Cell {
	var before, commit, back []Place
	for _, p := range Places() {
		switch p.stage() {
		case Copying:
			before = append(before, p)
		case Committing:
			commit = append(commit, p)
		case Returning:
			back = append(back, p)
		case Streaming, Living, Home:
		}
	}
	return [][]Cell{cellsOf(before...), cellsOf(InStream), cellsOf(commit...), cellsOf(InReverseStream), cellsOf(back...), cellsOf(InStreamAgain)}
}

// nth returns a seed's cell of a part.
func nth(part []Cell, number, seed uint64) Cell {
	n := uint64(len(part))
	order := rand.New(rand.NewPCG(seed/n, number)).Perm(len(part))
	return part[order[seed%n]]
}

func nodeFault(r *rand.Rand, c Cell, linger time.Duration) NodeFault {
	f := NodeFault{Cell: c, Nth: 1 + r.IntN(5), For: ms(r, 300, 2000)}
	if r.IntN(2) == 0 {
		f.For = ms(r, 1500, 8000) // others have the lead and the shards by then
	}
	switch c.Place.stage() {
	case Streaming, Living, Home:
		f.After = time.Duration(r.Int64N(int64(linger)))
	case Copying, Committing, Returning:
	}
	if c.switches() && r.IntN(2) == 0 {
		f.Nth, f.Command = 1, "setUserWriteBlockMode"
	}
	switch c.Kind {
	case NodeKilled:
		f.Fate = pick(r, Arrives, Vanishes, Unknown)
	case NodePaused, NodeCutOff, NodeUnheard, NodeDeaf:
		f.Fate = pick(r, Arrives, Late)
	case NodeSlow:
		f.By = ms(r, 50, 900)
	case NodeNoSource, NodeNoDest:
		f.Fate = pick(r, Arrives, Vanishes, Unknown, Late)
	case NodeRestart:
		f.For = ms(r, 0, 1500)
	}
	return f
}

// switches reports whether the victim switches a write block at the place.
func (c Cell) switches() bool {
	for _, st := range []state.Step{state.StepBlocking, state.StepOpening, state.StepAborting} {
		if c.Victim == Leader && strings.HasSuffix(string(c.Place), ": "+string(st)) {
			return true
		}
	}
	return false
}

// ms draws a time between two numbers of milliseconds.
func ms(r *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+r.IntN(to-from)) * time.Millisecond
}
