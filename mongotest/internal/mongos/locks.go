package mongos

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
)

// lockReaders is how many readers of one namespace may run at once.
const lockReaders = 1 << 30

// nsLocks are the reader-writer locks of databases and collections. They are
// semaphores, not mutexes, because a holder waits for shards, and because
// waiting for one ends with the context. A holder never takes a second lock
// of the same set except in the order database, then collections by name.
type nsLocks struct {
	mu    sync.Mutex
	locks map[string]*semaphore.Weighted
}

func newNSLocks() *nsLocks { return &nsLocks{locks: map[string]*semaphore.Weighted{}} }

func (l *nsLocks) get(name string) *semaphore.Weighted {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.locks[name]
	if s == nil {
		s = semaphore.NewWeighted(lockReaders)
		l.locks[name] = s
	}
	return s
}

// shared takes ns for a statement: nobody moves its chunks meanwhile.
func (l *nsLocks) shared(ctx context.Context, ns string) (func(), error) {
	return l.take(ctx, ns, 1)
}

// exclusive takes ns for a change of where its documents are.
func (l *nsLocks) exclusive(ctx context.Context, ns string) (func(), error) {
	return l.take(ctx, ns, lockReaders)
}

func (l *nsLocks) take(ctx context.Context, ns string, n int64) (func(), error) {
	db, _, _ := strings.Cut(ns, ".")
	d := l.get(db)
	if err := d.Acquire(ctx, 1); err != nil {
		return nil, interrupted(ctx, err)
	}
	c := l.get(ns)
	if err := c.Acquire(ctx, n); err != nil {
		d.Release(1)
		return nil, interrupted(ctx, err)
	}
	return func() { c.Release(n); d.Release(1) }, nil
}

// database takes a whole database, for dropDatabase and for renames.
func (l *nsLocks) database(ctx context.Context, db string) (func(), error) {
	d := l.get(db)
	if err := d.Acquire(ctx, lockReaders); err != nil {
		return nil, interrupted(ctx, err)
	}
	return func() { d.Release(lockReaders) }, nil
}
