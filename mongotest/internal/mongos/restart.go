package mongos

import "context"

// Restart makes the process a new one, which knows no cursors, transactions and
// fail points of before. Who has closed its connections has ended its commands.
func (r *Router) Restart(ctx context.Context) {
	r.points.Reset()
	r.newProcess()
	idle, _ := r.cursors.remove(func(*cursor) bool { return true })
	r.closeIdle(ctx, idle)
	for _, t := range r.sessions.clear() {
		t.unlock() // the shards abort their parts when these have become too old
	}
}

// clear forgets all transactions, and returns those that were open.
func (s *sessionTable) clear() []*txn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*txn
	for _, t := range s.txns {
		if state, _ := t.get(); state == txnOpen {
			open = append(open, t)
		}
	}
	s.txns = map[string]*txn{}
	return open
}
