package state_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// fenced ends the sessions of a shard's workers, of which there are some.
func fenced(t *testing.T, s *state.Sync, shard int) {
	t.Helper()
	sh := s.Leg.Shards[shard]
	require.NotEmpty(t, sh.Sessions)
	apply(t, s, state.Fenced{Leg: 1, Shard: sh.ID, Epoch: sh.Epoch, IDs: sh.Sessions})
}

// A shard that has lost changes pauses the sync, keeps everything, and goes on
// only when the operator has agreed. Then it alone begins anew.
func TestALostShardBeginsAnew(t *testing.T) {
	s := stations(t)["streaming"]
	tasks := s.Leg.Tasks.List()
	apply(t, s, state.Lost{Leg: 1, Shard: "s0", Why: "gone"})
	require.Equal(t, shardferry.StatePaused, s.State)
	assert.Equal(t, "gone", s.Hold)
	assert.Equal(t, tasks, s.Leg.Tasks.List())
	err := report(1, shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(900)}).Apply(s)
	require.ErrorIs(t, err, shardferry.ErrStaleEpoch, "its worker has ended")

	var lost *state.LostError
	require.ErrorAs(t, state.Resume{}.Apply(s), &lost)
	assert.Equal(t, []shardferry.ShardID{"s0"}, lost.Shards)
	apply(t, s, state.Resume{RecopyLost: true})
	ok, why := s.CanCommit()
	assert.False(t, ok)
	assert.Contains(t, why, "s0")

	other := s.Leg.Shards[1]
	again := state.Recopied{Leg: 1, Shards: []shardferry.ShardID{"s0"}, Start: ct(500), Tasks: []shardferry.CopyTask{
		{Shard: "s0", UUID: tasks[0].UUID, Index: tasks[0].Index, Resync: true},
	}}
	require.Error(t, state.Recopied{Leg: 1, Shards: []shardferry.ShardID{"s1"}, Start: ct(500)}.Apply(s), "it has lost nothing")
	require.Error(t, state.Recopied{Leg: 1, Shards: again.Shards}.Apply(s), "a stream needs a start")
	require.Error(t, again.Apply(s), "something of its former worker may land yet")
	fenced(t, s, 0)
	apply(t, s, again)
	assert.Equal(t, state.PhaseCopying, s.Leg.Phase)
	assert.Empty(t, s.Leg.Lost())
	assert.Equal(t, ct(500), s.Leg.Shards[0].Applied)
	assert.Equal(t, other, s.Leg.Shards[1], "the other shard goes on")
	assert.False(t, s.Recopying, "the next loss is another decision")
	last := s.Leg.Tasks.At(s.Leg.Tasks.Len() - 1)
	assert.True(t, last.Resync)
	for task := range s.Leg.Tasks.All() {
		assert.Equal(t, task.Resync, task.Shard == "s0")
		if task.Resync {
			assert.False(t, slices.ContainsFunc(tasks, func(old shardferry.CopyTask) bool { return old.ID == task.ID }), "an id is never used twice")
		}
	}
}

// A second loss before the first is mended needs no second decision.
func TestAnAgreementLastsUntilAllIsMended(t *testing.T) {
	s := stations(t)["streaming"]
	apply(t, s, state.Lost{Leg: 1, Shard: "s0"}, state.Resume{RecopyLost: true}, state.Lost{Leg: 1, Shard: "s1"})
	assert.Equal(t, shardferry.StateRunning, s.State)
	assert.Len(t, s.Leg.Lost(), 2)
}

// A shard that is lost has no worker that could stand still at a barrier.
func TestALostShardHoldsNoBarrier(t *testing.T) {
	s := stations(t)["changing the schema"]
	require.NotNil(t, s.Leg.Barrier)
	change := s.Leg.NextSchemaChange()
	for i := range s.Leg.Shards {
		if s.Leg.Shards[i].ID != change.Shard {
			apply(t, s, state.Lost{Leg: 1, Shard: s.Leg.Shards[i].ID})
		}
	}
	apply(t, s, state.Resume{RecopyLost: true})
	at := s.Leg.Barrier
	sh := slices.IndexFunc(s.Leg.Shards, func(sh state.Shard) bool { return sh.ID == change.Shard })
	apply(t, s, report(1, shardferry.Report{Shard: change.Shard, Epoch: s.Leg.Shards[sh].Epoch, Applied: at.Time, Seen: at.Time, Ready: at.ID}))
	assert.True(t, s.Leg.StandsStill())
	require.Error(t, state.Recatalogued{Leg: 1}.Apply(s), "while a schema change is being made")
}

// A collection whose ranges have moved is read again on other shards too. Their
// workers start again: they must not go on with tasks that are gone.
func TestOtherShardsStartAgainWithNewTasks(t *testing.T) {
	s := stations(t)["streaming"]
	apply(t, s, state.Lost{Leg: 1, Shard: "s0"}, state.Resume{RecopyLost: true})
	fenced(t, s, 0)
	epoch := s.Leg.Shards[1].Epoch
	apply(t, s, state.Recopied{Leg: 1, Shards: []shardferry.ShardID{"s0"}, Start: ct(500), Tasks: []shardferry.CopyTask{
		{Shard: "s1", UUID: s.Leg.Tasks.At(0).UUID, Index: s.Leg.Tasks.At(0).Index, Resync: true},
	}})
	assert.Equal(t, epoch+1, s.Leg.Shards[1].Epoch)
}
