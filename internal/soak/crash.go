package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A Crash is the death of the node at a moment.
type Crash struct {
	At    shardferry.Moment
	Phase Phase
	Nth   int // time that the moment is reached in the phase
	Rest  time.Duration
}

func (c Crash) String() string {
	return fmt.Sprintf("%v: the node dies the %d. time at %q, and rests %v", c.Phase, c.Nth, c.At, c.Rest)
}

// row is the crash point's name in the tally.
func (c Crash) row() string { return fmt.Sprintf("%v, %s", c.Phase, c.At) }

// crashPoints are the moments at which a node must have died, with the phase.
func crashPoints() []Crash {
	var all []Crash
	for _, m := range shardferry.WorkerMoments() {
		phases := []Phase{Copying, Streaming, Committing}
		// A worker begins but once where nothing goes wrong.
		if text := string(m); strings.HasPrefix(text, "copy:") || strings.HasPrefix(text, "worker:") {
			phases = phases[:1]
		}
		for _, p := range phases {
			all = append(all, Crash{At: m, Phase: p})
		}
	}
	steps := func(p Phase, reconciler string, names ...string) {
		for _, n := range names {
			all = append(all, Crash{At: shardferry.Done(reconciler, n), Phase: p}, Crash{At: shardferry.Recorded(reconciler, n), Phase: p})
		}
	}
	steps(Planning, "setup", "planned", "created")
	steps(Copying, "setup", "indexesbuilt")
	steps(Copying, "schema change", "raisebarrier", "resolve")
	steps(Streaming, "schema change", "raisebarrier", "resolve")
	steps(Committing, "commit", "advance to blocked", "advance to draining", "advance to verifying", "finished", "advance to finishing",
		"advance to arming", "advance to opening", "committed")
	steps(Committing, "commit", carryingSteps...)
	return all
}

// carryingSteps are those that bring users and roles over.
var carryingSteps = []string{"carrying", "carried"}

// turns are the crash points that come round with a seed.
func (p *Plan) turns() []Crash {
	all := crashPoints()
	var out []Crash
	for n := range 3 {
		out = append(out, all[(p.Seed+uint64(n)*uint64(len(all))/3)%uint64(len(all))])
	}
	return out
}

// diesCarrying reports whether the seed's turn is at a crash point that is only
// there where users come too.
func (p *Plan) diesCarrying() bool {
	return slices.ContainsFunc(p.turns(), func(c Crash) bool {
		return slices.ContainsFunc(carryingSteps, func(name string) bool {
			return c.At == shardferry.Done("commit", name) || c.At == shardferry.Recorded("commit", name)
		})
	})
}

// drawCrashes lets the node die once or twice, in most histories.
func (p *Plan) drawCrashes(r *rand.Rand) {
	for n, c := range p.turns() {
		if n > 0 && r.IntN(3) == 0 {
			continue
		}
		c.Nth, c.Rest = 1+r.IntN(2), time.Duration(r.IntN(2000))*time.Millisecond
		provoking := provokes(c.At)
		if len(provoking) > 0 || once(c.At) {
			c.Nth = 1
		}
		p.provoke(r, c.Phase, provoking)
		p.Crashes = append(p.Crashes, c)
	}
}

// provokedWithin is how long a phase goes on after its changes if the moment that
// they are to lead to has not come: else it would come in the next one.
const provokedWithin = time.Second

// awaits reports whether a moment is yet to come to which changes of the phase lead.
func (h *history) awaits(phase Phase) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.crashes, func(c Crash) bool {
		return c.Phase == phase && c.Nth > 0 && len(provokes(c.At)) > 0
	})
}

// once reports whether a node that does not die comes to a moment no second time
// in a phase.
func once(m shardferry.Moment) bool {
	for _, of := range []string{"setup:", "commit:", "worker:"} {
		if strings.HasPrefix(string(m), of) {
			return true
		}
	}
	return false
}

// provokes names changes that lead to a moment, where not any change does.
func provokes(m shardferry.Moment) []string {
	switch text := string(m); {
	case strings.HasPrefix(text, "repair:"):
		return []string{"update: numeric paths", "update: dotted names", "update: dollar names"}
	case strings.HasPrefix(text, "schema change:"):
		return []string{"createIndexes: ascending", "create a collection", "collMod: validator"}
	case strings.HasPrefix(text, "stream:"), strings.HasPrefix(text, "write:"):
		return []string{"insert", "update: set a field"}
	}
	return nil
}

// provoke puts changes into a phase, early.
func (p *Plan) provoke(r *rand.Rand, phase Phase, names []string) {
	if p.About != nil || len(names) == 0 {
		return
	}
	for writer := range writers {
		name := one(r, names...)
		for _, k := range kinds() {
			if k.name == name {
				s := newStep(r, k, phase)
				s.Writer, s.Pause = writer, 0
				p.Steps = slices.Insert(p.Steps, 0, s)
			}
		}
	}
}

// reached is told of every moment that the node comes to. Where it is to die it
// hears and says nothing more from here on, and this goroutine stays.
func (h *history) reached(ctx context.Context, m shardferry.Moment) {
	if !h.dies(m) {
		return
	}
	h.process.Unplug()
	select {
	case h.died <- m:
	case <-ctx.Done():
	}
	<-ctx.Done()
}

// created is the moment at which collections are there to be copied into.
var created = shardferry.Recorded("setup", "created")

func (h *history) dies(m shardferry.Moment) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.crashes {
		c := &h.crashes[i]
		if c.At != m || c.Phase != h.now || h.dead {
			continue
		}
		if c.Nth--; c.Nth == 0 {
			h.dead = true
			h.rest, h.deathIn = c.Rest, h.now
			return true
		}
	}
	if m == created && h.now == Planning {
		h.now = Copying // now, not when somebody looks: workers begin at once
	}
	return false
}

// revive starts another node where one has died.
func (h *history) revive(ctx context.Context, m shardferry.Moment) error {
	h.trace("the node dies: %s", m)
	if err := h.process.Kill(); err != nil {
		return err
	}
	h.mu.Lock()
	rest := h.rest
	h.tally.add(crashTable, Crash{At: m, Phase: h.deathIn}.row())
	h.dead = false
	h.mu.Unlock()
	if err := mongoconn.Sleep(ctx, rest); err != nil {
		return err
	}
	h.trace("the node starts again")
	return h.process.Start(ctx)
}

// lastDeath revives a node that has died in the very last moment, and lets no
// other one die.
func (h *history) lastDeath(ctx context.Context) error {
	if err := mongoconn.Sleep(ctx, tick); err != nil {
		return err
	}
	select {
	case m := <-h.died:
		if err := h.revive(ctx, m); err != nil {
			return err
		}
	default:
	}
	h.mu.Lock()
	h.crashes = nil
	h.mu.Unlock()
	select {
	case <-h.process.Node().Ready():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
