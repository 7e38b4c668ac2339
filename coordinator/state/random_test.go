package state_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Random commands, sensible and not, against what must always hold.
func TestInvariantsHoldUnderRandomCommands(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, replica := state.New(), state.New()
		start := startCmd().(state.Start)
		start.Job.WithUsers = rapid.Bool().Draw(rt, "with users")
		for _, cmd := range []state.Command{start, plannedCmd(), state.Created{}} {
			require.NoError(rt, cmd.Apply(s))
			require.NoError(rt, cmd.Apply(replica))
		}
		for range rapid.IntRange(1, 80).Draw(rt, "commands") {
			cmd := randomCommand(rt, s)
			view := s.Clone()
			before := encode(rt, view)
			err := cmd.Apply(s)
			after := encode(rt, s)
			require.Equal(rt, before, encode(rt, view), "%T changed a clone", cmd)
			if _, kept := cmd.(state.Asked); err != nil && kept {
				require.Equal(rt, decision(rt, view), decision(rt, s), "%T was refused (%v) and changed something", cmd, err)
			} else if err != nil {
				require.Equal(rt, before, after, "%T was refused (%v) and changed something", cmd, err)
			}
			invariants(rt, view, s)

			b, merr := bson.Marshal(cmd) // the replica gets it through the log
			require.NoError(rt, merr)
			require.Equal(rt, err == nil, replay(rt, replica, cmd, b) == nil)
			require.Equal(rt, after, encode(rt, replica), "replicas differ after %T", cmd)
		}
	})
}

// decision is the state without what is kept of commands.
func decision(t require.TestingT, s *state.Sync) string {
	c := s.Clone()
	c.Audit, c.Answers, c.Asked = nil, nil, false
	return encode(t, c)
}

// replay applies what is left of a command after it went through the log.
func replay(t require.TestingT, s *state.Sync, cmd state.Command, log []byte) error {
	decode := func(into any) { require.NoError(t, bson.Unmarshal(log, into)) }
	switch cmd.(type) {
	case state.Report:
		var c state.Report
		decode(&c)
		return c.Apply(s)
	case state.Advance:
		var c state.Advance
		decode(&c)
		return c.Apply(s)
	case state.Resolve:
		var c state.Resolve
		decode(&c)
		return c.Apply(s)
	}
	return cmd.Apply(s)
}

func invariants(t require.TestingT, before, s *state.Sync) {
	if before.Leg.Number == s.Leg.Number {
		require.False(t, s.Leg.ResumePoint().Before(before.Leg.ResumePoint()), "the resume point went back")
		for i := range s.Leg.Shards {
			require.GreaterOrEqual(t, s.Leg.Shards[i].Epoch, before.Leg.Shards[i].Epoch)
		}
	}
	require.True(t, slices.IsSortedFunc(s.Leg.Collections, func(a, b shardferry.Collection) int { return slices.Compare(a.UUID[:], b.UUID[:]) }))
	source, destination := open(s)
	require.False(t, source && destination)
	require.Equal(t, s.State == shardferry.StateCommitting, s.Leg.Cutover != nil)
	if cut := s.Leg.Cutover; cut != nil {
		switch cut.Step {
		case state.StepVerifying:
			if before.Leg.Cutover != nil && before.Leg.Cutover.Step == state.StepDraining {
				require.True(t, s.Leg.Drained(), "verifying although a shard has not reached the end")
			}
		case state.StepFinishing, state.StepArming, state.StepOpening:
			require.Zero(t, cut.Verified.Differences)
			require.False(t, s.Leg.ResumePoint().Before(cut.End))
		case state.StepBlocking, state.StepBlocked, state.StepDraining, state.StepAborting:
		}
		if cut.Step == state.StepOpening {
			require.NotNil(t, cut.Next, "the destination is opened before the way back is armed")
		}
	}
	if s.Accounts.Temporary {
		require.NotNil(t, s.Leg.Cutover, "credentials are left on the destination")
		require.Contains(t, []state.Step{state.StepDraining, state.StepAborting}, s.Leg.Cutover.Step)
	}
	if cut := s.Leg.Cutover; cut != nil && slices.Index(steps, cut.Step) >= slices.Index(steps, state.StepVerifying) && cut.Step != state.StepAborting {
		require.Equal(t, s.Job.WithUsers, cut.Carried)
	}
	if next := s.Leg.NextSchemaChange(); next != nil {
		for _, sh := range s.Leg.Shards {
			require.False(t, sh.Schema != nil && sh.Schema.Time.Before(next.Time))
		}
	}
	if s.State == shardferry.StateCommitted && before.State != shardferry.StateCommitted {
		require.Equal(t, state.StepOpening, before.Leg.Cutover.Step)
	}
}

var steps = []state.Step{
	state.StepBlocking, state.StepBlocked, state.StepDraining, state.StepVerifying, state.StepFinishing, state.StepArming, state.StepOpening, state.StepAborting,
}

