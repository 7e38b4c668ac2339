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
	data, at, err := op.line.snapshots.take(op, op.concern.at)
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
func (t *snapshotTable) take(op *operation, at bson.Timestamp) (*storage.Transaction, bson.Timestamp, error) {
	if held := op.node.set.reads(op.node, true); held != nil && (at.IsZero() || at.Equal(held.ReadTime())) {
		return held, held.ReadTime(), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	latest := at.IsZero()
	if latest {
		at = op.line.log.Last() // what was taken then is the latest still
	}
	if i := slices.IndexFunc(t.all, func(d *storage.Transaction) bool { return d.ReadTime().Equal(at) }); i >= 0 {
		data := t.all[i]
		t.all = slices.Delete(t.all, i, i+1)
		t.keep(data)
		return data, at, op.line.checkHistory(op.node, at)
	}
	if latest {
		data := op.line.engine.Begin(storage.Meta{Now: time.Now()})
		t.keep(data)
		return data, data.ReadTime(), nil
	}
	data, err := op.dataAt(storage.Meta{Now: time.Now()}, at)
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
func (op *operation) dataAt(m storage.Meta, at bson.Timestamp) (*storage.Transaction, error) {
	if err := op.line.checkHistory(op.node, at); err != nil {
		return nil, err
	}
	if data, ok := op.line.engine.BeginAt(m, at); ok {
		return data, nil
	}
	return nil, snapshotTooOld(at, op.line.engine.Forgotten())
}

// checkHistory refuses what is older than minSnapshotHistoryWindowInSeconds
// before the majority commit point.
func (l *line) checkHistory(n *Node, at bson.Timestamp) error {
	oldest := l.log.Majority()
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
	n, l, data, at := op.node, op.line, op.snapshot, op.concern.at
	return func(fn func(*storage.Tx) error) error {
		if !at.IsZero() {
			if err := l.checkHistory(n, at); err != nil {
				return err
			}
		}
		return data.View(fn)
	}
}

// expire drops the snapshots that nobody may read any more.
func (t *snapshotTable) expire(n *Node, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(d *storage.Transaction) bool { return l.checkHistory(n, d.ReadTime()) != nil })
}
