package rehearse

import (
	"bufio"
	"context"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is said through a relay arrives, until it cuts the connection; the next one
// works again.
func TestARelayCutsConnections(t *testing.T) {
	over := errors.New("the test is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	echo, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, echo.Close()) }()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				line, _ := bufio.NewReader(c).ReadString('\n')
				_, _ = c.Write([]byte("echo " + line))
				_, _ = c.Read(make([]byte, 1)) // until it is cut
				_ = c.Close()
			}()
		}
	}()
	port, err := freePorts(ctx, 1)
	require.NoError(t, err)
	r := newRelay(net.JoinHostPort("127.0.0.1", portText(port)), echo.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for range 2 {
		var c net.Conn
		require.Eventually(t, func() bool {
			c, err = (&net.Dialer{}).DialContext(ctx, "tcp", r.at)
			return err == nil
		}, 10e9, 1e6)
		_, err = c.Write([]byte("hello\n"))
		require.NoError(t, err)
		in := bufio.NewReader(c)
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "echo hello\n", line)
		r.drop()
		_, err = in.ReadByte()
		require.Error(t, err)
		require.NoError(t, c.Close())
	}
	cancel(over)
	require.ErrorIs(t, <-ended, over)
}
