package shardworker

import "github.com/shardferry/shardferry"

// A cappedOrder says which capped collections are still being copied. Their
// events wait for the end of the copy: a document that is inserted later must
// not come to stand before those that are copied, because a capped collection
// lets go of what stands first.
type cappedOrder struct {
	copying map[shardferry.UUID]struct{}
	awaited shardferry.ClusterTime // of the event that the stream stands before, if it is of one of them
}

// newCappedOrder finds the collections whose task is read in natural order.
func newCappedOrder(tasks []shardferry.CopyTask) cappedOrder {
	o := cappedOrder{copying: map[shardferry.UUID]struct{}{}}
	for _, t := range tasks {
		if naturalOrder(t.Index) && !t.Done {
			o.copying[t.UUID] = struct{}{}
		}
	}
	return o
}

// await returns what to wait for before an event of a collection may be handed
// on, nil if it need not wait. The caller holds the lock.
func (l *ledger) await(ev event) <-chan struct{} {
	if _, ok := l.order.copying[ev.uuid]; !ok {
		l.order.awaited = shardferry.ClusterTime{}
		return nil
	}
	if !l.order.awaited.Equal(ev.time) {
		l.order.awaited = ev.time
		l.wake() // a copier that waits for the barrier to fall must go on
	}
	return l.replaced
}

// mayCopy reports whether the barrier, if one stands, lets a batch begin: only
// of a capped collection while the stream, before the barrier, waits for such
// copies. The caller holds the lock.
func (l *ledger) mayCopy(uuid shardferry.UUID) bool {
	if l.plan.Barrier == nil {
		return true
	}
	_, ok := l.order.copying[uuid]
	return ok && !l.order.awaited.IsZero() && !l.order.awaited.After(l.plan.Barrier.Time)
}

// copied lets the events of a capped collection pass: its copy is complete, or
// will never be, because it was dropped.
func (l *ledger) copied(uuid shardferry.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.order.copying[uuid]; !ok {
		return
	}
	delete(l.order.copying, uuid)
	l.wake()
}
