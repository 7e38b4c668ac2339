package shardferry

import (
	"errors"
	"fmt"
)

// State is where a sync stands. The names are those of mongosync's API.
type State string

// The states of a sync.
const (
	StateIdle       State = "IDLE"
	StateRunning    State = "RUNNING"
	StatePaused     State = "PAUSED"
	StateCommitting State = "COMMITTING"
	StateCommitted  State = "COMMITTED"
	StateReversing  State = "REVERSING"
)

var (
	// ErrNotLeader reports that a command had no effect because it reached a
	// node that does not lead the coordinator. Send it to the leader.
	ErrNotLeader = errors.New("not the coordinator leader")

	// ErrOutcomeUnknown reports that a command may or may not have taken effect.
	// Read the state before sending it again.
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrOplogWindowExceeded reports that the events after a position are gone
	// from the source's oplog. No retry helps: the shard has to be copied again.
	ErrOplogWindowExceeded = errors.New("position is older than the oplog window")

	// ErrStaleEpoch reports a message from a worker that has been replaced. The
	// worker must stop writing at once.
	ErrStaleEpoch = errors.New("stale assignment epoch")
)

// A StateError reports a command that the current state does not allow.
type StateError struct {
	Command string
	State   State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("cannot %s while %s", e.Command, e.State)
}
