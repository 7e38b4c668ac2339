package mongod

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// migrationCommands are what a mongos asks of the two shards of a migration, of
// the config server and of the participants of transactions, and nobody else does.
func migrationCommands() map[string]*handler {
	table := map[string]*handler{
		"_transferMods":               {runTransferMods, isWrite}, // what it tells cannot be rolled back
		"_getNextSessionMods":         {runGetSessionMods, 0},
		"_recvSessionMods":            {runReceiveSessionMods, isWrite},
		"_noteSharding":               {runNoteSharding, isWrite},
		"_writeCatalog":               {runWriteCatalog, isWrite},
		"coordinateCommitTransaction": {runCoordinateCommit, isWrite},
		"_listPrepared":               {runListPrepared, 0},
		"_hasCommitted":               {runHasCommitted, 0},
		"_endPrepared":                {runEndPrepared, isWrite},
	}
	for name, h := range table {
		run := h.run
		h.run = func(ctx context.Context, op *operation) (bson.Raw, error) {
			if op.req.Routed == nil {
				return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", name)
			}
			return run(ctx, op)
		}
	}
	return table
}

// modsBatch bounds how many entries of the log are looked at under one lock.
const modsBatch = 1000

// runTransferMods tells which documents of a collection have been written since
// a time, as _ids, up to which time that holds, and in which term: after an
// election nothing holds any more. Without a time it only tells the present.
func runTransferMods(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	after := a.timestamp("after")
	id, ok := value.ParseUUID(a.lookup("uuid"))
	if a.err != nil || !ok && !after.IsZero() {
		return nil, errors.Join(a.err, mongoerr.New(mongoerr.BadValue, "_transferMods needs the uuid of a collection"))
	}
	mods := &modifications{log: op.line.log, uuid: id, seen: map[string]bool{}}
	// Writers log under the engine's lock: within a view nothing is written that
	// has not been logged.
	var last bson.Timestamp
	err := op.line.engine.View(func(*storage.Tx) error {
		last = mods.log.Last()
		if after.IsZero() {
			return nil
		}
		return mods.read(after)
	})
	if errors.Is(err, oplog.ErrTruncated) {
		err = mongoerr.New(mongoerr.OperationFailed, "the oplog no longer reaches back to the start of the migration")
	}
	if err != nil {
		return nil, err
	}
	return value.D("ids", value.A(mods.ids...), "last", last, "term", mods.log.Term()), nil
}

// modifications collects the _ids of the documents of one collection that the
// log tells of.
type modifications struct {
	log  *oplog.Log
	uuid value.UUID
	ids  []any
	seen map[string]bool
}

func (m *modifications) read(after bson.Timestamp) error {
	for {
		entries, err := m.log.Read(after, false, modsBatch)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			if err := m.entry(e); err != nil {
				return err
			}
		}
		after = entries[len(entries)-1].TS
	}
}

func (m *modifications) entry(e *oplog.Entry) error {
	switch name := e.CommandName(); {
	case e.FromMigrate || e.Op == oplog.Noop:
	case name == "applyOps":
		m.operations(e)
	case name == "commitTransaction":
		return m.prepared(e)
	case e.Op != oplog.Command && e.UUID == m.uuid:
		m.operation(e.Op, e.O, e.O2)
	}
	return nil
}

// prepared collects what a prepared transaction wrote: its entries are before
// that of its commit, which alone makes them visible.
func (m *modifications) prepared(commit *oplog.Entry) error {
	for at := commit.Txn.Prev; at.T != 0; {
		e, ok := m.log.At(at)
		if !ok {
			return oplog.ErrTruncated
		}
		m.operations(e)
		at = e.Txn.Prev
	}
	return nil
}

// operations collects from the operations inside an applyOps.
func (m *modifications) operations(e *oplog.Entry) {
	arr, _ := e.O.Lookup("applyOps").ArrayOK()
	for _, v := range value.Elements(bson.Raw(arr)) {
		inner, _ := v.DocumentOK()
		op, _ := inner.Lookup("op").StringValueOK()
		if id, ok := value.ParseUUID(inner.Lookup("ui")); !ok || id != m.uuid || len(op) != 1 {
			continue
		}
		o, _ := inner.Lookup("o").DocumentOK()
		o2, _ := inner.Lookup("o2").DocumentOK()
		m.operation(oplog.Op(op[0]), o, o2)
	}
}

func (m *modifications) operation(op oplog.Op, o, o2 bson.Raw) {
	if op == oplog.Update {
		o = o2
	}
	id := o.Lookup("_id")
	key := string(rune(id.Type)) + string(id.Value)
	if id.Type == 0 || m.seen[key] {
		return
	}
	m.seen[key] = true
	m.ids = append(m.ids, id)
}

// runNoteSharding logs what a sharding command leaves in the oplog for change
// streams, and sets the collection's shard key if it says so.
func runNoteSharding(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	ns, key := a.string(op.req.Name), op.req.Routed.ShardKey
	msg, o2 := a.doc("msg"), a.doc("o2")
	id, _ := value.ParseUUID(a.lookup("uuid"))
	if a.err != nil {
		return nil, a.err
	}
	err := op.write(ctx, ns, func(tx *storage.Tx) error {
		if c := tx.Collection(ns); c != nil && key != nil {
			if err := tx.SetShardKey(c, key); err != nil {
				return err
			}
		}
		if o2 != nil {
			op.line.log.Append(&oplog.Entry{Op: oplog.Noop, NS: ns, UUID: id, O: value.D("msg", msg), O2: o2})
		}
		return nil
	})
	return value.D(), err
}
