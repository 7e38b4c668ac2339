package shardworker

import (
	"context"
	"sync"

	"github.com/shardferry/shardferry"
)

const (
	// stepBytes is how much one step of repairs aims for.
	stepBytes = 8 << 20
	// unknownSize is expected of the documents of a collection of which none has
	// been seen: the largest there may be.
	unknownSize = 16 << 20
)

// A rereadMemory is what repairs may hold of documents that they have read from
// the source. How large these are is not known before; a collection's largest
// one so far is expected of all. It may be used by several goroutines.
type rereadMemory struct {
	held *account

	mu      sync.Mutex
	largest map[shardferry.UUID]int
}

func newRereadMemory(held *account) *rereadMemory {
	return &rereadMemory{held: held, largest: map[shardferry.UUID]int{}}
}

// saw notes the size of a document.
func (m *rereadMemory) saw(coll shardferry.UUID, size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.largest[coll] = max(m.largest[coll], size)
}

// expected returns how large the documents of a collection may be.
func (m *rereadMemory) expected(coll shardferry.UUID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.largest[coll]; n > 0 {
		return n
	}
	return unknownSize
}

// step returns how many of the repairs, at least one, make a step, and how much
// memory that takes.
func (m *rereadMemory) step(repairs []repair) (n int, bytes int64) {
	for _, r := range repairs {
		size := int64(m.expected(r.coll.UUID))
		if n == repairDocs || n > 0 && bytes+size > stepBytes {
			break
		}
		n++
		bytes += size
	}
	return n, min(bytes, m.held.limit)
}

// acquire waits until so much memory is free. Whoever holds some must not wait
// for more.
func (m *rereadMemory) acquire(ctx context.Context, bytes int64) error {
	_, err := m.held.acquire(ctx, bytes)
	return err
}

func (m *rereadMemory) release(bytes int64) { m.held.release(bytes) }
