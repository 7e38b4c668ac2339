package javascript

import (
	"context"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/dop251/goja"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// What one call of a script may take.
const (
	callTimeout  = time.Minute // internalQueryJavaScriptFnTimeoutMillis
	maxHeap      = 1100 << 20  // jsHeapLimitMB
	maxCallStack = 2000
	watchEvery   = 20 * time.Millisecond
)

// A bound ends scripts: with their operation, after a time, and when they take
// too much memory. The engine looks for interrupts between its instructions.
type bound struct {
	maxHeap uint64

	mu      sync.Mutex
	call    context.Context //nolint:containedctx // of the call under way: native functions are given none
	stop    func() bool     // unties the call from its context
	vm      *goja.Runtime   // the runtime while a script runs, nil otherwise
	started time.Time
	timer   *time.Timer
	heap    uint64 // in use at the first look, 0 before
}

// enter begins a call.
func (b *bound) enter(ctx context.Context, vm *goja.Runtime) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.call, b.vm, b.started, b.heap = ctx, vm, time.Now(), 0
	b.stop = context.AfterFunc(ctx, func() { b.cancelled(ctx) })
	if b.timer == nil {
		b.timer = time.AfterFunc(watchEvery, b.watch)
	} else {
		b.timer.Reset(watchEvery)
	}
	return nil
}

// leave ends a call. No interrupt outlives it.
func (b *bound) leave(vm *goja.Runtime) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	b.call, b.vm = nil, nil
	b.timer.Stop()
	vm.ClearInterrupt()
}

// cancelled interrupts the call under way if it is that of ctx, which has ended.
func (b *bound) cancelled(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.call == ctx {
		b.vm.Interrupt(ctx.Err())
	}
}

// watch looks at a call that goes on for long.
func (b *bound) watch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.vm == nil {
		return
	}
	now := heapLive()
	if b.heap == 0 {
		b.heap = now
	}
	switch {
	case time.Since(b.started) >= callTimeout:
		b.vm.Interrupt(errTimeout())
	case now > b.heap+b.maxHeap:
		b.vm.Interrupt(mongoerr.New(mongoerr.JSInterpreterFailure, "Out of memory"))
	default:
		b.timer.Reset(watchEvery)
	}
}

func errTimeout() error {
	return mongoerr.New(mongoerr.Interrupted, "JavaScript execution interrupted")
}

// heapLive is what the latest garbage collection found in use, at least 1.
func heapLive() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return max(s[0].Value.Uint64(), 1)
}

// sleep waits, but no longer than the call may run.
func (b *bound) sleep(d time.Duration) {
	b.mu.Lock()
	ctx, vm, left := b.call, b.vm, callTimeout-time.Since(b.started)
	b.mu.Unlock()
	t := time.NewTimer(min(d, left))
	defer t.Stop()
	select {
	case <-ctx.Done():
		vm.Interrupt(ctx.Err())
	case <-t.C:
		if d > left {
			vm.Interrupt(errTimeout())
		}
	}
}
