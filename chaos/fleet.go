package chaos

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/mortal"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/peer/virtual"
)

// A fleet is the nodes of one sync: one that is alone, or several that belong
// together, each a process with a data directory of its own.
type fleet struct {
	net     *virtual.Network // nil: one that is alone
	members []*member
	trace   *trace

	mu    sync.Mutex
	begun time.Time  // when the stage began
	armed *NodeFault // waits for its place
	acts  int        // what nodes did at the place of the armed fault
	place Place      // at which a fault is under way, empty if none is
	hits  []Cell
	err   error // why the story cannot go on

	strikes chan strike
}

// A member is one process of a fleet.
type member struct {
	fleet   *fleet
	host    string
	app     string // under which its connections appear
	process *mortal.Process
	busy    bool // a fault or a start has it; guarded by the fleet's mu

	alive   atomic.Pointer[node.Node] // the node that runs now
	dying   atomic.Bool
	stopped atomic.Pointer[chan struct{}] // set while it is paused, then closed
	slow    atomic.Int64                  // how much longer its commands take at most, as a duration
}

// peerDelay is how long what one node sends another is under way.
const peerDelay = time.Millisecond

// newFleet returns a fleet that does not run. make returns the process of a node.
func newFleet(plan Plan, t *trace, make func(m *member, net *virtual.Network) *mortal.Process) *fleet {
	f := &fleet{trace: t, strikes: newStrikes()}
	if plan.Nodes > 1 {
		f.net = virtual.New(peerDelay)
	}
	for i := range max(plan.Nodes, 1) {
		m := &member{fleet: f, host: fmt.Sprintf("n%d", i+1), app: nodeApp}
		if f.net != nil {
			m.app += " " + m.host
		}
		m.process = make(m, f.net)
		f.members = append(f.members, m)
	}
	return f
}

// start starts all nodes and makes them belong together.
func (f *fleet) start(ctx context.Context) error {
	for i, m := range f.members {
		if err := m.start(ctx); err != nil {
			return err
		}
		if i == 0 && f.net != nil {
			if err := m.process.Node().InitCluster(ctx); err != nil {
				return fmt.Errorf("begin a cluster of nodes: %w", err)
			}
		}
	}
	if f.net == nil {
		return nil
	}
	for _, m := range f.members {
		select {
		case <-m.process.Node().Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stop ends all nodes.
func (f *fleet) stop() error {
	var g errgroup.Group
	for _, m := range f.members {
		if m.process.Node() != nil {
			g.Go(m.process.Stop)
		}
	}
	return g.Wait()
}

// up makes sure that all nodes run that no fault has taken away.
func (f *fleet) up(ctx context.Context) error {
	for _, m := range f.members {
		if !m.take() {
			continue
		}
		err := m.up(ctx)
		m.give()
		if err != nil {
			return err
		}
	}
	return nil
}

// node returns a node that an operator would ask: one that runs, and to which
// nothing happens at the moment, if there is one.
func (f *fleet) node() *node.Node {
	if f.net == nil {
		return f.members[0].process.Node()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if n := m.alive.Load(); !m.busy && n != nil && isReady(n) {
			return n
		}
	}
	return f.members[0].alive.Load()
}

func isReady(n *node.Node) bool {
	select {
	case <-n.Ready():
		return true
	default:
		return false
	}
}

// kills returns how often a node was killed.
func (f *fleet) kills() (n int) {
	for _, m := range f.members {
		n += m.process.Kills()
	}
	return n
}

// of returns the member that sends its commands under a name, nil if none does.
func (f *fleet) of(app string) *member {
	if f == nil || f.net == nil {
		return nil
	}
	for _, m := range f.members {
		if m.app == app {
			return m
		}
	}
	return nil
}

// latest returns the newest state that any node shows. The caller holds mu.
func (f *fleet) latest() *state.Sync {
	var last *state.Sync
	for _, m := range f.members {
		if n := m.alive.Load(); n != nil && isReady(n) {
			if s, _ := n.State(); last == nil || later(s, last) {
				last = s
			}
		}
	}
	return last
}

// later reports whether a state follows another one, as far as places differ.
func later(a, b *state.Sync) bool {
	rank := func(s *state.Sync) [3]int {
		r := [3]int{s.Leg.Number}
		for i, p := range Places() {
			if p.is(s) {
				r[1] = i
			}
		}
		return r
	}
	x, y := rank(a), rank(b)
	return x[0] > y[0] || x[0] == y[0] && x[1] > y[1]
}

// leads returns the node that leads, nil if none does. The caller holds mu.
func (f *fleet) leads() *member {
	for _, m := range f.members {
		if n := m.alive.Load(); n != nil && !m.busy && n.Leads() {
			return m
		}
	}
	return nil
}

// take makes the caller the owner of the process until give.
func (m *member) take() bool {
	m.fleet.mu.Lock()
	defer m.fleet.mu.Unlock()
	if m.busy {
		return false
	}
	m.busy = true
	return true
}

func (m *member) give() {
	m.fleet.mu.Lock()
	defer m.fleet.mu.Unlock()
	m.busy = false
}

func (m *member) start(ctx context.Context) error {
	if m.fleet.net != nil {
		ctx = shardferry.WithReached(ctx, m.reached)
	}
	m.dying.Store(false)
	err := m.process.Start(ctx)
	m.alive.Store(m.process.Node())
	return err
}

func (m *member) up(ctx context.Context) error {
	if m.fleet.net != nil {
		ctx = shardferry.WithReached(ctx, m.reached)
	}
	err := m.process.Up(ctx)
	m.alive.Store(m.process.Node())
	return err
}

// ready waits until the node takes commands.
func (m *member) ready(ctx context.Context) error {
	began := time.Now()
	for {
		if err := m.up(ctx); err != nil {
			return err
		}
		if isReady(m.process.Node()) {
			return nil
		}
		if time.Since(began) > stageLimit {
			return fmt.Errorf("%w: %s is not ready %v after its start", errStuck, m.host, stageLimit)
		}
		if err := mongoconn.Sleep(ctx, tick); err != nil {
			return err
		}
	}
}
