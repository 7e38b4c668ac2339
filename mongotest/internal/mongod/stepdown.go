package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// StepDown makes the node a secondary. Another member takes over at once; if
// there is none that can, the node is primary again when d is over or ctx ends.
// Running operations are interrupted, cursors and open transactions are gone.
// It fails if the node is no primary.
func (n *Node) StepDown(ctx context.Context, d time.Duration) error {
	if !n.demote(d) {
		return notPrimary()
	}
	err := n.endAll(ctx, nil, stateChange())
	n.ended()
	if !n.set.elect(n) {
		n.electAfter(ctx, d)
	}
	return err
}

// endAll ends everything that a stepdown ends, but the operation that asks for
// it. It fails if ctx ends before the operations have.
func (n *Node) endAll(ctx context.Context, asking *running, cause *mongoerr.Error) error {
	err := n.ops.interrupt(ctx, cause, func(r *running) bool {
		return r != asking && !r.op.handler.has(always)
	})
	n.cursors.killWhere(func(*cursor) bool { return true })
	for _, s := range n.line().sessions.list() {
		if s.tryCheckOut() { // all their operations have ended, unless ctx has
			s.interrupt(n)
			s.checkIn()
		}
	}
	return err
}

// electAfter holds an election once d has passed or ctx ended.
func (n *Node) electAfter(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	n.change(func(st *standing) { st.barred = time.Time{} })
	n.set.elect(n)
}

// runStepDown answers as soon as the node is no primary any more and another
// one is, if one can be; else Run holds the election when the time is over.
func runStepDown(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	seconds := a.count("replSetStepDown", 60)
	force := a.bool("force", false)
	if a.err != nil {
		return nil, a.err
	}
	set := op.node.set
	if !force && !set.succession(op.node) {
		return nil, mongoerr.New(mongoerr.ExceededTimeLimit, "No electable secondaries caught up as of %v. Please use the replSetStepDown command with the argument {force: true} to force node to step down.",
			time.Now().UTC().Format(time.RFC3339))
	}
	if !op.node.demote(time.Duration(seconds) * time.Second) {
		return nil, notPrimary()
	}
	err := op.node.endAll(ctx, op.running, stateChange())
	op.node.ended()
	set.elect(op.node)
	return value.D(), err
}

// succession reports whether another member could take over without anything
// being lost; the only member of a set need not be asked.
func (s *ReplicaSet) succession(from *Node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m != from && m.place.Load().stopped == nil {
			return true
		}
	}
	return len(s.members) == 1
}
