package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// switchLimit is how long a switch of a write block may be under way: as much as the
// next leader waits, less what it took to send it.
const switchLimit = 2900 * time.Millisecond

// A strike is a fault on its way to the node that it hits.
type strike struct {
	fault  NodeFault
	victim *member
}

func newStrikes() chan strike { return make(chan strike, 1) }

// drainLimit is how long a node that is told to stop may take to give its work
// away.
const drainLimit = 10 * time.Second

// arm lets the fault of a stage that begins now wait for its place.
func (f *fleet) arm(of []NodeFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun, f.armed, f.acts = time.Now(), nil, 0
	if len(of) > 0 {
		f.armed = &of[0]
	}
}

// calm reports whether no fault is under way or waits. Once the stage is over a
// fault waits no longer whose place will not come again. One that lasts is let go
// on.
func (f *fleet) calm(over time.Duration, lasts bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.armed; a != nil {
		at := a.Place.stage()
		if left := at == Committing || at == Returning; !left && over < a.After+2*time.Second {
			return false
		}
		f.trace.add("it did not come to: %v", *a)
		f.armed = nil
	}
	return f.place == "" || lasts
}

// act is called when a node does something. It lets the armed fault strike when
// its time has come, and returns it if this node is its victim. command is what it
// sends, if so; decides says that a reconciler has done a step, and is about to
// record it.
func (f *fleet) act(m *member, command string, decides bool) (fault NodeFault, own bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.armed
	if a == nil || f.place != "" || time.Since(f.begun) < a.After {
		return fault, false // one at a time: the others are a majority
	}
	s := f.latest()
	if s == nil || !a.Place.is(s) {
		return fault, false
	}
	if f.acts++; f.acts < a.Nth && !decides || a.Command != "" && a.Command != command {
		return fault, false
	}
	v := f.victim(a.Victim, m, s)
	if v == nil {
		return fault, false
	}
	f.armed, f.place = nil, a.Place
	f.hits = append(f.hits, a.Cell)
	v.busy = true
	v.begin(*a)
	f.strikes <- strike{*a, v}
	return *a, v == m
}

// victim returns a node that a fault may hit, m if it is one. The caller holds mu.
func (f *fleet) victim(who Victim, m *member, s *state.Sync) *member {
	leads := f.leads()
	if leads == nil || who == Leader {
		return leads
	}
	idle := !slices.ContainsFunc(s.Leg.Shards, func(sh state.Shard) bool { return sh.Owner != "" })
	var found *member
	for _, w := range f.members {
		n := w.alive.Load()
		if w != leads && !w.busy && n != nil && isReady(n) && (idle || s.Leg.OwnedBy(w.host) > 0) && (found == nil || w == m) {
			found = w
		}
	}
	return found
}

// reached is called at every moment of the node's work. That of a node that is
// paused stands still here, and that of one that has died does so for good.
func (m *member) reached(ctx context.Context, at shardferry.Moment) {
	m.fleet.act(m, "", decides(at))
	for p := m.stopped.Load(); p != nil; p = m.stopped.Load() {
		<-*p
	}
	if m.dying.Load() {
		<-ctx.Done()
	}
}

// decides reports whether a moment is that after a step of a sync's way.
func decides(at shardferry.Moment) bool {
	text := string(at)
	for _, of := range []string{"setup: ", "commit: ", "reverse: "} {
		if strings.HasPrefix(text, of) && strings.HasSuffix(text, " is done, to be recorded") {
			return true
		}
	}
	return false
}

// links cuts the ways between the node and the others, or heals them.
func (m *member) links(of func(from, to string), from, to bool) {
	for _, o := range m.fleet.members {
		if o == m {
			continue
		}
		if from {
			of(m.host, o.host)
		}
		if to {
			of(o.host, m.host)
		}
	}
}

