package mongod

import (
	"time"
)

// trailSteps is in how many steps a member that stays behind goes on during the
// time by which it does; trailPause is the least time between two of them.
const (
	trailSteps = 10
	trailPause = 100 * time.Millisecond
)

// A trailed place is what a member will have once it is old enough.
type trailed struct {
	at    time.Time
	place *place
}

// lateness is how far behind a member stays.
func (s *ReplicaSet) lateness(m, writer *Node) time.Duration {
	late := m.standing.late
	if s.links.Delay != nil && writer != nil && writer != m {
		late = max(late, s.links.Delay(m.cfg.Name, writer.cfg.Name))
	}
	return late
}

// trailStep is the time between two steps of a member that stays behind.
func trailStep(late time.Duration) time.Duration { return max(late/trailSteps, trailPause) }

// trailBehind moves a member to what there was so long ago. The set's lock is
// held.
func (n *Node) trailBehind(late time.Duration) {
	st, now := &n.standing, time.Now()
	p := n.place.Load()
	if len(st.trail) == 0 || now.Sub(st.trail[len(st.trail)-1].at) >= trailStep(late) {
		st.trail = append(st.trail, trailed{now, p.behind(p.line.begin())})
	}
	for len(st.trail) > 1 && now.Sub(st.trail[1].at) >= late {
		st.trail = st.trail[1:]
	}
	if first := st.trail[0]; p.stopped == nil || now.Sub(first.at) >= late {
		n.place.Store(first.place)
	}
}

// nextStep is when a member that stays behind goes on, zero if it does not.
func (n *Node) nextStep() time.Time {
	st := &n.standing
	if len(st.trail) == 0 {
		return time.Time{}
	}
	late := n.set.lateness(n, n.set.writerOf(n.line()))
	return st.trail[len(st.trail)-1].at.Add(trailStep(late))
}
