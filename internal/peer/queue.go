package peer

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A queue hands accepted connections of one kind to whoever serves them.
type queue struct {
	port   *Port
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue(p *Port) *queue {
	return &queue{port: p, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (q *queue) put(ctx context.Context, conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.closed:
		_ = conn.Close()
	case <-ctx.Done():
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return address(q.port.cfg.Advertise) }

// An address is host:port of a port.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

func (a address) String() string { return string(a) }

// A stream is how raft meets the others.
type stream struct {
	*queue

	dial func(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error)
}

// Dial implements raft.StreamLayer.
func (s stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.dial(addr, timeout)
}

// Stream returns how raft meets the others. It dials until ctx ends. Closing it
// ends what raft takes, not the port.
func (p *Port) Stream(ctx context.Context) raft.StreamLayer {
	return stream{queue: p.raft, dial: func(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return p.dial(ctx, string(addr), forRaft)
	}}
}

// Addr is how other nodes reach the port.
func (p *Port) Addr() string { return p.cfg.Advertise }
