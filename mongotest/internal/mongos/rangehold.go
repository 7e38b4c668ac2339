package mongos

import (
	"slices"
	"sync"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A rangeTask is the deletion of a moved range from the shard that gave it
// away. It waits for the cursors that were open when the range moved: those
// still read it there.
type rangeTask struct {
	ns    string
	uuid  value.UUID
	shard string
	chunk chunk
	waits int // guarded by rangeUse.mu
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

// release ends the claim and returns the deletions nobody else waits for.
func (h *rangeHold) release() []*rangeTask {
	if h == nil {
		return nil
	}
	u := h.use
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open[h.ns] = slices.DeleteFunc(u.open[h.ns], func(o *rangeHold) bool { return o == h })
	if len(u.open[h.ns]) == 0 {
		delete(u.open, h.ns)
	}
	var ready []*rangeTask
	for _, t := range h.tasks {
		if t.waits--; t.waits == 0 {
			ready = append(ready, t)
		}
	}
	h.tasks = nil
	return ready
}

// add registers a deletion and reports whether it may run at once.
func (u *rangeUse) add(t *rangeTask) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, h := range u.open[t.ns] {
		h.tasks = append(h.tasks, t)
		t.waits++
	}
	u.tasks = append(u.tasks, t)
	return t.waits == 0
}

// done takes a finished deletion off the list.
func (u *rangeUse) done(t *rangeTask) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tasks = slices.DeleteFunc(u.tasks, func(o *rangeTask) bool { return o == t })
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
