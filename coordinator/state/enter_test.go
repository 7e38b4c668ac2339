package state_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var uuidC = shardferry.UUID{3}

// entering is the record of a rename by which a collection enters the selection.
func entering(shards ...shardferry.ShardID) state.Resolve {
	r := state.Resolve{Leg: 1, Barrier: 1, Change: *change("s1", 120), Bytes: 500}
	for _, sh := range shards {
		r.Tasks = append(r.Tasks, shardferry.CopyTask{Shard: sh, UUID: uuidC, After: ct(120)})
	}
	return r
}

// What enters the selection is copied beside the streams: the phase goes back, and
// the workers that copy it start again with their new tasks.
func TestWhatEntersTheSelectionIsCopied(t *testing.T) {
	s := stations(t)["changing the schema"]
	bytes := s.Leg.Bytes
	apply(t, s, entering("s1", "s1"))
	assert.Equal(t, state.PhaseCopying, s.Leg.Phase)
	assert.Equal(t, bytes+500, s.Leg.Bytes)
	require.Equal(t, 4, s.Leg.Tasks.Len())
	assert.Equal(t, []int64{3, 4}, []int64{s.Leg.Tasks.At(2).ID, s.Leg.Tasks.At(3).ID}, "no two tasks have one id")
	assert.Equal(t, uint64(1), s.Leg.Shards[0].Epoch, "it has nothing to do with it")
	require.ErrorIs(t, report(1, shardferry.Report{Shard: "s1", Epoch: 1}).Apply(s), shardferry.ErrStaleEpoch)
	ok, why := s.CanCommit()
	assert.False(t, ok)
	assert.Contains(t, why, "copying")
	apply(t, s, state.Assign{Leg: 1, Shard: "s1"}, report(1, shardferry.Report{Shard: "s1", Epoch: 3, Tasks: append(done(3), done(4)...)}))
	assert.Equal(t, state.PhaseStreaming, s.Leg.Phase)
}

// A shard that is copied again anyway has no worker that could start again.
func TestWhatEntersTheSelectionLeavesLostShardsAlone(t *testing.T) {
	s := stations(t)["changing the schema"]
	apply(t, s, state.Lost{Leg: 1, Shard: "s0", Why: "gone"})
	epoch := s.Leg.Shards[0].Epoch
	apply(t, s, entering("s0"))
	assert.Equal(t, epoch, s.Leg.Shards[0].Epoch)
}

// A copy task is of a shard that is known, or of none until the next move.
func TestWhatEntersTheSelectionIsOnAKnownShard(t *testing.T) {
	s := stations(t)["changing the schema"]
	before := encode(t, s)
	require.ErrorContains(t, entering("s9").Apply(s), "s9")
	require.Error(t, entering("").Apply(s), "where nothing moves")
	assert.Equal(t, before, encode(t, s))

	s.Leg.Owners = &state.Owners{Known: ct(119)}
	require.ErrorContains(t, entering("s9").Apply(s), "s9")
	apply(t, s, entering(""))
	assert.Equal(t, []shardferry.UUID{uuidC}, s.Leg.Ownerless())
	assert.Equal(t, state.PhaseCopying, s.Leg.Phase)
	assert.NotEmpty(t, encode(t, s), "it can be recorded so")
}

// A commit that has begun waits for the copy of what entered just before the write
// block, however far the streams are.
func TestDrainingIncludesWhatEntersTheSelection(t *testing.T) {
	s := stations(t)["draining"]
	r := entering("s1")
	r.Barrier, r.Change = 2, *change("s1", 190)
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 190)}), state.RaiseBarrier{Leg: 1}, r)
	apply(
		t, s, state.Assign{Leg: 1, Shard: "s1"},
		report(1, shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(300)}, shardferry.Report{Shard: "s1", Epoch: 3, Applied: ct(300)}),
	)
	assert.False(t, s.Leg.Drained())
	require.Error(t, state.Advance{Leg: 1, To: state.StepVerifying}.Apply(s))
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 3, Tasks: done(3)}), state.Advance{Leg: 1, To: state.StepVerifying})
}
