package mongod

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// opTable holds the running operations.
type opTable struct {
	mu   sync.Mutex
	last int64
	all  map[int64]*running
}

// running is one operation that can be interrupted. It is immutable, but for
// hangUp, which belongs to the goroutine of the operation.
type running struct {
	id      int64
	op      *operation
	started time.Time
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when the operation has ended
	hangUp  bool          // the connection is to be closed instead of an answer
}

func newOpTable() *opTable { return &opTable{all: map[int64]*running{}} }

func (t *opTable) begin(ctx context.Context, op *operation) (context.Context, *running) {
	ctx, cancel := context.WithCancelCause(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	r := &running{id: t.last, op: op, started: time.Now(), cancel: cancel, done: make(chan struct{})}
	t.all[r.id] = r
	return ctx, r
}

func (t *opTable) end(r *running) {
	t.mu.Lock()
	delete(t.all, r.id)
	t.mu.Unlock()
	r.cancel(nil)
	close(r.done)
}

// list returns the running operations, oldest first.
func (t *opTable) list() []*running {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*running, 0, len(t.all))
	for _, r := range t.all {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *running) int { return int(a.id - b.id) })
	return out
}

// interrupt cancels the chosen operations with cause and waits until they have
// ended. An operation must not choose itself.
func (t *opTable) interrupt(ctx context.Context, cause *mongoerr.Error, choose func(*running) bool) error {
	var chosen []*running
	for _, r := range t.list() {
		if choose(r) {
			r.cancel(cause)
			chosen = append(chosen, r)
		}
	}
	for _, r := range chosen {
		select {
		case <-r.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// kill cancels the operation with this id, if it runs, without waiting.
func (t *opTable) kill(id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.all[id]
	if ok {
		r.cancel(mongoerr.New(mongoerr.Interrupted, "operation was interrupted"))
	}
	return ok
}
