package storage

import (
	"slices"
	"sort"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A history holds what undoes the latest changes, so that the data of a past
// time can be made from today's. It is bounded by the age and by the memory of
// what it holds. It costs a write next to nothing: whoever writes has made what
// undoes the write anyway, and consecutive inserts are one step.
//
// It is guarded by the engine's lock. Steps never change once they are in it.
type history struct {
	window  time.Duration
	limit   int64 // bytes
	chunks  []chunk
	bytes   int64
	dropped bson.Timestamp // of the newest step that is gone
}

// A chunk is some consecutive steps. Chunks come and go as a whole.
type chunk struct {
	steps []step
	bytes int64
}

// A step undoes one change, or the inserts of count consecutive records, each
// logged one tick after the one before.
type step struct {
	at      bson.Timestamp // when it was logged; of the first
	uuid    value.UUID
	rid     int64
	count   int32
	old     rec            // no document: there was no record
	catalog *catalogChange // not nil: of the catalog
	gone    *Collection    // what catalog removed
}

const (
	// HistoryWindow is minSnapshotHistoryWindowInSeconds by default.
	HistoryWindow = 5 * time.Minute

	historyLimit = 256 << 20
	chunkSteps   = 1024
	chunkBytes   = historyLimit / 64
	stepBytes    = 96 // of a step without what it points to
)

func newHistory() history { return history{window: HistoryWindow, limit: historyLimit} }

// SetHistoryWindow sets how long the past can be read; it takes effect as the
// data changes.
func (e *Engine) SetHistoryWindow(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.past.window = d
}

// Forgotten returns the time before which the data's past is gone.
func (e *Engine) Forgotten() bson.Timestamp {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.past.dropped
}

// add takes over what undoes changes that the log tells of in staged entries,
// the last of them at last.
func (h *history) add(undo []undoRecord, staged int, last bson.Timestamp) {
	for i := range undo {
		u := &undo[i]
		if u.fn != nil || !u.c.logged() {
			continue
		}
		at := last
		if u.op < staged { // one Append gives consecutive times
			at.I -= uint32(staged - 1 - u.op)
		}
		h.push(u, at)
	}
	h.trim(last)
}

// insert takes over what undoes changes that count from a time before the latest
// ones. Those are of other records, which nobody else could write meanwhile.
func (h *history) insert(undo []undoRecord, at, last bson.Timestamp) {
	var mine history
	for i := range undo {
		if u := &undo[i]; u.fn == nil && u.c.logged() {
			mine.push(u, at)
		}
	}
	for _, c := range mine.chunks {
		if at.After(h.dropped) { // else nobody can read what was before
			h.place(c, at)
		}
	}
	h.trim(last)
}

// place puts a chunk where its time is. A chunk that lies around it is cut in
// two; both have memory of their own, because others may be reading it.
func (h *history) place(c chunk, at bson.Timestamp) {
	i := sort.Search(len(h.chunks), func(i int) bool {
		steps := h.chunks[i].steps
		return steps[len(steps)-1].last().After(at)
	})
	h.bytes += c.bytes
	if i == len(h.chunks) {
		h.chunks = append(h.chunks, c)
		return
	}
	before, after := h.chunks[i].split(at)
	parts := []chunk{before, c, after}
	if len(before.steps) == 0 {
		parts = parts[1:]
	}
	h.chunks = slices.Replace(slices.Clone(h.chunks), i, i+1, parts...)
}

// split divides a chunk into what is not later than a time and what is.
func (c *chunk) split(at bson.Timestamp) (before, after chunk) {
	for _, s := range c.steps {
		switch first, rest := s.split(at); {
		case rest.count == 0:
			before.steps = append(before.steps, first)
		case first.count == 0:
			after.steps = append(after.steps, rest)
		default:
			before.steps, after.steps = append(before.steps, first), append(after.steps, rest)
		}
	}
	after.bytes = c.bytes * int64(len(after.steps)) / int64(len(before.steps)+len(after.steps))
	before.bytes = c.bytes - after.bytes
	return before, after
}

// split divides a run into what is not later than a time and what is.
func (s step) split(at bson.Timestamp) (before, after step) {
	before, after = s, s
	if s.at.After(at) {
		before.count = 0
		return before, after
	}
	before.cut(at)
	after.count -= before.count
	after.rid += int64(before.count)
	after.at.I += uint32(before.count)
	return before, after
}

func (h *history) push(u *undoRecord, at bson.Timestamp) {
	last := len(h.chunks) - 1
	if last >= 0 && h.chunks[last].prolong(u, at) {
		return
	}
	s := step{at: at, uuid: u.c.UUID, rid: u.rid, count: 1, old: u.old, catalog: u.catalog}
	size := int64(stepBytes + len(u.old.doc))
	if u.catalog != nil && u.catalog.kind == removed {
		s.gone = u.c
		size += u.c.memory()
	}
	if last < 0 || len(h.chunks[last].steps) == chunkSteps || h.chunks[last].bytes >= chunkBytes {
		h.chunks = append(h.chunks, chunk{})
		last++
	}
	h.chunks[last].steps = append(h.chunks[last].steps, s)
	h.chunks[last].bytes += size
	h.bytes += size
}

// prolong adds an insert to a run of them. A run that is being read is as long
// as it was then: see since.
func (c *chunk) prolong(u *undoRecord, at bson.Timestamp) bool {
	if u.catalog != nil || u.old.doc != nil {
		return false
	}
	s := &c.steps[len(c.steps)-1]
	if s.catalog != nil || s.old.doc != nil || s.rid+int64(s.count) != u.rid || s.uuid != u.c.UUID ||
		s.at.T != at.T || s.at.I+uint32(s.count) != at.I {
		return false
	}
	s.count++
	return true
}

// memory estimates what a collection holds.
func (c *Collection) memory() int64 {
	n := c.bytes + c.Count()*stepBytes
	for _, ix := range c.indexes {
		n += ix.Size()
	}
	return n
}

// trim drops what is too old at now, or too much.
func (h *history) trim(now bson.Timestamp) {
	window := uint32(h.window / time.Second)
	for len(h.chunks) > 0 {
		c := h.chunks[0]
		newest := c.steps[len(c.steps)-1].last()
		if h.bytes <= h.limit && newest.T+window >= now.T {
			return
		}
		h.dropped = newest
		h.bytes -= c.bytes
		h.chunks[0] = chunk{}
		h.chunks = h.chunks[1:]
	}
}

// last is the time of the newest change that the step undoes.
func (s *step) last() bson.Timestamp {
	return bson.Timestamp{T: s.at.T, I: s.at.I + uint32(s.count) - 1}
}

// since returns the steps that undo what came after a time, newest first; not
// ok if they are not all there any more. They may be read without the lock.
func (h *history) since(at bson.Timestamp) (steps []step, ok bool) {
	if at.Before(h.dropped) {
		return nil, false
	}
	for i := len(h.chunks) - 1; i >= 0; i-- {
		c := h.chunks[i].steps
		first := sort.Search(len(c), func(j int) bool { return c[j].last().After(at) })
		for j := len(c) - 1; j >= first; j-- {
			steps = append(steps, c[j])
		}
		if first > 0 {
			break
		}
	}
	return steps, true
}

// branch returns the history of what branches off after a time: without the
// changes after it. Chunks that are full never change, so both have them.
func (h *history) branch(at bson.Timestamp) history {
	b := history{window: h.window, limit: h.limit, bytes: h.bytes, dropped: h.dropped, chunks: slices.Clone(h.chunks)}
	for len(b.chunks) > 0 {
		k := len(b.chunks) - 1
		c := &b.chunks[k]
		kept := sort.Search(len(c.steps), func(i int) bool { return c.steps[i].at.After(at) })
		if kept > 0 {
			c.steps = slices.Clone(c.steps[:kept])
			c.steps[kept-1].cut(at)
			return b
		}
		b.bytes -= c.bytes
		b.chunks = b.chunks[:k]
	}
	return b
}

// cut ends a run at a time.
func (s *step) cut(at bson.Timestamp) {
	if s.last().After(at) {
		s.count = int32(at.I-s.at.I) + 1
	}
}
