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
	Carried   bool                   `bson:"carried,omitempty"` // users and roles are on the destination
	Failure   string                 `bson:"failure,omitempty"` // why it was given up
	Next      *Armed                 `bson:"next,omitempty"`    // the leg that follows; known before the destination takes writes
}

// Armed is the opposite leg as it was captured while both clusters were
// blocked: from Start on, nothing that is written to the destination is missed.
type Armed struct {
	Start       shardferry.ClusterTime  `bson:"start"` // on the cluster that will take writes
	Shards      []shardferry.ShardID    `bson:"shards"`
	Collections []shardferry.Collection `bson:"collections"`
	Places      []shardferry.Place      `bson:"places,omitempty"` // read before Start; none if documents stay where they are
	Own         []shardferry.Account    `bson:"own,omitempty"`    // users and roles of that cluster that stay there
}

// Verified is the outcome of the verification inside a commit.
type Verified struct {
	Documents   int64 `bson:"documents"`
	Bytes       int64 `bson:"bytes"`
	Collections int64 `bson:"collections"`
	Differences int64 `bson:"differences"`
}

// ErrNotYet reports a commit that will be possible later. Nothing has changed.
var ErrNotYet = errors.New("cannot commit yet")

// Commit begins the cutover: RUNNING becomes COMMITTING.
type Commit struct {
	At   time.Time `bson:"at"`
	From string    `bson:"from"`
}

// Apply implements Command.
func (c Commit) Apply(s *Sync) error {
	return s.noted(c.do(s), AuditEntry{At: c.At, Command: "commit", From: c.From})
}

func (c Commit) do(s *Sync) error {
	if ok, why := s.CanCommit(); !ok {
		if s.State != shardferry.StateRunning {
			return &shardferry.StateError{Command: "commit", State: s.State}
		}
		return fmt.Errorf("%w: %s", ErrNotYet, why)
	}
	s.State = shardferry.StateCommitting
	budget := time.Duration(s.Job.CommitBudget) * time.Millisecond
	s.Leg.Cutover = &Cutover{Step: StepBlocking, StartedAt: c.At, Deadline: c.At.Add(budget)}
	return nil
}

// CanCommit reports whether a commit would be accepted, and if not, why.
func (s *Sync) CanCommit() (bool, string) {
	switch {
	case s.State != shardferry.StateRunning:
		return false, fmt.Sprintf("the sync is %s", s.State)
	case s.Leg.Phase != PhaseStreaming:
		return false, fmt.Sprintf("the sync is still %s", s.Leg.Phase)
	case len(s.Leg.Lost()) > 0:
		return false, fmt.Sprintf("shard %v has to be copied again", s.Leg.Lost())
	case s.Leg.changesSchema():
		return false, "a schema change is being applied"
	case slices.ContainsFunc(s.Leg.Indexes, func(ix Index) bool { return !ix.Built }):
		return false, "an index is being built"
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
	if err := c.allowed(s); err != nil {
		return fmt.Errorf("advance: %w", err)
	}
	switch c.To {
	case StepBlocked:
		cut.BlockedAt = c.At
	case StepDraining:
		cut.End = c.End
	case StepFinishing:
		cut.Verified = c.Verified
	case StepOpening:
		cut.Next = c.Next
	case StepBlocking, StepVerifying, StepArming, StepAborting:
	}
	cut.Step = c.To
	return nil
}

// allowed returns why the step may not be entered yet. Whoever drives the
// commit has looked before; these checks are the promise that no mistake there
// opens a destination which lacks something.
func (c Advance) allowed(s *Sync) error {
	l := &s.Leg
	switch c.To {
	case StepDraining:
		if c.End.IsZero() {
			return errors.New("no end time")
		}
	case StepVerifying:
		if !l.Drained() {
			return fmt.Errorf("shards are applied up to %v, not %v", l.ResumePoint(), l.Cutover.End)
		}
		if s.Job.WithUsers && !l.Cutover.Carried {
			return errors.New("users and roles are not on the destination yet")
		}
	case StepFinishing:
		if c.Verified.Differences != 0 {
			return fmt.Errorf("%d differences", c.Verified.Differences)
		}
	case StepArming:
		if !l.finished() {
			return errors.New("indexes or limits have not their final form")
		}
	case StepOpening:
		if c.Next == nil || c.Next.Start.IsZero() || len(c.Next.Shards) == 0 {
			return errors.New("the way back is not armed")
		}
	case StepBlocking, StepBlocked, StepAborting:
	}
	return nil
}

// Drained reports whether every shard has reached the end time of the commit
// in progress, no schema change waits, and nothing is copied that one has brought
// into the selection.
func (l *Leg) Drained() bool {
	return l.Cutover != nil && !l.Cutover.End.IsZero() && len(l.Shards) > 0 &&
		!l.ResumePoint().Before(l.Cutover.End) && !l.changesSchema() && len(l.Lost()) == 0 &&
		l.Phase == PhaseStreaming
}

func (l *Leg) changesSchema() bool { return l.Barrier != nil || l.OrderPoint() != nil }

// finished reports whether everything on the destination has its final form.
func (l *Leg) finished() bool {
	return !slices.ContainsFunc(l.Indexes, func(ix Index) bool { return !ix.Finished }) &&
		!slices.ContainsFunc(l.Limits, func(lim Limit) bool { return !lim.Finished })
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
	s.Leg.mark(c.Indexes, func(ix *Index) { ix.Finished = true })
	s.Leg.Limits = slices.Clone(s.Leg.Limits)
	for i := range s.Leg.Limits {
		l := &s.Leg.Limits[i]
		l.Finished = l.Finished || slices.Contains(c.Limits, l.NS)
	}
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