// begin lets a fault begin, at this very moment.
func (m *member) begin(f NodeFault) {
	net := m.fleet.net
	switch f.Kind {
	case NodeKilled:
		m.dying.Store(true)
		net.Unplug(m.host)
		m.process.Unplug()
	case NodePaused:
		p := make(chan struct{})
		m.stopped.Store(&p)
		m.links(net.Cut, true, true)
		m.process.Hold(true, true)
	case NodeCutOff:
		m.links(net.Cut, true, true)
	case NodeUnheard:
		m.links(net.Cut, true, false)
	case NodeDeaf:
		m.links(net.Cut, false, true)
	case NodeSlow:
		net.Slow(m.host, f.By)
		m.slow.Store(int64(f.By))
	case NodeNoSource:
		m.process.Hold(true, false)
	case NodeNoDest:
		m.process.Hold(false, true)
	case NodeRestart:
	}
}

// end ends what begin has begun, where the node itself lives on.
func (m *member) end() {
	net := m.fleet.net
	m.links(net.Heal, true, true)
	net.Slow(m.host, 0)
	m.slow.Store(0)
	m.process.Release()
	if p := m.stopped.Swap(nil); p != nil {
		close(*p)
	}
}

// tend carries out the faults that strike until ctx ends.
func (f *fleet) tend(ctx context.Context) error {
	for {
		select {
		case st := <-f.strikes:
			if err := f.suffer(ctx, st); err != nil && ctx.Err() == nil {
				f.failed(fmt.Errorf("%v: %w", st.fault, err))
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// failed notes that the story cannot go on.
func (f *fleet) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// whatFailed returns why the story cannot go on, if so.
func (f *fleet) whatFailed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// suffer lets a fault last, ends it, and returns when all nodes are well.
func (f *fleet) suffer(ctx context.Context, st strike) error {
	f.trace.add("fault: %s: %v", st.victim.host, st.fault)
	err := st.victim.suffer(ctx, st.fault)
	st.victim.end()
	f.trace.add("over: %s is no longer %s", st.victim.host, st.fault.Kind)
	if err == nil {
		err = st.victim.ready(ctx)
	}
	st.victim.give()
	for began := time.Now(); err == nil && !f.well(); {
		if time.Since(began) > stageLimit {
			return fmt.Errorf("%w: the nodes are not well", errStuck)
		}
		err = mongoconn.Sleep(ctx, tick)
	}
	f.mu.Lock()
	f.place = ""
	f.mu.Unlock()
	return err
}

// well reports whether all nodes run and one leads.
func (f *fleet) well() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if n := m.alive.Load(); n == nil || !isReady(n) {
			return false
		}
	}
	return f.leads() != nil
}

func (m *member) suffer(ctx context.Context, f NodeFault) error {
	switch f.Kind {
	case NodeKilled:
		if err := m.process.Kill(); err != nil {
			return err
		}
		err := mongoconn.Sleep(ctx, f.For)
		m.fleet.net.Plug(m.host)
		return errors.Join(err, m.start(ctx))
	case NodeRestart:
		m.drain(ctx)
		if err := m.process.Quit(); err != nil {
			return err
		}
		return errors.Join(mongoconn.Sleep(ctx, f.For), m.start(ctx))
	case NodePaused, NodeCutOff, NodeUnheard, NodeDeaf, NodeSlow, NodeNoSource, NodeNoDest:
	}
	return mongoconn.Sleep(ctx, f.For)
}

// drain does what the command does when it is told to stop.
func (m *member) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := m.process.Node().Drain(ctx); err != nil {
		m.fleet.trace.add("%s stops with work that others have to take over: %v", m.host, err)
	}
}

// sent is called for every command that a node sends, and returns what becomes of
// it, and by how much at most it is delayed.
func (f *fleet) sent(app, command string) (out mongotest.Fault, slower time.Duration) {
	m := f.of(app)
	if m == nil {
		return out, 0
	}
	if fault, own := f.act(m, command, false); own {
		switch fault.Fate {
		case Vanishes:
			out.DropRequest = true
		case Unknown:
			out.DropReply = true
		case Late:
			// Before the end of its connection, which comes late too.
			out.Delay = fault.For * 9 / 10
			if command == "setUserWriteBlockMode" {
				// The one command that no server can tell from a new one: the product
				// takes none for possible that is under way for longer than this.
				out.Delay = min(out.Delay, switchLimit)
			}
		case Arrives:
		}
	}
	return out, time.Duration(m.slow.Load())
}
