package errlabel

import (
	"slices"
	"sync"
)

// remembered bounds the cursors that Streams holds.
const remembered = 1000

// Streams remembers which cursors are change streams, also for a while after
// they have gone: a failure closes the cursor before it is labelled. The zero
// value is empty; its methods may be called from many goroutines at once.
type Streams struct {
	mu  sync.Mutex
	ids []int64 // the latest, open or not
}

// Add notes that a cursor is a change stream.
func (s *Streams) Add(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, id)
	if len(s.ids) > remembered {
		s.ids = s.ids[1:]
	}
}

// Has reports whether a cursor is or was a change stream.
func (s *Streams) Has(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.ids, id)
}
