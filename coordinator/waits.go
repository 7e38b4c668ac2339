package coordinator

import (
	"sync"
	"time"

	"github.com/shardferry/shardferry"
)

// waits are the reconcilers that fail at the moment and are called again.
type waits struct {
	mu   sync.Mutex
	list []shardferry.Wait
}

func (w *waits) because(step string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.list {
		if w.list[i].What == step {
			w.list[i].Why = err.Error()
			return
		}
	}
	w.list = append(w.list, shardferry.Wait{What: step, Why: err.Error(), Since: time.Now()})
}

func (w *waits) end(step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.list {
		if w.list[i].What == step {
			w.list = append(w.list[:i:i], w.list[i+1:]...)
			return
		}
	}
}

// Waits returns what the reconcilers of this node cannot get through at the
// moment. On a node that does not lead there is nothing.
func (c *Coordinator) Waits() []shardferry.Wait {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	return append([]shardferry.Wait(nil), c.waits.list...)
}
