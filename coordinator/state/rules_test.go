package state_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

func apply(t *testing.T, s *state.Sync, cmds ...state.Command) {
	t.Helper()
	for _, c := range cmds {
		require.NoError(t, c.Apply(s), "%T", c)
	}
}

func TestPositionsAndTotalsNeverGoBack(t *testing.T) {
	s := stations(t)["copying"]
	apply(
		t, s,
		report(1, shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(150), Seen: ct(160), Events: 9, Repairs: 3, Tasks: []shardferry.TaskProgress{
			{ID: 1, Docs: 50, Bytes: 500, Resume: raw(bson.D{{"_id", 50}})},
		}}),
		report(1, shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(140), Seen: ct(130), Events: 1, Repairs: 1, Tasks: []shardferry.TaskProgress{
			{ID: 1, Docs: 40, Bytes: 400, Resume: raw(bson.D{{"_id", 40}})},
		}}),
	)
	sh := s.Leg.Shards[0]
	assert.Equal(t, ct(150), sh.Applied)
	assert.Equal(t, ct(160), sh.Seen)
	assert.Equal(t, state.Totals{Events: 9, Repairs: 3}, sh.Now)
	assert.Equal(t, int64(50), s.Leg.Tasks.At(0).Docs)
	assert.Equal(t, raw(bson.D{{"_id", 50}}), s.Leg.Tasks.At(0).Resume)
	assert.Equal(t, ct(100), s.Leg.ResumePoint(), "the other shard stands at the start")
}

func TestATaskThatIsDoneStaysDone(t *testing.T) {
	s := stations(t)["copying"]
	apply(
		t, s, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Tasks: done(1)}),
		report(1, shardferry.Report{Shard: "s0", Epoch: 1, Tasks: []shardferry.TaskProgress{{ID: 1, Docs: 3}}}),
	)
	assert.True(t, s.Leg.Tasks.At(0).Done)
	assert.Equal(t, int64(10), s.Leg.Tasks.At(0).Docs)
}

func TestANewWorkerStartsANewEpoch(t *testing.T) {
	s := stations(t)["changing the schema"]
	apply(t, s, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Ready: 1, Events: 5}), state.Assign{Leg: 1, Shard: "s0", Owner: "n3"})
	sh := s.Leg.Shards[0]
	assert.Equal(t, uint64(2), sh.Epoch)
	assert.Equal(t, "n3", sh.Owner)
	assert.Zero(t, sh.Ready, "the new worker does not stand still yet")
	assert.Equal(t, int64(5), sh.Events, "what the old worker did counts")
	assert.Len(t, sh.Sessions, 1, "the old worker's sessions have not ended yet")
	err := report(1, shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(900)}).Apply(s)
	require.ErrorIs(t, err, shardferry.ErrStaleEpoch)
}

func TestAShardIsTakenOnlyByWhoItIsGivenTo(t *testing.T) {
	s := stations(t)["copying"]
	apply(t, s, state.Assign{Leg: 1, Shard: "s0", Owner: "n3"})
	before := s.Clone()
	require.ErrorIs(t, state.Take{Leg: 1, Shard: "s0", Owner: "n1"}.Apply(s), shardferry.ErrStaleEpoch, "it was taken from n1 meanwhile")
	assert.Equal(t, before, s)
	apply(t, s, state.Take{Leg: 1, Shard: "s0", Owner: "n3"})
	assert.Equal(t, before.Leg.Shards[0].Epoch+1, s.Leg.Shards[0].Epoch)
	require.ErrorIs(t, state.Take{Leg: 0, Shard: "s0", Owner: "n3"}.Apply(s), shardferry.ErrStaleEpoch)
}

