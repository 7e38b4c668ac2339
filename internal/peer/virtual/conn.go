package virtual

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much may be under way in one direction.
const window = 256 << 10

// A conn is one end of a connection.
type conn struct {
	net      *Network
	host     string
	peer     string
	in, out  *flow
	deadline [2]*deadline // of reads, of writes
	once     sync.Once
}

func (n *Network) pair(a, b string) (*conn, *conn) {
	there, back := newFlow(n, way{a, b}), newFlow(n, way{b, a})
	x := &conn{net: n, host: a, peer: b, in: back, out: there, deadline: [2]*deadline{newDeadline(), newDeadline()}}
	y := &conn{net: n, host: b, peer: a, in: there, out: back, deadline: [2]*deadline{newDeadline(), newDeadline()}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[x], n.conns[y] = struct{}{}, struct{}{}
	return x, y
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p, c.deadline[0]) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p, c.deadline[1]) }

func (c *conn) Close() error {
	c.once.Do(func() {
		c.net.mu.Lock()
		delete(c.net.conns, c)
		c.net.mu.Unlock()
		c.out.end(false)
		c.in.end(true)
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address(c.host) }
func (c *conn) RemoteAddr() net.Addr { return address(c.peer) }

func (c *conn) SetDeadline(t time.Time) error {
	c.deadline[0].set(t)
	c.deadline[1].set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error  { c.deadline[0].set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.deadline[1].set(t); return nil }

// A flow is one direction of a connection.
type flow struct {
	net *Network
	way way

	mu     sync.Mutex
	parts  []part
	size   int
	ended  time.Time // zero: more may come
	gone   bool      // nobody reads any more
	moving chan struct{}
}

// A part is what one write sent.
type part struct {
	data []byte
	due  time.Time
}

func newFlow(n *Network, w way) *flow { return &flow{net: n, way: w, moving: make(chan struct{})} }

// moved wakes who waits. The caller holds mu.
func (f *flow) moved() {
	close(f.moving)
	f.moving = make(chan struct{})
}

func (f *flow) end(byReader bool) {
	due := f.net.due(f.way)
	f.mu.Lock()
	defer f.mu.Unlock()
	if byReader {
		f.gone = true
	} else {
		f.ended = due
	}
	f.moved()
}

func (f *flow) write(p []byte, d *deadline) (n int, err error) {
	for len(p) > 0 {
		due := f.net.due(f.way)
		f.mu.Lock()
		moving := f.moving
		switch {
		case !f.ended.IsZero():
			f.mu.Unlock()
			return n, net.ErrClosed
		case f.gone:
			f.mu.Unlock()
			return n, syscall.ECONNRESET
		case f.size < window:
			k := min(len(p), window-f.size)
			f.parts = append(f.parts, part{data: append([]byte(nil), p[:k]...), due: due})
			f.size += k
			p, n = p[k:], n+k
			f.moved()
			f.mu.Unlock()
			continue
		}
		f.mu.Unlock()
		if err := d.wait(moving, nil, nil); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (f *flow) read(p []byte, d *deadline) (int, error) {
	for {
		passes, changed := f.net.passes(f.way)
		f.mu.Lock()
		moving := f.moving
		var due time.Time
		switch {
		case f.gone:
			f.mu.Unlock()
			return 0, net.ErrClosed
		case len(f.parts) > 0:
			due = f.parts[0].due
		default:
			due = f.ended
		}
		if passes && !due.IsZero() && !time.Now().Before(due) {
			defer f.mu.Unlock()
			if len(f.parts) == 0 {
				return 0, io.EOF
			}
			first := &f.parts[0]
			k := copy(p, first.data)
			if first.data = first.data[k:]; len(first.data) == 0 {
				f.parts = f.parts[1:]
			}
			f.size -= k
			f.moved()
			return k, nil
		}
		f.mu.Unlock()
		var arrives <-chan time.Time
		if passes && !due.IsZero() {
			t := time.NewTimer(time.Until(due))
			defer t.Stop()
			arrives = t.C
		}
		if err := d.wait(moving, changed, arrives); err != nil {
			return 0, err
		}
	}
}

// A deadline ends waits.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func newDeadline() *deadline { return &deadline{changed: make(chan struct{})} }

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	close(d.changed)
	d.changed = make(chan struct{})
}

// wait returns when something has happened, or an error at the deadline.
func (d *deadline) wait(moving, ways <-chan struct{}, arrives <-chan time.Time) error {
	d.mu.Lock()
	at, changed := d.at, d.changed
	d.mu.Unlock()
	var late <-chan time.Time
	if !at.IsZero() {
		if !time.Now().Before(at) {
			return os.ErrDeadlineExceeded
		}
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-moving:
	case <-ways:
	case <-arrives:
	case <-changed:
	case <-late:
		return os.ErrDeadlineExceeded
	}
	return nil
}
