package mongod

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const (
	coordinatorsColl = "transaction_coordinators"
	coordinatorsNS   = "config." + coordinatorsColl
)

// coordinators are the commits that a node works on, by session and number.
type coordinators struct {
	mu     sync.Mutex
	active map[string]chan struct{} // closed when nobody works on it any more
	wake   chan struct{}
	peers  Peers
}

func newCoordinators() *coordinators {
	return &coordinators{active: map[string]chan struct{}{}, wake: make(chan struct{}, 1)}
}

// SetPeers lets the node coordinate transactions on several shards.
func (n *Node) SetPeers(p Peers) {
	n.coordinators.mu.Lock()
	defer n.coordinators.mu.Unlock()
	n.coordinators.peers = p
}

func (n *Node) peers() Peers {
	n.coordinators.mu.Lock()
	defer n.coordinators.mu.Unlock()
	return n.coordinators.peers
}

// take makes the caller the one who works on a commit. If somebody else does it
// returns what closes when they do not any more.
func (s *coordinators) take(key string) (release func(), busy <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.active[key]; ch != nil {
		return nil, ch
	}
	ch := make(chan struct{})
	s.active[key] = ch
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.active, key)
		close(ch)
	}, nil
}

// resume has Run look for what is left.
func (s *coordinators) resume() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (t coordinated) key() (string, error) {
	key, err := sessionKey(t.lsid)
	return fmt.Sprintf("%s/%d", key, t.number), err
}

// coordinate goes on with the commits that nobody works on, until ctx ends: those
// of an earlier primary, of a client that is gone, and those that a participant
// has not heard of yet.
func (n *Node) coordinate(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-n.coordinators.wake:
		case <-ctx.Done():
			return
		}
		for _, c := range n.unfinished() {
			key, err := c.key()
			if err != nil {
				continue // nobody else writes there
			}
			release, busy := n.coordinators.take(key)
			if busy != nil {
				continue
			}
			wg.Go(func() {
				defer release()
				if again := n.stored(c.coordinated); again != nil && again.decide(ctx) == nil {
					again.finish(ctx)
				}
			})
		}
	}
}

// unfinished returns the commits that the set has not done with.
func (n *Node) unfinished() (out []*coordination) {
	if !n.topo.isPrimary() {
		return nil
	}
	_ = n.line().engine.View(func(tx *storage.Tx) error { // which looks only, and cannot fail
		if c := tx.Collection(coordinatorsNS); c != nil {
			for _, rec := range tx.Scan(c, storage.ScanSpec{}) {
				out = append(out, n.coordinationOf(rec.Doc))
			}
		}
		return nil
	})
	return out
}

// stored returns what the set knows of a commit, nil if nothing.
func (n *Node) stored(t coordinated) *coordination {
	for _, c := range n.unfinished() {
		a, _ := c.key()
		if b, _ := t.key(); a == b {
			return c
		}
	}
	return nil
}

func (n *Node) coordinationOf(doc bson.Raw) *coordination {
	id, _ := doc.Lookup("_id").DocumentOK()
	c := &coordination{node: n, client: &command.Client{AppName: "TransactionCoordinator", User: "local.__system"}}
	c.lsid, _ = id.Lookup("lsid").DocumentOK()
	c.number = id.Lookup("txnNumber").AsInt64()
	for _, v := range value.Elements(doc.Lookup("participants").Value) {
		c.participants = append(c.participants, v.StringValue())
	}
	d, _ := doc.Lookup("decision").DocumentOK()
	if t, i, ok := d.Lookup("commitTimestamp").TimestampOK(); ok {
		c.decision.commitTimestamp = bson.Timestamp{T: t, I: i}
	}
	if why, ok := d.Lookup("abortStatus").DocumentOK(); ok {
		code, _ := value.AsInt64(why.Lookup("code"))
		msg, _ := why.Lookup("errmsg").StringValueOK()
		c.decision.abort = mongoerr.New(mongoerr.Code(code), "%s", msg)
	}
	return c
}

// id is the _id of the document.
func (c *coordination) id() bson.Raw {
	return value.D("lsid", c.lsid, "txnNumber", c.number, "txnRetryCounter", 0)
}

// keep writes the document. A majority has it then.
func (c *coordination) keep(ctx context.Context) error {
	participants := make([]any, len(c.participants))
	for i, shard := range c.participants {
		participants[i] = shard
	}
	doc := []any{"_id", c.id(), "participants", value.A(participants...)}
	switch d := c.decision; {
	case d.commits():
		doc = append(doc, "decision", value.D("decision", "commit", "commitTimestamp", d.commitTimestamp))
	case d.abort != nil:
		doc = append(doc, "decision", value.D("decision", "abort",
			"abortStatus", value.D("code", int32(d.abort.Code), "codeName", mongoerr.CodeName(d.abort.Code), "errmsg", d.abort.Message)))
	}
	return c.write(ctx, "update", "updates", value.A(value.D("q", value.D("_id", c.id()), "u", value.D(doc...), "upsert", true)))
}

