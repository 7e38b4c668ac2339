package mongod

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
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
	committed := op.concern.level == "majority" || op.concern.level == "snapshot"
	for _, ts := range []bson.Timestamp{op.concern.after, op.concern.at} {
		if ts.IsZero() {
			continue
		}
		op.node.reach(ts)
		if err := op.node.awaitApplied(ctx, ts, committed); err != nil {
			return err
		}
	}
	defer op.chooseData()
	if op.concern.level != "snapshot" || op.inTxn {
		return nil
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
	data, at, err := n.set.snapshots.take(n, op.concern.at)
	if err != nil {
		return err
	}
	op.snapshot, op.concern.at = data, at
	return nil
}

// snapshotTable holds the snapshots that reads have been given, so that later
// reads can name their cluster time. The data of other times in the past is
// gone, unless nothing has changed since.
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

// take returns a snapshot of the data at a time, zero meaning the newest that a
// majority has, with that time.
func (t *snapshotTable) take(n *Node, at bson.Timestamp) (*storage.Transaction, bson.Timestamp, error) {
	if held := n.set.reads(n, true); held != nil && (at.IsZero() || at.Equal(held.ReadTime())) {
		return held, held.ReadTime(), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.all[at]; ok {
		return e.data, at, nil
	}
	data := n.cfg.Engine.Begin(storage.Meta{Now: time.Now()})
	if at.IsZero() {
		at = data.ReadTime()
	} else if err := n.unchangedSince(at, data.ReadTime()); err != nil {
		data.Abort()
		return nil, at, err
	}
	if e, ok := t.all[at]; ok {
		data.Abort()
		return e.data, at, nil
	}
	t.all[at] = snapshotEntry{data: data, taken: time.Now()}
	return data, at, nil
}

// unchangedSince fails unless the log has only no-ops after at, up to now.
func (n *Node) unchangedSince(at, now bson.Timestamp) error {
	tooOld := mongoerr.New(mongoerr.SnapshotTooOld, "Read timestamp %v is older than the oldest available timestamp %v.", at, now)
	for from := at; from.Before(now); {
		entries, err := n.cfg.Log.Read(from, false, lookDocs)
		if err != nil {
			return tooOld
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if e.TS.After(now) {
				return nil
			}
			if e.Op != oplog.Noop {
				return tooOld
			}
			from = e.TS
		}
	}
	return nil
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

// rollBack drops the snapshots of what has been rolled back.
func (t *snapshotTable) rollBack(at bson.Timestamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ts, e := range t.all {
		if ts.After(at) {
			e.data.Abort()
			delete(t.all, ts)
		}
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
