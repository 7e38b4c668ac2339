package coordinator

import (
	"context"
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/coordinator/state"
)

// A log that grows fast is not left to raft, which looks seldom and counts entries.
func TestTheLogIsShortenedByItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var st *stores
		c, err := New(Config{ID: "n1", LogBytes: 64 << 10, stored: func(s *stores) { st = s }})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		defer func() {
			cancel()
			assert.ErrorIs(t, <-ended, context.Canceled)
		}()
		_, err = c.Leads(ctx)
		require.NoError(t, err)
		newest := func() uint64 {
			list, err := st.snapshots.List()
			require.NoError(t, err)
			if len(list) == 0 {
				return 0
			}
			return list[0].Index
		}
		write := func(kib int) uint64 {
			for range kib {
				long := rand.Text() + rand.Text()
				for len(long) < 1<<10 {
					long += rand.Text()
				}
				_ = c.Propose(ctx, state.Pause{At: time.Now(), From: long}) // refused: nothing runs
			}
			time.Sleep(2 * logLook)
			return c.fsm.applied()
		}
		write(32)
		require.Zero(t, newest(), "too early")
		first := write(60)
		require.Equal(t, first, newest())
		write(30)
		require.Equal(t, first, newest(), "there is one already")
		require.Equal(t, write(60), newest())
	})
}
