package coordinator

import "sync"

// A gate counts who waits for raft. A raft that is shut down forgets what it was
// about to apply, and whoever waits for that would wait for ever (hashicorp/raft
// 1.7: runFSM leaves fsmMutateCh unread). So nobody is let in any more, and those
// inside are awaited, before it is shut down.
type gate struct {
	mu     sync.Mutex
	shut   bool
	inside int
	empty  chan struct{} // closed when it is shut and nobody is inside
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// enter reports whether raft may still be asked. If so, leave must follow.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.shut && g.inside == 0 {
		close(g.empty)
	}
}

// close lets nobody in any more. The channel it returns is closed when nobody is
// inside. Call it once.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	if g.inside == 0 {
		close(g.empty)
	}
	return g.empty
}
