package mongod

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// readConcern is a command's readConcern argument.
type readConcern struct {
	level string // "" means local
	after bson.Timestamp
	at    bson.Timestamp
}

func (a *args) readConcern() readConcern {
	d := a.doc("readConcern")
	if d == nil {
		return readConcern{}
	}
	sub := &args{name: "readConcern", body: d}
	c := readConcern{level: sub.string("level"), after: sub.timestamp("afterClusterTime"), at: sub.timestamp("atClusterTime")}
	switch c.level {
	case "", "local", "available", "majority", "linearizable", "snapshot":
	default:
		sub.fail(mongoerr.BadValue, "Enumeration value '%s' for field 'readConcern.level' is not a valid value.", c.level)
	}
	if !c.at.IsZero() && c.level != "snapshot" {
		sub.fail(mongoerr.InvalidOptions, "readConcern atClusterTime is only allowed with level 'snapshot'")
	}
	if !c.at.IsZero() && !c.after.IsZero() {
		sub.fail(mongoerr.InvalidOptions, "Specifying a timestamp for readConcern snapshot in a causally consistent session is not allowed")
	}
	if a.err == nil {
		a.err = sub.err
	}
	return c
}

// awaitReadConcern waits until the node can answer with what op's read concern
// asks for, and takes the snapshot of level snapshot outside of transactions.
func (op *operation) awaitReadConcern(ctx context.Context) error {
	for _, ts := range []bson.Timestamp{op.concern.after, op.concern.at} {
		if !ts.IsZero() {
			op.node.reach(ts)
		}
	}
	if op.concern.level != "snapshot" || op.inTxn {
		return nil
	}
	if !op.handler.has(snapshotOK) {
		return mongoerr.New(mongoerr.InvalidOptions, "read concern snapshot is not supported by command %s outside of transactions", op.req.Name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return op.takeSnapshot()
}

// reach brings the log to ts: an idle primary that is behind writes a no-op,
// as one that is asked to wait for a time of another shard does.
func (n *Node) reach(ts bson.Timestamp) {
	if !n.cfg.Log.Last().Before(ts) {
		return
	}
	n.cfg.Clock.Advance(bson.Timestamp{T: ts.T, I: ts.I - min(ts.I, 1)})
	n.cfg.Log.Noop(value.D("msg", "waiting for a cluster time"))
}

// takeSnapshot gives op the snapshot of its atClusterTime, or of now.
func (op *operation) takeSnapshot() error {
	n := op.node
	if s, at, ok := n.snapshots.find(op.concern.at); ok {
		op.snapshot, op.concern.at = s, at
		return nil
	}
	s, at := n.snapshots.take(n)
	if !op.concern.at.IsZero() && !op.concern.at.Equal(at) {
		return mongoerr.New(mongoerr.SnapshotTooOld,
			"Read timestamp %v is older than the oldest available timestamp %v.", op.concern.at, at)
	}
	op.snapshot, op.concern.at = s, at
	return nil
}

// snapshotTable holds the snapshots that reads have been given, so that later
// reads can name their cluster time. Only those times can be read at.
type snapshotTable struct {
	mu  sync.Mutex
	all map[bson.Timestamp]snapshotEntry
}

type snapshotEntry struct {
	data  *storage.Transaction
	taken time.Time
}

func newSnapshotTable() *snapshotTable {
	return &snapshotTable{all: map[bson.Timestamp]snapshotEntry{}}
}

// find returns the snapshot taken at ts.
func (t *snapshotTable) find(ts bson.Timestamp) (*storage.Transaction, bson.Timestamp, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.all[ts]
	return e.data, ts, ok
}

// take returns a snapshot of now and its time.
func (t *snapshotTable) take(n *Node) (*storage.Transaction, bson.Timestamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		before := n.cfg.Log.Last()
		data := n.cfg.Engine.Begin(storage.Meta{Now: time.Now()})
		if n.cfg.Log.Last().Equal(before) {
			t.all[before] = snapshotEntry{data: data, taken: time.Now()}
			return data, before
		}
		data.Abort() // a write came between; its time is not known to be in or out
	}
}

// snapshotView reads a snapshot for as long as its history is kept.
func snapshotView(data *storage.Transaction) viewer {
	return func(fn func(*storage.Tx) error) error {
		err := data.View(fn)
		if mongoerr.Is(err, mongoerr.NoSuchTransaction) {
			return mongoerr.New(mongoerr.SnapshotTooOld, "Read timestamp is older than the oldest available timestamp.")
		}
		return err
	}
}

// expire drops the snapshots taken before then: minSnapshotHistoryWindow.
func (t *snapshotTable) expire(then time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ts, e := range t.all {
		if e.taken.Before(then) {
			e.data.Abort()
			delete(t.all, ts)
		}
	}
}
