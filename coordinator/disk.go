package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// ErrDisk reports that this node cannot keep what it is told: its disk is full, or
// fails. What it has kept stays.
var ErrDisk = errors.New("the data directory takes nothing more: make room or mend the disk, then start this node again")

// currentTerm is the key for whose loss raft panics (raft: setCurrentTerm).
const currentTerm = "CurrentTerm"

// A disk is raft's log and what it keeps beside, up to the first write that fails.
// Raft goes on after such a write: a leader steps down and is elected again. Here no
// other write succeeds after it, and the node ends, so that another one leads.
type disk struct {
	raft.LogStore
	raft.StableStore

	fails chan struct{} // closed when failed is set

	mu     sync.Mutex
	failed error
}

func newDisk(logs raft.LogStore, stable raft.StableStore) *disk {
	return &disk{LogStore: logs, StableStore: stable, fails: make(chan struct{})}
}

// watch returns an error when a write has failed.
func (d *disk) watch(ctx context.Context) error {
	select {
	case <-d.fails:
		return d.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *disk) why() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// write does one write, unless an earlier one has failed.
func (d *disk) write(do func() error) error {
	if err := d.why(); err != nil {
		return err
	}
	err := do()
	if err == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = fmt.Errorf("%w: %w", ErrDisk, err)
		close(d.fails)
	}
	return d.failed
}

// StoreLog implements raft.LogStore.
func (d *disk) StoreLog(l *raft.Log) error {
	return d.write(func() error { return d.LogStore.StoreLog(l) })
}

// StoreLogs implements raft.LogStore.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	return d.write(func() error { return d.LogStore.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (d *disk) DeleteRange(from, to uint64) error {
	return d.write(func() error { return d.LogStore.DeleteRange(from, to) })
}

// Set implements raft.StableStore.
func (d *disk) Set(key, value []byte) error {
	return d.write(func() error { return d.StableStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore. A term that cannot be kept is a panic in
// raft, so that it is not told. It does nothing in that term: to vote or to append it
// would have to write again.
func (d *disk) SetUint64(key []byte, value uint64) error {
	err := d.write(func() error { return d.StableStore.SetUint64(key, value) })
	if string(key) == currentTerm {
		return nil
	}
	return err
}
