package mongoconn

import (
	"sync"
	"time"

	"github.com/shardferry/shardferry"
)

// Waits are the operations that do not get through at the moment, of one worker
// or one node. A nil Waits takes none. It may be used by several goroutines.
type Waits struct {
	mu  sync.Mutex
	all map[*Waiting]struct{}
}

// A Waiting is one of them. A nil Waiting is none.
type Waiting struct {
	of   *Waits
	wait shardferry.Wait
}

// Begin notes that an operation does not get through.
func (w *Waits) Begin(what string) *Waiting {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*Waiting]struct{}{}
	}
	one := &Waiting{of: w, wait: shardferry.Wait{What: what, Since: time.Now()}}
	w.all[one] = struct{}{}
	return one
}

// Because notes how its last try failed.
func (w *Waiting) Because(err error) {
	if w == nil {
		return
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.wait.Why = Reason(err)
}

// End notes that it got through, or that it is not tried any more.
func (w *Waiting) End() {
	if w == nil {
		return
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.all, w)
}

// Longest returns what has waited longest, nil if nothing waits.
func (w *Waits) Longest() *shardferry.Wait {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest *shardferry.Wait
	for one := range w.all {
		if longest == nil || one.wait.Since.Before(longest.Since) {
			wait := one.wait
			longest = &wait
		}
	}
	return longest
}
