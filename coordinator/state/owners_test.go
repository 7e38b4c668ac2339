package state_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var (
	placesBefore = []shardferry.Place{{Shard: "s0"}, {Shard: "s1"}, {Collection: shardferry.UUID{1}, Version: "1"}}
	placesAfter  = []shardferry.Place{{Shard: "s0"}, {Shard: "s1"}, {Collection: shardferry.UUID{1}, Version: "2"}}
)

// moving is a sync of two shards that watches where documents are.
func moving(t *testing.T) *state.Sync {
	t.Helper()
	s := stations(t)["copying"]
	s.Leg.Owners = &state.Owners{Known: ct(100), Places: placesBefore}
	return s
}

// stand makes every worker say that it stands still at the barrier.
func stand(t *testing.T, s *state.Sync, upTo shardferry.ClusterTime) {
	t.Helper()
	for _, sh := range s.Leg.Shards {
		apply(t, s, report(1, shardferry.Report{Shard: sh.ID, Epoch: sh.Epoch, Applied: upTo, Seen: upTo, Ready: s.Leg.Barrier.ID}))
	}
}

// A stretch in which something moved has a barrier at its beginning and one at
// its end. Neither is passed before every worker has reached it.
func TestAMoveIsPassedInTwoSteps(t *testing.T) {
	s := moving(t)
	moved := shardferry.Moved{Until: ct(120), Collections: []shardferry.UUID{{1}}}
	apply(t, s, state.Known{Leg: 1, At: ct(110)})
	require.Error(t, state.Moving{Leg: 1, Moved: shardferry.Moved{Until: ct(110)}, Places: placesAfter}.Apply(s), "a stretch has a length")
	apply(t, s, state.Moving{Leg: 1, Moved: moved, Places: placesAfter})
	require.Error(t, state.Known{Leg: 1, At: ct(130)}.Apply(s), "nothing is known past a move")
	assert.Equal(t, &shardferry.Ownership{Known: ct(110)}, s.Leg.Ownership(), "workers wait where it begins")

	apply(t, s, state.RaiseBarrier{Leg: 1})
	require.Equal(t, ct(110), s.Leg.Barrier.Time)
	first := s.Leg.Barrier.ID
	require.Error(t, state.Passed{Leg: 1, Barrier: first}.Apply(s), "nobody has reached it")
	stand(t, s, ct(109))
	require.Error(t, state.Passed{Leg: 1, Barrier: first}.Apply(s), "what happened at the barrier's own time is not applied")
	stand(t, s, ct(110))
	require.Error(t, state.Settled{Leg: 1, Barrier: first}.Apply(s), "the stretch has not begun")
	apply(t, s, state.Passed{Leg: 1, Barrier: first})

	assert.Equal(t, &shardferry.Ownership{Known: ct(120), Moving: &moved}, s.Leg.Ownership())
	second := s.Leg.Barrier
	require.Equal(t, ct(120), second.Time)
	require.NotEqual(t, first, second.ID)
	require.Error(t, state.Settled{Leg: 1, Barrier: second.ID, At: ct(140)}.Apply(s), "nobody has reached its end")
	stand(t, s, ct(120))
	assert.Equal(t, ct(110), s.Leg.ResumePoint(), "until it is settled")
	apply(t, s, state.Settled{Leg: 1, Barrier: second.ID, At: ct(140)})

	assert.Nil(t, s.Leg.Barrier)
	assert.Equal(t, ct(120), s.Leg.ResumePoint())
	moved.Until = ct(140)
	assert.Equal(t, &shardferry.Ownership{Known: ct(120), Settled: moved}, s.Leg.Ownership(), "images may be as new as the last reading")
	assert.Equal(t, placesAfter, s.Leg.Owners.Places)
}

