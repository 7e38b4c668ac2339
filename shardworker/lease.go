package shardworker

import (
	"context"
	"sync"
	"time"
)

// A lease says until when the worker may write, by this process's monotonic
// clock. It is extended by each report that is taken, from the moment the report
// was sent: whoever replaces the worker counts from a later moment.
type lease struct {
	length time.Duration

	mu       sync.Mutex
	until    time.Time
	extended chan struct{} // closed when until moves
}

func newLease(length time.Duration) *lease {
	return &lease{length: length, extended: make(chan struct{})}
}

// extend counts the lease from a report sent at from.
func (l *lease) extend(from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := from.Add(l.length); until.After(l.until) {
		l.until = until
		close(l.extended)
		l.extended = make(chan struct{})
	}
}

// wait returns when the lease is valid or ctx ends.
func (l *lease) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		valid, extended := time.Now().Before(l.until), l.extended
		l.mu.Unlock()
		if valid {
			return nil
		}
		select {
		case <-extended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
