package state

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
)

// Committed ends the leg: the destination takes writes. The opposite leg, which
// was armed while both clusters were blocked, takes its place.
type Committed struct {
	Leg int       `bson:"leg"`
	At  time.Time `bson:"at"`
}

// Apply implements Command.
func (c Committed) Apply(s *Sync) error {
	cut, err := s.cutover("committed", c.Leg)
	if err != nil {
		return err
	}
	if cut.Step != StepOpening {
		return fmt.Errorf("committed: the commit is still %s", cut.Step)
	}
	record := *cut
	record.OpenedAt = c.At
	for _, sh := range s.Leg.Shards {
		s.Totals.Events += sh.Events + sh.Now.Events
		s.Totals.Repairs += sh.Repairs + sh.Now.Repairs
	}
	next := Leg{
		Number:    s.Leg.Number + 1,
		Direction: s.Leg.Direction.Opposite(),
		Phase:     PhaseStreaming,
		Start:     cut.Next.Start,
		Shards:    newShards(cut.Next.Shards, cut.Next.Start),
	}
	next.Collections = slices.Clone(cut.Next.Collections)
	slices.SortFunc(next.Collections, compareCollections)
	next.Owners = newOwners(cut.Next.Start, cut.Next.Places)
	s.Accounts.Own = slices.Clone(cut.Next.Own)
	record.Next = nil
	s.Leg, s.Last = next, &record
	s.State, s.RollingBack = shardferry.StateCommitted, false
	return nil
}

// Abort gives a commit up before the destination takes writes: the source is
// unblocked and the sync goes on as before.
type Abort struct {
	Leg    int    `bson:"leg"`
	Reason string `bson:"reason"`
}

// Apply implements Command. Once the destination is being opened there is no
// way back but a rollback.
func (c Abort) Apply(s *Sync) error {
	cut, err := s.cutover("abort", c.Leg)
	if err != nil {
		return err
	}
	if cut.Step == StepOpening {
		return fmt.Errorf("abort: the destination is being opened for writes: roll back once the commit has ended")
	}
	if cut.Step != StepAborting {
		cut.Step, cut.Failure = StepAborting, c.Reason
	}
	return nil
}

// Aborted records that the source takes writes again.
type Aborted struct {
	Leg int `bson:"leg"`
}

// Apply implements Command.
func (c Aborted) Apply(s *Sync) error {
	cut, err := s.cutover("aborted", c.Leg)
	if err != nil {
		return err
	}
	if cut.Step != StepAborting {
		return fmt.Errorf("aborted: the commit is %s", cut.Step)
	}
	if s.Accounts.Temporary {
		return errors.New("aborted: collections with credentials may still be on the destination")
	}
	s.Last, s.Leg.Cutover = cut, nil
	s.State = shardferry.StateRunning
	s.RollingBack = false
	return nil
}
