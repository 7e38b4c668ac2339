package storage

import (
	"context"
	"slices"
	"unsafe"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
)

// moveBatch bounds the documents that are moved under one lock.
const moveBatch = 500

// Reclaim gives back the space of the oldest segments of the log if at least
// half of what is in them is dead: what is alive is appended again. It reports
// whether it did. What the oplog still needs stays where it is. The segments
// stay mapped until the log's Unmap.
func (e *Engine) Reclaim(ctx context.Context) (bool, error) {
	j := e.journal.Load()
	if j == nil || j.hasPrepared() { // what is prepared has documents in nobody's records
		return false, nil
	}
	victims := j.victims(e)
	for _, s := range victims {
		if err := e.moveSegment(ctx, s.Number); err != nil {
			return false, err
		}
	}
	if len(victims) == 0 {
		return false, nil
	}
	last := victims[len(victims)-1].Number
	if err := e.moveRest(last); err != nil {
		return false, err
	}
	if err := j.log.Retire(last + 1); err != nil {
		return false, diskError(err)
	}
	return true, nil
}

// victims returns the longest run of the oldest segments that is worth it.
func (j *journal) victims(e *Engine) []disk.Segment {
	segments := j.log.Segments()
	alive := map[uint32]int64{}
	t := e.Begin(Meta{}) // so that looking at everything stops nobody
	t.cat.byNS.Scan(func(_ string, c *Collection) bool {
		c.records.Scan(func(_ int64, r rec) bool {
			if p, ok := j.log.Locate(r.doc); ok {
				alive[p.Segment] += int64(len(r.doc))
			}
			return true
		})
		return true
	})
	t.Abort()
	needed := segments[len(segments)-1].Number // it is being appended to
	if from, ok := e.log.OldestSegment(); ok {
		for _, s := range segments {
			if s.Number >= from {
				needed = min(needed, s.Lowest) // its own number, or that of a document of its entries
			}
		}
	}
	var size, live int64
	best := 0
	for i, s := range segments {
		if s.Number >= needed {
			break
		}
		size += s.Size
		live += alive[s.Number]
		if live <= size/2 {
			best = i + 1
		}
	}
	return segments[:best]
}

// moveSegment appends the documents again that are alive in a segment.
func (e *Engine) moveSegment(ctx context.Context, number uint32) error {
	for blobs := range slices.Chunk(e.journal.Load().log.Blobs(number), moveBatch) {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := e.move(blobs); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) move(blobs []disk.Blob) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	j, w := e.journal.Load(), &changes{}
	byIdent := e.cat.byIdent()
	for _, b := range blobs {
		c := byIdent[b.Owner]
		if c == nil {
			continue
		}
		r, ok := c.records.Get(int64(b.ID))
		if !ok || unsafe.SliceData(r.doc) != unsafe.SliceData(b.Doc) {
			continue
		}
		var err error
		if r.doc, err = j.put(w, c, int64(b.ID), r.doc); err != nil {
			return err
		}
		c.records.Set(int64(b.ID), r)
		c.writes++
	}
	_, err := j.commit(e.log, e.cat, w, nil)
	return err
}

// moveRest appends again what is not documents and was last written up to a
// segment.
func (e *Engine) moveRest(number uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	j, w := e.journal.Load(), &changes{}
	for ident, c := range e.cat.byIdent() {
		if j.catalogAt[ident] <= number {
			w.touch(c)
		}
	}
	for key, at := range j.statesAt {
		if at <= number {
			w.states = append(w.states, state{key, j.states[key]})
		}
	}
	w.time(changeForgot, e.log.Dropped())
	w.time(changeClock, e.clock.Now())
	_, err := j.commit(e.log, e.cat, w, nil)
	return err
}

func (w *changes) time(kind byte, ts bson.Timestamp) { w.op(kind, uint64(ts.T), uint64(ts.I)) }

func (k *catalog) byIdent() map[uint64]*Collection {
	all := make(map[uint64]*Collection, k.byNS.Len())
	k.byNS.Scan(func(_ string, c *Collection) bool {
		all[c.ident] = c
		return true
	})
	return all
}
