package chaos

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// What fails here fails again with: shardferry chaos --nodes 3 --seeds N --verbose.
func TestNothingIsLostWhateverHappensToANode(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			res := RunNodes(seed, 3)
			p := Printer{W: os.Stderr}
			require.NoError(t, p.Result(res))
			assert.Empty(t, res.Violations)
			assert.NotEmpty(t, res.Nodes.Hits)
		})
	}
}

// Each fault strikes the victim that it is meant for, where it is meant to.
func TestAFaultStrikesAtItsPlace(t *testing.T) {
	plan := NewNodesPlan(1, 3)
	plan.NodeFaults = nil
	for _, c := range []Cell{{InCopy, NodeRestart, Worker}, {"commit: arming", NodePaused, Leader}, {"rollback: blocked", NodeKilled, Leader}} {
		plan.NodeFaults = append(plan.NodeFaults, NodeFault{Cell: c, Nth: 1, For: 2 * time.Second})
	}
	res := run(plan, nil)
	require.Empty(t, res.Violations)
	assert.Equal(t, 1, res.Kills)
	assert.Zero(t, res.Nodes.Missed)
	told := strings.Join(res.Trace, "\n")
	for _, f := range plan.NodeFaults {
		assert.Contains(t, res.Nodes.Hits, f.Cell)
		assert.Contains(t, told, ": "+f.String())
	}
	// Who was paused is told that it leads no more.
	assert.Contains(t, told, "leadership lost")
}

// A leader gives a commit up, and what opens the source again is on its way when it
// stands still. Another one gives the commit up as well, and carries the next one
// through: the applications have moved when what was late arrives.
func TestALateSwitchOpensNothing(t *testing.T) {
	plan := NewNodesPlan(1, 3)
	plan.Ending, plan.Linger = Commit, 4*time.Second
	plan.NodeFaults = []NodeFault{{
		Cell: Cell{"commit: aborting", NodePaused, Leader}, Nth: 1, Command: "setUserWriteBlockMode", For: 6 * time.Second, Fate: Late,
	}}
	plan.Faults = nil
	plan.giveUp(plan.NodeFaults[0].Place)
	plan.Commits.lasts = true
	res := run(plan, nil)
	assert.Empty(t, res.Violations)
	assert.Zero(t, res.Nodes.Missed)
}

func TestSeedsGoThroughAllCells(t *testing.T) {
	cover := Coverage{}
	seeds := cover.Seeds(2)
	for _, seed := range seeds {
		p := NewNodesPlan(seed, 3)
		require.Equal(t, p, NewNodesPlan(seed, 3))
		stages := map[Stage]bool{}
		var hits []Cell
		for _, f := range p.NodeFaults {
			assert.False(t, stages[f.Place.stage()], "two faults in one stage")
			stages[f.Place.stage()] = true
			assert.Contains(t, p.Stages(), f.Place.stage())
			assert.NotEmpty(t, f.String())
			hits = append(hits, f.Cell)
		}
		cover.Add(Result{Nodes: Nodes{Hits: hits}})
	}
	assert.Empty(t, cover.Lacks(2))
}

func TestWhatWasNotHitOftenEnoughIsTold(t *testing.T) {
	cover := Coverage{}
	all := Cells()
	assert.Len(t, all, len(Places())*len(NodeKinds())*2)
	for range 3 {
		cover.Add(Result{Nodes: Nodes{Hits: all[1:]}})
	}
	assert.Equal(t, all[:1], cover.Lacks(6))
	assert.Equal(t, all[:1], cover.Lacks(1))
	assert.Empty(t, cover.Lacks(0))
	assert.Equal(t, all, cover.Lacks(7))
	aims := func(c Cell) Plan { return Plan{NodeFaults: []NodeFault{{Cell: c}}} }
	assert.True(t, cover.Wanted(aims(all[0]), 6))
	assert.False(t, cover.Wanted(aims(all[1]), 6))
	assert.Contains(t, cover.String(), "0 + 3")
}

// Every state of a sync with a rollback is at one place, or at the two that only
// the story tells apart.
func TestPlacesAreToldApart(t *testing.T) {
	at := func(s shardferry.State, leg int, phase state.Phase, step state.Step, back bool) []Place {
		sync := &state.Sync{State: s, RollingBack: back, Leg: state.Leg{Number: leg, Phase: phase}}
		if step != "" {
			sync.Leg.Cutover = &state.Cutover{Step: step}
		}
		var found []Place
		for _, p := range Places() {
			if p.is(sync) {
				found = append(found, p)
			}
		}
		return found
	}
	const running, committing = shardferry.StateRunning, shardferry.StateCommitting
	assert.Empty(t, at(shardferry.StateIdle, 0, "", "", false))
	assert.Equal(t, []Place{InPlanning}, at(running, 1, state.PhaseCreating, "", false))
	assert.Equal(t, []Place{InCopy}, at(running, 1, state.PhaseCopying, "", false))
	assert.Equal(t, []Place{InBuilding}, at(running, 1, state.PhaseBuilding, "", false))
	assert.Equal(t, []Place{InCatchingUp, InStream}, at(running, 1, state.PhaseStreaming, "", false))
	assert.Equal(t, []Place{"commit: draining"}, at(committing, 1, state.PhaseStreaming, state.StepDraining, false))
	assert.Equal(t, []Place{"commit: aborting"}, at(committing, 1, state.PhaseStreaming, state.StepAborting, false))
	assert.Equal(t, []Place{InReverseStream}, at(shardferry.StateCommitted, 2, state.PhaseStreaming, "", false))
	assert.Equal(t, []Place{InTurning}, at(shardferry.StateReversing, 2, state.PhaseStreaming, "", true))
	assert.Equal(t, []Place{InTurning}, at(running, 2, state.PhaseStreaming, "", true))
	assert.Equal(t, []Place{"rollback: opening"}, at(committing, 2, state.PhaseStreaming, state.StepOpening, true))
	assert.Equal(t, []Place{InStreamAgain}, at(shardferry.StateCommitted, 3, state.PhaseStreaming, "", false))
}

func TestACopyTaskThatIsDoneAgainIsFound(t *testing.T) {
	leg := func(docs int64, done bool) *state.Sync {
		return &state.Sync{Leg: state.Leg{Number: 1, Tasks: state.NewTasks([]shardferry.CopyTask{{ID: 1, Docs: docs, Done: done}})}}
	}
	for name, c := range map[string]struct {
		before, then *state.Sync
		wrong        bool
	}{
		"it goes on":         {leg(3, false), leg(5, false), false},
		"it is done":         {leg(3, false), leg(5, true), false},
		"it stays done":      {leg(5, true), leg(5, true), false},
		"it is done no more": {leg(5, true), leg(5, false), true},
		"it copies more":     {leg(5, true), leg(6, true), true},
	} {
		bad := &violations{trace: &trace{began: time.Now()}}
		p := newPositions(bad)
		p.see(c.before, shardferry.ClusterTime{})
		p.see(c.then, shardferry.ClusterTime{})
		assert.Equal(t, c.wrong, len(bad.all()) > 0, "%s: %v", name, bad.all())
	}
}
