package state

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shardferry/shardferry"
)

// An Order says what workers may not pass.
type Order struct {
	Barrier  *shardferry.Barrier `bson:"barrier,omitempty"`
	Barriers int64               `bson:"barriers"`         // how many there have been; numbers the next
	Owners   *Owners             `bson:"owners,omitempty"` // nil: on the source documents stay where they are
}

// Owners is what is known of where the source keeps its documents. The source
// tells of no change; its placement is read again and again.
type Owners struct {
	Known   shardferry.ClusterTime `bson:"known"`  // everything that changed hands up to here is settled
	Places  []shardferry.Place     `bson:"places"` // as they were at Known, sorted
	Move    *Stretch               `bson:"move,omitempty"`
	Settled shardferry.Moved       `bson:"settled"` // images of these documents may be as new as Until
}

// Stretch is a span of time in which something changed hands. It begins at
// Owners.Known. First every worker applies what came before it (a barrier at
// Known), then everything in it (a barrier at Until).
type Stretch struct {
	Moved  shardferry.Moved   `bson:"moved"`
	Begun  bool               `bson:"begun"`           // all that came before it is applied
	Places []shardferry.Place `bson:"places"`          // as they are after it
	Named  []Named            `bson:"named,omitempty"` // the collections of databases that moved, at its end
}

// Named says which UUID a name has on the source.
type Named struct {
	NS   shardferry.Namespace `bson:"ns"`
	UUID shardferry.UUID      `bson:"uuid"`
}

// Known records a reading of the placement that found nothing changed.
type Known struct {
	Leg int                    `bson:"leg"`
	At  shardferry.ClusterTime `bson:"at"` // a time before the reading
}

// Apply implements Command.
func (c Known) Apply(s *Sync) error {
	o, err := s.owners("known", c.Leg)
	if err != nil {
		return err
	}
	if o.Move != nil {
		return errors.New("known: something has changed hands")
	}
	o.Known = shardferry.LaterOf(o.Known, c.At)
	s.Leg.Owners = o
	return nil
}

// Moving records a reading of the placement that found something changed. Shards
// that are new begin where the stretch begins: before it they owned nothing.
type Moving struct {
	Leg    int                `bson:"leg"`
	Moved  shardferry.Moved   `bson:"moved"`
	Places []shardferry.Place `bson:"places"`
	Named  []Named            `bson:"named,omitempty"`
}

// Apply implements Command.
func (c Moving) Apply(s *Sync) error {
	o, err := s.owners("moving", c.Leg)
	switch {
	case err != nil:
		return err
	case o.Move != nil:
		return errors.New("moving: an earlier move is not settled")
	case !c.Moved.Until.After(o.Known):
		return fmt.Errorf("moving: %v is not after %v", c.Moved.Until, o.Known)
	}
	o.Move = &Stretch{Moved: c.Moved, Places: c.Places, Named: c.Named}
	s.Leg.Owners = o
	for _, id := range serving(c.Places) {
		if _, err := s.legShard("moving", c.Leg, id); err != nil {
			s.Leg.Shards = append(slices.Clip(s.Leg.Shards), newShards([]shardferry.ShardID{id}, o.Known)...)
		}
	}
	slices.SortFunc(s.Leg.Shards, compareShards)
	return nil
}

// Passed records that everything before the stretch is applied: workers now go
// through it, up to the barrier at its end.
type Passed struct {
	Leg     int   `bson:"leg"`
	Barrier int64 `bson:"barrier"`
}

// Apply implements Command.
func (c Passed) Apply(s *Sync) error {
	o, err := s.moveAt("passed", c.Leg, c.Barrier, false)
	if err != nil {
		return err
	}
	o.Move = clonePointer(o.Move)
	o.Move.Begun = true
	s.Leg.Owners = o
	s.Leg.Barriers++
	s.Leg.Barrier = &shardferry.Barrier{ID: s.Leg.Barriers, Time: o.Move.Moved.Until}
	return nil
}

// Settled records that everything in the stretch is applied, and which shards
// copy what is left of the collections that moved. The barrier falls.
type Settled struct {
	Leg         int                     `bson:"leg"`
	Barrier     int64                   `bson:"barrier"`
	At          shardferry.ClusterTime  `bson:"at"`                    // a time of the source after everything in the stretch was read
	Cut         []int64                 `bson:"cut,omitempty"`         // tasks that others take the place of
	Replaced    []Replaced              `bson:"replaced,omitempty"`    // collections that have another UUID on their new shard
	Collections []shardferry.Collection `bson:"collections,omitempty"` // both of each
	Tasks       []shardferry.CopyTask   `bson:"tasks,omitempty"`       // the others; their ids are given when it is applied. One without a shard waits for the next move
}

