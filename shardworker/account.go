package shardworker

import (
	"context"
	"slices"
	"sync"
)

// An account bounds the bytes that parts of a worker hold. Whoever comes first is
// served first, so that a large claim is not passed by small ones for ever. It may
// be used by several goroutines.
type account struct {
	limit int64

	mu      sync.Mutex
	held    int64
	waiting []*claim
}

// A claim is somebody who waits for bytes.
type claim struct {
	bytes   int64
	granted chan struct{}
}

func newAccount(limit int64) *account { return &account{limit: limit} }

// acquire waits until so many bytes are free, but never for more than there are:
// a single claim of any size is served. It returns what is to be released.
func (a *account) acquire(ctx context.Context, bytes int64) (int64, error) {
	c := &claim{bytes: min(bytes, a.limit), granted: make(chan struct{})}
	a.mu.Lock()
	a.waiting = append(a.waiting, c)
	a.grant()
	a.mu.Unlock()
	select {
	case <-c.granted:
		return c.bytes, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-c.granted:
		a.held -= c.bytes
	default:
		a.waiting = slices.DeleteFunc(a.waiting, func(w *claim) bool { return w == c })
	}
	a.grant()
	return 0, context.Cause(ctx)
}

// resize corrects a claim that was served, once it is known what it takes. More
// than was claimed is taken without waiting.
func (a *account) resize(from, to int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held += to - from
	a.grant()
}

func (a *account) release(bytes int64) { a.resize(bytes, 0) }

// grant serves who waits, in order. The caller holds the lock.
func (a *account) grant() {
	for len(a.waiting) > 0 && (a.held == 0 || a.held+a.waiting[0].bytes <= a.limit) {
		a.held += a.waiting[0].bytes
		close(a.waiting[0].granted)
		a.waiting = a.waiting[1:]
	}
}

func (a *account) holds() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// accounts are what a worker may hold of documents, in three equal parts; a fourth
// is left for the commands in which they are sent.
type accounts struct {
	events  *account // from the stream until they are applied
	repairs *account // read again
	copies  *account // read and not yet written
	command int      // bytes of what one lane puts together
}

const (
	// leastMemory is the least that a worker works with.
	leastMemory = 32 << 20
	// largestReply is what a server puts into one reply, or one document takes.
	largestReply = 16 << 20
	// leastCommand and mostCommand bound what a lane puts together: small ones are
	// slow, larger ones are not faster.
	leastCommand = 256 << 10
	mostCommand  = 4 << 20
)

// newAccounts shares the memory of a worker with so many writers out. A command is
// there twice while it is sent.
func newAccounts(memory int64, writers int) accounts {
	quarter := max(memory, leastMemory) / 4
	return accounts{
		events: newAccount(quarter), repairs: newAccount(quarter), copies: newAccount(quarter),
		command: int(min(max(quarter/int64(2*writers), leastCommand), mostCommand)),
	}
}

// holds returns how many bytes are held now.
func (a accounts) holds() int64 { return a.events.holds() + a.repairs.holds() + a.copies.holds() }
