package mongod

import (
	"context"
	"slices"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A primary without a majority steps down when it has been so for an election
// timeout and this part of it. Meanwhile the others may have elected another one:
// for a while there are two, as with real servers, whose timers do not run in
// step either.
const lateStepDown = 5

// A primary that can hear of a later one steps down after this part of the
// election timeout: heartbeats come now and then.
const noticeDelay = 20

// watch holds the elections and stepdowns that it is up to this member to hold,
// until ctx ends.
func (n *Node) watch(ctx context.Context) {
	for {
		changed := n.set.changed.next()
		at, act := n.due()
		var fired <-chan time.Time
		var timer *time.Timer
		if !at.IsZero() {
			timer = time.NewTimer(time.Until(at))
			fired = timer.C
		}
		select {
		case <-fired:
			act(ctx)
		case <-changed:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// due returns what the member has to do next, and when; the zero time for
// nothing.
func (n *Node) due() (at time.Time, act func(context.Context)) {
	s := n.set
	s.mu.Lock()
	defer s.mu.Unlock()
	st, timeout := &n.standing, s.cfg.ElectionTimeout
	soonest := func(t time.Time, f func(context.Context)) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at, act = t, f
		}
	}
	soonest(n.nextStep(), func(context.Context) { s.settleNow() })
	if !n.runs() || st.ending {
		return at, act
	}
	if n.topo.isPrimary() {
		if !st.alone.IsZero() {
			soonest(st.alone.Add(timeout+timeout/lateStepDown), n.giveUp)
		}
		if !st.deposed.IsZero() {
			soonest(st.deposed.Add(timeout/noticeDelay), n.giveUp)
		}
		return at, act
	}
	if !st.lost.IsZero() {
		soonest(s.electionTime(n), func(context.Context) { n.stand() })
	}
	return at, act
}

// electionTime is when a member without a primary stands for election. The only
// one of a set need not wait for others.
func (s *ReplicaSet) electionTime(n *Node) time.Time {
	at := n.standing.lost
	if len(s.members) > 1 {
		at = at.Add(s.cfg.ElectionTimeout)
	}
	if at.Before(n.standing.barred) {
		return n.standing.barred
	}
	return at
}

// settleNow is settle for those who do not hold mu.
func (s *ReplicaSet) settleNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
}

// giveUp makes a primary a secondary that has lost its majority, or its office.
func (n *Node) giveUp(ctx context.Context) { _ = n.resign(ctx) } // what has not ended then ends by itself

// resign makes the primary a secondary and ends its operations. It reports whether
// the node was the primary.
func (n *Node) resign(ctx context.Context) bool {
	if !n.demote(0) {
		return false
	}
	_ = n.endAll(ctx, nil, stateChange()) // fails only with ctx, which ends those operations too
	n.ended()
	return true
}

// demote makes the primary a secondary whose operations are ending, and which
// seeks no election for a time. It reports whether the node was the primary. ended
// must follow.
func (n *Node) demote(barred time.Duration) bool {
	n.set.mu.Lock()
	defer n.set.mu.Unlock()
	if !n.topo.demote() {
		return false
	}
	n.standing.ending, n.standing.barred = true, time.Now().Add(barred)
	n.set.settle()
	return true
}

// ended says that the operations of a former primary have ended.
func (n *Node) ended() {
	n.set.mu.Lock()
	defer n.set.mu.Unlock()
	n.standing.ending = false
	n.set.settle()
}

// stand has the member ask for an election. If nobody can win it, the member
// tries again later.
func (n *Node) stand() {
	if n.set.elect(n) {
		return
	}
	n.set.mu.Lock()
	defer n.set.mu.Unlock()
	if !n.standing.lost.IsZero() {
		n.standing.lost = time.Now()
	}
	n.set.changed.fire()
}

// elect holds an election among the members that asking can reach. It reports
// whether there is a new primary.
func (s *ReplicaSet) elect(asking *Node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	voters := s.voters(asking)
	if len(voters) < s.majority() {
		return false
	}
	var winner, newest *Node
	for _, m := range voters {
		if newest == nil || m.place.Load().after(newest.place.Load()) {
			newest = m
		}
		if barred := time.Now().Before(m.standing.barred); !barred && (winner == nil || m.place.Load().after(winner.place.Load())) {
			winner = m
		}
	}
	if winner == nil {
		return false
	}
	s.lead(winner, newest, voters)
	return true
}

// voters returns those who vote for asking or for whom it would vote: they know
// of no primary. The caller holds mu.
func (s *ReplicaSet) voters(asking *Node) []*Node {
	var out []*Node
	for _, m := range s.members {
		if m.topo.isPrimary() && s.up(asking, m) {
			return nil
		}
		if s.up(asking, m) && !m.standing.ending {
			out = append(out, m)
		}
	}
	return out
}

// lead makes winner the primary of a new term. It catches up with the newest of
// its voters before it takes writes. The caller holds mu.
func (s *ReplicaSet) lead(winner, newest *Node, voters []*Node) {
	p := newest.place.Load()
	l := p.line
	if s.writerOf(l) == nil && !p.applied().Before(l.log.Last()) {
		s.leaveBehind(l, voters)
	} else {
		l = s.branch(p)
	}
	winner.standing.lagging, winner.standing.lost = false, time.Time{}
	if winner.line() != l {
		winner.comeOver(l)
	}
	winner.place.Store(&place{line: l})
	s.term++
	s.succeed(l, s.line())
	s.newest.Store(l)
	winner.topo.lead(winner.cfg.Name, s.term)
	for _, m := range voters {
		if m != winner {
			m.topo.follow("", s.term) // whether it can follow or not
		}
	}
	s.settle()
	l.log.SetTerm(s.term)
	l.log.Noop(value.D("msg", "new primary"))
	s.settle()
}

// leaveBehind keeps what the others of a line have before somebody writes to it
// whom they do not follow.
func (s *ReplicaSet) leaveBehind(l *line, voters []*Node) {
	for _, m := range s.members {
		if p := m.place.Load(); p.line == l && p.stopped == nil && !slices.Contains(voters, m) {
			m.place.Store(p.behind(l.begin()))
		}
	}
}

// branch returns a new line that begins with what there is at a place.
func (s *ReplicaSet) branch(p *place) *line {
	from := p.stopped
	if from == nil {
		from = p.line.begin()
	}
	l := p.line.branch(from)
	s.lineIDs++
	l.id = s.lineIDs
	return l
}
