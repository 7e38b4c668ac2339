package mongod

import (
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// settle brings what the members are and have in line with who can reach whom.
// The caller holds mu.
func (s *ReplicaSet) settle() {
	primaries := s.primaries()
	for _, m := range s.members {
		if !m.runs() {
			continue
		}
		if m.topo.isPrimary() {
			s.settlePrimary(m)
		} else {
			s.settleSecondary(m, primaries)
		}
	}
	for _, m := range s.members {
		s.settlePlace(m)
	}
	for _, l := range s.lines() {
		s.settleCommit(l)
	}
	s.setClock()
	s.progress.fire()
	s.changed.fire()
}

// settlePrimary notes since when a primary could know that it is none any more.
func (s *ReplicaSet) settlePrimary(m *Node) {
	visible := 0
	for _, other := range s.members {
		if s.sees(m, other) {
			visible++
		}
	}
	m.standing.lost = time.Time{}
	since(&m.standing.alone, visible < s.majority())
	since(&m.standing.deposed, s.heard(m) > m.Term())
}

// heard returns the latest term that a member hears of.
func (s *ReplicaSet) heard(m *Node) int64 {
	term := m.Term()
	for _, other := range s.members {
		if s.sees(m, other) {
			term = max(term, other.Term())
		}
	}
	return term
}

// settleSecondary has a secondary follow the latest primary that it can, but none
// of a term before the latest that it has heard of.
func (s *ReplicaSet) settleSecondary(m *Node, primaries []*Node) {
	st := &m.standing
	st.alone, st.deposed = time.Time{}, time.Time{}
	known, term := m.topo.state(), s.heard(m)
	i := slices.IndexFunc(primaries, func(p *Node) bool { return p.Term() >= term && s.follows(m, p) })
	since(&st.lost, i < 0)
	if i < 0 {
		if known.leader != "" || known.term != term {
			m.topo.follow("", term)
		}
		return
	}
	p := primaries[i]
	if st.ending {
		return // it comes over when it writes no more
	}
	if m.line() != p.line() {
		m.comeOver(p.line())
	}
	if known.leader != p.cfg.Name || known.term != p.topo.state().term {
		m.topo.follow(p.cfg.Name, p.topo.state().term)
	}
}

// comeOver puts the member on a line. If it has applied what is not on that, it
// rolls back, and whatever it is doing ends. The set's lock is held.
func (n *Node) comeOver(l *line) {
	rollsBack := !l.has(n.place.Load())
	n.standing.trail = nil
	n.place.Store(&place{line: l})
	if !rollsBack {
		return
	}
	cause := mongoerr.New(mongoerr.InterruptedDueToReplStateChange, "operation was interrupted because the node rolled back")
	for _, r := range n.ops.list() {
		if !r.op.handler.has(always) {
			r.cancel(cause)
		}
	}
	n.cursors.killWhere(func(*cursor) bool { return true })
}

// settlePlace says what a member has: everything, or what it had when it stopped.
func (s *ReplicaSet) settlePlace(m *Node) {
	p, st := m.place.Load(), &m.standing
	if m.topo.isPrimary() || st.ending {
		st.trail = nil
		m.place.Store(&place{line: p.line})
		return
	}
	writer := s.writerOf(p.line)
	cut := !m.runs() || writer != nil && !s.follows(m, writer)
	late := s.lateness(m, writer)
	switch {
	case cut || st.lagging || m.stalled() || m.full.Load():
		st.trail = nil
		if p.stopped == nil {
			m.place.Store(p.behind(p.line.begin()))
		}
	case late > 0:
		m.trailBehind(late)
	default:
		st.trail = nil
		m.place.Store(&place{line: p.line}) // cursors may go on reading what it had
	}
}

// writerOf returns the member that may write to a line, nil if none does.
func (s *ReplicaSet) writerOf(l *line) *Node {
	for _, m := range s.members {
		if m.line() == l && (m.topo.isPrimary() || m.standing.ending) {
			return m
		}
	}
	return nil
}

// lines returns the lines that members are on.
func (s *ReplicaSet) lines() []*line {
	var out []*line
	for _, m := range s.members {
		if !slices.Contains(out, m.line()) {
			out = append(out, m.line())
		}
	}
	return out
}

// settleCommit moves the majority commit point of a line to what a majority has
// by now. It never goes back, and not on without a majority.
func (s *ReplicaSet) settleCommit(l *line) {
	var behind []*storage.Transaction
	latest := 0
	for _, m := range s.members {
		switch p := m.place.Load(); {
		case p.line != l:
		case p.stopped == nil:
			latest++
		default:
			behind = append(behind, p.stopped)
		}
	}
	next := l.commit
	switch need := s.majority() - latest; {
	case s.frozen:
		if next == nil {
			next = l.begin()
		}
	case need <= 0:
		next = nil
	case need <= len(behind):
		slices.SortFunc(behind, func(a, b *storage.Transaction) int { return b.ReadTime().Compare(a.ReadTime()) })
		next = behind[need-1]
	case next == nil:
		next = l.begin()
	}
	if next != nil && next.ReadTime().Before(l.log.Majority()) {
		if l.commit == nil {
			next = l.begin()
		} else {
			next = l.commit
		}
	}
	l.commit = next
	if next == nil {
		l.log.Release()
	} else {
		l.log.Hold(next.ReadTime())
	}
}

// reads returns the snapshot that a member answers from, nil for the latest
// data; with committed set, only what cannot be rolled back.
func (s *ReplicaSet) reads(m *Node, committed bool) *storage.Transaction {
	own := m.place.Load().stopped
	if !committed {
		return own
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := m.line().commit
	if c == nil || own != nil && own.ReadTime().Before(c.ReadTime()) {
		return own
	}
	return c
}

// since keeps when a condition began, zero while it does not hold.
func since(t *time.Time, holds bool) {
	if !holds {
		*t = time.Time{}
	} else if t.IsZero() {
		*t = time.Now()
	}
}

// have returns how many members have everything of a line up to ts.
func (s *ReplicaSet) have(l *line, ts bson.Timestamp) int {
	n := 0
	for _, m := range s.members {
		if p := m.place.Load(); p.line == l && !p.applied().Before(ts) {
			n++
		}
	}
	return n
}
