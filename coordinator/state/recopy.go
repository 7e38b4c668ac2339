package state

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
)

// Lost records that changes of a shard are gone from the source's oplog before
// they were applied. It has no worker from now on. Unless the operator has agreed
// to that already, the sync pauses: copying again reads all of the shard and
// deletes what is only on the destination.
type Lost struct {
	Leg   int                `bson:"leg"`
	Shard shardferry.ShardID `bson:"shard"`
	At    time.Time          `bson:"at"`
	Why   string             `bson:"why"`
}

// Apply implements Command. It may be repeated.
func (c Lost) Apply(s *Sync) error {
	sh, err := s.legShard("lost", c.Leg, c.Shard)
	if err != nil {
		return err
	}
	if s.Leg.Number != 1 {
		return fmt.Errorf("lost: leg %d has no copy that could be made again", c.Leg)
	}
	sh.Lost, sh.Schema, sh.Ready, sh.Waiting, sh.Now.Held = true, nil, 0, nil, 0
	sh.Epoch++ // what its worker still says comes too late
	if s.State == shardferry.StateRunning && !s.Recopying {
		s.State, s.Hold = shardferry.StatePaused, c.Why
		s.audit(AuditEntry{At: c.At, Command: "pause", From: "worker"})
	}
	return nil
}

// Lost returns the shards that have to be copied again.
func (l *Leg) Lost() []shardferry.ShardID {
	var out []shardferry.ShardID
	for _, sh := range l.Shards {
		if sh.Lost {
			out = append(out, sh.ID)
		}
	}
	return out
}

// Recopied records that shards begin anew: their streams at a time, and copy
// tasks that make the destination equal again. Everything that changed in the
// catalogue while nobody could see it has been made on the destination.
type Recopied struct {
	Leg    int                    `bson:"leg"`
	Shards []shardferry.ShardID   `bson:"shards"`
	Start  shardferry.ClusterTime `bson:"start"`
	Tasks  []shardferry.CopyTask  `bson:"tasks"` // their ids are given when it is applied
	Bytes  int64                  `bson:"bytes"` // estimated size of what they read

	Changes []Remade `bson:"changes,omitempty"` // of collections that are filled anew
}

// Apply implements Command.
func (c Recopied) Apply(s *Sync) error {
	if c.Leg != s.Leg.Number {
		return fmt.Errorf("copy again: leg %d is over: %w", c.Leg, shardferry.ErrStaleEpoch)
	}
	if c.Start.IsZero() {
		return errors.New("copy again: no start time")
	}
	for _, id := range c.Shards {
		sh, err := s.legShard("copy again", c.Leg, id)
		if err != nil {
			return err
		}
		if !sh.Lost {
			return fmt.Errorf("copy again: shard %s has lost nothing", id)
		}
		if len(sh.Sessions) > 0 {
			return fmt.Errorf("copy again: the sessions of the former worker of shard %s have not ended", id)
		}
	}
	for _, t := range c.Tasks {
		if _, err := s.legShard("copy again", c.Leg, t.Shard); err != nil {
			return err
		}
	}
	for i := range s.Leg.Shards {
		sh := &s.Leg.Shards[i]
		if slices.Contains(c.Shards, sh.ID) {
			sh.Lost = false
			sh.Applied, sh.Seen = shardferry.LaterOf(sh.Applied, c.Start), shardferry.LaterOf(sh.Seen, c.Start)
		}
	}
	for _, change := range c.Changes {
		s.Leg.changeCatalogue(change.resolve())
	}
	s.Leg.replaceTasks(c)
	if s.Leg.Phase == PhaseBuilding || s.Leg.Phase == PhaseStreaming {
		s.Leg.Phase = PhaseCopying
	}
	s.Leg.advancePhase()
	s.Recopying = s.Recopying && len(s.Leg.Lost()) > 0
	return nil
}

// replaceTasks puts new tasks in the place of those of the shards that begin
// anew, and of those that read the same collection on another shard.
func (l *Leg) replaceTasks(c Recopied) {
	type part struct {
		shard shardferry.ShardID
		uuid  shardferry.UUID
	}
	again := map[part]bool{}
	for _, t := range c.Tasks {
		again[part{t.Shard, t.UUID}] = true
	}
	last := l.Tasks.last()
	tasks := slices.DeleteFunc(l.Tasks.List(), func(t shardferry.CopyTask) bool {
		return slices.Contains(c.Shards, t.Shard) || again[part{t.Shard, t.UUID}]
	})
	for i := range l.Shards {
		sh := &l.Shards[i]
		if !slices.Contains(c.Shards, sh.ID) && slices.ContainsFunc(c.Tasks, func(t shardferry.CopyTask) bool { return t.Shard == sh.ID }) {
			sh.Epoch++ // its worker starts again, with the new tasks
		}
	}
	for _, t := range c.Tasks {
		last++
		t.ID = last
		tasks = append(tasks, t)
	}
	l.Tasks, l.Bytes = NewTasks(tasks), c.Bytes
	for t := range l.Tasks.All() {
		l.Bytes += t.Bytes
	}
}

// Remade is what a schema change made of the catalogue, as in Resolve.
type Remade struct {
	Collections []shardferry.Collection `bson:"collections,omitempty"`
	Indexes     []Index                 `bson:"indexes,omitempty"`
	Dropped     []IndexRef              `bson:"dropped,omitempty"`
	Moved       []Move                  `bson:"moved,omitempty"`
	Limits      []Limit                 `bson:"limits,omitempty"`
}

func (r Remade) resolve() Resolve {
	return Resolve{Collections: r.Collections, Indexes: r.Indexes, Dropped: r.Dropped, Moved: r.Moved, Limits: r.Limits}
}

// Recatalogued records what was made on the destination of schema changes that
// nobody has seen: the catalogue was read anew. No barrier stands.
type Recatalogued struct {
	Leg     int      `bson:"leg"`
	Changes []Remade `bson:"changes"`
}

// Apply implements Command.
func (c Recatalogued) Apply(s *Sync) error {
	switch {
	case c.Leg != s.Leg.Number:
		return fmt.Errorf("read the catalogue anew: leg %d is over: %w", c.Leg, shardferry.ErrStaleEpoch)
	case len(s.Leg.Lost()) == 0:
		return errors.New("read the catalogue anew: no shard has lost changes")
	case s.Leg.Barrier != nil:
		return errors.New("read the catalogue anew: a schema change is being made")
	}
	for _, change := range c.Changes {
		s.Leg.changeCatalogue(change.resolve())
	}
	s.Leg.advancePhase()
	return nil
}