// randomCommand draws a command that often fits the state, so that walks get
// far, and sometimes does not.
func randomCommand(t *rapid.T, s *state.Sync) state.Command {
	leg := s.Leg.Number
	if rapid.IntRange(0, 9).Draw(t, "old leg") == 0 {
		leg--
	}
	sh := rapid.SampledFrom(s.Leg.Shards).Draw(t, "shard")
	epoch := sh.Epoch
	if epoch > 0 && rapid.IntRange(0, 9).Draw(t, "old epoch") == 0 {
		epoch--
	}
	switch rapid.IntRange(0, 13).Draw(t, "command") {
	case 0:
		return state.Assign{Leg: leg, Shard: sh.ID, Owner: "n"}
	case 1, 2, 3:
		return randomReport(t, s, leg, sh, epoch)
	case 4:
		return state.RaiseBarrier{Leg: leg}
	case 5:
		r := state.Resolve{Leg: leg, Change: *change(sh.ID, 1)}
		if next := s.Leg.NextSchemaChange(); next != nil && s.Leg.Barrier != nil {
			r.Change, r.Barrier = *next, s.Leg.Barrier.ID
			r.Collections = []shardferry.Collection{{UUID: uuidA, Source: nsA, Destination: nsB, Dropped: rapid.Bool().Draw(t, "dropped")}}
			r.Moved = []state.Move{{From: nsA, To: nsB}}
			if rapid.IntRange(0, 3).Draw(t, "enters") == 0 {
				r.Tasks = []shardferry.CopyTask{{Shard: sh.ID, UUID: uuidB}}
			}
		}
		return r
	case 6:
		return state.IndexesBuilt{Leg: leg, Indexes: []state.IndexRef{emailRef, {NS: nsB, Name: "email_1"}}}
	case 7:
		return state.Commit{At: at(1)}
	case 8, 9:
		return state.Advance{
			Leg: leg, At: at(2), To: nextStep(t, s), End: ct(rapid.Uint32Range(0, 300).Draw(t, "end")), Next: armed(),
			Verified: state.Verified{Differences: int64(rapid.IntRange(0, 1).Draw(t, "differences"))},
		}
	case 10:
		return state.Finished{Leg: leg, Indexes: []state.IndexRef{emailRef, {NS: nsB, Name: "email_1"}}, Limits: []shardferry.Namespace{nsB}}
	case 11:
		return state.Committed{Leg: leg, At: at(3)}
	case 12:
		if rapid.IntRange(0, 3).Draw(t, "abort") == 0 {
			return state.Abort{Leg: leg, Reason: "random"}
		}
		return state.Aborted{Leg: leg}
	default:
		return rapid.SampledFrom([]state.Command{
			state.Pause{At: at(4)},
			state.Resume{At: at(4)},
			state.TurnAround{At: at(4), Rollback: true},
			state.TurnAround{At: at(4)},
			state.Asked{At: at(4), Command: "pause", Key: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key"), Pause: &state.Pause{At: at(4)}},
			state.Asked{At: at(4), Command: "commit", Key: "a", Hash: []byte{1}, Commit: &state.Commit{At: at(4)}},
			state.Asked{At: at(4), Command: "resume", Resume: &state.Resume{At: at(4)}},
			state.Turned{Leg: leg},
			state.Carrying{Leg: leg, Accounts: []shardferry.Account{{ID: "d.r", Role: true}, {ID: "d.u"}}},
			state.Carrying{Leg: leg},
			state.Carried{Leg: leg, Accounts: []shardferry.Account{{ID: "d.u"}}},
			state.Sessions{Leg: leg, Shard: sh.ID, Epoch: epoch, IDs: []bson.Raw{raw(bson.D{{"id", leg}})}},
			state.Fenced{Leg: leg, Shard: sh.ID, Epoch: epoch, IDs: []bson.Raw{raw(bson.D{{"id", leg}})}},
		}).Draw(t, "other")
	}
}

func nextStep(t *rapid.T, s *state.Sync) state.Step {
	if cut := s.Leg.Cutover; cut != nil && rapid.IntRange(0, 4).Draw(t, "fitting") > 0 {
		if i := slices.Index(steps, cut.Step); i+1 < len(steps) {
			return steps[i+1]
		}
	}
	return rapid.SampledFrom(steps).Draw(t, "step")
}

func randomReport(t *rapid.T, s *state.Sync, leg int, sh state.Shard, epoch uint64) state.Report {
	r := shardferry.Report{
		Shard: sh.ID, Epoch: epoch,
		Applied: shardferry.ClusterTime{T: sh.Applied.T + rapid.Uint32Range(0, 60).Draw(t, "applied") - 5, I: 1},
		Events:  int64(rapid.IntRange(0, 9).Draw(t, "events")),
	}
	if s.Leg.Barrier != nil {
		r.Ready = s.Leg.Barrier.ID
	}
	if rapid.IntRange(0, 4).Draw(t, "schema") == 0 {
		r.Schema = change(sh.ID, sh.Applied.T+rapid.Uint32Range(1, 20).Draw(t, "schema at"))
	}
	for task := range s.Leg.Tasks.All() {
		if task.Shard == sh.ID {
			r.Tasks = append(r.Tasks, shardferry.TaskProgress{ID: task.ID, Docs: 5, Done: rapid.Bool().Draw(t, "done")})
		}
	}
	return state.Report{Leg: leg, Reports: []shardferry.Report{r}}
}
