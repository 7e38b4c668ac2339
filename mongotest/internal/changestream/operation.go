package changestream

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An operation is one change: a plain oplog entry or one operation inside an
// applyOps.
type operation struct {
	op          oplog.Op
	ns          string
	uuid        value.UUID
	o, o2       bson.Raw
	fromMigrate bool
	image       oplog.Image

	// visible is the entry that made the change visible: its time is the
	// event's clusterTime.
	visible  *oplog.Entry
	txnIndex int
	inTxn    bool // the events carry lsid and txnNumber
}

// unwind appends to dst the operations that the entry makes visible: itself, the
// operations of its applyOps and of those it is chained to, or none for the
// parts of a transaction that is not committed yet.
func unwind(dst []operation, log Log, e *oplog.Entry) ([]operation, error) {
	switch e.CommandName() {
	case "":
	case "applyOps":
		if truthy(e.O, "partialTxn") || truthy(e.O, "prepare") {
			return dst, nil
		}
		return unwindChain(dst, log, e, e)
	case "commitTransaction":
		prepared, err := previous(log, e)
		if err != nil || prepared == nil {
			return dst, err
		}
		return unwindChain(dst, log, e, prepared)
	case "abortTransaction":
		return dst, nil
	}
	return append(dst, operation{
		op: e.Op, ns: e.NS, uuid: e.UUID, o: e.O, o2: e.O2, fromMigrate: e.FromMigrate,
		image: oplog.Image{Pre: e.Pre, Post: e.Post}, visible: e,
	}), nil
}

// unwindChain appends the operations of the applyOps entries that end with last.
func unwindChain(dst []operation, log Log, visible, last *oplog.Entry) ([]operation, error) {
	chain := []*oplog.Entry{last}
	for last.Txn.Multi {
		prev, err := previous(log, last)
		if err != nil {
			return dst, err
		}
		if prev == nil {
			break
		}
		chain = append(chain, prev)
		last = prev
	}
	index := 0
	for i := len(chain) - 1; i >= 0; i-- {
		e := chain[i]
		ops, err := innerOps(e)
		if err != nil {
			return dst, err
		}
		for k, raw := range ops {
			op, err := innerOp(raw)
			if err != nil {
				return dst, err
			}
			op.visible, op.txnIndex, op.inTxn = visible, index, visible.Txn.Multi
			op.fromMigrate = op.fromMigrate || e.FromMigrate
			if k < len(e.Inner) {
				op.image = e.Inner[k]
			}
			dst = append(dst, op)
			index++
		}
	}
	return dst, nil
}

// previous returns the entry that Txn.Prev points to, nil if it points nowhere.
func previous(log Log, e *oplog.Entry) (*oplog.Entry, error) {
	if e.Txn.Prev.IsZero() {
		return nil, nil
	}
	prev, ok := log.At(e.Txn.Prev)
	if !ok {
		return nil, historyLost("Oplog no longer has history necessary for $changeStream to observe operations from a committed transaction.")
	}
	return prev, nil
}

func innerOps(e *oplog.Entry) ([]bson.Raw, error) {
	list, ok := e.O.Lookup("applyOps").ArrayOK()
	if !ok {
		return nil, mongoerr.New(mongoerr.InternalError, "applyOps entry at %v holds no array", e.TS)
	}
	vals, err := list.Values()
	if err != nil {
		return nil, mongoerr.New(mongoerr.InvalidBSON, "applyOps entry at %v: %v", e.TS, err)
	}
	docs := make([]bson.Raw, len(vals))
	for i, v := range vals {
		if docs[i], ok = v.DocumentOK(); !ok {
			return nil, mongoerr.New(mongoerr.InternalError, "applyOps entry at %v: element %d is no document", e.TS, i)
		}
	}
	return docs, nil
}

func innerOp(raw bson.Raw) (operation, error) {
	var op operation
	for name, v := range value.Elements(raw) {
		switch name {
		case "op":
			s, _ := v.StringValueOK()
			if len(s) != 1 {
				return op, errors.New("applyOps: operation without op")
			}
			op.op = oplog.Op(s[0])
		case "ns":
			op.ns, _ = v.StringValueOK()
		case "ui":
			op.uuid, _ = value.ParseUUID(v)
		case "o":
			op.o, _ = v.DocumentOK()
		case "o2":
			op.o2, _ = v.DocumentOK()
		case "fromMigrate":
			op.fromMigrate, _ = v.BooleanOK()
		}
	}
	return op, nil
}

func truthy(doc bson.Raw, name string) bool {
	v, err := doc.LookupErr(name)
	return err == nil && value.Truthy(v)
}
