package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxDocSize is the size limit of a stored document in bytes, and of an oplog
// entry's operations.
const maxDocSize = 16 << 20

// stage adds an oplog entry about c to what is logged when the Tx ends.
func (tx *Tx) stage(c *Collection, e *oplog.Entry, m Meta) {
	if !c.logged() {
		return
	}
	e.FromMigrate = m.FromMigrate
	e.Wall = m.Now
	if tx.txn == nil {
		e.Txn = m.Txn
	}
	tx.staged = append(tx.staged, e)
}

// stageCommand adds a command entry about c. The server does not attribute
// commands to sessions.
func (tx *Tx) stageCommand(c *Collection, o, o2 bson.Raw, m Meta) {
	m.Txn = oplog.TxnInfo{}
	tx.stage(c, &oplog.Entry{Op: oplog.Command, NS: c.DB() + ".$cmd", UUID: c.UUID, O: o, O2: o2}, m)
}

// applyOps returns the entries of a transaction with these operations: one, or
// a chain of them if one would exceed the size of a document. If it is prepared
// there is one even without operations.
func applyOps(ops []*oplog.Entry, m Meta, prepare bool) []*oplog.Entry {
	var out []*oplog.Entry
	for rest := ops; len(rest) > 0 || prepare && len(out) == 0; {
		n, list := innerOps(rest)
		last := n == len(rest)
		o := make([]byte, 4, len(list)+64)
		o = value.Append(o, "applyOps", value.Array(list))
		if !last {
			o = value.Append(o, "partialTxn", value.Bool(true))
		} else if prepare {
			o = value.Append(o, "prepare", value.Bool(true))
		}
		if last && len(out) > 0 {
			o = value.Append(o, "count", value.Int64(int64(len(ops))))
		}
		e := &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", O: finishDoc(o), Txn: m.Txn}
		e.Inner = images(rest[:n])
		out, rest = append(out, e), rest[n:]
	}
	return out
}

// innerOps renders as many operations as fit into one entry, at least one, as
// a BSON array.
func innerOps(ops []*oplog.Entry) (n int, list bson.Raw) {
	dst := make([]byte, 4, 256)
	for i, e := range ops {
		op := innerOp(e)
		if i > 0 && len(dst)+len(op) > maxDocSize {
			break
		}
		dst = value.Append(dst, value.IndexName(i), value.Doc(op))
		n++
	}
	return n, finishDoc(dst)
}

func innerOp(e *oplog.Entry) bson.Raw {
	dst := make([]byte, 4, len(e.O)+len(e.O2)+len(e.NS)+64)
	dst = value.Append(dst, "op", value.String(string(rune(e.Op))))
	dst = value.Append(dst, "ns", value.String(e.NS))
	if !e.UUID.IsZero() {
		dst = value.Append(dst, "ui", value.Binary(4, e.UUID[:]))
	}
	dst = value.Append(dst, "o", value.Doc(e.O))
	if e.O2 != nil {
		dst = value.Append(dst, "o2", value.Doc(e.O2))
	}
	if e.FromMigrate {
		dst = value.Append(dst, "fromMigrate", value.Bool(true))
	}
	return finishDoc(dst)
}

// images returns the document images of the operations, nil if there are none.
func images(ops []*oplog.Entry) []oplog.Image {
	var out []oplog.Image
	for i, e := range ops {
		if e.Pre == nil && e.Post == nil {
			continue
		}
		if out == nil {
			out = make([]oplog.Image, len(ops))
		}
		out[i] = oplog.Image{Pre: e.Pre, Post: e.Post}
	}
	return out
}
