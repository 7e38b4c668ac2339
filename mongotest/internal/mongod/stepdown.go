package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// electionOrder asks Run to make the node primary again.
type electionOrder struct{ after time.Duration }

// StepDown makes the node a secondary for d, or until ctx ends, and then the
// primary of a higher term: an election that the same node wins. Meanwhile
// every command but hello fails, running operations are interrupted, cursors
// and open transactions are gone. It fails if the node is no primary.
func (n *Node) StepDown(ctx context.Context, d time.Duration) error {
	if !n.topo.demote() {
		return notPrimary()
	}
	err := n.endAll(ctx, nil)
	n.awaitElection(ctx, d)
	return err
}

// endAll ends everything that a stepdown ends, but the operation that asks for
// it. It fails if ctx ends before the operations have.
func (n *Node) endAll(ctx context.Context, asking *running) error {
	cause := mongoerr.New(mongoerr.InterruptedDueToReplStateChange, "operation was interrupted because the node stepped down")
	err := n.ops.interrupt(ctx, cause, func(r *running) bool {
		return r != asking && !r.op.handler.has(always)
	})
	n.cursors.killWhere(func(*cursor) bool { return true })
	for _, s := range n.sessions.list() {
		if s.tryCheckOut() { // all their operations have ended, unless ctx has
			s.interrupt(n)
			s.checkIn()
		}
	}
	return err
}

// awaitElection makes the node primary again once d has passed or ctx ended.
func (n *Node) awaitElection(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	n.cfg.Log.SetTerm(n.topo.promote())
	n.cfg.Log.Noop(value.D("msg", "new primary"))
}

// runStepDown answers at once; Run holds the election when the time is over.
func runStepDown(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	seconds := a.count("replSetStepDown", 60)
	if a.err != nil {
		return nil, a.err
	}
	if !op.node.topo.demote() {
		return nil, notPrimary()
	}
	// There is room for the order: only who makes the node step down gives one,
	// and it is primary again when Run has taken it.
	op.node.reelect <- electionOrder{after: time.Duration(seconds) * time.Second}
	return value.D(), op.node.endAll(ctx, op.running)
}
