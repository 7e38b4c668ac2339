package shardworker

import (
	"sync"

	"github.com/shardferry/shardferry"
)

// A ledger is what the parts of one worker agree on: the assignment, which
// events have been handed to a lane, which copy batches are active, and where
// the stream stands. One lock covers it, because the rules of overtaking and of
// barriers compare these with each other. Nothing waits while holding it.
type ledger struct {
	shard shardferry.ShardID

	mu       sync.Mutex
	plan     shardferry.Assignment
	targets  map[shardferry.UUID]*shardferry.Collection // of plan, those in use
	replaced chan struct{}                              // closed when plan is, or when waiting may be over
	frontier *frontier
	handed   shardferry.ClusterTime // of the last event handed to a lane
	active   map[*activeBatch]struct{}
	images   limits
	order    cappedOrder
	blocked  shardferry.ClusterTime // of the event that cannot be handed on, if any
	schema   *shardferry.SchemaChange
	told     shardferry.Report // the last report: what it said need not be said again at once
	counts   counts
	filters  filters // never changed

	urgent chan struct{} // has a token when a report should not wait
}

// limits are times that images on the destination are not newer than.
type limits struct {
	copied  map[shardferry.UUID]shardferry.ClusterTime // those put outside the lane of their key
	horizon shardferry.ClusterTime                     // those of former epochs
}

// counts are totals of the epoch.
type counts struct{ events, repairs int64 }

func newLedger(shard shardferry.ShardID, a shardferry.Assignment, f filters) *ledger {
	l := &ledger{
		shard: shard, plan: a, filters: f,
		targets:  map[shardferry.UUID]*shardferry.Collection{},
		replaced: make(chan struct{}),
		frontier: newFrontier(a.From),
		handed:   a.From,
		active:   map[*activeBatch]struct{}{},
		images:   limits{copied: map[shardferry.UUID]shardferry.ClusterTime{}},
		order:    newCappedOrder(a.Tasks),
		urgent:   make(chan struct{}, 1),
	}
	l.settle(a)
	return l
}

// assign replaces the assignment and wakes whoever waits for another one. It
// asks for a report only if that could say something new: each report makes a
// new assignment, which must not make another report.
func (l *ledger) assign(a shardferry.Assignment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := barrierID(a.Barrier) != barrierID(l.plan.Barrier) || a.Resolved != l.plan.Resolved || a.Until != l.plan.Until
	l.plan = a
	l.settle(a)
	l.blocked = shardferry.ClusterTime{} // until the dispatcher has looked again
	l.targets = map[shardferry.UUID]*shardferry.Collection{}
	l.wake()
	if l.schema != nil && a.Resolved.Covers(*l.schema) {
		l.schema = nil
	}
	if news {
		l.hurry()
	}
}

// wake has everyone look again who waits for another assignment. The caller
// holds the lock.
func (l *ledger) wake() {
	close(l.replaced)
	l.replaced = make(chan struct{})
}

func barrierID(b *shardferry.Barrier) int64 {
	if b == nil {
		return 0
	}
	return b.ID
}

// assignment returns the current one and a channel that is closed when it is
// replaced.
func (l *ledger) assignment() (shardferry.Assignment, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.plan, l.replaced
}

// target returns where a source collection goes, nil if it is not known. The
// caller holds the lock; the value is never changed.
func (l *ledger) target(uuid shardferry.UUID) *shardferry.Collection {
	if c := l.targets[uuid]; c != nil {
		return c
	}
	c, ok := l.plan.Collections[uuid]
	if !ok {
		return nil
	}
	l.targets[uuid] = &c
	return &c
}

// hurry asks for a report now. The caller holds the lock or not.
func (l *ledger) hurry() {
	select {
	case l.urgent <- struct{}{}:
	default: // one is asked for already
	}
}

// setHorizon notes that no write of a former epoch is newer than t.
func (l *ledger) setHorizon(t shardferry.ClusterTime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images.horizon = shardferry.LaterOf(l.images.horizon, t)
}

// pass notes that the stream has returned everything at or before t, and that
// all of it has been handed on.
func (l *ledger) pass(t shardferry.ClusterTime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frontier.pass(t)
	l.hurryIfAwaited()
}

// finish marks events as applied.
func (l *ledger) finish(tickets []uint64, repairs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range tickets {
		l.frontier.done(t)
	}
	l.counts.events += int64(len(tickets))
	l.counts.repairs += int64(repairs)
	l.hurryIfAwaited()
}

// hurryIfAwaited asks for a report if the worker has reached something that is
// waited for, and has not said so yet: it stands still at a barrier, or all that
// a commit needs is applied. The caller holds the lock.
func (l *ledger) hurryIfAwaited() {
	if id := l.ready(); id != 0 && id != l.told.Ready {
		l.hurry()
	}
	if end := l.plan.Until; !end.IsZero() && l.told.Applied.Before(end) && !l.frontier.applied().Before(end) {
		l.hurry()
	}
}

// ready returns the id of the barrier at which the worker stands still, zero if
// it does not: everything at or before the barrier's time is applied, nothing
// is in a lane, no copy batch is active, and nothing can begin. The caller holds
// the lock.
func (l *ledger) ready() int64 {
	b := l.plan.Barrier
	if b == nil || !l.frontier.still() {
		return 0
	}
	reached := !l.frontier.seen.Before(b.Time)
	standing := !l.blocked.IsZero() && !l.blocked.Before(b.Time)
	if reached || standing {
		return b.ID
	}
	return 0
}

// report returns what the ledger knows for a report.
func (l *ledger) report() shardferry.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := shardferry.Report{
		Shard: l.shard, Epoch: l.plan.Epoch,
		Applied: l.frontier.applied(), Seen: l.frontier.seen,
		Ready: l.ready(), Events: l.counts.events, Repairs: l.counts.repairs,
	}
	l.told = r
	if l.schema != nil {
		change := *l.schema
		r.Schema = &change
	}
	return r
}
