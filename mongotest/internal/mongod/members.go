package mongod

import (
	"context"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// change runs f, which changes what is known of a member, and settles what
// follows from it.
func (n *Node) change(f func(st *standing)) {
	n.set.mu.Lock()
	defer n.set.mu.Unlock()
	f(&n.standing)
	n.set.settle()
}

// SetLinks says how the members can talk to each other from now on.
func (s *ReplicaSet) SetLinks(l Links) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = l
	s.settle()
}

// FreezeMajority keeps the majority commit points where they are, or lets them go
// on. Who waits for a majority waits on, and nothing else notices.
func (s *ReplicaSet) FreezeMajority(frozen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = frozen
	s.settle()
}

// stalled reports whether a fail point stops the replication of a secondary.
func (n *Node) stalled() bool {
	points := n.cfg.FailPoints
	return !n.topo.isPrimary() && (points.On(failpoint.StopApply) || points.On(failpoint.StopFetch))
}

// failPointsChanged looks again at those that stop replication.
func (n *Node) failPointsChanged() { n.set.settleNow() }

// Lag makes a secondary stop applying, or go on and catch up at once.
func (n *Node) Lag(lagging bool) {
	n.change(func(st *standing) { st.lagging = lagging && !n.topo.isPrimary() })
}

// StayBehind makes the member apply everything so much later, as long as it is a
// secondary; 0 ends that.
func (n *Node) StayBehind(d time.Duration) { n.change(func(st *standing) { st.late = d }) }

// Down makes the member unreachable for the others. If it was the primary,
// another one is elected when the election timeout is over, and what only the
// lost one had is rolled back. A set of one member does not notice.
func (n *Node) Down(ctx context.Context) error {
	if n.set.size() == 1 {
		return nil
	}
	return n.leave(ctx, stateChange())
}

// leave makes the member one that does not run. What it acknowledges until its
// operations have ended it keeps.
func (n *Node) leave(ctx context.Context, cause *mongoerr.Error) error {
	var err error
	if n.demote(0) {
		err = n.endAll(ctx, nil, cause)
	}
	n.change(func(st *standing) { st.down, st.ending = true, false })
	return err
}

// Up ends Down. The member comes back as a secondary and catches up.
func (n *Node) Up() {
	n.change(func(st *standing) { st.down = false })
}

// Crash ends the process: whatever it does ends. It keeps its data.
func (n *Node) Crash(ctx context.Context) error {
	cause := mongoerr.New(mongoerr.InterruptedAtShutdown, "interrupted at shutdown")
	err := n.leave(ctx, cause)
	if err == nil {
		err = n.endAll(ctx, nil, cause)
	}
	return err
}

// Start starts the process after a Crash: it knows no parameters, fail points and
// cursors of before.
func (n *Node) Start() {
	n.params.reset(n.cfg)
	n.line().engine.SetHistoryWindow(n.params.seconds(paramHistorySecs))
	n.cfg.FailPoints.Reset()
	n.topo.restart()
	n.Up()
}

// FillDisk lets the process find no space on its disk, or some again: what it
// should write fails, and as a secondary it applies nothing.
func (n *Node) FillDisk(full bool) {
	n.full.Store(full)
	n.set.settleNow()
}

// Pause stops the process where it is, as SIGSTOP does. It remains what it takes
// itself for, and the others soon miss it.
func (n *Node) Pause() { n.change(func(st *standing) { st.paused = true }) }

// Continue ends Pause.
func (n *Node) Continue() { n.change(func(st *standing) { st.paused = false }) }

// Freeze keeps a secondary from seeking an election for a time; 0 ends that.
func (n *Node) Freeze(d time.Duration) error {
	if n.topo.isPrimary() {
		return mongoerr.New(mongoerr.NotSecondary, "cannot freeze node when primary or running for election. state: Primary")
	}
	n.change(func(st *standing) { st.barred = time.Now().Add(d) })
	return nil
}

// Thaw ends Freeze.
func (n *Node) Thaw() { n.change(func(st *standing) { st.barred = time.Time{} }) }

func stateChange() *mongoerr.Error {
	return mongoerr.New(mongoerr.InterruptedDueToReplStateChange, "operation was interrupted because the node stepped down")
}
