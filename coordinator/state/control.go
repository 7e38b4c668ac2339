package state

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
)

// Pause stops the workers; nothing is forgotten. RUNNING becomes PAUSED.
type Pause struct {
	At   time.Time `bson:"at"`
	From string    `bson:"from"`
	Hold string    `bson:"hold,omitempty"` // set when the sync pauses by itself: why
}

// Apply implements Command.
func (c Pause) Apply(s *Sync) error {
	return s.noted(c.do(s), AuditEntry{At: c.At, Command: "pause", From: c.From})
}

func (c Pause) do(s *Sync) error {
	if s.State != shardferry.StateRunning {
		return &shardferry.StateError{Command: "pause", State: s.State}
	}
	s.State, s.Hold = shardferry.StatePaused, c.Hold
	return nil
}

// Resume lets a paused sync go on where it stands.
type Resume struct {
	At   time.Time `bson:"at"`
	From string    `bson:"from"`
	// RecopyLost agrees that shards whose changes are gone from the oplog are
	// copied again.
	RecopyLost bool `bson:"recopyLost,omitempty"`
}

// Apply implements Command.
func (c Resume) Apply(s *Sync) error {
	return s.noted(c.do(s), AuditEntry{At: c.At, Command: "resume", From: c.From})
}

func (c Resume) do(s *Sync) error {
	if s.State != shardferry.StatePaused {
		return &shardferry.StateError{Command: "resume", State: s.State}
	}
	if lost := s.Leg.Lost(); len(lost) > 0 && !c.RecopyLost && !s.Recopying {
		return &LostError{Shards: lost}
	}
	s.Recopying = s.Recopying || c.RecopyLost
	s.State, s.Hold = shardferry.StateRunning, ""
	return nil
}

// A LostError reports a sync that cannot go on before shards are copied again.
type LostError struct{ Shards []shardferry.ShardID }

func (e *LostError) Error() string {
	return fmt.Sprintf("changes of shard %v are gone from the source's oplog: give --recopy-lost (recopyLost) to have these shards read again; what is only on the destination is then deleted there", e.Shards)
}

// TurnAround makes the leg that has kept the old source current the official
// one: COMMITTED becomes REVERSING, and RUNNING as soon as Turned is recorded.
type TurnAround struct {
	At       time.Time `bson:"at"`
	From     string    `bson:"from"`
	Rollback bool      `bson:"rollback"` // commit by itself as soon as possible
}

// Apply implements Command.
func (c TurnAround) Apply(s *Sync) error {
	return s.noted(c.do(s), AuditEntry{At: c.At, Command: c.name(), From: c.From})
}

func (c TurnAround) name() string {
	if c.Rollback {
		return "rollback"
	}
	return "reverse"
}

func (c TurnAround) do(s *Sync) error {
	name := c.name()
	if c.Rollback && s.State == shardferry.StateRunning && s.Leg.Number > 1 {
		s.RollingBack = true
		return nil
	}
	if s.State != shardferry.StateCommitted {
		return &shardferry.StateError{Command: name, State: s.State}
	}
	if len(s.Job.Selection.Documents) > 0 {
		return fmt.Errorf("cannot %s: this sync is not reversible, because only some documents were moved", name)
	}
	if !s.Job.Reversible {
		return fmt.Errorf("cannot %s: this sync is not reversible, because the user may not write to a write-blocked cluster (grant bypassWriteBlockingMode, for example by the role restore, before start)", name)
	}
	s.State, s.RollingBack = shardferry.StateReversing, c.Rollback
	return nil
}

// Turned records that every shard of the reverse leg has a worker.
type Turned struct {
	Leg int `bson:"leg"`
}

// Apply implements Command. It may be repeated.
func (c Turned) Apply(s *Sync) error {
	if c.Leg == s.Leg.Number && s.State == shardferry.StateReversing {
		s.State = shardferry.StateRunning
	}
	return nil
}

// ResumePoint returns the global resume point of the leg: the destination holds
// every write of the source at or before it. It is zero before the leg is planned.
func (l *Leg) ResumePoint() shardferry.ClusterTime {
	var g shardferry.ClusterTime
	for i, sh := range l.Shards {
		if i == 0 || sh.Applied.Before(g) {
			g = sh.Applied
		}
	}
	if l.Owners != nil {
		g = shardferry.EarlierOf(g, l.Owners.Known) // a shard may turn out to have joined later
	}
	return g
}

// Catalogued returns a time of which Collections are the source's: every schema
// change before it is in them, and none after it. Changes are made in the order of
// their times, and no shard passes one before it is made. A shard that has lost
// changes holds nothing back: if there was a rename among them all shards are
// copied again.
func (l *Leg) Catalogued() shardferry.ClusterTime {
	var at, held shardferry.ClusterTime
	for _, sh := range l.Shards {
		at = shardferry.LaterOf(at, sh.Resolved.Time)
		if !sh.Lost && (held.IsZero() || sh.Applied.Before(held)) {
			held = sh.Applied
		}
	}
	if l.Owners != nil {
		held = shardferry.EarlierOf(held, l.Owners.Known) // a shard may turn out to have joined later
	}
	return shardferry.LaterOf(at, held)
}

// Active reports whether workers should run: there is something to stream, and
// nobody asked to stop.
func (s *Sync) Active() bool {
	if s.Leg.Phase == PhasePlanning || s.Leg.Phase == PhaseCreating || s.Leg.Phase == "" {
		return false
	}
	switch s.State {
	case shardferry.StateRunning, shardferry.StateCommitting, shardferry.StateReversing:
		return true
	case shardferry.StateCommitted:
		return s.Job.Reversible
	case shardferry.StateIdle, shardferry.StatePaused:
	}
	return false
}

// Clone returns a copy that shares nothing with s that a command changes.
// What is large is shared: no command writes into a byte slice, into Tasks, or into
// the lists of collections, indexes and limits, of which it makes others, and what is
// kept of commands only grows.
func (s *Sync) Clone() *Sync {
	c := *s
	c.Audit, c.Answers = slices.Clip(s.Audit), slices.Clip(s.Answers)
	c.Intrusions = slices.Clone(s.Intrusions)
	c.Accounts.Carried, c.Accounts.Own = slices.Clone(s.Accounts.Carried), slices.Clone(s.Accounts.Own)
	c.Leg.Shards = slices.Clone(s.Leg.Shards)
	c.Leg.Barrier = clonePointer(s.Leg.Barrier)
	c.Leg.Owners = clonePointer(s.Leg.Owners)
	c.Leg.Cutover = clonePointer(s.Leg.Cutover)
	c.Last = clonePointer(s.Last)
	return &c
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// Working reports whether the coordinator may prepare the destination.
func (s *Sync) Working() bool { return s.State == shardferry.StateRunning }
