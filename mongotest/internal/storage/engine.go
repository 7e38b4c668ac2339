package storage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// An Engine holds the data of one replica set. It is safe for concurrent use:
// writers exclude everybody, readers share.
type Engine struct {
	log   *oplog.Log
	clock *oplog.Clock

	mu       sync.RWMutex
	cat      *catalog
	locks    lockTable
	seq      uint64 // number of the latest Update or Commit; the version of the records it wrote
	validate ValidateFunc
	changed  chan struct{} // closed when a transaction ends; nil while nobody waits
	past     history
	prepared []*fate                 // of the transactions that are prepared and not decided
	journal  atomic.Pointer[journal] // nil: the data is in memory only
	copying  *sync.Mutex             // of what is in no catalog any more, but perhaps in several pasts
}

// NewEngine returns an engine without data that logs its changes to log.
func NewEngine(log *oplog.Log, clock *oplog.Clock) *Engine {
	return &Engine{log: log, clock: clock, cat: newCatalog(), past: newHistory(), copying: &sync.Mutex{}}
}

// SetValidator sets the function that decides whether a document fulfils a
// collection's validator. Without one, every document does.
func (e *Engine) SetValidator(f ValidateFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.validate = f
}

// View runs fn with the current data. Several Views run at once. fn must not
// write, block, or keep the Tx or what it got from it, except documents.
func (e *Engine) View(fn func(*Tx) error) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return fn(&Tx{e: e, cat: e.cat})
}

// Update runs fn alone. What fn did is logged before anybody else sees it; if
// fn returns an error, all of it is undone, nothing is logged, and the error is
// returned as it is. A single failed call on the Tx has changed nothing, so fn
// may also go on after it.
//
// A write that meets an open transaction's fails with WriteConflict; see
// UpdateWait.
func (e *Engine) Update(fn func(*Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.update(fn)
}

func (e *Engine) update(fn func(*Tx) error) error {
	e.seq++
	tx := &Tx{e: e, cat: e.cat, writable: true}
	j := e.journal.Load()
	if j != nil {
		tx.changes = &changes{}
	}
	err := fn(tx)
	var at bson.Timestamp
	if err == nil && j != nil {
		at, err = j.commit(e.log, e.cat, tx.changes, tx.staged)
	} else if err == nil {
		at = e.log.Append(tx.staged...)
	}
	if err != nil {
		tx.rollback()
		return err
	}
	e.past.add(tx.undo, len(tx.staged), at)
	return nil
}

// UpdateWait is Update that behaves as the server does outside transactions:
// if fn returns a WriteConflict or a PrepareConflictError, it is undone, and repeated once a transaction
// has ended. So fn must be repeatable and return the conflict. It returns the
// cause of ctx's end when that comes first.
func (e *Engine) UpdateWait(ctx context.Context, fn func(*Tx) error) error {
	for {
		wait, err := e.updateOrWatch(fn)
		if wait == nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// updateOrWatch returns a channel that the end of the next transaction closes,
// if fn met one.
func (e *Engine) updateOrWatch(fn func(*Tx) error) (<-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.update(fn)
	var met *PrepareConflictError
	if !mongoerr.Is(err, mongoerr.WriteConflict) && !errors.As(err, &met) || e.locks.empty() {
		return nil, err
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed, err
}

// transactionEnded wakes those that wait for a conflict to go away.
func (e *Engine) transactionEnded() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// Branch returns an engine of its own that begins with the data of t's snapshot
// and logs to log. What t itself has changed is not in it.
func (t *Transaction) Branch(log *oplog.Log) *Engine {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.mu.RLock()
	defer t.e.mu.RUnlock()
	return &Engine{
		log: log, clock: t.e.clock, cat: t.cat.snapshot(), seq: t.e.seq, validate: t.e.validate,
		past: t.e.past.branch(t.read), copying: t.e.copying,
	}
}
