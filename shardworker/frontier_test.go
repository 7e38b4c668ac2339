package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry"
)

func at(sec uint32) shardferry.ClusterTime { return shardferry.ClusterTime{T: sec, I: 1} }

func before(sec uint32) shardferry.ClusterTime { return shardferry.ClusterTime{T: sec} }

func TestFrontier(t *testing.T) {
	tests := []struct {
		name string
		done []int // order in which events 0..3, at 10, 20, 20 and 30, finish
		pass shardferry.ClusterTime
		hold shardferry.ClusterTime
		want shardferry.ClusterTime
	}{
		{name: "nothing applied", want: before(10)},
		{name: "the first of two at one time is not all of that time", done: []int{0, 1}, want: before(20)},
		{name: "the last of a time neither, until the stream has passed it", done: []int{0, 1, 2}, want: before(30)},
		{name: "a gap holds it back", done: []int{1, 2, 3}, want: before(10)},
		{name: "filling the gap releases it", done: []int{1, 2, 3, 0}, want: before(30)},
		{name: "an idle stream moves it", done: []int{0, 1, 2, 3}, pass: at(99), want: at(99)},
		{name: "an idle stream does not move it past a gap", done: []int{0, 2, 3}, pass: at(99), want: before(20)},
		{name: "a batch holds it at its read time", done: []int{0, 1, 2, 3}, pass: at(99), hold: at(15), want: at(15)},
		{name: "an old position does not move it back", done: []int{0, 1, 2, 3}, pass: at(5), want: before(30)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFrontier(at(5))
			if !tt.hold.IsZero() {
				f.hold(tt.hold)
			}
			var tickets []uint64
			for _, sec := range []uint32{10, 20, 20, 30} {
				tickets = append(tickets, f.begin(at(sec)))
			}
			f.pass(tt.pass)
			for _, i := range tt.done {
				f.done(tickets[i])
			}
			assert.Equal(t, tt.want, f.applied())
		})
	}
}

// naiveFrontier keeps every event for ever and looks at all of them.
type naiveFrontier struct {
	seen   shardferry.ClusterTime
	events []shardferry.ClusterTime
	done   []bool
	holds  map[uint64]shardferry.ClusterTime
}

// applied is the largest of all candidate times that is safe by definition: seen
// reaches it, no unfinished event is at or before it, no hold is before it.
func (n *naiveFrontier) applied(candidates []shardferry.ClusterTime) shardferry.ClusterTime {
	var best shardferry.ClusterTime
	for _, c := range candidates {
		safe := !c.After(n.seen)
		for i, e := range n.events {
			safe = safe && (n.done[i] || e.After(c))
		}
		for _, h := range n.holds {
			safe = safe && !c.After(h)
		}
		if safe {
			best = shardferry.LaterOf(best, c)
		}
	}
	return best
}

func TestFrontierEqualsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := shardferry.ClusterTime{T: 1, I: 0}
		f := newFrontier(start)
		n := &naiveFrontier{seen: start, holds: map[uint64]shardferry.ClusterTime{}}
		now := start
		var candidates []shardferry.ClusterTime
		for i := range uint32(120) {
			candidates = append(candidates, shardferry.ClusterTime{T: 1, I: i})
		}
		tickets, open := []uint64{}, []int{}
		last := start
		t.Repeat(map[string]func(*rapid.T){
			"event": func(t *rapid.T) {
				if now.I < 100 {
					now.I += rapid.Uint32Range(0, 3).Draw(t, "step")
				}
				if !now.After(n.seen) {
					now = shardferry.Succ(n.seen)
				}
				tickets = append(tickets, f.begin(now))
				open = append(open, len(n.events))
				n.events, n.done = append(n.events, now), append(n.done, false)
				n.seen = shardferry.LaterOf(n.seen, shardferry.Pred(now))
			},
			"done": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				f.done(tickets[open[i]])
				n.done[open[i]] = true
				open = append(open[:i], open[i+1:]...)
			},
			"pass": func(*rapid.T) {
				f.pass(now)
				n.seen = shardferry.LaterOf(n.seen, now)
			},
			"hold": func(*rapid.T) {
				r := n.seen
				n.holds[f.hold(r)] = r
			},
			"release": func(*rapid.T) {
				for id := range n.holds {
					f.release(id)
					delete(n.holds, id)
					return
				}
			},
			"": func(t *rapid.T) {
				got := f.applied()
				assert.Equal(t, n.applied(candidates), got)
				assert.False(t, got.Before(last), "it never moves back")
				last = got
			},
		})
	})
}
