// Package virtual is a network between nodes that exists in memory. It waits on
// channels only, so that nodes on it live in the virtual time of testing/synctest.
//
// Like TCP it loses nothing: what is sent along a way that is cut arrives when
// the way is there again.
package virtual

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Network is a network in memory. Addresses are host:port; the host is whatever a
// Host was named.
type Network struct {
	delay time.Duration

	mu        sync.Mutex
	listeners map[string]*listener
	cut       map[way]bool
	slow      map[string]time.Duration // what a host's links take more
	late      map[way]time.Duration    // what one way takes more
	off       map[string]bool          // hosts that are unplugged
	conns     map[*conn]struct{}
	changed   chan struct{} // closed when ways are cut or there again
}

type way struct{ from, to string }

// New returns a network on which everything takes delay to arrive.
func New(delay time.Duration) *Network {
	return &Network{
		delay: delay, listeners: map[string]*listener{}, cut: map[way]bool{}, slow: map[string]time.Duration{}, late: map[way]time.Duration{},
		off: map[string]bool{}, conns: map[*conn]struct{}{}, changed: make(chan struct{}),
	}
}

// Cut holds up everything that one host sends to another. The way back stays.
func (n *Network) Cut(from, to string) { n.set(from, to, true) }

// Heal undoes Cut.
func (n *Network) Heal(from, to string) { n.set(from, to, false) }

func (n *Network) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[way{from, to}] = cut
	close(n.changed)
	n.changed = make(chan struct{})
}

// Kill ends all connections of a host at once, as the end of its process does.
func (n *Network) Kill(host string) {
	n.mu.Lock()
	var of []*conn
	for c := range n.conns {
		if c.host == host {
			of = append(of, c)
		}
	}
	n.mu.Unlock()
	for _, c := range of {
		_ = c.Close()
	}
}

// Unplug ends all connections of a host, and lets it have no other ones until
// Plug: it is dead, though what ran on it may not know that yet.
func (n *Network) Unplug(host string) {
	n.mu.Lock()
	n.off[host] = true
	n.mu.Unlock()
	n.Kill(host)
}

// Plug undoes Unplug.
func (n *Network) Plug(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.off, host)
}

// Slow lets everything to and from a host take longer by so much.
func (n *Network) Slow(host string, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[host] = by
}

// Delay lets what one host sends to another take longer by so much. The way back
// takes what it took.
func (n *Network) Delay(from, to string, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late[way{from, to}] = by
}

// due returns when something that is sent now arrives.
func (n *Network) due(w way) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(n.delay + n.slow[w.from] + n.slow[w.to] + n.late[w])
}

// reaches reports whether neither end of a way is unplugged.
func (n *Network) reaches(w way) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.off[w.from] && !n.off[w.to]
}

// passes reports whether the way is there, and otherwise when to ask again.
func (n *Network) passes(w way) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut[w], n.changed
}

// await waits until the way is there.
func (n *Network) await(ctx context.Context, w way) error {
	for {
		ok, changed := n.passes(w)
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Host returns the network as one host sees it.
func (n *Network) Host(name string) *Host { return &Host{net: n, name: name} }

// A Host is one machine.
type Host struct {
	net  *Network
	name string
}

// Listen takes connections to addr.
func (h *Host) Listen(_ context.Context, addr string) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	l := &listener{net: h.net, addr: addr, conns: make(chan net.Conn, 64), closed: make(chan struct{})}
	h.net.listeners[addr] = l
	return l, nil
}

// Dial connects to addr.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	for _, w := range []way{{h.name, to}, {to, h.name}} {
		if err := h.net.await(ctx, w); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	h.net.mu.Lock()
	l := h.net.listeners[addr]
	h.net.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	mine, theirs := h.net.pair(h.name, to)
	if !h.net.reaches(way{h.name, to}) { // asked when Kill can see them
		return nil, errors.Join(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, mine.Close(), theirs.Close())
	}
	select {
	case l.conns <- theirs:
		return mine, nil
	case <-l.closed:
		return nil, errors.Join(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, mine.Close())
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), mine.Close())
	}
}

type listener struct {
	net    *Network
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr)
		l.net.mu.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.conns:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return address(l.addr) }

type address string

func (address) Network() string  { return "virtual" }
func (a address) String() string { return string(a) }
