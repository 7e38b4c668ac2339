package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/shardferry/shardferry"
)

// RaiseBarrier asks all workers to stop at the earliest schema change that
// waits. If a barrier stands at a later time already, because the shard of the
// earlier change was behind, the earlier one takes its place: workers that
// stopped at the later time have applied what came before both.
type RaiseBarrier struct {
	Leg int `bson:"leg"`
}

// Apply implements Command. It does nothing if the right barrier stands already.
func (c RaiseBarrier) Apply(s *Sync) error {
	if c.Leg != s.Leg.Number {
		return fmt.Errorf("raise barrier: leg %d is over: %w", c.Leg, shardferry.ErrStaleEpoch)
	}
	at := s.Leg.OrderPoint()
	if at == nil {
		return errors.New("raise barrier: nothing waits for one")
	}
	if s.Leg.Barrier != nil && !at.Before(s.Leg.Barrier.Time) {
		return nil
	}
	s.Leg.Barriers++
	s.Leg.Barrier = &shardferry.Barrier{ID: s.Leg.Barriers, Time: *at}
	return nil
}

// OrderPoint returns the time at which all workers have to stop next, or nil. No
// schema change is later than the point at which a move waits, because workers
// do not go past that.
func (l *Leg) OrderPoint() *shardferry.ClusterTime {
	if change := l.NextSchemaChange(); change != nil {
		return &change.Time
	}
	return l.movePoint()
}

// NextSchemaChange returns the earliest schema change that waits, or nil.
// Shards break ties, so that every node picks the same one.
func (l *Leg) NextSchemaChange() *shardferry.SchemaChange {
	var next *shardferry.SchemaChange
	for i := range l.Shards {
		c := l.Shards[i].Schema
		if c == nil {
			continue
		}
		if next == nil || cmp.Or(c.Time.Compare(next.Time), cmp.Compare(c.Shard, next.Shard)) < 0 {
			next = c
		}
	}
	return next
}

// StandsStill reports whether every worker has stopped at the barrier, and has
// applied everything before it. Only then may the change be made. A shard that
// has to be copied again has no worker, and begins after the change.
func (l *Leg) StandsStill() bool {
	return l.Barrier != nil && !slices.ContainsFunc(l.Shards, func(sh Shard) bool {
		return !sh.Lost && (sh.Ready != l.Barrier.ID || sh.Applied.Before(shardferry.Pred(l.Barrier.Time)))
	})
}

// Resolve records that the schema change of the standing barrier is applied on
// the destination, and what it made of the catalogue. The barrier falls.
type Resolve struct {
	Leg         int                     `bson:"leg"`
	Barrier     int64                   `bson:"barrier"`
	Change      shardferry.SchemaChange `bson:"change"`
	Collections []shardferry.Collection `bson:"collections,omitempty"` // new or changed
	Indexes     []Index                 `bson:"indexes,omitempty"`     // new or changed, by namespace and name
	Dropped     []IndexRef              `bson:"dropped,omitempty"`     // indexes that are gone
	Moved       []Move                  `bson:"moved,omitempty"`       // destination namespaces that have another name now
	Limits      []Limit                 `bson:"limits,omitempty"`      // new or changed
	Replaced    *Replaced               `bson:"replaced,omitempty"`    // a collection that has another UUID now

	Tasks []shardferry.CopyTask `bson:"tasks,omitempty"` // of a collection that was not selected before, as in Settled
	Bytes int64                 `bson:"bytes,omitempty"` // estimated size of what they read
}

// Replaced says that the documents of a collection are those of another one on
// the source now. If their copy was not complete it begins anew.
type Replaced struct {
	From shardferry.UUID        `bson:"from"`
	To   shardferry.UUID        `bson:"to"`
	At   shardferry.ClusterTime `bson:"at"` // of the source; images of the former one may be as new
}

// IndexRef names an index of the destination; an empty Name means all of them.
type IndexRef struct {
	NS   shardferry.Namespace `bson:"ns"`
	Name string               `bson:"name"`
}

// Move is the renaming of a namespace on the destination.
type Move struct {
	From shardferry.Namespace `bson:"from"`
	To   shardferry.Namespace `bson:"to"`
}

// Apply implements Command.
func (c Resolve) Apply(s *Sync) error {
	sh, err := s.legShard("resolve", c.Leg, c.Change.Shard)
	if err != nil {
		return err
	}
	if s.Leg.Barrier == nil || s.Leg.Barrier.ID != c.Barrier {
		return fmt.Errorf("resolve: barrier %d does not stand", c.Barrier)
	}
	if sh.Schema == nil || !sh.Schema.Time.Equal(c.Change.Time) || sh.Schema.Index != c.Change.Index {
		return fmt.Errorf("resolve: shard %s does not wait for the change at %v (%d)", sh.ID, c.Change.Time, c.Change.Index)
	}
	for _, t := range c.Tasks {
		if _, err := s.legShard("resolve", c.Leg, t.Shard); err != nil && (t.Shard != "" || s.Leg.Owners == nil) {
			return err
		}
	}
	sh.Resolved = shardferry.SchemaPoint{Time: c.Change.Time, Index: c.Change.Index}
	sh.Schema = nil
	s.Leg.Barrier = nil
	if c.Replaced != nil {
		s.Leg.copyAnew(*c.Replaced)
	}
	s.Leg.changeCatalogue(c)
	s.Leg.addTasks(c)
	s.Leg.advancePhase()
	return nil
}

