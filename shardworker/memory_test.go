package shardworker

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
)

const rereadBytes = 64 << 20

// Repairs are done in steps of which the documents fit into memory, one by one
// where nothing is known of their size.
func TestRepairsExpectTheLargestDocumentSoFar(t *testing.T) {
	known, unknown := testCollection(), testCollection()
	unknown.UUID = shardferry.UUID{2}
	m := newRereadMemory(newAccount(rereadBytes))
	m.saw(known.UUID, 1<<20)
	m.saw(known.UUID, 100)
	of := func(coll *shardferry.Collection, n int) []repair {
		out := make([]repair, n)
		for i := range out {
			out[i].coll = coll
		}
		return out
	}
	for name, tt := range map[string]struct {
		repairs []repair
		n       int
		bytes   int64
	}{
		"of known size":      {of(&known, 100), 8, 8 << 20},
		"few":                {of(&known, 3), 3, 3 << 20},
		"of unknown size":    {of(&unknown, 100), 1, unknownSize},
		"unknown after some": {append(of(&known, 2), of(&unknown, 2)...), 2, 2 << 20},
	} {
		n, bytes := m.step(tt.repairs)
		assert.Equal(t, tt.n, n, name)
		assert.Equal(t, tt.bytes, bytes, name)
	}
	m.saw(unknown.UUID, 10)
	n, _ := m.step(of(&unknown, 100))
	assert.Equal(t, repairDocs, n)
}

// All lanes of a worker share the memory; one that waits for it can be stopped.
func TestRepairsWaitForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRereadMemory(newAccount(rereadBytes))
		for range rereadBytes / unknownSize {
			require.NoError(t, m.acquire(t.Context(), unknownSize))
		}
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 2)
		go func() { got <- m.acquire(ctx, unknownSize) }()
		synctest.Wait()
		assert.Empty(t, got)
		cancel()
		require.ErrorIs(t, <-got, context.Canceled)
		go func() { got <- m.acquire(t.Context(), unknownSize) }()
		m.release(unknownSize)
		require.NoError(t, <-got)
	})
}
