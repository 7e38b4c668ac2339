package state

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
)

// An Intrusion is a time in which the destination's write block was off, although
// it should have been on, and what others have written there meanwhile.
type Intrusion struct {
	Noticed time.Time      `bson:"noticed"`
	Writes  []ForeignWrite `bson:"writes,omitempty"`
	More    bool           `bson:"more,omitempty"` // than are listed
}

// A ForeignWrite is a write of somebody else to the destination.
type ForeignWrite struct {
	NS shardferry.Namespace `bson:"ns"`
	ID string               `bson:"id"`
	Op string               `bson:"op"`
	At time.Time            `bson:"at"`
}

const intrusionsKept = 10

// Intruded records that the destination's write block was found lifted, and was set
// again. If somebody has written there, the sync pauses: what of that is to stay is
// not ours to decide. RUNNING becomes PAUSED then.
type Intruded struct {
	Leg       int       `bson:"leg"`
	Intrusion Intrusion `bson:"intrusion"`
}

// Apply implements Command.
func (c Intruded) Apply(s *Sync) error {
	if c.Leg != s.Leg.Number {
		return fmt.Errorf("intruded: leg %d is over: %w", c.Leg, shardferry.ErrStaleEpoch)
	}
	s.Intrusions = append(slices.Clip(s.Intrusions), c.Intrusion)
	if n := len(s.Intrusions) - intrusionsKept; n > 0 {
		s.Intrusions = slices.Clone(s.Intrusions[n:])
	}
	if len(c.Intrusion.Writes) == 0 || s.State != shardferry.StateRunning {
		return nil
	}
	s.State, s.Hold = shardferry.StatePaused, c.Intrusion.String()
	s.audit(AuditEntry{At: c.Intrusion.Noticed, Command: "pause", From: "write block"})
	return nil
}

// String says what happened.
func (i Intrusion) String() string {
	text := "somebody lifted the destination's write block; it is on again"
	if len(i.Writes) == 0 {
		return text + ", and nobody has written there"
	}
	first := i.Writes[0]
	count := fmt.Sprint(len(i.Writes))
	if i.More {
		count = "more than " + count
	}
	return fmt.Sprintf("%s, but there were %s writes of others, first %s %s %s at %s: see to them, then resume",
		text, count, first.Op, first.NS, first.ID, first.At.UTC().Format(time.RFC3339))
}
