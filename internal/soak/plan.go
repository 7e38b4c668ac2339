package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Step is one change, made by one of the writers.
type Step struct {
	Kind   *Kind
	Phase  Phase
	Writer int
	Seed   uint64        // of what it chooses
	Pause  time.Duration // before it
}

// A Plan is all that a seed decides beforehand. Parts of it may be left out
// without changing the others.
type Plan struct {
	Seed     uint64
	Versions [2]string // of the source and the destination
	Shards   [2]int    // 0: a plain replica set
	Members  int
	Latency  time.Duration
	Batch    int           // documents of a copy batch
	Fill     int           // documents that are there beforehand, so that the copy takes a while
	Patience time.Duration // before the first commit
	IDs      []idKind
	Bodies   []bodyKind
	URI      string // more of the source's, as an operator might write it
	Choice   choice // of what is taken
	Accounts bool   // users and roles come too

	Steps   []Step
	Faults  []Fault
	Crashes []Crash
	About   *Kind // what the history is about, if its end is another one than a commit
}

// versions are releases of each series, one of them before 6.0.9, which brought
// events in fragments.
var versions = []string{"6.0.5", "6.0.20", "7.0.14", "8.0.4"}

// before reports whether the source is older than a series.
func (p *Plan) before(series string) bool { return p.Versions[source] < series }

// writers is how many clients write at a time.
const writers = 2

// newPlan draws the plan of a seed. Whatever is in a table comes round with the
// seeds, so that none is left to chance; what is drawn besides depends on weights.
func newPlan(seed uint64) *Plan {
	r := rand.New(rand.NewPCG(seed, 0x50a4))
	all := kinds()
	turn := all[seed%uint64(len(all))]
	p := &Plan{Seed: seed}
	for {
		from := r.IntN(len(versions))
		p.Versions = [2]string{versions[from], versions[from+r.IntN(len(versions)-from)]}
		p.Shards = [2]int{one(r, 0, 0, 1, 2, 2, 2), one(r, 0, 0, 1, 2, 2, 2)}
		p.drawChoice(r, turn)
		if turn.needs == nil || turn.needs(p) {
			break
		}
	}
	p.Members = one(r, 1, 1, 1, 3)
	p.Latency = time.Duration(1+r.IntN(20)) * time.Millisecond
	p.Batch = 2 + r.IntN(12)
	p.Fill = one(r, 0, 40, 80, 160)
	p.Patience = one(r, 0, 100*time.Millisecond, 300*time.Millisecond)
	p.drawDocuments(r)
	var draw []*Kind
	for _, k := range all {
		if k.needs == nil || k.needs(p) {
			for range k.often {
				draw = append(draw, k)
			}
		}
	}
	for _, phase := range []struct{ of, least, more int }{{int(Before), 3, 4}, {int(Planning), 1, 4}, {int(Copying), 3, 8}, {int(Streaming), 3, 8}, {int(Committing), 2, 5}} {
		for range phase.least + r.IntN(phase.more) {
			k := one(r, draw...)
			for k.early && phase.of == int(Committing) {
				k = one(r, draw...)
			}
			p.Steps = append(p.Steps, newStep(r, k, Phase(phase.of)))
		}
	}
	if turn.holds != "" || turn.mayHold != "" || turn.caught {
		p.About = turn
	}
	phase := one(r, Planning, Copying, Copying, Streaming, Streaming)
	at := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Phase == phase })
	if turn.holds != "" && phase == Streaming {
		p.Steps = p.Steps[:at] // nothing that could undo it
	} else {
		at += r.IntN(3)
	}
	p.Steps = slices.Insert(p.Steps, at, newStep(r, turn, phase))
	p.drawFaults(r)
	p.drawCrashes(r)
	return p
}

func newStep(r *rand.Rand, k *Kind, phase Phase) Step {
	return Step{Kind: k, Phase: phase, Writer: r.IntN(writers), Seed: r.Uint64(), Pause: time.Duration(r.IntN(60)) * time.Millisecond}
}

// drawDocuments chooses a few kinds, so that equal ids and alike documents meet.
func (p *Plan) drawDocuments(r *rand.Rand) {
	p.IDs = []idKind{idKinds[0], idKinds[p.Seed%uint64(len(idKinds))], one(r, idKinds...), one(r, idKinds...)}
	fit := func(b bodyKind) bool { return b.needs == nil || b.needs(p) }
	p.Bodies = []bodyKind{bodyKinds[0]}
	if turn := bodyKinds[p.Seed%uint64(len(bodyKinds))]; fit(turn) && (!turn.rare || p.Seed%5 == 0) {
		p.Bodies = append(p.Bodies, turn)
	}
	for len(p.Bodies) < 4 {
		if b := one(r, bodyKinds...); !b.rare && fit(b) {
			p.Bodies = append(p.Bodies, b)
		}
	}
}

// parts is how many things can be left out of the plan.
func (p *Plan) parts() int { return len(p.Steps) + len(p.Faults) + len(p.Crashes) }

// only returns the plan with the given parts alone.
func (p *Plan) only(keep []int) *Plan {
	out := *p
	out.Steps, out.Faults, out.Crashes = nil, nil, nil
	for i := range p.parts() {
		switch {
		case !slices.Contains(keep, i):
		case i < len(p.Steps):
			out.Steps = append(out.Steps, p.Steps[i])
		case i < len(p.Steps)+len(p.Faults):
			out.Faults = append(out.Faults, p.Faults[i-len(p.Steps)])
		default:
			out.Crashes = append(out.Crashes, p.Crashes[i-len(p.Steps)-len(p.Faults)])
		}
	}
	return &out
}

func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d shards of %s to %d of %s, %d members, latency %v, %d documents in batches of %d, a commit after %v",
		p.Shards[0], p.Versions[0], p.Shards[1], p.Versions[1], p.Members, p.Latency, p.Fill, p.Batch, p.Patience)
	if !p.Choice.asked.IsZero() {
		fmt.Fprintf(&b, ", choice: %s", p.Choice.name)
	}
	if p.Accounts {
		b.WriteString(", with users")
	}
	if p.About != nil {
		fmt.Fprintf(&b, ", about %s", p.About.name)
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "\n  %v, writer %d: %s", s.Phase, s.Writer, s.Kind.name)
	}
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "\n  %v", f)
	}
	for _, c := range p.Crashes {
		fmt.Fprintf(&b, "\n  %v", c)
	}
	return b.String()
}
