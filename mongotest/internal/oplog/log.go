package oplog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// ErrTruncated reports that entries the caller asked for have been rolled over
// or truncated. A change stream answers with ChangeStreamHistoryLost.
var ErrTruncated = errors.New("oplog: entries have been truncated")

// Options bound a Log. Zero means no bound. The last entry always stays.
type Options struct {
	MaxEntries int
	MaxBytes   int64
}

// A Log is one replica set's oplog. It is safe for concurrent use.
type Log struct {
	clock *Clock
	opts  Options

	mu     sync.RWMutex
	ring   queue[*Entry]
	stored *stored // what comes before ring and is on the disk; nil: nothing is
	bytes  int64
	term   int64
	last   bson.Timestamp
	// lastTerm is the term of the entry at last.
	lastTerm int64
	dropped  bson.Timestamp // timestamp of the newest entry that is gone, zero if none is
	changed  chan struct{}  // closed at the next Append; nil while nobody waits

	held   bool           // the majority commit point does not follow last
	commit bson.Timestamp // it then
}

// NewLog returns an empty log in term 1 that takes its times from clock.
func NewLog(clock *Clock, o Options) *Log {
	return &Log{clock: clock, opts: o, term: 1}
}

// Append assigns each entry its TS, and Term and Wall where they are zero, and
// adds them in order. Consecutive entries of one multi-document transaction are
// chained through Txn.Prev. It returns the last TS. The caller holds the lock
// of the data it changed and does not touch the entries afterwards.
func (l *Log) Append(es ...*Entry) bson.Timestamp {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(es) == 0 {
		return l.last
	}
	l.stamp(es)
	if l.stored != nil && l.stored.attached {
		_, _ = l.write(nil, es) // a disk that fails ends the cluster
		return l.last
	}
	for _, e := range es {
		l.ring.push(e)
	}
	l.added(es)
	return l.last
}

// stamp gives the entries what they have of the log's: see Append.
func (l *Log) stamp(es []*Entry) {
	if len(es) == 0 {
		return
	}
	ts := l.clock.Tick(len(es))
	var wall time.Time
	for i, e := range es {
		e.TS = bson.Timestamp{T: ts.T, I: ts.I + uint32(i)}
		if e.Term == 0 {
			e.Term = l.term
		}
		if e.Wall.IsZero() {
			if wall.IsZero() {
				wall = l.clock.wall()
			}
			e.Wall = wall
		}
		if i > 0 && sameTransaction(es[i-1], e) {
			e.Txn.Prev = es[i-1].TS
		}
	}
}

// added counts entries that have been added.
func (l *Log) added(es []*Entry) {
	if len(es) == 0 {
		return
	}
	for _, e := range es {
		l.bytes += e.size()
	}
	l.last, l.lastTerm = es[len(es)-1].TS, es[len(es)-1].Term
	l.rollover()
	l.wake()
}

// wake has everyone look again who waits for entries. The caller holds mu.
func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func sameTransaction(a, b *Entry) bool {
	return a.Txn.Multi && b.Txn.Multi && a.Txn.Number == b.Txn.Number && bytes.Equal(a.Txn.LSID, b.Txn.LSID)
}

// Noop appends a no-op entry with the given o, as the periodic noop writer and
// appendOplogNote do, and returns its timestamp.
func (l *Log) Noop(o bson.Raw) bson.Timestamp { return l.Append(&Entry{Op: Noop, O: o}) }

// First returns the timestamp of the oldest entry, zero if the log is empty.
func (l *Log) First() bson.Timestamp {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.count() == 0 {
		return bson.Timestamp{}
	}
	return l.timeAt(0)
}

// Last returns the timestamp of the newest entry, zero if there never was one.
func (l *Log) Last() bson.Timestamp {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// LastTerm returns the term of the newest entry, with its timestamp.
func (l *Log) LastTerm() (bson.Timestamp, int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, l.lastTerm
}

// Dropped returns the timestamp of the newest entry that has been rolled over
// or truncated, zero if the log still reaches back to its beginning.
func (l *Log) Dropped() bson.Timestamp {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dropped
}

// Len returns the number of entries.
func (l *Log) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.count()
}

// Bytes returns the size of all entries in bytes, as Options.MaxBytes counts it.
func (l *Log) Bytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bytes
}

// SetTerm sets the term of later entries, at an election.
func (l *Log) SetTerm(term int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
}

// Term returns the term that later entries get.
func (l *Log) Term() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.term
}

// Read returns up to limit entries in order, from the first one later than after,
// or at it if inclusive. No entries and no error means the end of the log. It
// fails with ErrTruncated if entries it should have returned are gone.
func (l *Log) Read(after bson.Timestamp, inclusive bool, limit int) ([]*Entry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.dropped.After(after) || inclusive && !l.dropped.IsZero() && l.dropped.Equal(after) {
		return nil, fmt.Errorf("read after %v: %w", after, ErrTruncated)
	}
	return l.slice(l.search(after, inclusive), limit), nil
}

// At returns the entry with exactly this timestamp.
func (l *Log) At(ts bson.Timestamp) (*Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := l.search(ts, true)
	if i == l.count() || !l.timeAt(i).Equal(ts) {
		return nil, false
	}
	return l.entryAt(i), true
}

// Wait returns nil once Last is later than after, or the cause of ctx's end.
func (l *Log) Wait(ctx context.Context, after bson.Timestamp) error {
	return l.wait(ctx, func() bool { return l.last.After(after) })
}

// wait returns once reached does, which is called with mu held.
func (l *Log) wait(ctx context.Context, reached func() bool) error {
	for {
		changed := l.watch(reached)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Changed returns a channel that closes when entries come or the majority commit
// point may have moved. Take it before looking, so that nothing is missed.
func (l *Log) Changed() <-chan struct{} { return l.watch(func() bool { return false }) }

// Resize changes the bounds of the log. What is beyond them rolls over at once.
func (l *Log) Resize(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opts = o
	l.rollover()
}

// Limits returns the bounds of the log.
func (l *Log) Limits() Options {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.opts
}

// watch returns the channel that the next change closes, or nil if what is
// waited for is there already.
func (l *Log) watch(reached func() bool) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reached() {
		return nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// Truncate drops the entries older than before, as if the log had rolled over.
// The last entry always stays.
func (l *Log) Truncate(before bson.Timestamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count() > 1 && l.timeAt(0).Before(before) {
		l.dropFirst()
	}
}