// addTasks adds the copy of a collection that was not selected before. Workers
// that have to do with it start again: which collections are being copied in
// their order is known from the start.
func (l *Leg) addTasks(c Resolve) {
	if len(c.Tasks) == 0 {
		return
	}
	for i := range l.Shards {
		sh := &l.Shards[i]
		if !sh.Lost && slices.ContainsFunc(c.Tasks, func(t shardferry.CopyTask) bool { return t.Shard == sh.ID }) {
			sh.Epoch++
		}
	}
	l.Tasks = l.Tasks.with(c.Tasks)
	l.Bytes += c.Bytes
	if l.Phase == PhaseBuilding || l.Phase == PhaseStreaming {
		l.Phase = PhaseCopying
	}
}

func (l *Leg) changeCatalogue(c Resolve) {
	l.Catalogue++
	l.Collections, l.Indexes, l.Limits = slices.Clone(l.Collections), slices.Clone(l.Indexes), slices.Clone(l.Limits)
	l.forget(c.Dropped)
	l.move(c.Moved)
	for _, ix := range c.Indexes {
		at := slices.IndexFunc(l.Indexes, func(have Index) bool { return have.NS == ix.NS && have.Name() == ix.Name() })
		if at >= 0 {
			l.Indexes[at] = ix
		} else {
			l.Indexes = append(l.Indexes, ix)
		}
	}
	for _, limit := range c.Limits {
		l.Limits = slices.DeleteFunc(l.Limits, func(have Limit) bool { return have.NS == limit.NS })
		l.Limits = append(l.Limits, limit)
	}
	for _, coll := range c.Collections {
		at, ok := slices.BinarySearchFunc(l.Collections, coll, compareCollections)
		if ok {
			l.Collections[at] = coll
		} else {
			l.Collections = slices.Insert(l.Collections, at, coll)
		}
		if !coll.Synced() {
			l.finishTasks(coll.UUID)
		}
	}
}

// forget removes indexes that are gone, and the limits of namespaces that are.
func (l *Leg) forget(dropped []IndexRef) {
	for _, r := range dropped {
		l.Indexes = slices.DeleteFunc(l.Indexes, func(ix Index) bool {
			return r.NS == ix.NS && (r.Name == "" || r.Name == ix.Name())
		})
		if r.Name == "" {
			l.Limits = slices.DeleteFunc(l.Limits, func(have Limit) bool { return have.NS == r.NS })
		}
	}
}

// copyAnew has what is left to copy of a collection copied from its successor, by
// whichever shards turn out to own it.
func (l *Leg) copyAnew(r Replaced) {
	open := l.Tasks.Open()
	l.finishTasks(r.From)
	if l.Tasks.Open() < open {
		l.recut(nil, []shardferry.CopyTask{{UUID: r.To}})
	}
	if l.Owners != nil {
		o := clonePointer(l.Owners)
		o.Settled = shardferry.Moved{Until: shardferry.LaterOf(o.Settled.Until, r.At), All: true}
		l.Owners = o
	}
}

func (l *Leg) move(moved []Move) {
	for _, m := range moved {
		for i := range l.Indexes {
			if l.Indexes[i].NS == m.From {
				l.Indexes[i].NS = m.To
			}
		}
		for i := range l.Limits {
			if l.Limits[i].NS == m.From {
				l.Limits[i].NS = m.To
			}
		}
	}
}

// finishTasks ends the copy tasks of a collection that is not synced any more.
func (l *Leg) finishTasks(id shardferry.UUID) {
	l.Tasks = l.Tasks.finish(func(t shardferry.CopyTask) bool { return t.UUID == id })
}

// Name returns the index's name.
func (ix Index) Name() string {
	name, _ := ix.Spec.Lookup("name").StringValueOK()
	return name
}

// mark changes indexes, of the list that nobody else has.
func (l *Leg) mark(which []IndexRef, change func(*Index)) {
	picked := make(map[IndexRef]bool, len(which))
	for _, r := range which {
		picked[r] = true
	}
	l.Indexes = slices.Clone(l.Indexes)
	for i := range l.Indexes {
		if ix := &l.Indexes[i]; picked[IndexRef{NS: ix.NS, Name: ix.Name()}] {
			change(ix)
		}
	}
}

// IndexesBuilt records that indexes exist on the destination.
type IndexesBuilt struct {
	Leg     int        `bson:"leg"`
	Indexes []IndexRef `bson:"indexes"`
}

// Apply implements Command. It may be repeated.
func (c IndexesBuilt) Apply(s *Sync) error {
	if c.Leg != s.Leg.Number {
		return fmt.Errorf("indexes built: leg %d is over: %w", c.Leg, shardferry.ErrStaleEpoch)
	}
	s.Leg.mark(c.Indexes, func(ix *Index) { ix.Built = true })
	s.Leg.advancePhase()
	return nil
}
