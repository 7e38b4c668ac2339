package shardworker

import "github.com/shardferry/shardferry"

// A frontier tracks which events are still being applied and gives the latest
// position that is safe to resume from: every event at or before it is on the
// destination, although later ones may have landed first. Copy batches hold it
// back to the time they were read at.
//
// It is not safe for concurrent use.
type frontier struct {
	seen    shardferry.ClusterTime // every event at or before it has a ticket or needs none
	pending []slot                 // in stream order
	base    uint64                 // ticket of pending[0]

	holds    map[uint64]shardferry.ClusterTime
	nextHold uint64
}

type slot struct {
	time shardferry.ClusterTime
	done bool
}

func newFrontier(from shardferry.ClusterTime) *frontier {
	return &frontier{seen: from, holds: map[uint64]shardferry.ClusterTime{}}
}

// begin registers the next event of the stream and returns its ticket. Events of
// one transaction share their time, so the event says only that everything
// before its time has been seen.
func (f *frontier) begin(t shardferry.ClusterTime) uint64 {
	f.pass(shardferry.Pred(t))
	f.pending = append(f.pending, slot{time: t})
	return f.base + uint64(len(f.pending)) - 1
}

// pass notes that every event at or before t has been registered.
func (f *frontier) pass(t shardferry.ClusterTime) { f.seen = shardferry.LaterOf(f.seen, t) }

// done marks an event as applied.
func (f *frontier) done(ticket uint64) {
	f.pending[ticket-f.base].done = true
	for len(f.pending) > 0 && f.pending[0].done {
		f.pending = f.pending[1:]
		f.base++
	}
}

// hold keeps the frontier at or before r until the hold is released.
func (f *frontier) hold(r shardferry.ClusterTime) uint64 {
	f.nextHold++
	f.holds[f.nextHold] = r
	return f.nextHold
}

func (f *frontier) release(hold uint64) { delete(f.holds, hold) }

// applied returns the position that is safe to resume from.
func (f *frontier) applied() shardferry.ClusterTime {
	at := f.seen
	if len(f.pending) > 0 {
		at = shardferry.EarlierOf(at, shardferry.Pred(f.pending[0].time))
	}
	for _, r := range f.holds {
		at = shardferry.EarlierOf(at, r)
	}
	return at
}

// still reports whether nothing is being applied or copied.
func (f *frontier) still() bool { return len(f.pending) == 0 && len(f.holds) == 0 }
