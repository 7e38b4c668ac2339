package mortal

import (
	"context"
	"errors"
	"net"
	"sync"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var errUnplugged = errors.New("mortal: the process is dead")

// A plug is what connects a node with a cluster. Pulling it is what the cluster
// sees of a process that dies: its connections end, whatever it wanted to say.
type plug struct {
	to options.ContextDialer

	mu     sync.Mutex
	open   map[*pluggedConn]struct{}
	pulled bool
}

func newPlug(to options.ContextDialer) *plug { return &plug{to: to, open: map[*pluggedConn]struct{}{}} }

// DialContext implements options.ContextDialer.
func (p *plug) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.to.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		return nil, errors.Join(errUnplugged, conn.Close())
	}
	c := &pluggedConn{Conn: conn, plug: p}
	p.open[c] = struct{}{}
	return c, nil
}

// pull ends all connections for good.
func (p *plug) pull() {
	p.mu.Lock()
	p.pulled = true
	open := p.open
	p.open = map[*pluggedConn]struct{}{}
	p.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // whoever uses it sees the end
	}
}

type pluggedConn struct {
	net.Conn
	plug *plug
}

// Close implements net.Conn.
func (c *pluggedConn) Close() error {
	c.plug.mu.Lock()
	delete(c.plug.open, c)
	c.plug.mu.Unlock()
	return c.Conn.Close()
}
