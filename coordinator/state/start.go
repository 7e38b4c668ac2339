package state

import (
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Start begins a sync: IDLE becomes RUNNING.
type Start struct {
	Job  Job    `bson:"job"`
	From string `bson:"from"`
}

// Apply implements Command.
func (c Start) Apply(s *Sync) error {
	return s.noted(c.do(s), AuditEntry{At: c.Job.StartedAt, Command: "start", From: c.From})
}

func (c Start) do(s *Sync) error {
	if s.State != shardferry.StateIdle {
		return &shardferry.StateError{Command: "start", State: s.State}
	}
	s.State, s.Job = shardferry.StateRunning, c.Job
	s.Leg = Leg{Number: 1, Direction: Forward, Phase: PhasePlanning}
	return nil
}

// Planned records what the source holds and what is to be made of it. It comes
// once, after the checks; nothing has been written before it.
type Planned struct {
	Plan        bson.Raw                `bson:"plan"`
	Start       shardferry.ClusterTime  `bson:"start"`
	Shards      []shardferry.ShardID    `bson:"shards"`
	Collections []shardferry.Collection `bson:"collections"`
	Tasks       []shardferry.CopyTask   `bson:"tasks"`
	Indexes     []Index                 `bson:"indexes"`
	Limits      []Limit                 `bson:"limits"`
	Reversible  bool                    `bson:"reversible"`
	BlockDest   bool                    `bson:"blockDest"`
	Bytes       int64                   `bson:"bytes"`            // estimated size of all documents
	Places      []shardferry.Place      `bson:"places,omitempty"` // read before Start; none if documents stay where they are
}

// Apply implements Command.
func (c Planned) Apply(s *Sync) error {
	switch {
	case s.State != shardferry.StateRunning && s.State != shardferry.StatePaused:
		return &shardferry.StateError{Command: "plan", State: s.State}
	case s.Leg.Phase != PhasePlanning:
		return fmt.Errorf("plan: the leg is already %s", s.Leg.Phase)
	case len(c.Shards) == 0:
		return errors.New("plan: no shards")
	case c.Start.IsZero():
		return errors.New("plan: no start time")
	}
	shards := map[shardferry.ShardID]bool{}
	for _, id := range c.Shards {
		shards[id] = true
	}
	for _, t := range c.Tasks {
		if !shards[t.Shard] {
			return fmt.Errorf("plan: copy task %d is of shard %q, which is not among %q", t.ID, t.Shard, c.Shards)
		}
	}
	s.Job.Reversible, s.Job.BlockDest = c.Reversible, c.BlockDest
	s.Leg.Phase, s.Leg.Plan, s.Leg.Start = PhaseCreating, c.Plan, c.Start
	s.Leg.Bytes = c.Bytes
	s.Leg.Shards = newShards(c.Shards, c.Start)
	s.Leg.Collections = slices.Clone(c.Collections)
	slices.SortFunc(s.Leg.Collections, compareCollections)
	s.Leg.Tasks = NewTasks(c.Tasks)
	s.Leg.Indexes, s.Leg.Limits = slices.Clone(c.Indexes), slices.Clone(c.Limits)
	s.Leg.Owners = newOwners(c.Start, c.Places)
	return nil
}

// Created records that everything planned exists on the destination. From now
// on workers run.
type Created struct{}

// Apply implements Command. It may be repeated.
func (Created) Apply(s *Sync) error {
	if s.Leg.Phase == PhaseCreating {
		s.Leg.Phase, s.Leg.Plan = PhaseCopying, nil
		s.Leg.advancePhase()
	}
	return nil
}

func newOwners(start shardferry.ClusterTime, places []shardferry.Place) *Owners {
	if len(places) == 0 {
		return nil
	}
	return &Owners{Known: start, Places: places}
}

func newShards(ids []shardferry.ShardID, start shardferry.ClusterTime) []Shard {
	shards := make([]Shard, 0, len(ids))
	for _, id := range slices.Sorted(slices.Values(ids)) {
		shards = append(shards, Shard{ID: id, Applied: start, Seen: start})
	}
	return shards
}

// advancePhase moves on from a phase whose work is done.
func (l *Leg) advancePhase() {
	if l.Phase == PhaseCopying && l.Tasks.Open() == 0 {
		l.Phase = PhaseBuilding
	}
	if l.Phase == PhaseBuilding && !slices.ContainsFunc(l.Indexes, func(ix Index) bool { return !ix.Built }) {
		l.Phase = PhaseStreaming
	}
}
