package linear

import "fmt"

// A Kind says what a client asks.
type Kind string

// What operators ask. It is recorded, also if it is refused, and may have a key.
const (
	Start    Kind = "start"
	Pause    Kind = "pause"
	Resume   Kind = "resume"
	Commit   Kind = "commit"
	Reverse  Kind = "reverse"
	Rollback Kind = "rollback"
)

// What the leader decides, and what workers say.
const (
	Planned   Kind = "planned"
	Created   Kind = "created"
	Assign    Kind = "assign"
	Take      Kind = "take"
	Report    Kind = "report"
	Advance   Kind = "advance"
	Committed Kind = "committed"
	Abort     Kind = "abort"
	Aborted   Kind = "aborted"
	Turned    Kind = "turned"
)

// What is read.
const (
	Read  Kind = "read"  // all that was accepted before it
	Look  Kind = "look"  // what the node has, which may be older
	Leads Kind = "leads" // whether the node is still the leader
)

// has is the moment in which a client is answered: what it asked for is in the copy of
// the node that it has asked. It was done before, perhaps on another node, so that this
// one may have shown older things meanwhile.
const has Kind = "has"

// end is when the history ends. What nobody knows the outcome of, and has no effect
// until then, has none: that it might come earlier, again without one, need not be tried.
const end Kind = "end"

// An Input is what a client asks of a node.
type Input struct {
	Kind Kind
	Node int // from 0
	ID   int // of this attempt of an operator's command, under which it is recorded
	Key  int // 0: none

	Leg    int
	Shard  int // 0 or 1
	Owner  string
	Epoch  uint64
	Time   int64 // a position, or where streams start, or the end of a commit
	Events int64
	To     Step

	client int
}

// A Result is what came of it.
type Result uint8

// Results.
const (
	Accepted Result = iota + 1
	InvalidState
	NotYet
	StaleEpoch
	KeyReused
	Refused // for any other reason
	Unknown // it may have been done, may be done yet, or never
)

var results = map[Result]string{
	Accepted: "accepted", InvalidState: "invalid state", NotYet: "not yet", StaleEpoch: "stale epoch",
	KeyReused: "key reused", Refused: "refused", Unknown: "unknown",
}

func (r Result) String() string { return results[r] }

// An Output is what a client was answered.
type Output struct {
	Result Result
	View   View   // of Read and Look
	Term   uint64 // in which the node led while it answered; 0: not known
}

// A View is what a client can see. The zero View is that of nothing begun.
type View struct {
	State  string
	Leg    int
	Phase  string
	Step   Step
	Shards [2]Shard
	Audit  string // which attempts were recorded, in their order, each with what came of it
}

// A Shard is what can be seen of a shard.
type Shard struct {
	Owner   string
	Epoch   uint64
	Applied int64
	Events  int64 // of this epoch
}

// A Step is how far a commit has come.
type Step string

// The steps, in order, and the one beside them.
var (
	Steps    = []Step{"blocking", "blocked", "draining", "verifying", "finishing", "arming", "opening"}
	Aborting = Step("aborting")
)

// Entry is how an attempt stands in View.Audit.
func Entry(id int, r Result) string { return fmt.Sprintf("%d %v, ", id, r) }
