package mongod

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/apiversion"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/schema"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A Node is one simulated mongod: a member of a replica set. It is safe for
// concurrent use.
type Node struct {
	cfg      Config
	set      *ReplicaSet
	standing standing // guarded by the set's lock
	table    map[string]*handler

	place atomic.Pointer[place] // changed under the set's lock
	machine

	params  *parameters
	topo    *topology
	ops     *opTable
	cursors *cursorTable
	records *records

	coordinators *coordinators

	mu       sync.RWMutex
	faults   Faults
	sharding Sharding // nil: no shard
}

// A machine is what a process runs on.
type machine struct {
	skew atomic.Int64 // of its clock, in nanoseconds
	full atomic.Bool  // its disk
}

// Faults are hooks a test puts around every command. An error of Before fails
// the command without running it; an error of After replaces its reply, so the
// command has been carried out but its client does not know. Either may be nil.
// They are called from many goroutines at once.
type Faults struct {
	Before, After func(req *command.Request) error
}

// New returns the primary of a new replica set, and makes its engine check
// validators. It starts nothing: Run does the background work.
func New(c Config) *Node {
	c = c.withDefaults()
	c.Engine.SetValidator(fulfils)
	return newReplicaSet(c).join(c, true)
}

// Join returns a further member of n's replica set: a secondary with its own
// address and fail points that keeps up until told otherwise. It is called
// before the Run of any member.
func (n *Node) Join(name string, failPoints *failpoint.Set) *Node {
	c := n.cfg
	c.Name, c.FailPoints = name, failPoints
	return n.set.join(c, false)
}

func (s *ReplicaSet) join(c Config, primary bool) *Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &Node{
		cfg:     c,
		set:     s,
		topo:    newTopology(s.cfg.Name, s.term, primary),
		ops:     newOpTable(),
		cursors: newCursorTable(),
		records: &records{began: time.Now()},

		coordinators: newCoordinators(),
	}
	n.place.Store(&place{line: s.line()})
	n.params = newParameters(c)
	n.table = commandTable(c.Version)
	c.FailPoints.Watch(n.failPointsChanged)
	s.members = append(s.members, n)
	return n
}

// Set returns the node's replica set.
func (n *Node) Set() *ReplicaSet { return n.set }

// Engine returns the storage that the node is on.
func (n *Node) Engine() *storage.Engine { return n.line().engine }

// Log returns the oplog that the node is on.
func (n *Node) Log() *oplog.Log { return n.line().log }

// Clock returns the replica set's logical clock.
func (n *Node) Clock() *oplog.Clock { return n.cfg.Clock }

// Accounts returns the users and roles of the replica set.
func (n *Node) Accounts() *Accounts { return n.set.accounts }

// Config returns the node's configuration with defaults filled in.
func (n *Node) Config() Config { return n.cfg }

// SetFaults replaces the fault hooks. Commands that run keep the old ones.
func (n *Node) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// CursorCount returns the number of open cursors.
func (n *Node) CursorCount() int { return n.cursors.len() }

// SetShardKey tells the node the shard key of ns from now on, nil for none:
// documentKeys are made of it. It fails if ns does not exist.
func (n *Node) SetShardKey(ns string, key bson.Raw) error {
	return n.line().engine.Update(func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", ns)
		}
		return tx.SetShardKey(c, key)
	})
}

// Handle answers one command. See command.Handler. With an error too it
// returns a response, for the times that every reply carries.
func (n *Node) Handle(ctx context.Context, req *command.Request) (*command.Response, error) {
	resp := &command.Response{}
	var err error
	resp.Body, err = n.answer(ctx, req, resp)
	resp.OperationTime, resp.ClusterTime = n.applied(), n.cfg.Clock.Now()
	return resp, err
}

// answer returns the body of the response, and notes what else belongs there.
func (n *Node) answer(ctx context.Context, req *command.Request, resp *command.Response) (bson.Raw, error) {
	h, ok := n.table[req.Name]
	if !ok {
		return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", req.Name)
	}
	if req.Routed == nil {
		if err := schema.Check(req); err != nil {
			return nil, n.Label(req, err)
		}
		if err := n.cfg.Version.Check(req); err != nil {
			return nil, n.Label(req, err)
		}
	}
	if err := apiversion.Check(req); err != nil {
		return nil, err
	}
	op, err := n.newOperation(h, req)
	if err != nil {
		return nil, n.label(req, err)
	}
	ctx, end, err := n.begin(ctx, op)
	if err != nil {
		return nil, n.label(req, err)
	}
	defer end()
	body, err := n.run(ctx, op)
	resp.Wrote = op.txn != nil && op.txn.wrote
	took := time.Since(op.running.started)
	n.records.note(req, took)
	n.records.sent(req, len(body))
	op.profile(took, body, err)
	if op.running.hangUp {
		return nil, command.ErrHangUp
	}
	if err != nil {
		return nil, n.label(req, interrupted(ctx, err))
	}
	return body, nil
}

// run carries the command out between the fault hooks.
func (n *Node) run(ctx context.Context, op *operation) (bson.Raw, error) {
	n.mu.RLock()
	faults := n.faults
	n.mu.RUnlock()
	if faults.Before != nil {
		if err := faults.Before(op.req); err != nil {
			return nil, err
		}
	}
	body, err := n.execute(ctx, op)
	if err != nil {
		return nil, err
	}
	if faults.After != nil {
		if err := faults.After(op.req); err != nil {
			return nil, err
		}
	}
	concernError, err := op.waitForWriteConcern(ctx)
	if err != nil {
		return nil, err
	}
	return appendConcernError(body, concernError), nil
}

// interrupted returns why ctx ended if err is only the trace of that, so that
// the client sees the server's code instead of "context canceled".
func interrupted(ctx context.Context, err error) error {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	cause := context.Cause(ctx)
	var e *mongoerr.Error
	switch {
	case errors.As(cause, &e):
		return e
	case cause == nil:
		return err
	default:
		return mongoerr.New(mongoerr.ClientDisconnect, "operation was interrupted: %v", cause)
	}
}
