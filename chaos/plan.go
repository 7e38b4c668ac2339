package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// An Ending is what the operator does once the destination is in step.
type Ending string

// The endings of a run.
const (
	Stay     Ending = "stay"     // nothing: the sync goes on
	Commit   Ending = "commit"   // the applications move
	Rollback Ending = "rollback" // they move, and come back
)

// A Stage is a part of the story. Faults are placed relative to its beginning.
type Stage string

// The stages of a run, in order. Those after Stream depend on the ending.
const (
	Copying    Stage = "copy"
	Streaming  Stage = "stream"
	Committing Stage = "commit"
	Living     Stage = "living" // at the destination
	Returning  Stage = "return" // the commit of a rollback
	Home       Stage = "home"   // at the source again
)

// A Kind is a sort of fault.
type Kind string

// The kinds of faults.
const (
	KillNode     Kind = "kill the node"          // and start a new one on its data directory after For
	KillConns    Kind = "drop connections"       // those that are open
	LoseRequests Kind = "lose requests"          // with Odds, for For
	LoseReplies  Kind = "lose replies"           // with Odds, for For: the command took effect
	LoseRouted   Kind = "lose replies of shards" // the same between routers and shards
	Slow         Kind = "delay commands"         // by up to a second, with Odds, for For
	SlowCopy     Kind = "delay the copy"         // the node's inserts or finds, by up to two seconds, for For
	StepDown     Kind = "step down"              // a shard has no primary for For
	Cut          Kind = "cut off"                // a process is unreachable for For
	Freeze       Kind = "freeze"                 // a process answers nothing for For
	Lag          Kind = "stop replication"       // to all secondaries of a shard, for For
	Lose         Kind = "lose the primary"       // of a shard, for For; another one is elected
	RollBack     Kind = "roll back"              // lose a primary whose secondaries have lagged for For
	Divide       Kind = "divide"                 // a shard's primary from its secondaries, for For: there may be two primaries then
	Sever        Kind = "sever"                  // the routers from a shard, for For; requests fail, or with Odds above a half wait
	HoldMajority Kind = "hold the majority"      // commit point of a shard, for For
	FillDisk     Kind = "fill the disk"          // of a shard's primary, for For: writes fail with OutOfDiskSpace
	Skew         Kind = "skew the clocks"        // of a shard, for For, by up to a minute, back with Odds below a half
)

// A Side is one of the two clusters.
type Side int

// The sides.
const (
	Source Side = iota
	Destination
)

func (s Side) String() string {
	if s == Source {
		return "source"
	}
	return "destination"
}

// A Fault is something that goes wrong at one moment of a run.
type Fault struct {
	Kind  Kind
	Stage Stage
	After time.Duration // since the beginning of the stage
	For   time.Duration
	Side  Side
	Shard int // which one, by number; the last ones are routers where the kind takes any process
	Odds  float64
	Only  string // whose commands: "node", "application" or empty for everybody's
}

func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s+%v: %s", f.Stage, f.After, f.Kind)
	if f.Kind != KillNode {
		fmt.Fprintf(&b, " at the %v", f.Side)
	}
	switch f.Kind {
	case StepDown, Cut, Freeze, Lag, Lose, RollBack, Divide, Sever, HoldMajority, FillDisk, Skew:
		fmt.Fprintf(&b, ", process %d", f.Shard)
	case LoseRequests, LoseReplies, LoseRouted, Slow, SlowCopy:
		fmt.Fprintf(&b, ", %.0f %%", 100*f.Odds)
	case KillNode, KillConns:
	}
	if f.Only != "" {
		fmt.Fprintf(&b, ", only of the %s", f.Only)
	}
	if f.For > 0 {
		fmt.Fprintf(&b, ", for %v", f.For)
	}
	return b.String()
}

// A Plan is all that a seed decides beforehand.
type Plan struct {
	Seed         uint64
	SourceShards int // 0: a plain replica set
	DestShards   int
	Members      int // of each replica set
	Docs         int
	Writers      int
	Pace         time.Duration // between two operations of a writer
	Latency      time.Duration // every command takes up to so long
	BatchDocs    int           // documents of a copy batch
	Schema       bool          // the schema changes too
	Ending       Ending
	Linger       time.Duration // how long the applications write between the steps
	Faults       []Fault       // in the order of stages, then of time

	Nodes      int         // 0 is one
	NodeFaults []NodeFault // at most one in a stage
	Commits    commits
}

// commits say how the commits of a plan go, where not as usual.
type commits struct {
	budget time.Duration // 0: commitBudget
	lasts  bool          // the fault of the commit may last into the stages after it
}

// NewPlan draws the plan of a seed.
func NewPlan(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 0xc4a05))
	p := Plan{
		Seed:         seed,
		SourceShards: pick(r, 0, 1, 2, 2, 3, 3),
		DestShards:   pick(r, 0, 1, 2, 2, 3),
		Members:      pick(r, 1, 1, 3),
		Docs:         300 + r.IntN(1200),
		Writers:      3 + r.IntN(4),
		Pace:         time.Duration(20+r.IntN(60)) * time.Millisecond,
		Latency:      time.Duration(1+r.IntN(15)) * time.Millisecond,
		BatchDocs:    20 + r.IntN(80),
		Schema:       r.IntN(3) > 0,
		Ending:       pick(r, Stay, Commit, Commit, Rollback, Rollback),
		Linger:       time.Duration(2+r.IntN(4)) * time.Second,
	}
	p.Faults = p.slowCopy(r)
	for _, s := range p.Stages() {
		for range r.IntN(4) {
			p.Faults = append(p.Faults, p.fault(r, s))
		}
	}
	if len(p.Faults) == 0 {
		p.Faults = append(p.Faults, p.fault(r, Copying))
	}
	order := p.Stages()
	slices.SortStableFunc(p.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Stage), slices.Index(order, b.Stage)), cmp.Compare(a.After, b.After))
	})
	return p
}

