package linear

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// keys is how many keys a history may have.
const keys = 32

// A state is all that decides what comes next.
type state struct {
	view    View
	until   int64 // the end of the commit in progress, 0 before it is known
	answers [keys]answer

	term  uint64 // the last one in which a node was heard to lead
	past  *past  // what there was to be seen
	shown [nodes]int
	ended bool         // nothing has an effect any more
	mine  [clients]int // at which of these a client's last question was answered
}

const (
	nodes   = 5
	clients = 5
)

// An answer is what came of a command with a key.
type answer struct {
	kind   Kind
	result Result
}

// A past is every view that there was, the last one first. shown says for each node
// which of them it has shown, or must have shown since.
type past struct {
	view   View
	n      int
	sum    uint64
	before *past
}

var seed = maphash.MakeSeed()

func (p *past) with(v View) *past {
	next := &past{view: v, before: p}
	if p != nil {
		next.n = p.n + 1
		next.sum = p.sum
	}
	next.sum = next.sum*31 + maphash.Comparable(seed, v)
	return next
}

func begin() state {
	v := View{State: "IDLE"}
	var none *past
	return state{view: v, past: none.with(v)}
}

func (s state) hash() uint64 { return s.past.sum + 31*maphash.Comparable(seed, s.shown) }

func (s state) equal(o state) bool {
	return s.view == o.view && s.until == o.until && s.ended == o.ended && s.answers == o.answers && s.term == o.term &&
		s.past.sum == o.past.sum && s.shown == o.shown && s.mine == o.mine
}

// step reports whether the answer could be given in this state, and returns the one
// that follows.
func (s state) step(in Input, out Output) (bool, state) {
	switch in.Kind {
	case Read:
		s.mine[in.client] = s.past.n
		return out.View == s.view, s
	case has:
		s.shown[in.Node] = max(s.shown[in.Node], s.mine[in.client])
		return true, s
	case end:
		s.ended = true
		return true, s
	case Look:
		return s.look(in.Node, out.View)
	case Leads:
		ok := out.Term >= s.term
		s.term = max(s.term, out.Term)
		return ok, s
	default:
	}
	if s.ended {
		return out.Result == Unknown, s
	}
	next, result := s.do(in)
	if next.view != s.view {
		next.past = s.past.with(next.view)
	}
	if out.Result == Unknown {
		return next.view != s.view, next
	}
	next.mine[in.client] = next.past.n
	next.term = max(next.term, out.Term)
	return result == out.Result, next
}

// look takes what a node shows for the oldest view that it can be.
func (s state) look(node int, v View) (bool, state) {
	oldest := -1
	for p := s.past; p != nil && p.n >= s.shown[node]; p = p.before {
		if p.view == v {
			oldest = p.n
		}
	}
	s.shown[node] = oldest
	return oldest >= 0, s
}

func (s state) do(in Input) (state, Result) {
	switch in.Kind {
	case Start, Pause, Resume, Commit, Reverse, Rollback:
		return s.ask(in)
	case Assign, Take, Report:
		return s.shard(in)
	case Advance, Committed, Abort, Aborted:
		return s.cutover(in)
	default:
	}
	switch v := &s.view; in.Kind {
	case Planned:
		switch {
		case v.State != "RUNNING" && v.State != "PAUSED":
			return s, InvalidState
		case v.Phase != "planning":
			return s, Refused
		}
		v.Phase = "creating"
		v.Shards = [2]Shard{{Applied: in.Time}, {Applied: in.Time}}
	case Created:
		if v.Phase == "creating" {
			v.Phase = "streaming" // there is nothing to copy, and no index
		}
	case Turned:
		if in.Leg == v.Leg && v.State == "REVERSING" {
			v.State = "RUNNING"
		}
	default:
	}
	return s, Accepted
}

// ask does what an operator asks. What comes again with its key is answered again.
func (s state) ask(in Input) (state, Result) {
	if a := s.answers[in.Key]; in.Key != 0 && a.result != 0 {
		if a.kind != in.Kind {
			return s, KeyReused
		}
		return s, a.result
	}
	result := s.order(in)
	s.view.Audit += Entry(in.ID, result)
	if in.Key != 0 {
		s.answers[in.Key] = answer{in.Kind, result}
	}
	return s, result
}

func (s *state) order(in Input) Result {
	from, to := "", ""
	switch in.Kind {
	case Start:
		from, to = "IDLE", "RUNNING"
	case Pause:
		from, to = "RUNNING", "PAUSED"
	case Resume:
		from, to = "PAUSED", "RUNNING"
	case Commit:
		from, to = "RUNNING", "COMMITTING"
	case Reverse, Rollback:
		from, to = "COMMITTED", "REVERSING"
	default:
	}
	v := &s.view
	if in.Kind == Rollback && v.State == "RUNNING" && v.Leg > 1 {
		return Accepted // it commits by itself
	}
	if v.State != from {
		return InvalidState
	}
	switch in.Kind {
	case Start:
		v.Leg, v.Phase = 1, "planning"
	case Commit:
		if v.Phase != "streaming" {
			return NotYet
		}
		v.Step, s.until = Steps[0], 0
	default:
	}
	v.State = to
	return Accepted
}

func (s state) shard(in Input) (state, Result) {
	v := &s.view
	sh := &v.Shards[in.Shard]
	switch {
	case in.Leg != v.Leg:
		return s, StaleEpoch
	case v.Phase == "planning" || v.Phase == "":
		return s, Refused // there are no shards yet
	case in.Kind == Take && in.Owner != sh.Owner, in.Kind == Report && in.Epoch != sh.Epoch:
		return s, StaleEpoch
	case in.Kind == Report:
		sh.Applied, sh.Events = max(sh.Applied, in.Time), max(sh.Events, in.Events)
		return s, Accepted
	}
	sh.Owner, sh.Epoch, sh.Events = in.Owner, sh.Epoch+1, 0
	return s, Accepted
}

func (s state) cutover(in Input) (state, Result) {
	v := &s.view
	if in.Leg != v.Leg || v.State != "COMMITTING" {
		return s, Refused
	}
	switch in.Kind {
	case Abort:
		if v.Step == "opening" {
			return s, Refused
		}
		v.Step = Aborting
	case Aborted:
		if v.Step != Aborting {
			return s, Refused
		}
		v.State, v.Step, s.until = "RUNNING", "", 0
	case Committed:
		if v.Step != "opening" {
			return s, Refused
		}
		v.State, v.Step, s.until = "COMMITTED", "", 0
		v.Leg++
		v.Shards = [2]Shard{{Applied: in.Time}, {Applied: in.Time}}
	case Advance:
		at, to := slices.Index(Steps, v.Step), slices.Index(Steps, in.To)
		switch {
		case at < 0 || to > at+1:
			return s, Refused
		case to <= at:
			return s, Accepted
		case in.To == "verifying" && min(v.Shards[0].Applied, v.Shards[1].Applied) < s.until:
			return s, Refused
		case in.To == "draining":
			s.until = in.Time
		}
		v.Step = in.To
	default:
	}
	return s, Accepted
}

func (s state) String() string {
	return fmt.Sprintf("%+v, term %d, shown %v", s.view, s.term, s.shown)
}
