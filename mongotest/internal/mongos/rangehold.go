package mongos

import (
	"slices"
	"sync"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A rangeTask is the deletion of a range from a shard that does not own it. It
// waits until it is due and for the cursors that were open when the range moved:
// those still read it there.
type rangeTask struct {
	id    value.UUID
	ns    string
	uuid  value.UUID
	shard string
	chunk chunk
	size  int64         // of its documents when it moved
	gone  chan struct{} // closed when the range is deleted

	// Guarded by rangeUse.mu.
	due   time.Time
	waits int
	runs  bool
}

// rangeUse knows which cursors read which sharded collection, and what waits
// for them.
type rangeUse struct {
	mu    sync.Mutex
	open  map[string][]*rangeHold
	tasks []*rangeTask
}

func newRangeUse() *rangeUse { return &rangeUse{open: map[string][]*rangeHold{}} }

// A rangeHold is one cursor's claim on the ranges of a collection as they were
// when it was opened. A nil hold holds nothing.
type rangeHold struct {
	use   *rangeUse
	ns    string
	tasks []*rangeTask
}

func (u *rangeUse) hold(ns string) *rangeHold {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := &rangeHold{use: u, ns: ns}
	u.open[ns] = append(u.open[ns], h)
	return h
}

// release ends the claim.
func (h *rangeHold) release() {
	if h == nil {
		return
	}
	u := h.use
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open[h.ns] = slices.DeleteFunc(u.open[h.ns], func(o *rangeHold) bool { return o == h })
	if len(u.open[h.ns]) == 0 {
		delete(u.open, h.ns)
	}
	for _, t := range h.tasks {
		t.waits--
	}
	h.tasks = nil
}

// add registers a deletion.
func (u *rangeUse) add(t *rangeTask) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, h := range u.open[t.ns] {
		h.tasks = append(h.tasks, t)
		t.waits++
	}
	u.tasks = append(u.tasks, t)
}

// claim returns the deletions that may run at now, each to one caller only.
func (u *rangeUse) claim(now time.Time) []*rangeTask {
	u.mu.Lock()
	defer u.mu.Unlock()
	var ready []*rangeTask
	for _, t := range u.tasks {
		if t.waits == 0 && !t.runs && !now.Before(t.due) {
			t.runs = true
			ready = append(ready, t)
		}
	}
	return ready
}

// hurry makes a deletion due.
func (u *rangeUse) hurry(t *rangeTask) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t.due = time.Time{}
}

// done takes a finished deletion off the list.
func (u *rangeUse) done(t *rangeTask) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tasks = slices.DeleteFunc(u.tasks, func(o *rangeTask) bool { return o == t })
	close(t.gone)
}

// again makes a failed deletion due later.
func (u *rangeUse) again(t *rangeTask, due time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t.runs, t.due = false, due
}

// bytes returns how much of a collection on a shard is to be deleted.
func (u *rangeUse) bytes(uuid value.UUID, shard string) (n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, t := range u.tasks {
		if t.uuid == uuid && t.shard == shard {
			n += t.size
		}
	}
	return n
}

// deletions returns what closes as a shard has deleted its ranges of a
// collection.
func (u *rangeUse) deletions(uuid value.UUID, shard string) []<-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	var gone []<-chan struct{}
	for _, t := range u.tasks {
		if t.uuid == uuid && t.shard == shard {
			gone = append(gone, t.gone)
		}
	}
	return gone
}

// overlapping reports whether shard still has to delete documents in the range
// of c.
func (u *rangeUse) overlapping(uuid value.UUID, shard string, c *chunk) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.tasks, func(t *rangeTask) bool {
		return t.uuid == uuid && t.shard == shard && string(t.chunk.lo) < string(c.hi) && string(c.lo) < string(t.chunk.hi)
	})
}
