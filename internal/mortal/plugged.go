package mortal

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A pluggedConn is one connection between a node and a cluster.
type pluggedConn struct {
	net.Conn
	plug  *plug
	until *until        // the deadline of reads
	shut  chan struct{} // closed by Close

	mu      sync.Mutex
	waiting []byte // written while the plug was held
	sending bool   // a goroutine waits to send it
	closed  bool   // the owner closed it

	early    []byte // has arrived while the plug was held; of the one who reads
	earlyEnd error  // and so has the end
}

// Write implements net.Conn. As into the buffer of a socket it succeeds although
// nothing passes.
func (c *pluggedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if !c.sending && c.plug.holds() == nil {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.waiting = append(c.waiting, p...)
	if !c.sending {
		c.sending = true
		go c.send()
	}
	return len(p), nil
}

// send sends what waits once everything passes again, and ends the connection
// then if that was asked for.
func (c *pluggedConn) send() {
	for {
		if held := c.plug.holds(); held != nil {
			select {
			case <-held:
				continue
			case <-c.plug.gone:
			}
		}
		c.mu.Lock()
		data := c.waiting
		c.waiting = nil
		if len(data) == 0 || c.plug.pulled() {
			c.sending = false
			ends := c.closed
			c.mu.Unlock()
			if ends {
				c.plug.forget(c)
				_ = c.Conn.Close() // nobody is there any more who could be told
			}
			return
		}
		c.mu.Unlock()
		if _, err := c.Conn.Write(data); err != nil {
			_ = c.Conn.Close() // whoever reads is told
		}
	}
}

// Read implements net.Conn.
func (c *pluggedConn) Read(p []byte) (int, error) {
	for {
		if held := c.plug.holds(); held != nil {
			if err := c.await(held); err != nil {
				return 0, err
			}
			continue
		}
		if len(c.early) > 0 {
			n := copy(p, c.early)
			c.early = c.early[n:]
			return n, nil
		}
		if c.earlyEnd != nil {
			return 0, c.earlyEnd
		}
		n, err := c.Conn.Read(p)
		if c.plug.holds() == nil || errors.Is(err, os.ErrDeadlineExceeded) && n == 0 {
			return n, err
		}
		c.early, c.earlyEnd = append(c.early, p[:n]...), err
	}
}

// await waits until everything passes, or for what ends a read before.
func (c *pluggedConn) await(held <-chan struct{}) error {
	at, changed := c.until.get()
	var late <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-held:
	case <-changed:
	case <-late:
		return os.ErrDeadlineExceeded
	case <-c.shut:
		return net.ErrClosed
	case <-c.plug.gone:
		return net.ErrClosed
	}
	return nil
}

// Close implements net.Conn.
func (c *pluggedConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.shut)
	}
	if !c.sending && c.plug.holds() != nil {
		c.sending = true
		go c.send() // the end, which passes no sooner than anything else
	}
	sending := c.sending
	c.mu.Unlock()
	if sending {
		return nil // it ends when what waits is sent
	}
	c.plug.forget(c)
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *pluggedConn) SetDeadline(t time.Time) error {
	c.until.set(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *pluggedConn) SetReadDeadline(t time.Time) error {
	c.until.set(t)
	return c.Conn.SetReadDeadline(t)
}

// until is a deadline, and who waits for it is told when it changes.
type until struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func newUntil() *until { return &until{changed: make(chan struct{})} }

func (u *until) set(t time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at = t
	close(u.changed)
	u.changed = make(chan struct{})
}

func (u *until) get() (time.Time, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.at, u.changed
}
