package state

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
)

// Step is how far a commit has come. Each step is recorded when it is done; a
// leader that finds a step missing does it again, because each may be repeated.
type Step string

// The steps of a commit, in order.
const (
	StepBlocking  Step = "blocking"  // the duty to unblock is recorded; the source is being write-blocked
	StepBlocked   Step = "blocked"   // the source takes no user writes any more; its end time is sought
	StepDraining  Step = "draining"  // every shard applies up to the end time
	StepVerifying Step = "verifying" // all is applied; both clusters are compared
	StepFinishing Step = "finishing" // equal; indexes and limits take their final form
	StepArming    Step = "arming"    // the way back is being opened
	StepOpening   Step = "opening"   // the destination's write block is being lifted
	StepAborting  Step = "aborting"  // given up: the source is being unblocked
)

// Cutover is a commit in progress, and afterwards its record.
type Cutover struct {
	Step      Step                   `bson:"step"`
	StartedAt time.Time              `bson:"startedAt"`
	Deadline  time.Time              `bson:"deadline"` // a commit that is not past verification by then is given up
	End       shardferry.ClusterTime `bson:"end"`      // nothing was written on the source after it
	BlockedAt time.Time              `bson:"blockedAt"`
	OpenedAt  time.Time              `bson:"openedAt"`
	Verified  Verified               `bson:"verified"`
	Failure   string                 `bson:"failure,omitempty"` // why it was given up
	Next      *Armed                 `bson:"next,omitempty"`    // the leg that follows; known before the destination takes writes
}

// Armed is the opposite leg as it was captured while both clusters were
// blocked: from Start on, nothing that is written to the destination is missed.
type Armed struct {
	Start       shardferry.ClusterTime  `bson:"start"` // on the cluster that will take writes
	Shards      []shardferry.ShardID    `bson:"shards"`
	Collections []shardferry.Collection `bson:"collections"`
}

// Verified is the outcome of the verification inside a commit.
type Verified struct {
	Documents   int64 `bson:"documents"`
	Bytes       int64 `bson:"bytes"`
	Collections int64 `bson:"collections"`
	Differences int64 `bson:"differences"`
}

// Commit begins the cutover: RUNNING becomes COMMITTING.
type Commit struct {
	At   time.Time `bson:"at"`
	From string    `bson:"from"`
}

// Apply implements Command.
func (c Commit) Apply(s *Sync) error {
	if ok, why := s.CanCommit(); !ok {
		if s.State != shardferry.StateRunning {
			return &shardferry.StateError{Command: "commit", State: s.State}
		}
		return fmt.Errorf("cannot commit yet: %s", why)
	}
	s.State = shardferry.StateCommitting
	budget := time.Duration(s.Job.CommitBudget) * time.Millisecond
	s.Leg.Cutover = &Cutover{Step: StepBlocking, StartedAt: c.At, Deadline: c.At.Add(budget)}
	s.audit(c.At, "commit", c.From)
	return nil
}

// CanCommit reports whether a commit would be accepted, and if not, why.
func (s *Sync) CanCommit() (bool, string) {
	switch {
	case s.State != shardferry.StateRunning:
		return false, fmt.Sprintf("the sync is %s", s.State)
	case s.Leg.Phase != PhaseStreaming:
		return false, fmt.Sprintf("the sync is still %s", s.Leg.Phase)
	case s.Leg.Barrier != nil || s.Leg.NextSchemaChange() != nil:
		return false, "a schema change is being applied"
	}
	return true, ""
}

// Advance moves a commit from one step to the next. Only the fields that
// belong to the step are read.
type Advance struct {
	Leg      int                    `bson:"leg"`
	To       Step                   `bson:"to"`
	At       time.Time              `bson:"at"`
	End      shardferry.ClusterTime `bson:"end"`            // to StepDraining
	Verified Verified               `bson:"verified"`       // to StepFinishing
	Next     *Armed                 `bson:"next,omitempty"` // to StepOpening
}

var stepOrder = []Step{
	StepBlocking, StepBlocked, StepDraining, StepVerifying, StepFinishing, StepArming, StepOpening,
}

// Apply implements Command. Every step has one predecessor; repeating a step
// that is already reached changes nothing.
func (c Advance) Apply(s *Sync) error {
	cut, err := s.cutover("advance", c.Leg)
	if err != nil {
		return err
	}
	at, to := slices.Index(stepOrder, cut.Step), slices.Index(stepOrder, c.To)
	switch {
	case to < 0 || at < 0:
		return fmt.Errorf("advance: no way from %s to %s", cut.Step, c.To)
	case to <= at:
		return nil
	case to != at+1:
		return fmt.Errorf("advance: %s does not follow %s", c.To, cut.Step)
	}
	switch c.To {
	case StepBlocked:
		cut.BlockedAt = c.At
	case StepDraining:
		cut.End = c.End
	case StepVerifying:
		if g := s.Leg.ResumePoint(); g.Before(cut.End) {
			return fmt.Errorf("advance: shards are applied up to %v, not %v", g, cut.End)
		}
	case StepFinishing:
		if c.Verified.Differences != 0 {
			return fmt.Errorf("advance: %d differences", c.Verified.Differences)
		}
		cut.Verified = c.Verified
	case StepOpening:
		if c.Next == nil || c.Next.Start.IsZero() || len(c.Next.Shards) == 0 {
			return errors.New("advance: the way back is not armed")
		}
		cut.Next = c.Next
	case StepBlocking, StepArming, StepAborting:
	}
	cut.Step = c.To
	return nil
}

// Finished records that indexes and capped collections have their final form
// on the destination.
type Finished struct {
	Leg     int                    `bson:"leg"`
	Indexes []IndexRef             `bson:"indexes,omitempty"`
	Limits  []shardferry.Namespace `bson:"limits,omitempty"`
}

// Apply implements Command. It may be repeated.
func (c Finished) Apply(s *Sync) error {
	if _, err := s.cutover("finish", c.Leg); err != nil {
		return err
	}
	for i := range s.Leg.Indexes {
		ix := &s.Leg.Indexes[i]
		if slices.Contains(c.Indexes, IndexRef{NS: ix.NS, Name: ix.Name()}) {
			ix.Finished = true
		}
	}
	for i := range s.Leg.Limits {
		l := &s.Leg.Limits[i]
		l.Finished = l.Finished || slices.Contains(c.Limits, l.NS)
	}
	return nil
}

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
	s.Last, s.Leg.Cutover = cut, nil
	s.State = shardferry.StateRunning
	s.RollingBack = false
	return nil
}

func (s *Sync) cutover(what string, leg int) (*Cutover, error) {
	if leg != s.Leg.Number || s.Leg.Cutover == nil || s.State != shardferry.StateCommitting {
		return nil, fmt.Errorf("%s: no commit of leg %d is in progress", what, leg)
	}
	return s.Leg.Cutover, nil
}

// Revocable reports whether the commit may still be given up by itself. From
// the moment the indexes take their final form it is carried through: nothing
// is left then that takes long, and the clusters are known to be equal.
func (c *Cutover) Revocable() bool {
	at := slices.Index(stepOrder, c.Step)
	return at >= 0 && at < slices.Index(stepOrder, StepFinishing)
}

// Expired reports whether the commit must be given up at the given time.
func (c *Cutover) Expired(now time.Time) bool {
	return c.Revocable() && now.After(c.Deadline)
}
