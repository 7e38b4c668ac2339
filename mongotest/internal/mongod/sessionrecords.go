package mongod

import (
	"slices"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// sessionRecordsNS has what a replica set keeps of the sessions that have written.
const sessionRecordsNS = "config.transactions"

// sessionRecords are the documents of config.transactions.
func (op *operation) sessionRecords() []bson.Raw {
	var docs []bson.Raw
	for _, s := range op.line.sessions.everyone() {
		if d := s.record(op.line.log); d != nil {
			docs = append(docs, d)
		}
	}
	slices.SortFunc(docs, value.CompareDocs)
	return docs
}

// everyone returns all sessions, those of before a restart too.
func (t *sessionTable) everyone() []*session {
	out := t.list()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.past {
		out = append(out, s)
	}
	return out
}

// record is what config.transactions has of a session, nil if it has written
// nothing that outlives it.
func (s *session) record(log *oplog.Log) bson.Raw {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, state := bson.Timestamp{}, ""
	if t := s.txn; t != nil {
		last, state = t.logged, t.recordedState()
	}
	for _, r := range s.results {
		if r.at.After(last) {
			last = r.at
		}
	}
	if last.IsZero() {
		return nil
	}
	pairs := []any{
		"_id", s.lsid, "txnNum", s.number, "lastWriteOpTime", opTime(log, last),
		"lastWriteDate", bson.NewDateTimeFromTime(time.Unix(int64(last.T), 0)),
	}
	if state != "" {
		pairs = append(pairs, "state", state)
	}
	if state == "prepared" {
		pairs = append(pairs, "startOpTime", opTime(log, firstOf(log, s.txn.preparedAt)))
	}
	return value.D(pairs...)
}

func (t *transaction) recordedState() string {
	switch {
	case t.prepared:
		return "prepared"
	case t.state == txnCommitted:
		return "committed"
	default:
		return "aborted"
	}
}

// firstOf follows the entries of a transaction back to the first that is there.
func firstOf(log *oplog.Log, ts bson.Timestamp) bson.Timestamp {
	for {
		e, ok := log.At(ts)
		if !ok || e.Txn.Prev.IsZero() {
			return ts
		}
		ts = e.Txn.Prev
	}
}

func opTime(log *oplog.Log, ts bson.Timestamp) bson.Raw {
	term := log.Term()
	if e, ok := log.At(ts); ok {
		term = e.Term
	}
	return value.D("ts", ts, "t", term)
}

// txnCounts counts the transactions of a process.
type txnCounts struct {
	started, committed, aborted                          atomic.Int64
	prepared, preparedThenCommitted, preparedThenAborted atomic.Int64
}

// ended counts the end of a transaction.
func (c *txnCounts) ended(as txnState, prepared bool) {
	switch {
	case c == nil: // it began in another process
	case as == txnCommitted:
		c.committed.Add(1)
		if prepared {
			c.preparedThenCommitted.Add(1)
		}
	default:
		c.aborted.Add(1)
		if prepared {
			c.preparedThenAborted.Add(1)
		}
	}
}

func (op *operation) transactionStats() bson.Raw {
	var open, prepared int64
	for _, s := range op.line.sessions.list() {
		if s.tryCheckOut() {
			if s.txn != nil && s.txn.state == txnOpen {
				open++
				if s.txn.prepared {
					prepared++
				}
			}
			s.checkIn()
		}
	}
	zero, c := int64(0), &op.node.records.txns
	return value.D("retriedCommandsCount", zero, "retriedStatementsCount", zero, "transactionsCollectionWriteCount", zero,
		"currentActive", zero, "currentInactive", open, "currentOpen", open,
		"totalAborted", c.aborted.Load(), "totalCommitted", c.committed.Load(), "totalStarted", c.started.Load(),
		"totalPrepared", c.prepared.Load(), "totalPreparedThenCommitted", c.preparedThenCommitted.Load(),
		"totalPreparedThenAborted", c.preparedThenAborted.Load(), "currentPrepared", prepared)
}
