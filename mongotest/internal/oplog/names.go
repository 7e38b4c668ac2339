package oplog

import "sync"

// names holds one string for each namespace in the oplog.
type names struct {
	mu  sync.RWMutex
	all map[string]string
}

func (n *names) intern(b []byte) string {
	n.mu.RLock()
	s, ok := n.all[string(b)]
	n.mu.RUnlock()
	if ok {
		return s
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s = string(b)
	n.all[s] = s
	return s
}
