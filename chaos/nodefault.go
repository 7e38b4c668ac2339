package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A Place is a part of a sync's way, as its nodes have recorded it: a phase, or a
// step of a commit.
type Place string

// The places beside the steps of a commit, which are "commit: " or "rollback: "
// and the step.
const (
	InPlanning      Place = "planning"
	InCopy          Place = "copying"
	InBuilding      Place = "building indexes"
	InCatchingUp    Place = "catching up"
	InStream        Place = "streaming"
	InReverseStream Place = "reverse stream"
	InTurning       Place = "rollback: turning"
	InStreamAgain   Place = "streaming again"
)

// commitSteps are the steps of a commit. The last one is that of a commit that is
// given up, which is asked for again.
var commitSteps = []state.Step{
	state.StepBlocking, state.StepBlocked, state.StepDraining, state.StepVerifying, state.StepFinishing, state.StepArming, state.StepOpening,
	state.StepAborting,
}

// Places lists all places in the order in which a sync with a rollback comes to
// them.
func Places() []Place {
	all := []Place{InPlanning, InCopy, InBuilding, InCatchingUp, InStream}
	for _, st := range commitSteps {
		all = append(all, "commit: "+Place(st))
	}
	all = append(all, InReverseStream, InTurning)
	for _, st := range commitSteps {
		all = append(all, "rollback: "+Place(st))
	}
	return append(all, InStreamAgain)
}

// stage returns the stage of the story that comes to a place.
func (p Place) stage() Stage {
	switch p {
	case InPlanning, InCopy, InBuilding, InCatchingUp:
		return Copying
	case InStream:
		return Streaming
	case InReverseStream:
		return Living
	case InStreamAgain:
		return Home
	case InTurning:
		return Returning
	}
	if strings.HasPrefix(string(p), "commit: ") {
		return Committing
	}
	return Returning
}

// is reports whether a sync is at the place.
func (p Place) is(s *state.Sync) bool {
	l := &s.Leg
	if s.State == shardferry.StateCommitting && l.Cutover != nil {
		way := Place("commit: ")
		if l.Number > 1 {
			way = "rollback: "
		}
		return p == way+Place(l.Cutover.Step)
	}
	turning := s.State == shardferry.StateReversing || s.RollingBack
	switch p {
	case InPlanning:
		return s.State == shardferry.StateRunning && (l.Phase == state.PhasePlanning || l.Phase == state.PhaseCreating)
	case InCopy:
		return s.State == shardferry.StateRunning && l.Phase == state.PhaseCopying
	case InBuilding:
		return s.State == shardferry.StateRunning && l.Phase == state.PhaseBuilding
	case InCatchingUp, InStream:
		return s.State == shardferry.StateRunning && l.Number == 1 && l.Phase == state.PhaseStreaming
	case InReverseStream:
		return l.Number == 2 && !turning
	case InTurning:
		return l.Number == 2 && turning
	case InStreamAgain:
		return l.Number == 3 && !turning
	}
	return false
}

// A NodeKind is a sort of fault of one node among several.
type NodeKind string

// What may happen to a node.
const (
	NodeKilled NodeKind = "killed" // as by kill -9, and started again after For
	// NodePaused is as near to SIGSTOP as virtual time allows: nothing passes between
	// the node and the others or the clusters, in neither direction, and whatever it
	// has sent into that arrives afterwards, though its own goroutine may have given
	// up; its work stands still at the next of its moments (shardferry.Reached) and
	// goes on from there, whatever its deadlines say. What SIGSTOP does and this does
	// not: the node's timers run on, so that it may know that its lead has ended.
	NodePaused   NodeKind = "paused"
	NodeCutOff   NodeKind = "cut off"               // from the other nodes
	NodeUnheard  NodeKind = "not heard"             // it hears the others
	NodeDeaf     NodeKind = "hears nothing"         // the others hear it
	NodeSlow     NodeKind = "slow"                  // its links to the other nodes, and to both clusters
	NodeNoSource NodeKind = "cut off from cluster0" // the clusters of a job
	NodeNoDest   NodeKind = "cut off from cluster1" // by their names
	NodeRestart  NodeKind = "restarted"             // by its operator: it gives its work away first
)

// NodeKinds lists them.
func NodeKinds() []NodeKind {
	return []NodeKind{NodeKilled, NodePaused, NodeCutOff, NodeUnheard, NodeDeaf, NodeSlow, NodeNoSource, NodeNoDest, NodeRestart}
}

// A Victim is whom a fault of a node hits.
type Victim string

// The victims.
const (
	Leader Victim = "leader"
	Worker Victim = "worker" // a node that serves a shard, or could where none is given away yet, and does not lead
)

// A Cell is what must have been tried often enough.
type Cell struct {
	Place  Place    `json:"place"`
	Kind   NodeKind `json:"fault"`
	Victim Victim   `json:"victim"`
}

func (c Cell) String() string { return fmt.Sprintf("%s: the %s is %s", c.Place, c.Victim, c.Kind) }

// Cells lists all of them, by place.
func Cells() []Cell { return cellsOf(Places()...) }

func cellsOf(places ...Place) []Cell {
	var all []Cell
	for _, p := range places {
		for _, k := range NodeKinds() {
			all = append(all, Cell{p, k, Leader}, Cell{p, k, Worker})
		}
	}
	return all
}

// A NodeFault happens to a node the Nth time that any node does something at a
// place: comes to a moment of its work, or sends a command. If the place is left
// before, it happens when that is decided and not yet recorded.
type NodeFault struct {
	Cell

	Nth     int
	Command string        // it is to be this one that is sent; empty: any act
	After   time.Duration // since the stage of the place began
	For     time.Duration
	By      time.Duration // how much longer links take where they are slow
	Fate    Fate
}

// A Fate is what becomes of the command that the victim has sent last.
type Fate int

// The fates of a command.
const (
	Arrives  Fate = iota // it takes effect, and the answer comes if it can
	Vanishes             // it does not arrive
	Unknown              // it takes effect, and the answer does not come
	Late                 // it arrives when the fault is over
)

func (f NodeFault) String() string {
	text := fmt.Sprintf("%v for %v, at the %d. act", f.Cell, f.For, f.Nth)
	if f.Command != "" {
		text += ", which is " + f.Command
	}
	if f.After > 0 {
		text += fmt.Sprintf(" after %v", f.After)
	}
	if f.By > 0 {
		text += fmt.Sprintf(", links take %v more", f.By)
	}
	return text + map[Fate]string{Arrives: "", Vanishes: "; what it sent is lost", Unknown: "; its answer is lost", Late: "; what it sent comes late"}[f.Fate]
}