func TestSessionsStayUntilTheyAreFenced(t *testing.T) {
	id := func(n int) bson.Raw { return raw(bson.D{{"id", n}}) }
	s := stations(t)["copying"]
	apply(t, s, state.Sessions{Leg: 1, Shard: "s0", Epoch: 1, IDs: []bson.Raw{id(1), id(2)}})
	assert.Equal(t, []bson.Raw{id(1), id(2)}, s.Leg.Shards[0].Sessions)
	apply(t, s, state.Assign{Leg: 1, Shard: "s0"}, state.Fenced{Leg: 1, Shard: "s0", Epoch: 2, IDs: []bson.Raw{id(1)}})
	assert.Equal(t, []bson.Raw{id(2)}, s.Leg.Shards[0].Sessions)
	require.ErrorIs(t, state.Fenced{Leg: 1, Shard: "s0", Epoch: 1}.Apply(s), shardferry.ErrStaleEpoch)
}

// The earliest change goes first, whatever the order in which shards report,
// and shards break ties.
func TestTheEarliestSchemaChangeComesFirst(t *testing.T) {
	s := stations(t)["streaming"]
	apply(t, s, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Schema: change("s0", 130)}), state.RaiseBarrier{Leg: 1})
	assert.Equal(t, &shardferry.Barrier{ID: 1, Time: ct(130)}, s.Leg.Barrier)
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 130)}), state.RaiseBarrier{Leg: 1})
	assert.Equal(t, int64(1), s.Leg.Barrier.ID, "the same time needs no other barrier")
	assert.Equal(t, shardferry.ShardID("s0"), s.Leg.NextSchemaChange().Shard)

	late := stations(t)["streaming"]
	apply(
		t, late, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Schema: change("s0", 130)}), state.RaiseBarrier{Leg: 1},
		report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 125)}), state.RaiseBarrier{Leg: 1},
	)
	assert.Equal(t, &shardferry.Barrier{ID: 2, Time: ct(125)}, late.Leg.Barrier)
	require.Error(t, state.Resolve{Leg: 1, Barrier: 1, Change: *change("s0", 130)}.Apply(late), "the later change must wait")
}

func TestAllWorkersMustStandStill(t *testing.T) {
	s := stations(t)["changing the schema"]
	assert.False(t, s.Leg.StandsStill())
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Ready: 1}))
	assert.False(t, s.Leg.StandsStill(), "s0 is not ready")
	apply(t, s, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Ready: 1, Applied: shardferry.Pred(shardferry.Pred(ct(120)))}))
	assert.False(t, s.Leg.StandsStill(), "s0 has not applied all that came before")
	apply(t, s, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Ready: 1, Applied: shardferry.Pred(ct(120))}))
	assert.True(t, s.Leg.StandsStill())
}

func TestAResolvedChangeIsNotTakenUpAgain(t *testing.T) {
	s := stations(t)["streaming again"]
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 120)}))
	assert.Nil(t, s.Leg.NextSchemaChange())
	next := change("s1", 120)
	next.Index = 1
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: next}))
	assert.Equal(t, next, s.Leg.NextSchemaChange())
}

