package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// A loss takes the leader of an ensemble away at a moment, at which it has sent
// a command.
type loss struct {
	name string
	now  func(e *ensemble, leads *player) mongotest.Fault // what becomes of the command
	then func(e *ensemble, leads *player)
}

var losses = []loss{
	{"killed before", func(*ensemble, *player) mongotest.Fault { return mongotest.Fault{DropRequest: true} }, (*ensemble).kill},
	{"killed after", func(*ensemble, *player) mongotest.Fault { return mongotest.Fault{DropReply: true} }, (*ensemble).kill},
	// It does not know that another one leads, and its command arrives late.
	{"cut off", func(e *ensemble, leads *player) mongotest.Fault {
		e.isolate(leads)
		return mongotest.Fault{Delay: 4 * time.Second}
	}, func(*ensemble, *player) {}},
}

// isolate lets a node hear nothing of the others, nor they of it.
func (e *ensemble) isolate(p *player) {
	for _, o := range e.nodes {
		if o != p {
			e.net.Cut(p.host, o.host)
			e.net.Cut(o.host, p.host)
		}
	}
}

// latest returns the state of a node that knows that the last step of a commit was
// recorded, if there is one: followers hear of it late.
func (e *ensemble) latest(st *state.Sync) *state.Sync {
	for _, p := range e.nodes {
		if s, _ := p.State(); s.Leg.Cutover != nil && s.Leg.Cutover.Step == state.StepOpening {
			return s
		}
	}
	return st
}

// What a leader has sent to switch a write block may arrive when it leads no more.
// The next one switches nothing before that cannot be any longer.
func TestTheNextLeaderOutwaitsASwitchOfTheOneBefore(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.load()
		e := several(s, 3)
		defer e.down()
		leads, other := e.stream()
		s.node = other.Node
		s.faults.of(other.Node)
		met := make(chan struct{})
		var first, next time.Time
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if !ours(c) || on != s.src || c.Name != "setUserWriteBlockMode" {
				return mongotest.Fault{}
			}
			limit := time.Duration(c.Body.Lookup("maxTimeMS").AsInt64()) * time.Millisecond
			assert.Positive(t, limit, "the server gives up too")
			assert.LessOrEqual(t, limit, 3*time.Second)
			switch {
			case first.IsZero():
				first = time.Now()
				e.isolate(leads)
				close(met)
				return mongotest.Fault{DropRequest: true}
			case next.IsZero():
				next = time.Now()
			}
			return mongotest.Fault{}
		})
		for range 100 {
			if err := other.Commit(t.Context(), "test"); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		s.meets(met)
		s.reach(shardferry.StateCommitted)
		assert.GreaterOrEqual(t, next.Sub(first), 3*time.Second)
		assert.Less(t, next.Sub(first), 6*time.Second)
	})
}

// A commit whose leader is lost at any of its steps is brought to its end by
// another node. At no time do both clusters take writes, nor does either of them
// refuse writes for long.
func TestACommitSurvivesTheLossOfItsLeaderAnywhere(t *testing.T) {
	for _, at := range commitMoments {
		for _, l := range testedLosses {
			t.Run(string(at.step)+" "+l.name, func(t *testing.T) {
				play(t, setting{}, func(t *testing.T, s *stage) {
					s.load()
					e := several(s, 3)
					defer e.down()
					leads, other := e.stream()
					require.NoError(t, s.insert(s.app, 20))
					s.node = leads.Node
					s.faults.of(leads.Node)
					met := make(chan struct{})
					s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
						s.guardOpening(on, c, e.latest(st))
						if !ours(c) || on != at.to(s) || c.Name != at.command || st.Leg.Cutover == nil || st.Leg.Cutover.Step != at.step {
							return mongotest.Fault{}
						}
						select {
						case <-met:
							return mongotest.Fault{}
						default:
						}
						close(met)
						return l.now(e, leads)
					})
					for range 100 {
						if err := other.Commit(t.Context(), "test"); err == nil {
							break
						}
						time.Sleep(100 * time.Millisecond)
					}
					s.meets(met)
					lost := time.Now()
					l.then(e, leads)
					s.node = other.Node
					s.faults.of(other.Node)
					st := s.reach(shardferry.StateCommitted)
					assert.Less(t, time.Since(lost), 15*time.Second)
					assert.Equal(t, 2, st.Leg.Number)
					assert.Empty(t, st.Last.Failure)
					time.Sleep(10 * time.Second) // what is late has arrived
					require.Error(t, s.insert(s.app, 101), "the old source is closed")
					require.NoError(t, s.insert(s.guest, 102))
					time.Sleep(5 * time.Second)
					s.equal()
				})
			})
		}
	}
}
