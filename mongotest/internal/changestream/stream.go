package changestream

import (
	"context"
	"errors"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// readAhead is how many oplog entries a stream reads at a time.
const readAhead = 256

// A Catalog is what a Stream asks the data for. It is called from Next, on the
// caller's goroutine, never while a lock is held.
type Catalog interface {
	// ShardKey returns the shard key pattern of a collection, nil if it is
	// unsharded or unknown.
	ShardKey(uuid value.UUID) bson.Raw
	// LookupDoc returns the current document with this documentKey, for
	// fullDocument: "updateLookup". False if it or the collection is gone.
	LookupDoc(uuid value.UUID, documentKey bson.Raw) (bson.Raw, bool)
}

// A Stream is a change stream over one replica set's oplog: a cursor, used by
// one goroutine at a time.
type Stream struct {
	log   Log
	maker *maker
	tail  *tail // nil with Spec.NeedsMerge

	next    position
	entries []*oplog.Entry // read but not unwound
	ops     []operation    // of the entry read last, not made into events yet
	scratch []operation
	events  []event
	queue   []output // for the client
	mark    mark

	started bool
	closed  bool
	err     error
}

// A position is a place between two entries of a log.
type position struct {
	ts        bson.Timestamp
	inclusive bool // the entry at ts is still to be read
}

// after returns the time that the log's Last must exceed for there to be
// something to read.
func (p position) after() bson.Timestamp {
	switch {
	case !p.inclusive:
		return p.ts
	case p.ts.I > 0:
		return bson.Timestamp{T: p.ts.T, I: p.ts.I - 1}
	case p.ts.T > 0:
		return bson.Timestamp{T: p.ts.T - 1, I: math.MaxUint32}
	}
	return bson.Timestamp{}
}

// A Log is the oplog that a stream reads; an *oplog.Log is one.
type Log interface {
	First() bson.Timestamp
	Last() bson.Timestamp
	Dropped() bson.Timestamp
	At(ts bson.Timestamp) (*oplog.Entry, bool)
	// ReadMajority returns entries that cannot be rolled back: see oplog.Log.
	ReadMajority(after bson.Timestamp, inclusive bool, limit int) ([]*oplog.Entry, error)
	// WaitMajority returns once there are some later than after, or with the
	// cause of ctx's end.
	WaitMajority(ctx context.Context, after bson.Timestamp) error
}

// Open validates the user's stages and returns a stream. It reads nothing yet:
// a resume point that is gone is reported by the first Next. version is the
// simulated server's.
func Open(log Log, cat Catalog, spec Spec, userStages []bson.Raw, version release.Version) (*Stream, error) {
	f := featuresOf(version)
	if spec.Start == nil {
		last := log.Last()
		spec = spec.StartingAt(bson.Timestamp{T: last.T, I: last.I + 1})
	}
	start := spec.startToken(f)
	s := &Stream{
		log:   log,
		maker: newMaker(spec, start, f, cat),
		next:  position{ts: start.Time, inclusive: true},
		mark:  startMark(start, f),
	}
	if spec.NeedsMerge {
		if len(userStages) > 0 {
			return nil, mongoerr.New(mongoerr.InternalError, "a shard's part of a change stream has no user stages")
		}
		return s, nil
	}
	var err error
	s.tail, err = newTail(spec, userStages)
	return s, err
}

// startToken returns Start with the version filled in where it was a time.
func (s Spec) startToken(f features) Token {
	t := *s.Start
	if t.Version == 0 {
		t.Version = f.tokenVersion
	}
	return t
}

func startMark(start Token, f features) mark {
	m := mark{time: start.Time, version: f.tokenVersion}
	if start.Type == EventToken || start.Version != f.tokenVersion {
		m.token = start.BSON()
	}
	return m
}

// Next returns the next events, at most maxDocs (0: no limit) and about
// maxBytes (0: 16 MiB) of them, and the postBatchResumeToken. Without any it waits
// up to wait for the first. closed means the stream is invalidated and ends
// with this batch. After an error the stream is unusable.
func (s *Stream) Next(ctx context.Context, maxDocs, maxBytes int, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error) {
	if s.err != nil {
		return nil, nil, false, s.err
	}
	b := newBatch(maxDocs, maxBytes)
	ctxWait, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for !s.closed {
		if s.err = s.fill(ctx, b); s.err != nil && !b.done() {
			return nil, nil, false, s.err
		}
		if ctx.Err() != nil && !b.done() {
			return nil, nil, false, context.Cause(ctx)
		}
		s.closed = b.last
		if b.done() || wait <= 0 {
			break
		}
		if err := s.log.WaitMajority(ctxWait, s.next.after()); err != nil {
			if ctx.Err() != nil {
				return nil, nil, false, context.Cause(ctx)
			}
			break
		}
	}
	return b.docs, s.mark.bson(), s.closed, nil
}

// PBRT returns the postBatchResumeToken without reading further: the reply to
// an aggregate with batchSize 0 carries it.
func (s *Stream) PBRT() bson.Raw { return s.mark.bson() }

// fill reads until the batch is full or the log ends. The documents that are in
// the batch when an error comes are still good: the error is Next's next answer.
func (s *Stream) fill(ctx context.Context, b *batch) error {
	if err := s.checkHistory(); err != nil {
		return err
	}
	for {
		if s.queue = b.take(s.queue, &s.mark); len(s.queue) > 0 || b.isFull() {
			return nil
		}
		more, err := s.advance(ctx)
		if err != nil {
			return err
		}
		if !more {
			s.mark.scanned(s.next.examined())
			return nil
		}
	}
}

// examined returns the time of the last entry read, zero before the first.
func (p position) examined() bson.Timestamp {
	if p.inclusive {
		return bson.Timestamp{}
	}
	return p.ts
}

// checkHistory fails, the first time, if the log does not reach back to where
// the stream starts.
func (s *Stream) checkHistory() error {
	if s.started {
		return nil
	}
	s.started = true
	if !s.log.Dropped().IsZero() && s.log.First().After(s.next.ts) {
		return historyLost("Resume of change stream was not possible, as the resume point may no longer be in the oplog.")
	}
	return nil
}

// advance makes the events of one operation, or reads entries until there is
// one; false at the end of the log.
func (s *Stream) advance(ctx context.Context) (bool, error) {
	for len(s.ops) == 0 {
		if len(s.entries) == 0 {
			more, err := s.read(ctx)
			if err != nil || !more {
				return false, err
			}
		}
		e := s.entries[0]
		s.entries = s.entries[1:]
		ops, err := unwind(s.scratch[:0], s.log, e)
		if err != nil {
			return false, err
		}
		s.ops, s.scratch = ops, ops
	}
	op := &s.ops[0]
	s.ops = s.ops[1:]
	events, err := s.maker.events(s.events[:0], op)
	if err != nil {
		return false, err
	}
	s.events = events
	for _, e := range events {
		if err := s.push(ctx, e); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *Stream) push(ctx context.Context, e event) (err error) {
	if s.tail == nil {
		s.queue = append(s.queue, output{doc: e.doc, id: e.id, time: e.time, last: e.invalidates})
		return nil
	}
	s.queue, err = s.tail.push(ctx, s.queue, e)
	return err
}

// read fetches entries; false at the end of the log, or of ctx.
func (s *Stream) read(ctx context.Context) (bool, error) {
	select {
	case <-ctx.Done():
		return false, nil
	default:
	}
	entries, err := s.log.ReadMajority(s.next.ts, s.next.inclusive, readAhead)
	if errors.Is(err, oplog.ErrTruncated) {
		return false, mongoerr.New(mongoerr.CappedPositionLost,
			"CollectionScan died due to position in capped collection being deleted. Last seen record id: %v", s.next.ts)
	}
	if err != nil || len(entries) == 0 {
		return false, err
	}
	s.entries = entries
	s.next = position{ts: entries[len(entries)-1].TS}
	return true, nil
}
