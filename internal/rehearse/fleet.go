package rehearse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/api"
)

// A fleet is a cluster of nodes, each a process of its own on this machine.
type fleet struct {
	program []string // how to run this program
	env     []string // of the nodes: where both clusters are
	dir     string   // for what the nodes keep
	nodes   []*member
	relays  []*relay // between the nodes; none if their connections are let alone
}

// A member is one node. Its process comes and goes, the rest stays.
type member struct {
	id         string
	raft, addr string // of its ports for other nodes and for operators
	link       string // where other nodes call it: raft, or a relay to it
	client     *api.Client

	mu     sync.Mutex
	child  *process // nil while it is dead
	paused bool
}

// alive reports whether the node can answer.
func (m *member) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.child != nil && !m.paused
}

// pause lets a node stand still, or go on again.
func (m *member) pause(on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = on
	if on {
		return m.child.pause()
	}
	return m.child.resume()
}

// newFleet makes a fleet of n nodes that do not run yet, with relays between them
// if so wanted.
func newFleet(ctx context.Context, program, env []string, dir string, n int, relayed bool) (*fleet, error) {
	port, err := freePorts(ctx, 3*n)
	if err != nil {
		return nil, err
	}
	f := &fleet{program: program, env: env, dir: dir}
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", portText(port+i)) }
	for i := range n {
		m := &member{id: fmt.Sprintf("node%d", i+1), raft: at(3 * i), addr: at(3*i + 1), link: at(3 * i)}
		m.client = api.NewClient(m.addr)
		if relayed {
			m.link = at(3*i + 2)
			f.relays = append(f.relays, newRelay(m.link, m.raft))
		}
		f.nodes = append(f.nodes, m)
	}
	return f, nil
}

func portText(port int) string { return strconv.Itoa(port) }

// relay runs what stands between the nodes, until ctx ends.
func (f *fleet) relay(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, r := range f.relays {
		g.Go(func() error { return r.Run(gctx) })
	}
	return g.Wait()
}

// drop cuts the connections between the nodes.
func (f *fleet) drop() {
	for _, r := range f.relays {
		r.drop()
	}
}

// start starts a node, which goes on from what it has kept.
func (f *fleet) start(ctx context.Context, m *member) error {
	args := []string{
		"node", "--node-id", m.id, "--data-dir", filepath.Join(f.dir, m.id), "--raft-addr", m.raft, "--advertise-addr", m.link, "--api-addr", m.addr, "--log-level", "error",
	}
	if m != f.nodes[0] {
		args = append(args, "--join", f.nodes[0].link)
	}
	child, err := startProcess(ctx, f.program, f.env, args...)
	if err != nil {
		return err
	}
	child.discard()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.child = child
	return nil
}

// kill ends a node as a crash does.
func (m *member) kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child == nil {
		return nil
	}
	err := m.child.kill()
	m.child = nil
	return err
}

// stop ends all nodes that run.
func (f *fleet) stop() error {
	var err error
	for _, m := range f.nodes {
		err = errors.Join(err, m.kill())
	}
	return err
}

// askLimit bounds one question to a node: it may just have been killed.
const askLimit = 2 * time.Second

// progress asks the nodes that are alive, one after the other, until one answers.
func (f *fleet) progress(ctx context.Context) (api.Progress, error) {
	err := errors.New("no node runs")
	for _, m := range f.nodes {
		if !m.alive() {
			continue
		}
		var p api.Progress
		if p, err = m.progress(ctx); err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
	}
	return api.Progress{}, err
}

func (m *member) progress(ctx context.Context) (api.Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return m.client.Progress(ctx)
}

// command gives a command to the nodes, until one has taken it. That it may have
// been taken before is for the caller to know.
func (f *fleet) command(ctx context.Context, do func(context.Context, *api.Client) error) error {
	err := errors.New("no node runs")
	for _, m := range f.nodes {
		if !m.alive() {
			continue
		}
		if err = do(ctx, m.client); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// named returns the node of an id, nil if there is none.
func (f *fleet) named(id string) *member {
	for _, m := range f.nodes {
		if m.id == id {
			return m
		}
	}
	return nil
}
