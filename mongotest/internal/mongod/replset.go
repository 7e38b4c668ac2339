package mongod

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A ReplicaSet is what its members share. All of them have the same storage: a
// member that does not keep up has a snapshot of the moment at which it stopped,
// which is what it answers from, and what an election may roll everybody back
// to.
type ReplicaSet struct {
	cfg       Config // of the first member
	id        bson.ObjectID
	sessions  *sessionTable
	snapshots *snapshotTable
	block     *writeBlock
	settings  *planning.Settings
	reelect   chan electionOrder // to the Run of any member
	progress  *broadcast         // fires when a member or the commit point may have moved

	mu      sync.Mutex
	members []*Node
	term    int64
}

// standing is what a replica set knows of one of its members; its lock guards it.
type standing struct {
	stopped *storage.Transaction // what it has applied, nil if it keeps up
	lagging bool                 // it was told not to apply any more
	down    bool                 // nobody can reach it
}

// An electionOrder asks Run for an election.
type electionOrder struct{ after time.Duration }

func newReplicaSet(c Config) *ReplicaSet {
	return &ReplicaSet{
		cfg: c, id: bson.NewObjectID(), term: max(c.Log.Term(), 1),
		sessions: newSessionTable(), snapshots: newSnapshotTable(), block: newWriteBlock(),
		settings: &planning.Settings{},
		reelect:  make(chan electionOrder, 1), progress: newBroadcast(),
	}
}

// hosts returns the members' addresses.
func (s *ReplicaSet) hosts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.members))
	for i, m := range s.members {
		out[i] = m.cfg.Name
	}
	return out
}

func (s *ReplicaSet) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members)
}

// Primary returns the member that takes writes, nil while there is none.
func (s *ReplicaSet) Primary() *Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary()
}

func (s *ReplicaSet) primary() *Node {
	for _, m := range s.members {
		if m.topo.isPrimary() {
			return m
		}
	}
	return nil
}

// leader returns the primary's address, empty if there is none. The caller
// holds mu.
func (s *ReplicaSet) leader() string {
	if m := s.primary(); m != nil {
		return m.cfg.Name
	}
	return ""
}

// majority is how many members must have a write before it cannot be lost.
func (s *ReplicaSet) majority() int { return len(s.members)/2 + 1 }

// position returns the time up to which a member has applied. The caller holds
// mu.
func (s *ReplicaSet) position(m *Node) bson.Timestamp {
	if m.standing.stopped != nil {
		return m.standing.stopped.ReadTime()
	}
	return s.cfg.Log.Last()
}

// settle brings the members' snapshots and the commit point in line with their
// standings. The caller holds mu.
func (s *ReplicaSet) settle() {
	for _, m := range s.members {
		st := &m.standing
		behind := st.lagging || st.down || m.stalled()
		switch {
		case behind && st.stopped == nil:
			st.stopped = s.cfg.Engine.Begin(storage.Meta{Now: time.Now()})
		case !behind:
			st.stopped = nil // cursors may go on reading it
		}
	}
	if c := s.committed(); c != nil {
		s.cfg.Log.Hold(c.ReadTime())
	} else {
		s.cfg.Log.Release()
	}
	s.progress.fire()
}

// committed returns the data at the majority commit point, nil if that is the
// latest. The caller holds mu.
func (s *ReplicaSet) committed() *storage.Transaction {
	var behind []*storage.Transaction
	for _, m := range s.members {
		if m.standing.stopped != nil {
			behind = append(behind, m.standing.stopped)
		}
	}
	keepUp := len(s.members) - len(behind)
	if keepUp >= s.majority() {
		return nil
	}
	slices.SortFunc(behind, func(a, b *storage.Transaction) int { return b.ReadTime().Compare(a.ReadTime()) })
	return behind[s.majority()-keepUp-1]
}

// reads returns the snapshot that a member answers from, nil for the latest
// data; with committed set, only what cannot be rolled back.
func (s *ReplicaSet) reads(m *Node, committed bool) *storage.Transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := m.standing.stopped
	if !committed {
		return own
	}
	c := s.committed()
	if c == nil || own != nil && own.ReadTime().Before(c.ReadTime()) {
		return own
	}
	return c
}

