package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A line is one history of a replica set: its data, its oplog and what goes with
// them. As a rule there is one, which all members share. When a primary is
// elected that does not have all of it, or while another primary goes on writing
// to it, the new primary begins a line of its own that branches off where its
// data end. The old line lives as long as a member is on it; what only it has is
// rolled back as that member comes over.
type line struct {
	engine    *storage.Engine
	log       *oplog.Log
	sessions  *sessionTable
	snapshots *snapshotTable
	block     *writeBlock

	id   int64
	past []fork // where this line and those it came from have branched off, newest first

	// commit is the data at the majority commit point, nil while that is the
	// latest. The set's lock guards it.
	commit *storage.Transaction
}

// A fork says up to when a line has what another one has.
type fork struct {
	from int64 // the other line's id
	at   bson.Timestamp
}

func newLine(e *storage.Engine, l *oplog.Log) *line {
	return &line{engine: e, log: l, sessions: newSessionTable(), snapshots: newSnapshotTable(), block: newWriteBlock()}
}

// branch returns a new line that begins with what from is a snapshot of.
func (l *line) branch(from *storage.Transaction) *line {
	at := from.ReadTime()
	log := l.log.Branch(at)
	b := newLine(from.Branch(log), log)
	b.past = append([]fork{{l.id, at}}, l.past...)
	b.block = l.block.branch(at)
	b.sessions = l.sessions.branch(b, at)
	b.commit = from
	if c := l.commit; c != nil && c.ReadTime().Before(at) {
		b.commit = c
	}
	return b
}

// has reports whether everything at a place is on the line.
func (l *line) has(p *place) bool {
	if p.line == l {
		return true
	}
	for _, f := range l.past {
		if f.from == p.line.id {
			return !p.applied().After(f.at)
		}
	}
	return false
}

// begin takes a snapshot of what is on the line. The majority commit point does
// not pass it until it is settled again.
func (l *line) begin() *storage.Transaction {
	return l.engine.Begin(storage.Meta{Now: time.Now()}, l.log.HoldHere)
}

// A place is where a member is: on which line, and how far.
type place struct {
	line    *line
	stopped *storage.Transaction // what it has applied, nil if it keeps up
	term    int64                // of the newest entry in stopped
}

// applied returns the time up to which the member has applied.
func (p *place) applied() bson.Timestamp {
	if p.stopped != nil {
		return p.stopped.ReadTime()
	}
	return p.line.log.Last()
}

// behind returns a place like p that has what is there now.
func (p *place) behind(now *storage.Transaction) *place {
	_, term := p.line.log.LastTerm()
	return &place{line: p.line, stopped: now, term: term}
}

// after reports whether p has applied more than q: what later terms wrote counts
// for more.
func (p *place) after(q *place) bool {
	pts, pterm := p.newest()
	qts, qterm := q.newest()
	if pterm != qterm {
		return pterm > qterm
	}
	return pts.After(qts)
}

func (p *place) newest() (bson.Timestamp, int64) {
	if p.stopped != nil {
		return p.stopped.ReadTime(), p.term
	}
	return p.line.log.LastTerm()
}

// line returns the line that the node is on.
func (n *Node) line() *line { return n.place.Load().line }

// view runs fn on the latest data that the node has.
func (n *Node) view(fn func(*storage.Tx) error) error {
	p := n.place.Load()
	if p.stopped != nil {
		return p.stopped.View(fn)
	}
	return p.line.engine.View(fn)
}

// A nodeLog is the oplog as a node has it: on whatever line the node is, and not
// beyond what it has applied. It implements changestream.Log.
type nodeLog struct{ n *Node }

func (l nodeLog) First() bson.Timestamp   { return l.n.line().log.First() }
func (l nodeLog) Dropped() bson.Timestamp { return l.n.line().log.Dropped() }
func (l nodeLog) Last() bson.Timestamp    { return l.n.applied() }

func (l nodeLog) At(ts bson.Timestamp) (*oplog.Entry, bool) { return l.n.line().log.At(ts) }

// Read returns entries that the node has: see oplog.Log.
func (l nodeLog) Read(after bson.Timestamp, inclusive bool, limit int) ([]*oplog.Entry, error) {
	p := l.n.place.Load()
	entries, err := p.line.log.Read(after, inclusive, limit)
	return upTo(entries, p), err
}

// ReadMajority returns those of them that a majority has.
func (l nodeLog) ReadMajority(after bson.Timestamp, inclusive bool, limit int) ([]*oplog.Entry, error) {
	p := l.n.place.Load()
	entries, err := p.line.log.ReadMajority(after, inclusive, limit)
	return upTo(entries, p), err
}

// upTo leaves out what the member has not applied.
func upTo(entries []*oplog.Entry, p *place) []*oplog.Entry {
	if p.stopped == nil {
		return entries
	}
	for len(entries) > 0 && entries[len(entries)-1].TS.After(p.stopped.ReadTime()) {
		entries = entries[:len(entries)-1]
	}
	return entries
}

// WaitMajority returns once ReadMajority has something later than after.
func (l nodeLog) WaitMajority(ctx context.Context, after bson.Timestamp) error {
	return l.wait(ctx, func(p *place) bool { return p.line.log.Majority().After(after) && p.applied().After(after) })
}

// Wait returns once Read has something later than after.
func (l nodeLog) Wait(ctx context.Context, after bson.Timestamp) error {
	return l.wait(ctx, func(p *place) bool { return p.applied().After(after) })
}

func (l nodeLog) wait(ctx context.Context, reached func(*place) bool) error {
	for {
		moved := l.n.set.progress.next()
		p := l.n.place.Load()
		if reached(p) {
			return nil
		}
		changed := p.line.log.Changed()
		if reached(p) {
			return nil
		}
		select {
		case <-moved:
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// enterLine notes the line that op is on, before its role is checked.
func (op *operation) enterLine() { op.line = op.node.line() }

// checkLine fails if the node has changed lines since: what op found the node to
// be may be of the other one.
func (op *operation) checkLine() error {
	if op.line == op.node.line() {
		return nil
	}
	return mongoerr.New(mongoerr.InterruptedDueToReplStateChange, "operation was interrupted because the node changed its state")
}
