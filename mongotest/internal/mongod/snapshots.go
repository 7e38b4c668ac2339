package mongod

import (
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// takeSnapshot gives op the snapshot of its atClusterTime, or of now.
func (op *operation) takeSnapshot() error {
	data, at, err := op.node.set.snapshots.take(op.node, op.concern.at)
	if err != nil {
		return err
	}
	op.snapshot, op.concern.at = data, at
	return nil
}

// keptSnapshots is how many snapshots wait for another read of their time. To
// make one again takes as long as has been written since.
const keptSnapshots = 16

// snapshotTable holds the snapshots that the latest reads have been given.
type snapshotTable struct {
	mu  sync.Mutex
	all []*storage.Transaction // the latest use last
}

func newSnapshotTable() *snapshotTable { return &snapshotTable{} }

// take returns a snapshot of the data at a time, zero meaning the newest that a
// majority has, with that time.
func (t *snapshotTable) take(n *Node, at bson.Timestamp) (*storage.Transaction, bson.Timestamp, error) {
	if held := n.set.reads(n, true); held != nil && (at.IsZero() || at.Equal(held.ReadTime())) {
		return held, held.ReadTime(), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	latest := at.IsZero()
	if latest {
		at = n.cfg.Log.Last() // what was taken then is the latest still
	}
	if i := slices.IndexFunc(t.all, func(d *storage.Transaction) bool { return d.ReadTime().Equal(at) }); i >= 0 {
		data := t.all[i]
		t.all = slices.Delete(t.all, i, i+1)
		t.keep(data)
		return data, at, n.checkHistory(at)
	}
	if latest {
		data := n.cfg.Engine.Begin(storage.Meta{Now: time.Now()})
		t.keep(data)
		return data, data.ReadTime(), nil
	}
	data, err := n.dataAt(storage.Meta{Now: time.Now()}, at)
	if err != nil {
		return nil, at, err
	}
	t.keep(data)
	return data, at, nil
}

func (t *snapshotTable) keep(data *storage.Transaction) {
	if len(t.all) == keptSnapshots {
		t.all = slices.Delete(t.all, 0, 1) // cursors may go on reading it
	}
	t.all = append(t.all, data)
}

// dataAt opens a transaction on the data of a past time.
func (n *Node) dataAt(m storage.Meta, at bson.Timestamp) (*storage.Transaction, error) {
	if err := n.checkHistory(at); err != nil {
		return nil, err
	}
	if data, ok := n.cfg.Engine.BeginAt(m, at); ok {
		return data, nil
	}
	return nil, snapshotTooOld(at, n.cfg.Engine.Forgotten())
}

// checkHistory refuses what is older than minSnapshotHistoryWindowInSeconds
// before the majority commit point.
func (n *Node) checkHistory(at bson.Timestamp) error {
	oldest := n.cfg.Log.Majority()
	oldest.T -= min(oldest.T, uint32(n.params.number(paramHistorySecs)))
	if at.Before(oldest) {
		return snapshotTooOld(at, oldest)
	}
	return nil
}

func snapshotTooOld(at, oldest bson.Timestamp) error {
	return mongoerr.New(mongoerr.SnapshotTooOld, "Read timestamp %s is older than the oldest available timestamp %s.",
		timestampText(at), timestampText(oldest))
}

// snapshotView reads op's snapshot; one of read concern snapshot for as long as
// its history is kept.
func (op *operation) snapshotView() viewer {
	n, data, at := op.node, op.snapshot, op.concern.at
	return func(fn func(*storage.Tx) error) error {
		if !at.IsZero() {
			if err := n.checkHistory(at); err != nil {
				return err
			}
		}
		return data.View(fn)
	}
}

// rollBack drops the snapshots of what has been rolled back, and ends what reads
// them.
func (t *snapshotTable) rollBack(at bson.Timestamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(d *storage.Transaction) bool {
		if !d.ReadTime().After(at) {
			return false
		}
		d.Abort()
		return true
	})
}

// expire drops the snapshots that nobody may read any more.
func (t *snapshotTable) expire(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(d *storage.Transaction) bool { return n.checkHistory(d.ReadTime()) != nil })
}
