package peer_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/peer"
	"github.com/shardferry/shardferry/internal/peer/virtual"
)

var errStopped = errors.New("the test ends")

func open(t *testing.T, net *virtual.Network, host string, set func(*peer.Config)) *peer.Port {
	t.Helper()
	cfg := peer.Config{Listen: host + ":1", Network: net.Host(host), Insecure: true}
	if set != nil {
		set(&cfg)
	}
	p, err := peer.New(cfg)
	require.NoError(t, err)
	p.Answers("echo", func(_ context.Context, body []byte) ([]byte, error) { return append([]byte(host+" "), body...), nil })
	return p
}

// run lets a port run until the test ends, or until stop.
func run(t *testing.T, p *peer.Port) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context())) // cleanups come after its end
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	synctest.Wait()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel(errStopped)
			assert.ErrorIs(t, <-ended, errStopped)
		}
	}
	t.Cleanup(stop)
	return stop
}

// Raft's connections and requests arrive on one port, each where it belongs.
func TestOnePortForBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		a, b := open(t, net, "a", nil), open(t, net, "b", nil)
		run(t, a)
		run(t, b)
		reply, err := a.Call(t.Context(), "b:1", "echo", []byte("hello"))
		require.NoError(t, err)
		assert.Equal(t, "b hello", string(reply))

		out, err := a.Stream(t.Context()).Dial(raft.ServerAddress("b:1"), time.Second)
		require.NoError(t, err)
		_, err = out.Write([]byte("vote"))
		require.NoError(t, err)
		in, err := b.Stream(t.Context()).Accept()
		require.NoError(t, err)
		var got [4]byte
		_, err = io.ReadFull(in, got[:])
		require.NoError(t, err)
		assert.Equal(t, "vote", string(got[:]))
	})
}

// Who asks learns whether the other node may have taken the request.
func TestWhatIsKnownOfAFailedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		a, b := open(t, net, "a", nil), open(t, net, "b", nil)
		asked := make(chan struct{})
		b.Answers("never", func(ctx context.Context, _ []byte) ([]byte, error) {
			close(asked)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		run(t, a)
		stop := run(t, b)

		_, err := a.Call(t.Context(), "c:1", "echo", nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, shardferry.ErrOutcomeUnknown, "nobody is there")
		_, err = a.Call(t.Context(), "b:1", "unheard", nil)
		require.ErrorContains(t, err, "another version")
		require.NotErrorIs(t, err, shardferry.ErrOutcomeUnknown)

		got := make(chan error, 1)
		go func() {
			_, err := a.Call(t.Context(), "b:1", "never", nil)
			got <- err
		}()
		<-asked
		net.Kill("b")
		require.ErrorIs(t, <-got, shardferry.ErrOutcomeUnknown)

		stop()
		_, err = a.Call(t.Context(), "b:1", "echo", nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, shardferry.ErrOutcomeUnknown, "it is gone")
	})
}

// A node that does not answer at all costs a second, not the patience of TCP.
func TestADeadNodeCostsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		a, b := open(t, net, "a", nil), open(t, net, "b", nil)
		run(t, a)
		run(t, b)
		net.Cut("b", "a")
		begin := time.Now()
		_, err := a.Call(t.Context(), "b:1", "echo", nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, shardferry.ErrOutcomeUnknown)
		assert.LessOrEqual(t, time.Since(begin), 1100*time.Millisecond)
	})
}

// Whoever says nothing, or something else, is not kept.
func TestStrangersAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		run(t, open(t, net, "a", nil))
		for _, said := range []string{"", "GET / HTTP/1.1\r\n"} {
			conn, err := net.Host("x").Dial(t.Context(), "a:1")
			require.NoError(t, err)
			_, err = conn.Write([]byte(said))
			require.NoError(t, err)
			begin := time.Now()
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			assert.LessOrEqual(t, time.Since(begin), 1100*time.Millisecond)
		}
	})
}

// Without certificates a port is open on this machine only, unless the operator
// says that the network can be trusted.
func TestAPlainPortStaysOnTheMachine(t *testing.T) {
	for _, tt := range []struct {
		listen, advertise string
		insecure          bool
		want              error
	}{
		{"127.0.0.1:1", "", false, nil},
		{"localhost:1", "", false, nil},
		{"[::1]:1", "", false, nil},
		{"10.0.0.1:1", "", false, peer.ErrInsecure},
		{"127.0.0.1:1", "example.net:1", false, peer.ErrInsecure},
		{"0.0.0.0:1", "127.0.0.1:1", false, peer.ErrInsecure},
		{"10.0.0.1:1", "", true, nil},
	} {
		_, err := peer.New(peer.Config{Listen: tt.listen, Advertise: tt.advertise, Insecure: tt.insecure})
		require.ErrorIs(t, err, tt.want, "%+v", tt)
	}
	for _, addr := range []string{"0.0.0.0:1", ":1", "127.0.0.1:0", "nonsense"} {
		_, err := peer.New(peer.Config{Listen: addr, Insecure: true})
		require.Error(t, err, "nobody reaches %s", addr)
	}
}

// A request that was given up leaves nothing behind when its port has ended: the
// connection that was being made for it is given up too.
func TestNothingIsDialledAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := virtual.New(time.Millisecond)
		a := open(t, net, "a", nil)
		stop := run(t, a)
		net.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := a.Call(ctx, "b:1", "echo", nil)
		require.Error(t, err)
		began := time.Now()
		stop()
		assert.Zero(t, time.Since(began), "it is not waited for")
		_, err = a.Call(t.Context(), "b:1", "echo", nil)
		require.Error(t, err)
	})
}
