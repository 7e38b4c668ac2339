package shardworker

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Nobody is served out of turn, nothing is above the limit but a single claim, and
// who gives up leaves nothing behind.
func TestAnAccountServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(100)
		one, err := a.acquire(t.Context(), 60)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan int64, 3)
		wait := func(ctx context.Context, n int64) {
			go func() {
				if held, err := a.acquire(ctx, n); err == nil {
					got <- held
				}
			}()
			synctest.Wait()
		}
		wait(ctx, 500) // more than there is
		wait(t.Context(), 10)
		assert.Empty(t, got, "the small one came later")
		cancel()
		synctest.Wait()
		assert.Equal(t, int64(10), <-got)
		wait(t.Context(), 500)
		a.release(one)
		synctest.Wait()
		assert.Empty(t, got)
		a.release(10)
		synctest.Wait()
		assert.Equal(t, int64(100), <-got, "alone it is let through")
		a.resize(100, 130)
		assert.Equal(t, int64(130), a.holds())
		a.release(130)
		assert.Zero(t, a.holds())
	})
}

func TestTheMemoryOfAWorkerIsSharedOut(t *testing.T) {
	for _, memory := range []int64{0, 32 << 20, 128 << 20, 1 << 30} {
		a := newAccounts(memory, 12)
		sum := a.events.limit + a.repairs.limit + a.copies.limit + int64(2*12*a.command)
		assert.LessOrEqual(t, sum, max(memory, leastMemory)+2*12*leastCommand, "%d", memory)
		assert.Positive(t, a.command)
	}
}
