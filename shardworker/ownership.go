package shardworker

import (
	"cmp"
	"slices"

	"github.com/shardferry/shardferry"
)

// unowned reports whether it is not known yet who owned the document of an event
// when it happened: an earlier event of the document may be on its way from
// another shard. The caller holds the lock.
func (l *ledger) unowned(ev event) bool {
	o := l.plan.Ownership
	return o != nil && ev.time.After(o.Known)
}

// readInstead returns the time at or after which a document must be read instead
// of applying an event of it, zero if the event may be applied: its document
// changed shards in the stretch that is being gone through, and other events of it
// may be on their way from another shard. The caller holds the lock.
func (l *ledger) readInstead(ev event) shardferry.ClusterTime {
	if o := l.plan.Ownership; o != nil && o.Moving.Concerns(ev.uuid) && !ev.time.After(o.Moving.Until) {
		return o.Moving.Until
	}
	return shardferry.ClusterTime{}
}

// settle notes that other workers may have put images of documents that this
// shard has now. The caller holds the lock.
func (l *ledger) settle(a shardferry.Assignment) {
	if a.Ownership == nil {
		return
	}
	s := a.Ownership.Settled
	for _, id := range s.Collections {
		l.images.copied[id] = shardferry.LaterOf(l.images.copied[id], s.Until)
	}
	if s.All {
		l.images.horizon = shardferry.LaterOf(l.images.horizon, s.Until)
	}
}

// moving reports whether nothing may be copied, because the documents of a task
// may be another shard's by now. The caller holds the lock.
func (l *ledger) moving() bool {
	return l.plan.Ownership != nil && l.plan.Ownership.Moving != nil
}

// assigned reports whether a task is still this worker's to do. The caller holds
// the lock.
func (l *ledger) assigned(task int64) bool {
	_, ok := slices.BinarySearchFunc(l.plan.Tasks, task, func(t shardferry.CopyTask, id int64) int { return cmp.Compare(t.ID, id) })
	return ok
}

// unannounced reports an event of a collection that is not known as if it were a
// schema change, while the unsharded collections of a database move to another
// shard: no event tells that they have other UUIDs there. If another shard tells
// of a creation after all, that is earlier, and is made first. The caller holds the
// lock.
func (l *ledger) unannounced(ev event) {
	if !l.moving() || !l.plan.Ownership.Moving.All {
		return
	}
	change := ev.schemaChange(l.shard)
	change.Kind, change.Event = "adopt", build(func(dst []byte) []byte { return dst })
	if l.schema == nil && !l.plan.Resolved.Covers(change) {
		l.schema = &change
		l.hurry()
	}
}