func TestWhatASchemaChangeMakesOfTheCatalogue(t *testing.T) {
	to := shardferry.Namespace{DB: "shop", Coll: "old_orders"}
	dropped := shardferry.Collection{UUID: uuidB, Source: nsB, Destination: nsB, Capped: true, Dropped: true}
	renamed := shardferry.Collection{UUID: uuidA, Source: to, Destination: to}
	created := shardferry.Collection{UUID: shardferry.UUID{1, 5}, Source: nsA, Destination: nsA}
	hidden := raw(bson.D{{"key", bson.D{{"email", 1}}}, {"name", "email_1"}, {"hidden", true}})
	tests := []struct {
		name    string
		resolve state.Resolve
		check   func(t *testing.T, l *state.Leg)
	}{
		{"drop", state.Resolve{Collections: []shardferry.Collection{dropped}, Dropped: []state.IndexRef{{NS: nsB}}}, func(t *testing.T, l *state.Leg) {
			assert.Empty(t, l.Limits)
			assert.Len(t, l.Indexes, 1)
			assert.Equal(t, dropped, l.Collections[1])
			assert.True(t, l.Tasks.At(0).Done, "nothing is left to copy")
			assert.False(t, l.Tasks.At(1).Done)
		}},
		{"rename", state.Resolve{Collections: []shardferry.Collection{renamed}, Moved: []state.Move{{From: nsA, To: to}}}, func(t *testing.T, l *state.Leg) {
			assert.Equal(t, to, l.Indexes[0].NS)
			assert.Equal(t, renamed, l.Collections[0])
			assert.False(t, l.Tasks.At(1).Done, "the copy goes on under the new name")
		}},
		{
			"rename over another",
			state.Resolve{
				Collections: []shardferry.Collection{dropped, {UUID: uuidA, Source: nsB, Destination: nsB}},
				Dropped:     []state.IndexRef{{NS: nsB}}, Moved: []state.Move{{From: nsA, To: nsB}},
			},
			func(t *testing.T, l *state.Leg) {
				assert.Empty(t, l.Limits)
				require.Len(t, l.Indexes, 1)
				assert.Equal(t, nsB, l.Indexes[0].NS)
			},
		},
		{"create", state.Resolve{Collections: []shardferry.Collection{created}}, func(t *testing.T, l *state.Leg) {
			assert.Equal(t, []shardferry.UUID{uuidA, {1, 5}, uuidB}, []shardferry.UUID{l.Collections[0].UUID, l.Collections[1].UUID, l.Collections[2].UUID})
		}},
		{"an index changes", state.Resolve{Indexes: []state.Index{{NS: nsA, Spec: hidden, Built: true}}}, func(t *testing.T, l *state.Leg) {
			assert.Equal(t, []state.Index{{NS: nsA, Spec: hidden, Built: true}}, l.Indexes)
		}},
		{"an index is dropped", state.Resolve{Dropped: []state.IndexRef{emailRef}}, func(t *testing.T, l *state.Leg) {
			assert.Empty(t, l.Indexes)
			assert.Len(t, l.Limits, 1)
		}},
		{"a limit changes", state.Resolve{Limits: []state.Limit{{NS: nsB, Size: 1}}}, func(t *testing.T, l *state.Leg) {
			assert.Equal(t, []state.Limit{{NS: nsB, Size: 1}}, l.Limits)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stations(t)["copying"]
			apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 120)}), state.RaiseBarrier{Leg: 1})
			original := s.Clone()
			before := encode(t, original)
			tt.resolve.Leg, tt.resolve.Barrier, tt.resolve.Change = 1, 1, *change("s1", 120)
			apply(t, s, tt.resolve)
			tt.check(t, &s.Leg)
			assert.Nil(t, s.Leg.Barrier)
			assert.Equal(t, original.Leg.Catalogue+1, s.Leg.Catalogue)
			assert.Equal(t, before, encode(t, original), "the clone shares memory with the state")
		})
	}
}

// The copy ends with the drop of the only collection that is still copied.
func TestPhasesAdvanceWhenTheirWorkIsGone(t *testing.T) {
	s := stations(t)["copying"]
	apply(
		t, s, report(1, shardferry.Report{Shard: "s0", Epoch: 1, Tasks: done(1)}, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 120)}),
		state.RaiseBarrier{Leg: 1},
		state.Resolve{
			Leg: 1, Barrier: 1, Change: *change("s1", 120), Dropped: []state.IndexRef{{NS: nsA}},
			Collections: []shardferry.Collection{{UUID: uuidA, Source: nsA, Destination: nsA, Dropped: true}},
		},
	)
	assert.Equal(t, state.PhaseStreaming, s.Leg.Phase, "nothing to copy, nothing to build")

	empty := state.New()
	planned := plannedCmd().(state.Planned)
	planned.Tasks, planned.Indexes = nil, nil
	apply(t, empty, startCmd(), planned, state.Created{})
	assert.Equal(t, state.PhaseStreaming, empty.Leg.Phase, "an empty source has nothing to copy")
}

func TestAPlanMustBeWhole(t *testing.T) {
	for name, spoil := range map[string]func(*state.Planned){
		"no shards":                func(p *state.Planned) { p.Shards = nil },
		"no start":                 func(p *state.Planned) { p.Start = shardferry.ClusterTime{} },
		"a task of nobody's shard": func(p *state.Planned) { p.Tasks[0].Shard = "s9" },
	} {
		t.Run(name, func(t *testing.T) {
			s := stations(t)["planning"]
			before := encode(t, s)
			planned := plannedCmd().(state.Planned)
			spoil(&planned)
			require.Error(t, planned.Apply(s))
			assert.Equal(t, before, encode(t, s))
		})
	}
}

