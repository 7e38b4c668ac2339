package node_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/mongotest"
)

// faults are what happens to commands, and which nodes are dead.
type faults struct {
	mu    sync.Mutex
	node  *node.Node // the one that runs now, or ran last
	lives int
	hook  hook
	twice string                                                           // a command of a node that has a field twice
	route func(on *mongotest.Cluster, c mongotest.Command) mongotest.Fault // of what routers send to shards
}

// A hook decides what happens to a command on a cluster. It sees what the node
// has recorded at that moment.
type hook func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault

func (f *faults) install(clusters ...*mongotest.Cluster) {
	for _, on := range clusters {
		on.SetFaults(mongotest.Faults{Route: func(c mongotest.Command) mongotest.Fault {
			f.mu.Lock()
			route := f.route
			f.mu.Unlock()
			if route == nil {
				return mongotest.Fault{}
			}
			return route(on, c)
		}, Command: func(c mongotest.Command) mongotest.Fault {
			f.look(c)
			f.mu.Lock()
			hook, lives, n := f.hook, f.lives, f.node
			f.mu.Unlock()
			var life int
			if _, err := fmt.Sscanf(c.AppName, "life %d", &life); err == nil && life < lives {
				return silence
			}
			if hook == nil || n == nil {
				return mongotest.Fault{}
			}
			st, _ := n.State()
			return hook(on, c, st)
		}})
	}
}

// look notes a command of a node that has a field twice: a server refuses it, the
// simulator does not. The driver adds fields of its own to what it is given.
func (f *faults) look(c mongotest.Command) {
	if !ours(c) {
		return
	}
	seen := map[string]bool{}
	elements, err := c.Body.Elements()
	if err != nil {
		return // the simulator has refused it
	}
	for _, e := range elements {
		name := e.Key()
		if seen[name] {
			f.mu.Lock()
			f.twice = c.Name + " " + name
			f.mu.Unlock()
		}
		seen[name] = true
	}
}

// silence is what a dead node hears. It keeps its connections, because a driver
// that loses them would try again at once, and that for ever.
var silence = mongotest.Fault{Delay: time.Hour, DropRequest: true}

// set replaces the hook; nil ends all disturbance.
func (f *faults) set(h hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// routes replaces what happens to what routers send to shards.
func (f *faults) routes(h func(on *mongotest.Cluster, c mongotest.Command) mongotest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.route = h
}

// of makes hooks see the state of a node.
func (f *faults) of(n *node.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.node = n
}

// life names the node that runs now.
func (f *faults) life() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("life %d", f.lives)
}

// end lets nothing more through of the node that runs now.
func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lives++
}

// ours reports whether a command was sent by a node.
func ours(c mongotest.Command) bool { return strings.HasPrefix(c.AppName, "life ") }
