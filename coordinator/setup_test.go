package coordinator_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// preparations is a Preparer that notes what it is asked for.
type preparations struct {
	calls []string
	plan  state.Planned
	err   error
	built []state.IndexRef // with the error, if there is one
}

func (p *preparations) Plan(context.Context, *state.Sync) (state.Planned, error) {
	p.calls = append(p.calls, "plan")
	return p.plan, p.err
}

func (p *preparations) Create(context.Context, *state.Sync) error {
	p.calls = append(p.calls, "create")
	return p.err
}

func (p *preparations) BuildIndexes(_ context.Context, s *state.Sync) ([]state.IndexRef, error) {
	for _, ix := range s.Leg.Indexes {
		if !ix.Built && p.err == nil { // one at a time
			p.calls = append(p.calls, "build "+ix.Name())
			return []state.IndexRef{{NS: ix.NS, Name: ix.Name()}}, nil
		}
	}
	return p.built, p.err
}

// indexed is planned with a copy task and two indexes.
func indexed(t *testing.T) state.Planned {
	t.Helper()
	p := planned
	p.Tasks = []shardferry.CopyTask{{ID: 1, Shard: "s0"}}
	for _, name := range []string{"a_1", "b_1"} {
		spec, err := bson.Marshal(bson.D{{"name", name}})
		require.NoError(t, err)
		p.Indexes = append(p.Indexes, state.Index{Spec: spec})
	}
	return p
}

func copied(t *testing.T, s *state.Sync) {
	t.Helper()
	require.NoError(t, state.Assign{Leg: 1, Shard: "s0"}.Apply(s))
	require.NoError(t, state.Report{Leg: 1, Reports: []shardferry.Report{{
		Shard: "s0", Epoch: 1, Tasks: []shardferry.TaskProgress{{ID: 1, Done: true}},
	}}}.Apply(s))
}

// A leg is prepared step by step, each recorded when it is done. What was done
// but not recorded is done again, and no step is begun before its turn.
func TestALegIsPreparedStepByStep(t *testing.T) {
	for lost := range 5 { // the round whose record is lost
		p, s := &preparations{plan: indexed(t)}, state.New()
		r, rounds := coordinator.Setup{Preparer: p}, 0
		drive := func() {
			for ; ; rounds++ {
				cmds, err := r.Reconcile(t.Context(), s.Clone())
				require.NoError(t, err)
				if len(cmds) == 0 {
					return
				}
				for _, cmd := range cmds {
					if rounds != lost {
						require.NoError(t, cmd.Apply(s))
					}
				}
			}
		}
		drive()
		assert.Empty(t, p.calls, "nobody has started it")
		require.NoError(t, begin.Apply(s))
		drive()
		assert.Equal(t, state.PhaseCopying, s.Leg.Phase)
		assert.NotContains(t, p.calls, "build a_1", "indexes wait for the copy")
		copied(t, s)
		drive()
		assert.Equal(t, state.PhaseStreaming, s.Leg.Phase)
		want := []string{"plan", "create", "build a_1", "build b_1"}
		if lost < len(want) {
			want = append(want[:lost+1], want[lost:]...)
		}
		assert.Equal(t, want, p.calls)
	}
}

// Who has paused a sync finds the destination as it was left; and while a schema
// change is made nobody builds an index of what may be gone.
func TestPreparingWaits(t *testing.T) {
	for name, stop := range map[string]state.Command{
		"while paused":         state.Pause{From: "op"},
		"while a commit is on": nil,
		"at a barrier": state.Report{Leg: 1, Reports: []shardferry.Report{{
			Shard: "s0", Epoch: 1, Schema: &shardferry.SchemaChange{Shard: "s0", Time: shardferry.ClusterTime{T: 150}, Kind: "drop"},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := &preparations{}, state.New()
			for _, cmd := range []state.Command{begin, indexed(t), state.Created{}} {
				require.NoError(t, cmd.Apply(s))
			}
			copied(t, s)
			if stop == nil {
				s.State = shardferry.StateCommitting
			} else {
				require.NoError(t, stop.Apply(s))
			}
			if name == "at a barrier" {
				require.NoError(t, state.RaiseBarrier{Leg: 1}.Apply(s))
			}
			cmds, err := coordinator.Setup{Preparer: p}.Reconcile(t.Context(), s)
			require.NoError(t, err)
			assert.Empty(t, cmds)
			assert.Empty(t, p.calls)
		})
	}
}

// An index that was built is recorded even if the next one failed.
func TestIndexesThatWereBuiltAreRecordedBesideAFailure(t *testing.T) {
	s := state.New()
	for _, cmd := range []state.Command{begin, indexed(t), state.Created{}} {
		require.NoError(t, cmd.Apply(s))
	}
	copied(t, s)
	p := &preparations{err: errBroken, built: []state.IndexRef{{Name: "a_1"}}}
	cmds, err := coordinator.Setup{Preparer: p}.Reconcile(t.Context(), s)
	require.ErrorIs(t, err, errBroken)
	assert.Equal(t, []state.Command{state.IndexesBuilt{Leg: 1, Indexes: p.built}}, cmds)
}

// A failure records no step as done.
func TestAFailedStepIsNotRecorded(t *testing.T) {
	for _, before := range [][]state.Command{{begin}, {begin, planned}} {
		s := state.New()
		for _, cmd := range before {
			require.NoError(t, cmd.Apply(s))
		}
		cmds, err := coordinator.Setup{Preparer: &preparations{err: errBroken}}.Reconcile(t.Context(), s)
		require.ErrorIs(t, err, errBroken)
		assert.Empty(t, cmds)
	}
}

// A source that cannot be unblocked at once is tried until it works: the
// applications wait for it.
func TestUnblockingIsTriedUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		e.fail["verify"], e.fail["unblock"] = coordinator.ErrDifferences, errBroken
		c, _ := run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{coordinator.Cutover{Clusters: e, Carrier: e}}})
		play(t, c)
		time.Sleep(10 * time.Minute)
		s, _ := c.Watch()
		require.Equal(t, shardferry.StateCommitting, s.State)
		assert.Equal(t, state.StepAborting, s.Leg.Cutover.Step)
		assert.Contains(t, s.Leg.Cutover.Failure, "the clusters differ", "the first reason is kept")
		e.breaks("unblock", nil)
		time.Sleep(time.Minute)
		s, _ = c.Watch()
		assert.Equal(t, shardferry.StateRunning, s.State)
		assert.True(t, e.source && !e.dest)
	})
}
