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

// A lockMode is how much of a lock one holder takes.
type lockMode int64

const (
	lockShared    lockMode = 1           // a statement: nobody moves the chunks meanwhile
	lockExclusive lockMode = lockReaders // a change of where documents are
)

// exclusive takes ns for a change of where its documents are.
func (l *nsLocks) exclusive(ctx context.Context, ns string) (func(), error) {
	return l.take(ctx, ns, lockExclusive)
}

func (l *nsLocks) take(ctx context.Context, ns string, mode lockMode) (func(), error) {
	db, _, _ := strings.Cut(ns, ".")
	d, err := l.one(ctx, db, lockShared)
	if err != nil {
		return nil, err
	}
	c, err := l.one(ctx, ns, mode)
	if err != nil {
		d()
		return nil, err
	}
	return func() { c(); d() }, nil
}

// one takes a single lock, by the name of a database or of a namespace.
func (l *nsLocks) one(ctx context.Context, name string, mode lockMode) (func(), error) {
	s := l.get(name)
	if err := s.Acquire(ctx, int64(mode)); err != nil {
		return nil, interrupted(ctx, err)
	}
	return func() { s.Release(int64(mode)) }, nil
}

// database takes a whole database, for dropDatabase and for renames.
func (l *nsLocks) database(ctx context.Context, db string) (func(), error) {
	return l.one(ctx, db, lockExclusive)
}
