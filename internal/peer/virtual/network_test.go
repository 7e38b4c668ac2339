package virtual_test

import (
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/internal/peer/virtual"
)

// A host that is unplugged has no connection, gets none and makes none.
func TestAnUnpluggedHostIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		l, err := net.Host("a").Listen(t.Context(), "a:1")
		require.NoError(t, err)
		conn, err := net.Host("b").Dial(t.Context(), "a:1")
		require.NoError(t, err)
		taken, err := l.Accept()
		require.NoError(t, err)

		net.Unplug("a")
		_, err = io.ReadAll(conn)
		require.NoError(t, err, "it ends")
		_, err = taken.Write([]byte("x"))
		require.Error(t, err)
		_, err = net.Host("b").Dial(t.Context(), "a:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = net.Host("a").Dial(t.Context(), "a:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)

		net.Plug("a")
		again, err := net.Host("b").Dial(t.Context(), "a:1")
		require.NoError(t, err)
		require.NoError(t, again.Close())
		require.NoError(t, conn.Close())
		require.NoError(t, l.Close())
	})
}

func TestASlowHostIsSlowBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		l, err := net.Host("a").Listen(t.Context(), "a:1")
		require.NoError(t, err)
		conn, err := net.Host("b").Dial(t.Context(), "a:1")
		require.NoError(t, err)
		taken, err := l.Accept()
		require.NoError(t, err)
		for _, by := range []time.Duration{0, time.Second, 0} {
			net.Slow("a", by)
			for _, way := range [][2]io.ReadWriter{{conn, taken}, {taken, conn}} {
				began := time.Now()
				_, err := way[0].Write([]byte("x"))
				require.NoError(t, err)
				_, err = way[1].Read(make([]byte, 1))
				require.NoError(t, err)
				assert.Equal(t, time.Millisecond+by, time.Since(began))
			}
		}
		net.Delay("b", "a", time.Second)
		for i, way := range [][2]io.ReadWriter{{conn, taken}, {taken, conn}} {
			began := time.Now()
			_, err := way[0].Write([]byte("x"))
			require.NoError(t, err)
			_, err = way[1].Read(make([]byte, 1))
			require.NoError(t, err)
			assert.Equal(t, i == 0, time.Since(began) > time.Second, "only one way is slow")
		}
		require.NoError(t, conn.Close())
		require.NoError(t, taken.Close())
		require.NoError(t, l.Close())
	})
}
