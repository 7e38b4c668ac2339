package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

// A pipe is a listener in memory, so that its connections live in virtual time.
type pipe struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	close(p.done)
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// Whoever sends nothing, or a little now and then, does not keep a connection.
func TestSlowClientsAreLetGo(t *testing.T) {
	for name, sends := range map[string][]string{
		"nothing":          {},
		"half a line":      {"POST /api"},
		"headers for ever": {"POST /api/v1/pause HTTP/1.1\r\nHost: localhost\r\n", "A: b\r\n", "C: d\r\n", "E: f\r\n", "G: h\r\n"},
		"half a body":      {"POST /api/v1/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctl := &fixed{}
				l := &pipe{conns: make(chan net.Conn), done: make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- api.NewServer(api.Config{Controller: ctl}).Run(ctx, l) }()
				ours, theirs := net.Pipe()
				l.conns <- theirs
				began := time.Now()
				var writer sync.WaitGroup
				writer.Go(func() {
					for _, text := range sends {
						if _, err := ours.Write([]byte(text)); err != nil {
							return
						}
						time.Sleep(4 * time.Second)
					}
				})
				buf := make([]byte, 4096)
				var err error
				for err == nil {
					_, err = ours.Read(buf)
				}
				assert.LessOrEqual(t, time.Since(began), 12*time.Second)
				assert.Empty(t, ctl.asked)
				require.NoError(t, ours.Close())
				writer.Wait()
				cancel()
				require.ErrorIs(t, <-ended, context.Canceled)
			})
		})
	}
}

func TestHeadersHaveALimit(t *testing.T) {
	addr := run(t, api.Config{Controller: &fixed{}})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprintf(conn, "GET /api/v1/progress HTTP/1.1\r\nHost: localhost\r\nA: %s\r\n\r\n", strings.Repeat("a", 32<<10))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}
