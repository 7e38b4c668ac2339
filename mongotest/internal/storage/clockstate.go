package storage

import "go.mongodb.org/mongo-driver/v2/bson"

// KeepClock writes the latest cluster time to the disk if there has been a later
// one than that of the oplog and of the last call, which was for kept. It returns
// what the next call is to say. Without it a time that only clients know of
// might be given out again after a restart.
func (e *Engine) KeepClock(kept bson.Timestamp) (bson.Timestamp, error) {
	now := e.clock.Now()
	if !now.After(kept) || !now.After(e.log.Last()) {
		return kept, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j := e.journal.Load()
	if j == nil {
		return kept, nil
	}
	w := &changes{}
	w.time(changeClock, now)
	_, err := j.commit(e.log, e.cat, w, nil)
	return now, err
}