func (c *coordination) forget(ctx context.Context) error {
	return c.write(ctx, "delete", "deletes", value.A(value.D("q", value.D("_id", c.id()), "limit", 1)))
}

func (c *coordination) write(ctx context.Context, name, what string, statements any) error {
	body, err := c.node.askShard(ctx, c.node.set.shardID(), "config", c.client, name, coordinatorsColl, what, statements, "writeConcern", majorityConcern())
	if err != nil {
		return err
	}
	if v := body.Lookup("writeErrors", "0"); v.Type != 0 {
		code, _ := value.AsInt64(v.Document().Lookup("code"))
		return mongoerr.New(mongoerr.Code(code), "%s", v.Document().Lookup("errmsg").StringValue())
	}
	if d, ok := body.Lookup("writeConcernError").DocumentOK(); ok {
		code, _ := value.AsInt64(d.Lookup("code"))
		return mongoerr.New(mongoerr.Code(code), "%s", d.Lookup("errmsg").StringValue())
	}
	return nil
}

// runCoordinateCommit commits a transaction on several shards, and answers when
// every participant has done so; before 6.1, or if a parameter says so, when it is
// decided. Without participants it tells what has become of one; if nobody has
// begun to commit it, it is aborted, unless peek only wants to know.
func runCoordinateCommit(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	t := coordinated{lsid: a.doc("session"), number: a.int64("number", noNumber)}
	for _, p := range a.docs("participants") {
		t.participants = append(t.participants, p.Lookup("shardId").StringValue())
	}
	peek := a.bool("peek", false)
	if a.err != nil {
		return nil, a.err
	}
	key, err := t.key()
	if err != nil {
		return nil, err
	}
	early := op.node.params.enabled(paramEarlyCommit)
	for {
		if d := op.node.stored(t); d != nil && (peek || early && d.decision.made()) {
			op.node.coordinators.resume()
			return value.D("finished", false), d.decision.err()
		}
		release, busy := op.node.coordinators.take(key)
		if busy == nil {
			finished, err := op.coordinate(ctx, t, peek)
			release()
			op.node.coordinators.resume()
			if finished || err != nil || peek || early {
				return value.D("finished", finished), err
			}
		}
		timer := time.NewTimer(coordinatorPause)
		select {
		case <-busy:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, interrupted(ctx, ctx.Err())
		}
		timer.Stop()
	}
}

// coordinate carries out runCoordinateCommit: nobody else works on the commit. It
// reports whether all have heard of the decision.
func (op *operation) coordinate(ctx context.Context, t coordinated, peek bool) (finished bool, err error) {
	c := op.node.stored(t)
	if c == nil {
		state, known := op.line.sessions.stateOf(t)
		switch {
		case known && state == txnCommitted:
			return true, nil
		case !known || state == txnAborted:
			return false, hasAborted(t.number)
		case peek:
			return false, nil
		case len(t.participants) == 0:
			return true, op.abortLocal(ctx, t)
		}
		c = &coordination{node: op.node, client: op.req.Client, coordinated: t}
	}
	c.patience = voteLimit
	if err := c.decide(ctx); err != nil {
		return false, interrupted(ctx, err)
	}
	early := op.node.params.enabled(paramEarlyCommit)
	finished = (!early || !c.holdsDecision()) && c.finish(ctx)
	if err := ctx.Err(); err != nil && !finished {
		return false, interrupted(ctx, err)
	}
	return finished, c.decision.err()
}

// abortLocal aborts the shard's own part of a transaction, so that it cannot be
// committed any more.
func (op *operation) abortLocal(ctx context.Context, t coordinated) error {
	c := &coordination{node: op.node, client: op.req.Client, coordinated: t}
	if _, err := c.ask(ctx, op.node.set.shardID(), "abortTransaction"); err != nil {
		if mongoerr.Is(err, mongoerr.TransactionCommitted) {
			return nil
		}
		return err
	}
	return hasAborted(t.number)
}

// stateOf returns the state of the shard's own part of a transaction.
func (t *sessionTable) stateOf(c coordinated) (txnState, bool) {
	key, err := sessionKey(c.lsid)
	if err != nil {
		return txnOpen, false
	}
	t.mu.Lock()
	s := t.all[key]
	if s == nil {
		s = t.past[key]
	}
	t.mu.Unlock()
	if s == nil {
		return txnOpen, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txn == nil || s.txn.number != c.number {
		return txnOpen, false
	}
	return s.txn.state, true
}