// stalled reports whether a fail point stops the replication of a secondary.
func (n *Node) stalled() bool {
	points := n.cfg.FailPoints
	return !n.topo.isPrimary() && (points.On(failpoint.StopApply) || points.On(failpoint.StopFetch))
}

// failPointsChanged looks again at those that stop replication.
func (n *Node) failPointsChanged() {
	n.set.mu.Lock()
	defer n.set.mu.Unlock()
	n.set.settle()
}

// Lag makes a secondary stop applying, or go on and catch up at once.
func (n *Node) Lag(lagging bool) {
	s := n.set
	s.mu.Lock()
	defer s.mu.Unlock()
	n.standing.lagging = lagging && !n.topo.isPrimary()
	s.settle()
}

// Down makes the member unreachable for the others. If it was the primary,
// another one is elected when the election timeout is over, and what only the
// lost one had is rolled back. A set of one member does not notice.
func (n *Node) Down(ctx context.Context) error {
	s := n.set
	if s.size() == 1 {
		return nil
	}
	led := n.topo.demote()
	var err error
	if led { // it keeps what it acknowledges until now
		err = n.endAll(ctx, nil)
		s.order(electionOrder{after: s.cfg.ElectionTimeout})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.standing.down = true
	s.settle()
	if led {
		s.leaderless()
	}
	return err
}

// leaderless tells the members that there is no primary. The caller holds mu.
func (s *ReplicaSet) leaderless() {
	for _, m := range s.members {
		m.topo.follow("", s.term)
	}
}

// Up ends Down. The member comes back as a secondary and catches up.
func (n *Node) Up() {
	s := n.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if !n.standing.down {
		return
	}
	n.standing.down = false
	n.topo.follow(s.leader(), s.term)
	if s.primary() == nil {
		s.order(electionOrder{after: s.cfg.ElectionTimeout})
	}
	s.settle()
}

// order asks for an election. One that is on its way already is as good.
func (s *ReplicaSet) order(o electionOrder) {
	select {
	case s.reelect <- o:
	default:
	}
}

// elect makes the reachable member that has applied most, but not the spared
// one, the primary of a new term, unless there is a primary or no majority. It
// reports whether it did.
func (s *ReplicaSet) elect(spare *Node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var winner, newest *Node
	up := 0
	for _, m := range s.members {
		if m.standing.down {
			continue
		}
		up++
		if newest == nil || s.ahead(m, newest) {
			newest = m
		}
		if m != spare && (winner == nil || s.ahead(m, winner)) {
			winner = m
		}
	}
	if up < s.majority() || winner == nil || s.primary() != nil {
		return false
	}
	// The new primary catches up with whoever can be reached before it takes writes.
	if last := newest.standing.stopped; last != nil {
		s.rollBack(last)
	}
	winner.standing.lagging = false
	s.term++
	for _, m := range s.members {
		if m == winner {
			m.topo.lead(m.cfg.Name, s.term)
		} else {
			m.topo.follow(winner.cfg.Name, s.term)
		}
	}
	s.cfg.Log.SetTerm(s.term)
	s.cfg.Log.Noop(value.D("msg", "new primary"))
	s.settle()
	return true
}

func (s *ReplicaSet) ahead(a, b *Node) bool {
	return s.position(a).After(s.position(b))
}

// rollBack undoes what is not in to. The primary that had it is gone, and with
// it every operation; what the others had beyond it they drop as they catch up.
// The caller holds mu.
func (s *ReplicaSet) rollBack(to *storage.Transaction) {
	at := to.ReadTime()
	for _, sess := range s.sessions.list() {
		sess.rollBack(s.members[0], at)
	}
	s.snapshots.rollBack(at)
	s.cfg.Engine.Restore(to)
	s.cfg.Log.Rollback(at)
	for _, m := range s.members {
		if t := m.standing.stopped; t != nil && t != to && t.ReadTime().After(at) {
			m.standing.stopped = nil
		}
	}
}
