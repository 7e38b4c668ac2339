package changestream

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// defaultBatchBytes is the most that one reply holds.
const defaultBatchBytes = 16 << 20

// A batch collects the documents of one reply.
type batch struct {
	docs              []bson.Raw
	bytes             int
	maxDocs, maxBytes int
	last              bool // the stream ends with the batch
}

func newBatch(maxDocs, maxBytes int) *batch {
	if maxBytes <= 0 || maxBytes > defaultBatchBytes {
		maxBytes = defaultBatchBytes
	}
	return &batch{maxDocs: maxDocs, maxBytes: maxBytes}
}

// isFull reports whether no document fits.
func (b *batch) isFull() bool { return b.maxDocs > 0 && len(b.docs) >= b.maxDocs || b.last }

// done reports whether there is something to answer with.
func (b *batch) done() bool { return len(b.docs) > 0 || b.last }

// take moves documents from the queue to the batch, advances the mark with
// them, and returns the rest of the queue. A single document always fits.
func (b *batch) take(queue []output, mark *mark) []output {
	for i, out := range queue {
		if b.isFull() || len(b.docs) > 0 && b.bytes+len(out.doc) > b.maxBytes {
			return queue[i:]
		}
		if out.doc != nil {
			b.docs = append(b.docs, out.doc)
			b.bytes += len(out.doc)
		}
		b.last = out.last
		mark.returned(out.id, out.time)
	}
	return queue[:0]
}

// A mark is how far a stream has got: its postBatchResumeToken.
type mark struct {
	time    bson.Timestamp
	token   bson.Raw // nil: the high water mark of time
	version int      // of high water marks
}

func (m *mark) returned(token bson.Raw, time bson.Timestamp) {
	m.token, m.time = token, time
}

// scanned moves the mark to the time up to which the log has been examined. At
// the time of the last event the event's own token stays.
func (m *mark) scanned(ts bson.Timestamp) {
	if ts.After(m.time) {
		m.time, m.token = ts, nil
	}
}

// promised moves the mark to a token that all shards have got to.
func (m *mark) promised(token bson.Raw) {
	if CompareTokens(token, m.bson()) > 0 {
		m.token = token
	}
}

// bson renders the postBatchResumeToken.
func (m *mark) bson() bson.Raw {
	if m.token != nil {
		return m.token
	}
	return HighWater(m.time, m.version).BSON()
}
