package model

// A MoveRule protects one key whose document changes shards while it is copied
// and its events are applied. Nobody tells when a document changes shards: a
// reader of the placement finds out later that it must have happened.
type MoveRule int

// The rules.
const (
	AwaitPlacement MoveRule = iota // no event is applied before it is known who owned its document
	BoundAfterRead                 // what a reading of the placement finds may have happened until after the reading
	EarlierApplied                 // before a stretch with a move begins, all that came before it is applied by every shard
	ReadInstead                    // in such a stretch no event is applied: its document is read
	ReadPastEnd                    // and it is read no older than the end of the stretch
	LaterWaits                     // what comes after the stretch waits until all of it is done by every shard
	OlderThanAll                   // afterwards no delta goes to an image that another shard may have put and that may be newer
	CopyStands                     // in such a stretch nothing is copied
	CopyByOwner                    // afterwards the copy goes on with the shard that has the document now
	moveRuleCount
)

// MoveRules is a set of rules.
type MoveRules [moveRuleCount]bool

// AllMoveRules returns the complete set.
func AllMoveRules() MoveRules {
	var r MoveRules
	for i := range r {
		r[i] = true
	}
	return r
}

// Without returns the set without one rule.
func (r MoveRules) Without(rule MoveRule) MoveRules {
	r[rule] = false
	return r
}

// Move is the step of a history by which the document changes shards.
var Move = Event{Kind: 'M'}

// WithMoves returns the history with a move before each of the given events.
// A position may be repeated; the history's length puts it at the end.
func WithMoves(history []Event, before ...int) []Event {
	var out []Event
	for i := range len(history) + 1 {
		for _, at := range before {
			if at == i {
				out = append(out, Move)
			}
		}
		if i < len(history) {
			out = append(out, history[i])
		}
	}
	return out
}

// A mover is what one shard's worker has come to. Times are counts of steps.
type mover struct {
	at     int8 // every step up to here is handed on
	saved  int8 // the position that survives a crash
	lane   lanePhase
	copies bool // the repair in the lane is for the copy
	past   int8 // the repair reads at or after it
	image  Doc  // what it has read
	lower  int8 // the last image that the lane read includes every step up to here
	floor  int8 // images that this worker put may be as new as this
}

type pollPhase uint8

const (
	pollIdle  pollPhase = iota
	pollBegun           // a time is taken, the placement not read yet
	pollRead            // it is read
)

// moveState is everything that moves.
type moveState struct {
	now int8
	w   [2]mover
	dst Doc

	known int8 // who owned the document is known up to here
	moves int8 // of those that the last reading saw
	poll  pollPhase
	since int8 // of the reading under way: a time before it
	saw   int8 // and what it saw

	until   int8 // end of a stretch with a move, 0: there is none
	begun   bool // what came before the stretch is applied
	settled int8 // images put in stretches may be as new as this

	task  int8 // the shard that copies
	by    int8 // the shard whose batch is active
	phase copyPhase
	r     int8
	image Doc
	upper int8
	done  bool

	crashes int8
}

func (s *moveState) copying() bool {
	return s.phase == copyReading || s.phase == copyFlying || s.phase == copyLanded
}

// still reports whether everything up to a time is done and nothing is under way.
func (s *moveState) still(upTo int8) bool {
	for i := range s.w {
		if s.w[i].at < upTo || s.w[i].lane != laneFree {
			return false
		}
	}
	return !s.copying()
}
