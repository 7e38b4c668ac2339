package mongotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// network is what lies between the cluster's processes and whoever talks to
// them: the open connections and the faults of the moment.
type network struct {
	mu     sync.Mutex
	faults Faults
	paused map[string]chan struct{} // closed when the process goes on
	cut    map[string]bool
	open   map[net.Conn]string // server side, as accepted, to its address

	rules    []*linkRule   // mostly none
	relinked chan struct{} // closed when one of them goes
}

func newNetwork() *network {
	return &network{paused: map[string]chan struct{}{}, cut: map[string]bool{}, open: map[net.Conn]string{}, relinked: make(chan struct{})}
}

// state returns what holds for addr now.
func (n *network) state(addr string) (f Faults, paused <-chan struct{}, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.faults, n.paused[addr], n.cut[addr]
}

func (n *network) set(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

func (n *network) add(in connection) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[in.conn] = in.addr
}

func (n *network) remove(in connection) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, in.conn)
}

// wrap returns the connection to serve on.
func (n *network) wrap(in connection) net.Conn {
	if f, _, _ := n.state(in.addr); f.Conn != nil {
		return f.Conn(in.addr, in.conn)
	}
	return in.conn
}

// refuses reports whether clients cannot connect to addr.
func (n *network) refuses(addr string) bool {
	_, _, cut := n.state(addr)
	return cut || n.link(Clients, addr).cut
}

// dial asks whether a client may connect to addr.
func (n *network) dial(ctx context.Context, addr string) error {
	f, _, _ := n.state(addr)
	if n.refuses(addr) {
		return fmt.Errorf("mongotest: dial %s: unreachable", addr)
	}
	if f.Dial != nil {
		return f.Dial(ctx, addr)
	}
	return nil
}

// fault returns what happens to a client's command at addr.
func (n *network) fault(addr string, req *command.Request) *wire.Fault {
	f, paused, _ := n.state(addr)
	var w *wire.Fault
	if f.Command != nil {
		w = f.Command(commandOf(addr, req)).asWire()
	}
	if l := n.link(Clients, addr); l != (link{}) {
		if w == nil {
			w = &wire.Fault{}
		}
		w.Delay += l.delay
		w.DropRequest = w.DropRequest || l.cut || l.lost
		w.DropReply = w.DropReply || l.reply
		if l.wait != nil {
			w.Arrive = func(ctx context.Context) error {
				_, err := n.travel(ctx, Clients, addr)
				return err
			}
		}
	}
	if paused == nil {
		return w
	}
	if w == nil {
		w = &wire.Fault{}
	}
	w.Hold = paused
	return w
}

// route carries a command of the process at from to a shard's member.
func (n *network) route(ctx context.Context, from string, m *member, req *command.Request) (*command.Response, error) {
	loseReply, err := n.travel(ctx, from, m.addr)
	if err != nil {
		return nil, err
	}
	faults, paused, cut := n.state(m.addr)
	if cut {
		return nil, unreachable(m.addr)
	}
	if paused != nil {
		select {
		case <-paused:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	f := Fault{DropReply: loseReply}
	if faults.Route != nil {
		f = faults.Route(commandOf(m.addr, req))
		f.DropReply = f.DropReply || loseReply
	}
	if err := wait(ctx, f.Delay); err != nil {
		return nil, err
	}
	if f.DropRequest {
		return nil, unreachable(m.addr)
	}
	if f.Error != nil {
		return nil, f.Error.asError()
	}
	resp, err := handle(ctx, m, req)
	if f.DropReply {
		return nil, unreachable(m.addr)
	}
	return resp, err
}

// handle runs a command on m. If m closes the connection, that is as bad as
// being unreachable.
func handle(ctx context.Context, m *member, req *command.Request) (*command.Response, error) {
	if d, ok := m.node.Config().FailPoints.TakeBefore(req); ok { // with failInternalCommands
		if err := wait(ctx, d.Block()); err != nil {
			return nil, err
		}
		if d.Closes() {
			return nil, unreachable(m.addr)
		}
		if err := d.Err(); err != nil {
			return nil, err
		}
	}
	resp, err := m.node.Handle(ctx, req)
	if errors.Is(err, command.ErrHangUp) {
		return nil, unreachable(m.addr)
	}
	return resp, err
}

func unreachable(addr string) error {
	return mongoerr.New(mongoerr.HostUnreachable, "network error while attempting to run command on host '%s'", addr)
}

// wait returns after d, or with the cause of ctx's end.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// kill closes the connections to the given addresses, all if there are none.
func (n *network) kill(addrs ...string) int {
	match := map[string]bool{}
	for _, a := range addrs {
		match[a] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	killed := 0
	for conn, addr := range n.open {
		if len(addrs) == 0 || match[addr] {
			_ = conn.Close() // it ends with an error for whoever uses it
			killed++
		}
	}
	return killed
}

func (n *network) pause(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused[addr] == nil {
		n.paused[addr] = make(chan struct{})
	}
}

func (n *network) resume(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ch := n.paused[addr]; ch != nil {
		close(ch)
		delete(n.paused, addr)
	}
}

func (n *network) setCut(addr string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.cut[addr] = true
	} else {
		delete(n.cut, addr)
	}
}
