package shardworker

import (
	"context"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

// A job is one thing for a lane to do: apply an event, or read a document again.
type job struct {
	coll   *shardferry.Collection
	ev     event                  // of a repair only time and key are set
	id     uint64                 // hash of its _id
	hash   uint64                 // of its lane
	reread bool                   // of an update: read the source instead of applying what the event says
	past   shardferry.ClusterTime // of any event, if set: read the source at it or later instead
	ticket uint64
	done   func() // of a repair for a copy batch; nil for an event
}

func (j *job) size() int { return len(j.ev.raw) + eventOverhead }

// A dispatcher takes the events of the stream in order and hands each to the
// lane of its key. It stops at what it may not pass.
type dispatcher struct {
	ledger *ledger
	lanes  []*lane
	events *account
}

// run hands on what the reader sends until ctx ends.
func (d *dispatcher) run(ctx context.Context, in <-chan chunk) error {
	for {
		select {
		case c := <-in:
			for _, ev := range c.events {
				if err := d.dispatch(ctx, ev); err != nil {
					return err
				}
			}
			d.ledger.pass(c.seen)
			if len(c.events) > 0 {
				shardferry.Reached(ctx, shardferry.StreamHanded)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *dispatcher) dispatch(ctx context.Context, ev event) error {
	for {
		j, wait := d.ledger.admit(ev)
		if wait == nil {
			if j == nil {
				d.events.release(ev.held)
				return nil
			}
			return d.laneOf(j).send(ctx, j)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *dispatcher) laneOf(j *job) *lane { return d.lanes[j.hash%uint64(len(d.lanes))] }

// newJob makes the job for an event, or for what stands in its place.
func newJob(coll *shardferry.Collection, ev event) *job {
	return &job{coll: coll, ev: ev, id: keyhash.ID(idOf(ev.key)), hash: laneHash(coll, ev.key)}
}

// laneHash is the hash that chooses the lane of a document: that of its _id. In
// a capped collection all share a lane, because their order is kept.
func laneHash(coll *shardferry.Collection, key []byte) uint64 {
	id := idOf(key)
	switch {
	case coll.Capped:
		return keyhash.ID(uuidValue(coll.UUID))
	case coll.Collated:
		return keyhash.Collated(id)
	}
	return keyhash.ID(id)
}

// admit decides about the next event: it is handed on as a job, needs nothing
// (both results nil), or has to wait for another assignment.
func (l *ledger) admit(ev event) (*job, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frontier.pass(shardferry.Pred(ev.time))
	if b := l.plan.Barrier; b != nil && ev.time.After(b.Time) {
		return nil, l.block(ev)
	}
	if l.unowned(ev) {
		return nil, l.block(ev)
	}
	switch ev.kind {
	case kindIgnored:
		return l.handOver(nil)
	case kindSchema:
		change := ev.schemaChange(l.shard)
		if l.plan.Resolved.Covers(change) {
			l.schema = nil
			return l.handOver(nil)
		}
		if l.schema == nil {
			l.schema = &change
			l.hurry()
		}
		return nil, l.block(ev)
	default:
		return l.admitWrite(ev)
	}
}

// admitWrite is admit for an event of one document. The caller holds the lock.
func (l *ledger) admitWrite(ev event) (*job, <-chan struct{}) {
	coll := l.target(ev.uuid)
	switch {
	case coll == nil: // the change that makes it known is on its way
		l.unannounced(ev)
		return nil, l.block(ev)
	case !coll.Synced():
		return l.handOver(nil)
	}
	if wait := l.await(ev); wait != nil {
		return nil, wait
	}
	j := newJob(coll, ev)
	j.reread, j.past = l.mustReread(ev), l.readInstead(ev)
	j.ticket = l.frontier.begin(ev.time)
	l.handed = shardferry.LaterOf(l.handed, ev.time)
	l.record(ev.uuid, j.id)
	return l.handOver(j)
}

func (l *ledger) handOver(j *job) (*job, <-chan struct{}) {
	l.blocked = shardferry.ClusterTime{}
	return j, nil
}

// block notes that the stream stands before ev.
func (l *ledger) block(ev event) <-chan struct{} {
	l.blocked = ev.time
	l.hurryIfAwaited()
	return l.replaced
}
