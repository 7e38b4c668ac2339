package mongos

import (
	"context"
	"strings"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// txnLockTimeout is how long a statement of a transaction waits for a lock:
// maxTransactionLockRequestTimeoutMillis.
const txnLockTimeout = 5 * time.Millisecond

// shared takes ns for one statement; in a transaction until that ends.
func (o *op) shared(ctx context.Context, ns string) (func(), error) {
	if o.txn != nil {
		return func() {}, o.txn.lock(ctx, o.r.catalog.locks, ns)
	}
	return o.r.catalog.locks.take(ctx, ns, lockShared)
}

// exclusive takes ns for a change of where its documents are. A transaction
// does with the shared lock it holds: what it changes the shards protect.
func (o *op) exclusive(ctx context.Context, ns string) (func(), error) {
	if o.txn != nil {
		return o.shared(ctx, ns)
	}
	return o.r.catalog.locks.exclusive(ctx, ns)
}

// lock takes the locks of ns that the transaction does not hold yet. Waiting
// is short, as on a server, so that transactions never wait for each other.
func (t *txn) lock(ctx context.Context, locks *nsLocks, ns string) error {
	ctx, cancel := context.WithTimeout(ctx, txnLockTimeout)
	defer cancel()
	db, _, _ := strings.Cut(ns, ".")
	for _, name := range []string{db, ns} {
		if t.holds(name) {
			continue
		}
		unlock, err := locks.one(ctx, name, lockShared)
		if err != nil {
			return mongoerr.New(mongoerr.LockTimeout, "Unable to acquire lock '%s' within 5ms.", name)
		}
		t.keep(name, unlock)
	}
	return nil
}

func (t *txn) holds(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.locks[name] != nil
}

// keep stores a lock until the end of the transaction, or gives it back if
// that has come already.
func (t *txn) keep(name string, unlock func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != txnOpen || t.locks[name] != nil {
		unlock()
		return
	}
	if t.locks == nil {
		t.locks = map[string]func(){}
	}
	t.locks[name] = unlock
}

// unlock gives back all locks of the transaction.
func (t *txn) unlock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.locks {
		f()
	}
	t.locks = nil
}
