package storage

import "go.mongodb.org/mongo-driver/v2/bson"

// Succeed makes e's data the one on the disk, in place of that of old: another
// branch of the same, whose later changes are in memory only. Without a journal
// nothing happens. It fails if the disk does, which ends the cluster.
func (e *Engine) Succeed(old *Engine) error {
	if old == e || old.journal.Load() == nil {
		return nil
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	j := old.journal.Load()
	w := &changes{}
	if err := j.difference(w, old.cat, e.cat); err != nil {
		return err
	}
	w.finish(e.cat)
	dropped := e.log.Dropped()
	at, err := e.log.TakeOver(old.log, func(common bson.Timestamp) []byte {
		w.time(changeRollback, common)
		w.time(changeForgot, dropped)
		return w.ops
	})
	if err != nil {
		return diskError(err)
	}
	j.note(e.cat, w, at.Segment)
	old.journal.Store(nil)
	e.journal.Store(j)
	return nil
}

// difference writes what makes the data of old that of k.
func (j *journal) difference(w *changes, old, k *catalog) error {
	before := old.byIdent()
	var err error
	k.byNS.Scan(func(_ string, c *Collection) bool {
		w.touch(c)
		have := before[c.ident]
		if c.ident == 0 { // made while only in memory
			c.ident = j.newIdent()
		}
		if have == nil {
			have = &Collection{}
		}
		delete(before, c.ident)
		err = j.differentRecords(w, have, c)
		return err == nil
	})
	for _, c := range before {
		w.op(changeDrop, c.ident)
		delete(j.catalogAt, c.ident)
	}
	return err
}

// differentRecords writes the records of c that are not those of old.
func (j *journal) differentRecords(w *changes, old, c *Collection) error {
	old.records.Scan(func(rid int64, _ rec) bool {
		if _, ok := c.records.Get(rid); !ok {
			w.op(changeDelete, c.ident, uint64(rid))
		}
		return true
	})
	var again []int64
	c.records.Scan(func(rid int64, r rec) bool {
		if was, ok := old.records.Get(rid); !ok || !sameBytes(was.doc, r.doc) {
			again = append(again, rid)
		}
		return true
	})
	for _, rid := range again {
		r, _ := c.records.Get(rid)
		var err error
		if r.doc, err = j.put(w, c, rid, r.doc); err != nil {
			return err
		}
		c.records.Set(rid, r)
	}
	return nil
}