func TestACommitWaitsForIndexesAndSchemaChanges(t *testing.T) {
	s := stations(t)["running"]
	ok, _ := s.CanCommit()
	require.True(t, ok)
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 130)}))
	ok, why := s.CanCommit()
	assert.False(t, ok)
	assert.Equal(t, "a schema change is being applied", why)

	s = stations(t)["running"]
	s.Leg.Indexes[0].Built = false
	ok, why = s.CanCommit()
	assert.False(t, ok)
	assert.Equal(t, "an index is being built", why)
}

// A schema change that was made just before the source was blocked holds the
// commit until it is applied.
func TestDrainingIncludesSchemaChanges(t *testing.T) {
	s := stations(t)["drained"]
	require.True(t, s.Leg.Drained())
	apply(t, s, report(1, shardferry.Report{Shard: "s1", Epoch: 1, Schema: change("s1", 207)}))
	assert.False(t, s.Leg.Drained())
	require.Error(t, state.Advance{Leg: 1, To: state.StepVerifying}.Apply(s))
}

func TestTheBudgetBindsUntilTheIndexesAreFinished(t *testing.T) {
	states := stations(t)
	for _, name := range []string{"blocking again", "blocked", "draining", "verifying"} {
		assert.True(t, states[name].Leg.Cutover.Expired(at(91)), name)
		assert.False(t, states[name].Leg.Cutover.Expired(at(90)), name)
	}
	for _, name := range []string{"finishing", "arming", "opening", "aborting"} {
		assert.False(t, states[name].Leg.Cutover.Expired(at(9999)), name)
	}
}

func TestAnAbortGoesOnAsBefore(t *testing.T) {
	s := stations(t)["aborting"]
	apply(t, s, state.Abort{Leg: 1, Reason: "another"}, state.Aborted{Leg: 1})
	assert.Equal(t, shardferry.StateRunning, s.State)
	assert.Nil(t, s.Leg.Cutover)
	assert.Equal(t, "tired", s.Last.Failure, "the first reason counts")
}

func TestCommittedTurnsTheLeg(t *testing.T) {
	s := stations(t)["committed"]
	assert.Equal(t, shardferry.StateCommitted, s.State)
	assert.Equal(t, 2, s.Leg.Number)
	assert.Equal(t, state.Reverse, s.Leg.Direction)
	assert.Equal(t, ct(9000), s.Leg.ResumePoint())
	assert.Equal(t, []shardferry.UUID{uuidA, uuidB}, []shardferry.UUID{s.Leg.Collections[0].UUID, s.Leg.Collections[1].UUID}, "sorted by UUID")
	assert.Equal(t, shardferry.ShardID("d0"), s.Leg.Shards[0].ID)
	assert.Equal(t, at(40), s.Last.OpenedAt)
	assert.Equal(t, at(31), s.Last.BlockedAt)
	assert.True(t, s.Active(), "the way back is kept current")
	s.Job.Reversible = false
	assert.False(t, s.Active())
}

func TestARollbackCommitsByItself(t *testing.T) {
	s := stations(t)["committed"]
	apply(t, s, state.TurnAround{Rollback: true, At: at(50)}, state.Turned{Leg: 2})
	assert.True(t, s.RollingBack)
	apply(t, s, state.Commit{At: at(51)}, state.Abort{Leg: 2, Reason: "x"}, state.Aborted{Leg: 2})
	assert.False(t, s.RollingBack, "what was given up is not tried again by itself")
}

func TestThereIsNoWayBackThatWasNotArmed(t *testing.T) {
	s := stations(t)["committed"]
	s.Job.Reversible = false
	require.ErrorContains(t, state.TurnAround{Rollback: true}.Apply(s), "cannot rollback")
}

func TestActive(t *testing.T) {
	for name, s := range stations(t) {
		switch name {
		case "idle", "planning", "creating", "paused":
			assert.False(t, s.Active(), name)
		default:
			assert.True(t, s.Active(), name)
		}
	}
}
