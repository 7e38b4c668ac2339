package mortal

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type dialer func() net.Conn

func (d dialer) DialContext(context.Context, string, string) (net.Conn, error) { return d(), nil }

// wired returns a plug and both ends of a connection through it.
func wired(ctx context.Context, t *testing.T) (p *plug, node, cluster net.Conn) {
	t.Helper()
	mine, theirs := net.Pipe()
	p = newPlug(dialer(func() net.Conn { return mine }))
	node, err := p.DialContext(ctx, "tcp", "x:1")
	require.NoError(t, err)
	return p, node, theirs
}

// What is sent while a plug is held arrives afterwards, though the connection was
// closed meanwhile, and so does the end.
func TestWhatIsHeldComesLate(t *testing.T) {
	require.NoError(t, Bubble(func(ctx context.Context) error {
		p, node, cluster := wired(ctx, t)
		p.hold()
		for _, text := range []string{"on", "e"} {
			_, err := node.Write([]byte(text))
			require.NoError(t, err)
		}
		require.NoError(t, node.SetReadDeadline(time.Now().Add(time.Second)))
		_, err := node.Read(make([]byte, 8))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, node.Close())
		began := time.Now()
		time.AfterFunc(10*time.Second, p.release)
		got, err := io.ReadAll(cluster)
		require.NoError(t, err)
		assert.Equal(t, "one", string(got))
		assert.Equal(t, 10*time.Second, time.Since(began))
		return cluster.Close()
	}))
}

// What the cluster sends meanwhile is not lost either.
func TestWhatArrivesIsHeldToo(t *testing.T) {
	require.NoError(t, Bubble(func(ctx context.Context) error {
		p, node, cluster := wired(ctx, t)
		began := time.Now()
		time.AfterFunc(time.Second, p.hold)
		time.AfterFunc(2*time.Second, func() {
			_, _ = cluster.Write([]byte("late"))
			_ = cluster.Close()
		})
		time.AfterFunc(9*time.Second, p.release)
		got, err := io.ReadAll(node)
		require.NoError(t, err)
		assert.Equal(t, "late", string(got))
		assert.Equal(t, 9*time.Second, time.Since(began))
		return node.Close()
	}))
}

// Of a process that dies while it is held nothing arrives.
func TestTheDeadSayNothingMore(t *testing.T) {
	require.NoError(t, Bubble(func(ctx context.Context) error {
		p, node, cluster := wired(ctx, t)
		p.hold()
		_, err := node.Write([]byte("never"))
		require.NoError(t, err)
		time.AfterFunc(time.Second, p.pull)
		got, err := io.ReadAll(cluster)
		require.NoError(t, err)
		assert.Empty(t, got)
		_, err = p.DialContext(ctx, "tcp", "x:1")
		require.ErrorIs(t, err, errUnplugged)
		return cluster.Close()
	}))
}
