package oplog

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// version is the v field of every entry.
const version = 2

// uninitializedTerm is the term in a prevOpTime that points nowhere.
const uninitializedTerm = -1

// BSON renders the entry as a document of local.oplog.rs.
func (e *Entry) BSON() bson.Raw {
	dst := make([]byte, 0, len(e.O)+len(e.O2)+len(e.Txn.LSID)+len(e.NS)+160)
	idx, dst := bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendTimestampElement(dst, "ts", e.TS.T, e.TS.I)
	dst = bsoncore.AppendInt64Element(dst, "t", e.Term)
	dst = bsoncore.AppendInt64Element(dst, "v", version)
	dst = bsoncore.AppendStringElement(dst, "op", string(rune(e.Op)))
	dst = bsoncore.AppendStringElement(dst, "ns", e.NS)
	if !e.UUID.IsZero() {
		dst = bsoncore.AppendBinaryElement(dst, "ui", 4, e.UUID[:])
	}
	if e.O != nil {
		dst = bsoncore.AppendDocumentElement(dst, "o", bsoncore.Document(e.O))
	}
	if e.O2 != nil {
		dst = bsoncore.AppendDocumentElement(dst, "o2", bsoncore.Document(e.O2))
	}
	dst = bsoncore.AppendDateTimeElement(dst, "wall", e.Wall.UnixMilli())
	dst = e.appendTxn(dst)
	if e.FromMigrate {
		dst = bsoncore.AppendBooleanElement(dst, "fromMigrate", true)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, idx) // fails for a wrong idx only
	return dst
}

// appendTxn appends lsid, txnNumber, stmtId and prevOpTime.
func (e *Entry) appendTxn(dst []byte) []byte {
	if e.Txn.LSID == nil {
		return dst
	}
	dst = bsoncore.AppendDocumentElement(dst, "lsid", bsoncore.Document(e.Txn.LSID))
	dst = bsoncore.AppendInt64Element(dst, "txnNumber", e.Txn.Number)
	if !e.Txn.Multi {
		dst = bsoncore.AppendInt32Element(dst, "stmtId", e.Txn.StmtID)
	}
	term := int64(uninitializedTerm)
	if !e.Txn.Prev.IsZero() {
		term = e.Term
	}
	prev, dst := bsoncore.AppendDocumentElementStart(dst, "prevOpTime")
	dst = bsoncore.AppendTimestampElement(dst, "ts", e.Txn.Prev.T, e.Txn.Prev.I)
	dst = bsoncore.AppendInt64Element(dst, "t", term)
	dst, _ = bsoncore.AppendDocumentEnd(dst, prev) // fails for a wrong index only
	if e.Txn.Multi && e.CommandName() == "applyOps" {
		dst = bsoncore.AppendInt32Element(dst, "multiOpType", 0)
	}
	return dst
}

// size is what the entry counts against Options.MaxBytes: its documents and
// the fixed fields. Images are not counted, as they are not in the log.
func (e *Entry) size() int64 {
	const fixed = 100
	return int64(len(e.O) + len(e.O2) + len(e.NS) + len(e.Txn.LSID) + fixed)
}
