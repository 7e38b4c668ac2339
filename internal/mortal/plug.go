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
// While it is held nothing passes in either direction; what was sent meanwhile
// arrives afterwards, also on a connection that its owner has closed since.
type plug struct {
	to options.ContextDialer

	mu   sync.Mutex
	open map[*pluggedConn]struct{}
	held chan struct{} // nil: everything passes; closed when it does again
	gone chan struct{} // closed when it is pulled
}

func newPlug(to options.ContextDialer) *plug {
	return &plug{to: to, open: map[*pluggedConn]struct{}{}, gone: make(chan struct{})}
}

// DialContext implements options.ContextDialer.
func (p *plug) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	for held := p.holds(); held != nil; held = p.holds() {
		select {
		case <-held:
		case <-p.gone:
			return nil, errUnplugged
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	conn, err := p.to.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled() {
		return nil, errors.Join(errUnplugged, conn.Close())
	}
	c := &pluggedConn{Conn: conn, plug: p, until: newUntil(), shut: make(chan struct{})}
	p.open[c] = struct{}{}
	return c, nil
}

// pulled reports whether the plug was pulled.
func (p *plug) pulled() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// pull ends all connections for good.
func (p *plug) pull() {
	p.mu.Lock()
	if !p.pulled() {
		close(p.gone)
	}
	open := p.open
	p.open = map[*pluggedConn]struct{}{}
	p.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // whoever uses it sees the end
	}
}

// hold lets nothing through until release.
func (p *plug) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

func (p *plug) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// holds returns nil if everything passes, and otherwise what is closed when it
// does again.
func (p *plug) holds() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held // a nil channel stays nil
}

// forget is called for a connection that has really ended.
func (p *plug) forget(c *pluggedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}