// Apply implements Command.
func (c Settled) Apply(s *Sync) error {
	o, err := s.moveAt("settled", c.Leg, c.Barrier, true)
	if err != nil {
		return err
	}
	serve := serving(o.Move.Places)
	for _, t := range c.Tasks {
		if t.Shard != "" && !slices.Contains(serve, t.Shard) {
			return fmt.Errorf("settled: a copy task is of shard %q, which is not among %q", t.Shard, serve)
		}
	}
	o.Known, o.Places = o.Move.Moved.Until, o.Move.Places
	o.Settled = o.Move.Moved
	o.Settled.Until = shardferry.LaterOf(c.At, o.Known)
	o.Move = nil
	s.Leg.Owners, s.Leg.Barrier = o, nil
	s.retire(serve)
	s.Leg.recut(c.Cut, c.Tasks)
	for _, r := range c.Replaced {
		s.Leg.copyAnew(r)
	}
	if len(c.Collections) > 0 {
		s.Leg.changeCatalogue(Resolve{Collections: c.Collections})
	}
	s.Leg.advancePhase()
	return nil
}

// retire lets go of shards that own nothing any more.
func (s *Sync) retire(serve []shardferry.ShardID) {
	var left []Shard
	for _, sh := range s.Leg.Shards {
		if slices.Contains(serve, sh.ID) {
			left = append(left, sh)
			continue
		}
		s.Totals.Events += sh.Events + sh.Now.Events
		s.Totals.Repairs += sh.Repairs + sh.Now.Repairs
	}
	s.Leg.Shards = left
}

func (l *Leg) recut(cut []int64, tasks []shardferry.CopyTask) {
	l.Tasks = l.Tasks.finish(func(t shardferry.CopyTask) bool { return slices.Contains(cut, t.ID) }).with(tasks)
}

// owners returns a copy of what is known of the owners.
func (s *Sync) owners(what string, leg int) (*Owners, error) {
	if leg != s.Leg.Number {
		return nil, fmt.Errorf("%s: leg %d is over: %w", what, leg, shardferry.ErrStaleEpoch)
	}
	if s.Leg.Owners == nil {
		return nil, fmt.Errorf("%s: on the source documents stay where they are", what)
	}
	return clonePointer(s.Leg.Owners), nil
}

// moveAt is owners for a step of a move, for which every worker stands still.
func (s *Sync) moveAt(what string, leg int, barrier int64, begun bool) (*Owners, error) {
	o, err := s.owners(what, leg)
	switch {
	case err != nil:
		return nil, err
	case o.Move == nil || o.Move.Begun != begun:
		return nil, fmt.Errorf("%s: there is no such move", what)
	case s.Leg.Barrier == nil || s.Leg.Barrier.ID != barrier:
		return nil, fmt.Errorf("%s: barrier %d does not stand", what, barrier)
	case !s.Leg.MoveReached():
		return nil, fmt.Errorf("%s: not every shard is applied up to %v", what, s.Leg.Barrier.Time)
	}
	return o, nil
}

// MoveReached reports whether every worker stands still at the place where the
// current move waits for them, with everything up to it applied.
func (l *Leg) MoveReached() bool {
	at := l.movePoint()
	return at != nil && l.NextSchemaChange() == nil && l.StandsStill() && l.Barrier.Time.Equal(*at) &&
		!slices.ContainsFunc(l.Shards, func(sh Shard) bool { return !sh.Lost && sh.Applied.Before(*at) })
}

// movePoint returns the time at which the current move needs a barrier.
func (l *Leg) movePoint() *shardferry.ClusterTime {
	switch {
	case l.Owners == nil || l.Owners.Move == nil:
		return nil
	case l.Owners.Move.Begun:
		return &l.Owners.Move.Moved.Until
	}
	return &l.Owners.Known
}

// Ownership returns what workers may apply.
func (l *Leg) Ownership() *shardferry.Ownership {
	o := l.Owners
	if o == nil {
		return nil
	}
	out := &shardferry.Ownership{Known: o.Known, Settled: o.Settled}
	if o.Move != nil && o.Move.Begun {
		out.Known, out.Moving = o.Move.Moved.Until, &o.Move.Moved
	}
	return out
}

// Ownerless reports the collections with a copy task that no shard has yet.
func (l *Leg) Ownerless() []shardferry.UUID {
	var out []shardferry.UUID
	for t := range l.Tasks.Of("") {
		if !t.Done {
			out = append(out, t.UUID)
		}
	}
	return out
}

// serving returns the shards among places that own something, or may.
func serving(places []shardferry.Place) []shardferry.ShardID {
	var out []shardferry.ShardID
	for _, p := range places {
		if p.Shard != "" && p.Version != shardferry.EmptyShard {
			out = append(out, p.Shard)
		}
	}
	return out
}
