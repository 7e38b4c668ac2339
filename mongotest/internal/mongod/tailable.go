package mongod

import (
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// makeTailable lets c go on after the end of its capped collection or of the
// oplog. A tailable cursor on nothing is closed at once, as on the server.
func (op *operation) makeTailable(coll *storage.Collection, c *cursor) error {
	docs := c.feed.(*docFeed)
	tail := &tailFeed{docs: docs, node: op.node, more: func() {}}
	switch {
	case c.ns == oplogNS:
	case coll == nil || coll.Capped() && coll.Count() == 0:
		return nil
	case !coll.Capped():
		return mongoerr.New(mongoerr.BadValue, "error processing query: tailable cursor requested on non capped collection")
	default:
		tail.more = func() {
			for _, s := range docs.scans {
				s.again()
			}
		}
	}
	c.feed = tail
	return nil
}

// again lets a scan that has come to its end look for later documents.
func (s *scanSource) again() {
	if s.ended && len(s.ahead) == 0 {
		s.ended, s.next = false, s.pos
	}
}

// oplogNS is the namespace of the oplog.
const oplogNS = "local.oplog.rs"

// oplogSize is the size that the oplog says it is limited to. What really
// limits it is a number of entries.
const oplogSize = int64(1) << 30

// cappedPositionLost is the error of a scan that the oplog has overtaken.
func cappedPositionLost() error {
	return mongoerr.New(mongoerr.CappedPositionLost, "CollectionScan died due to position in capped collection being deleted.")
}
