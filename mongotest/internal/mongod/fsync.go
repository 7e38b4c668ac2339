package mongod

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fsyncLock is what fsync with lock: true takes: writes wait until it has been
// given back as often as it was taken. The zero value is unlocked.
type fsyncLock struct {
	mu       sync.Mutex
	count    int64
	unlocked chan struct{} // closed when count falls to zero; nil while it is zero
}

// take locks once more and returns how often it is locked by now.
func (l *fsyncLock) take() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		l.unlocked = make(chan struct{})
	}
	l.count++
	return l.count
}

// release gives the lock back once; not ok if it is not locked.
func (l *fsyncLock) release() (left int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		return 0, false
	}
	l.count--
	if l.count == 0 {
		close(l.unlocked)
		l.unlocked = nil
	}
	return l.count, true
}

// wait returns when nothing is locked.
func (l *fsyncLock) wait(ctx context.Context) error {
	l.mu.Lock()
	unlocked := l.unlocked
	l.mu.Unlock()
	if unlocked == nil {
		return nil
	}
	select {
	case <-unlocked:
		return l.wait(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func runFsync(_ context.Context, op *operation) (bson.Raw, error) {
	if !op.args().bool("lock", false) {
		return value.D("numFiles", 1), nil
	}
	return value.D("info", "now locked against writes, use db.fsyncUnlock() to unlock", "lockCount", op.node.records.lock.take(),
		"seeAlso", "http://dochub.mongodb.org/core/fsynccommand"), nil
}

func runFsyncUnlock(_ context.Context, op *operation) (bson.Raw, error) {
	left, ok := op.node.records.lock.release()
	if !ok {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "fsyncUnlock called when not locked")
	}
	return value.D("info", "fsyncUnlock completed", "lockCount", left), nil
}
