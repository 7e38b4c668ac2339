package oplog

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Majority returns the majority commit point: what is later may yet be rolled
// back. It is Last but between Hold and Release.
func (l *Log) Majority() bson.Timestamp {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.majority()
}

func (l *Log) majority() bson.Timestamp {
	if l.held {
		return l.commit
	}
	return l.last
}

// Hold stops the majority commit point at ts, because a majority of the members
// has no more. Another Hold may move it on.
func (l *Log) Hold(ts bson.Timestamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.commit = true, ts
	l.wake()
}

// HoldHere stops the majority commit point where it is, unless it stands already.
func (l *Log) HoldHere() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		l.held, l.commit = true, l.last
	}
}

// Release lets the majority commit point follow the last entry again.
func (l *Log) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	l.wake()
}

// ReadMajority is Read up to the majority commit point.
func (l *Log) ReadMajority(after bson.Timestamp, inclusive bool, limit int) ([]*Entry, error) {
	entries, err := l.Read(after, inclusive, limit)
	if err != nil {
		return nil, err
	}
	commit := l.Majority()
	for len(entries) > 0 && entries[len(entries)-1].TS.After(commit) {
		entries = entries[:len(entries)-1]
	}
	return entries, nil
}

// WaitMajority returns nil once Majority is later than after, or the cause of
// ctx's end.
func (l *Log) WaitMajority(ctx context.Context, after bson.Timestamp) error {
	return l.wait(ctx, func() bool { return l.majority().After(after) })
}

// Branch returns a log of its own that has the entries up to ts, which l has, and
// in which the majority commit point stands where it is in l.
func (l *Log) Branch(ts bson.Timestamp) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &Log{clock: l.clock, opts: l.opts, term: l.term, dropped: l.dropped, last: ts, held: true, commit: l.majority()}
	l.copyTo(b, l.search(ts, false))
	if b.commit.After(ts) {
		b.commit = ts
	}
	return b
}