// Stages returns the stages that the plan goes through, in order.
func (p Plan) Stages() []Stage {
	switch p.Ending {
	case Commit:
		return []Stage{Copying, Streaming, Committing, Living}
	case Rollback:
		return []Stage{Copying, Streaming, Committing, Living, Returning, Home}
	case Stay:
	}
	return []Stage{Copying, Streaming}
}

// Of returns the faults of one stage in the order of time.
func (p Plan) Of(s Stage) []Fault {
	var of []Fault
	for _, f := range p.Faults {
		if f.Stage == s {
			of = append(of, f)
		}
	}
	return of
}

// ofNodes returns the faults of nodes in one stage.
func (p Plan) ofNodes(s Stage) []NodeFault {
	var of []NodeFault
	for _, f := range p.NodeFaults {
		if f.Place.stage() == s {
			of = append(of, f)
		}
	}
	return of
}

// slowCopy lets the stream overtake the copy, in most runs: otherwise nothing
// happens to a document between the moment it is read and the moment it lands.
func (p Plan) slowCopy(r *rand.Rand) []Fault {
	var faults []Fault
	for _, side := range []Side{Source, Destination} {
		if r.IntN(3) > 0 {
			faults = append(faults, Fault{
				Kind: SlowCopy, Stage: Copying, Side: side, Only: "node",
				For: time.Duration(3+r.IntN(8)) * time.Second, Odds: 0.5,
			})
		}
	}
	return faults
}

// kinds returns what may be drawn, as often as it should be.
func (p Plan) kinds() []Kind {
	all := []Kind{KillNode, KillNode, KillNode, KillConns, LoseRequests, LoseReplies, LoseReplies, LoseRouted, Slow, StepDown, StepDown, Cut, Freeze, HoldMajority, FillDisk, Skew}
	if p.Members > 1 {
		all = append(all, Lag, Lag, Lose, Lose, RollBack, RollBack, Divide, Divide, Divide)
	}
	if p.SourceShards > 0 && p.DestShards > 0 {
		all = append(all, Sever)
	}
	return all
}

func (p Plan) fault(r *rand.Rand, s Stage) Fault {
	f := Fault{
		Kind: pick(r, p.kinds()...),
		// Most of what may break happens early in a stage.
		Stage: s, After: time.Duration(r.IntN(1500)) * time.Millisecond,
		Side: Side(r.IntN(2)),
		Only: pick(r, "", "", "node", "application"),
	}
	if s == Copying && r.IntN(2) == 0 {
		f.After *= 4
	}
	if s == Streaming || s == Living || s == Home {
		f.After = time.Duration(r.Int64N(int64(p.Linger)))
	}
	shards := p.SourceShards
	if f.Side == Destination {
		shards = p.DestShards
	}
	switch f.Kind {
	case KillNode:
		f.Side, f.Only, f.For = Source, "", time.Duration(r.IntN(3000))*time.Millisecond
	case KillConns:
		f.Only = ""
	case LoseRequests, LoseReplies, Slow:
		f.For, f.Odds = time.Duration(200+r.IntN(3000))*time.Millisecond, pick(r, 0.02, 0.1, 0.4)
	case SlowCopy: // see slowCopy
	case LoseRouted:
		f.For, f.Odds = time.Duration(200+r.IntN(2000))*time.Millisecond, pick(r, 0.02, 0.1)
	case Lag, RollBack:
		f.For, f.Only, f.Shard = time.Duration(200+r.IntN(3000))*time.Millisecond, "", r.IntN(max(shards, 1))
	case Lose:
		f.For, f.Only, f.Shard = time.Duration(1+r.IntN(6))*time.Second, "", r.IntN(max(shards, 1))
	case StepDown:
		f.For, f.Only, f.Shard = time.Duration(1+r.IntN(5))*time.Second, "", r.IntN(max(shards, 1))
	case Divide:
		f.For, f.Only, f.Shard = time.Duration(500+r.IntN(7000))*time.Millisecond, "", r.IntN(max(shards, 1))
	case Sever, HoldMajority, FillDisk, Skew:
		f.For, f.Only, f.Shard, f.Odds = time.Duration(300+r.IntN(4000))*time.Millisecond, "", r.IntN(max(shards, 1)), r.Float64()
	case Cut, Freeze:
		f.For, f.Only, f.Shard = time.Duration(300+r.IntN(5000))*time.Millisecond, "", r.IntN(max(shards, 1)+1)
	}
	return f
}

func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s to %s, %d documents, %d writers each %v, latency %v, copy batches of %d, %s",
		p.Seed, shardsText(p.SourceShards), shardsText(p.DestShards), p.Docs, p.Writers, p.Pace, p.Latency, p.BatchDocs, p.Ending)
	if p.Schema {
		b.WriteString(", schema changes")
	}
	if p.Members > 1 {
		fmt.Fprintf(&b, ", %d members", p.Members)
	}
	if p.Nodes > 1 {
		fmt.Fprintf(&b, ", %d nodes", p.Nodes)
	}
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "\n  %v", f)
	}
	for _, f := range p.NodeFaults {
		fmt.Fprintf(&b, "\n  %v", f)
	}
	return b.String()
}

func shardsText(n int) string {
	switch n {
	case 0:
		return "a replica set"
	case 1:
		return "1 shard"
	}
	return fmt.Sprintf("%d shards", n)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