// A schema change inside the stretch is made first, and the barrier of the move
// is raised again.
func TestASchemaChangeGoesBeforeAMove(t *testing.T) {
	s := moving(t)
	apply(t, s, state.Moving{Leg: 1, Moved: shardferry.Moved{Until: ct(120)}, Places: placesAfter}, state.RaiseBarrier{Leg: 1})
	sh := s.Leg.Shards[0]
	change := shardferry.SchemaChange{Shard: sh.ID, Time: ct(95), Kind: "drop"}
	apply(t, s, report(1, shardferry.Report{Shard: sh.ID, Epoch: sh.Epoch, Schema: &change}), state.RaiseBarrier{Leg: 1})
	require.Equal(t, ct(95), s.Leg.Barrier.Time)
	stand(t, s, ct(95))
	require.Error(t, state.Passed{Leg: 1, Barrier: s.Leg.Barrier.ID}.Apply(s))
	apply(t, s, state.Resolve{Leg: 1, Barrier: s.Leg.Barrier.ID, Change: change}, state.RaiseBarrier{Leg: 1})
	assert.Equal(t, ct(100), s.Leg.Barrier.Time)
}

// settle goes through a move at once.
func settle(t *testing.T, s *state.Sync, until shardferry.ClusterTime, places []shardferry.Place, settled state.Settled) {
	t.Helper()
	known := s.Leg.Owners.Known
	apply(t, s, state.Moving{Leg: 1, Moved: shardferry.Moved{Until: until}, Places: places}, state.RaiseBarrier{Leg: 1})
	stand(t, s, known)
	apply(t, s, state.Passed{Leg: 1, Barrier: s.Leg.Barrier.ID})
	stand(t, s, until)
	settled.Leg, settled.Barrier, settled.At = 1, s.Leg.Barrier.ID, until
	apply(t, s, settled)
}

// What is left of a task goes to other shards, under ids that were never used.
func TestCopyTasksChangeHands(t *testing.T) {
	s := moving(t)
	old := s.Leg.Tasks.At(0)
	n := s.Leg.Tasks.Len()
	settle(t, s, ct(120), placesAfter, state.Settled{Cut: []int64{old.ID}, Tasks: []shardferry.CopyTask{{Shard: "s1", UUID: old.UUID, Index: old.Index}}})
	require.Equal(t, n+1, s.Leg.Tasks.Len())
	assert.True(t, s.Leg.Tasks.At(0).Done)
	assert.Greater(t, s.Leg.Tasks.At(n).ID, s.Leg.Tasks.At(n-1).ID)
	assert.Equal(t, state.PhaseCopying, s.Leg.Phase)
	late := report(1, shardferry.Report{Shard: old.Shard, Epoch: s.Leg.Shards[0].Epoch, Tasks: []shardferry.TaskProgress{{ID: old.ID, Docs: 99}}})
	apply(t, s, late)
	assert.Equal(t, old.Docs, s.Leg.Tasks.At(0).Docs, "what its former worker says comes too late")
}

// A shard that joins begins where it cannot have owned anything. One that is empty
// leaves when everything it had is applied.
func TestShardsComeAndGo(t *testing.T) {
	s := moving(t)
	joined := append([]shardferry.Place{{Shard: "s2"}}, placesBefore...)
	before := s.Leg.ResumePoint()
	apply(t, s, state.Moving{Leg: 1, Moved: shardferry.Moved{Until: ct(120)}, Places: joined})
	require.Len(t, s.Leg.Shards, 3)
	assert.Equal(t, ct(100), s.Leg.Shards[2].Applied)
	assert.False(t, s.Leg.ResumePoint().Before(before), "the resume point does not go back")

	s = moving(t)
	empty := []shardferry.Place{{Shard: "s0"}, {Shard: "s1", Version: shardferry.EmptyShard}, placesBefore[2]}
	settle(t, s, ct(120), empty, state.Settled{})
	require.Len(t, s.Leg.Shards, 1)
	assert.Equal(t, shardferry.ShardID("s0"), s.Leg.Shards[0].ID)
}
