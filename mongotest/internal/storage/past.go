package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// BeginAt opens a transaction on the data as it was at a time that the log has
// reached: with all that was logged up to then and nothing later, under the
// catalog of that time. It is not ok if that past has been forgotten.
func (e *Engine) BeginAt(m Meta, at bson.Timestamp) (t *Transaction, ok bool) {
	t, steps, ok := e.beginBefore(m, at)
	if !ok {
		return nil, false
	}
	for i := range steps {
		e.takeBack(t.cat, &steps[i], at)
	}
	return t, true
}

// beginBefore returns a transaction on today's data and what leads back from it.
func (e *Engine) beginBefore(m Meta, at bson.Timestamp) (*Transaction, []step, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	steps, ok := e.past.since(at)
	if !ok {
		return nil, nil, false
	}
	t := e.begin(m)
	t.read, t.unsettled = at, e.unsettled(at)
	return t, steps, true
}

// takeBack undoes a step, as far as it is later than at, in a catalog of a past.
func (e *Engine) takeBack(k *catalog, s *step, at bson.Timestamp) {
	switch {
	case s.catalog != nil && s.catalog.kind == removed:
		k.add(e.frozen(s.gone))
	case s.catalog != nil:
		c := k.byUUID[s.uuid]
		if s.uuid.IsZero() {
			c = k.get(s.catalog.ns) // a view
		}
		if c == nil {
			return // made by a commit that this branch does not have
		}
		k.remove(c)
		if s.catalog.kind == altered {
			e.restore(c, s.catalog.old)
			k.add(c)
		}
	default:
		c := k.byUUID[s.uuid]
		if c == nil {
			return // the same
		}
		for i := s.count - 1; i >= 0 && (bson.Timestamp{T: s.at.T, I: s.at.I + uint32(i)}).After(at); i-- {
			c.force(s.rid+int64(i), s.old)
		}
	}
}

// restore gives a collection of a past its entry of a time before. Its indexes
// keep their data, and one that was dropped comes with what it had then: that is
// what the records have come back to.
func (e *Engine) restore(c *Collection, old entry) {
	indexes := make([]*Index, len(old.indexes))
	for i, ix := range old.indexes {
		if have := c.Index(ix.Name); have != nil {
			kept := *ix
			kept.data = have.data
			indexes[i] = &kept
		} else {
			indexes[i] = e.frozenIndex(ix)
		}
	}
	c.entry = old
	c.indexes = indexes
}

// frozen copies a collection that is in no catalog any more. Copying a tree
// marks it, so no two do it at once, not even of different branches.
func (e *Engine) frozen(c *Collection) *Collection {
	e.copying.Lock()
	defer e.copying.Unlock()
	return c.snapshot()
}

func (e *Engine) frozenIndex(ix *Index) *Index {
	e.copying.Lock()
	defer e.copying.Unlock()
	return ix.snapshot()
}
