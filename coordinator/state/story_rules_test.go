package state_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Every command at every station: where it is accepted, and that it changes
// nothing where it is refused. It works on a clone, so a change that reaches the
// original shows that they share memory.
func TestCommandsAreAcceptedOnlyWhereTheyBelong(t *testing.T) {
	const all = "*"
	running := []string{"planning", "creating", "copying", "building", "streaming", "changing the schema", "streaming again", "running", "given up", "flowing back"}
	committing := []string{
		"blocking", "aborting", "blocking again", "blocked", "draining", "drained", "verifying", "finishing", "finished", "arming", "opening",
	}
	planned := []string{
		"creating", "copying", "building", "streaming", "changing the schema", "streaming again", "running", "given up", "paused",
		"blocking", "aborting", "blocking again", "blocked", "draining", "drained", "verifying", "finishing", "finished", "arming", "opening",
	}
	assigned := planned[1:]
	tests := []struct {
		name string
		cmd  state.Command
		want []string
	}{
		{"start", startCmd(), []string{"idle"}},
		{"plan", plannedCmd(), []string{"planning"}},
		{"created", state.Created{}, []string{all}},
		{"assign", state.Assign{Leg: 1, Shard: "s0", Owner: "n9"}, planned},
		{"assign an unknown shard", state.Assign{Leg: 1, Shard: "s7", Owner: "n9"}, nil},
		{"assign of an old leg", state.Assign{Leg: 0, Shard: "s0"}, nil},
		{"sessions", state.Sessions{Leg: 1, Shard: "s0", Epoch: 1, IDs: []bson.Raw{raw(bson.D{{"id", 7}})}}, assigned},
		{"sessions of an old epoch", state.Sessions{Leg: 1, Shard: "s0", Epoch: 0}, []string{"creating"}}, // no worker yet: 0 is current
		{"fenced", state.Fenced{Leg: 1, Shard: "s0", Epoch: 1, IDs: []bson.Raw{raw(bson.D{{"id", 1}})}}, assigned},
		{"report", report(1, shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(150)}), assigned},
		{"report from the future", report(1, shardferry.Report{Shard: "s0", Epoch: 9}), nil},
		{"report of another shard's task", report(1, shardferry.Report{Shard: "s0", Epoch: 1, Tasks: done(2)}), nil},
		{"report of an unknown task", report(1, shardferry.Report{Shard: "s0", Epoch: 1, Tasks: done(77)}), nil},
		{"one stale report of two", report(1, shardferry.Report{Shard: "s1", Epoch: 1, Applied: ct(999)}, shardferry.Report{Shard: "s0", Epoch: 0}), nil},
		{"raise a barrier", state.RaiseBarrier{Leg: 1}, []string{"changing the schema"}},
		{"resolve", state.Resolve{Leg: 1, Barrier: 1, Change: *change("s1", 120)}, []string{"changing the schema"}},
		{"resolve another change", state.Resolve{Leg: 1, Barrier: 1, Change: *change("s1", 121)}, nil},
		{"resolve on another shard", state.Resolve{Leg: 1, Barrier: 1, Change: *change("s0", 120)}, nil},
		{"resolve an old barrier", state.Resolve{Leg: 1, Barrier: 0, Change: *change("s1", 120)}, nil},
		{"indexes built", state.IndexesBuilt{Leg: 1, Indexes: []state.IndexRef{emailRef}}, append([]string{"planning"}, planned...)},
		{"commit", state.Commit{At: at(99)}, []string{"streaming", "streaming again", "running", "given up", "flowing back"}},
		{"advance to blocked", state.Advance{Leg: 1, To: state.StepBlocked, At: at(98)}, without(committing, "aborting")},
		{"advance to draining", state.Advance{Leg: 1, To: state.StepDraining, End: ct(300)}, without(committing, "aborting", "blocking", "blocking again")},
		{"advance to draining without an end", state.Advance{Leg: 1, To: state.StepDraining}, without(committing, "aborting", "blocking", "blocking again", "blocked")},
		{"advance to verifying", state.Advance{Leg: 1, To: state.StepVerifying}, []string{"drained", "verifying", "finishing", "finished", "arming", "opening"}},
		{"advance to finishing", state.Advance{Leg: 1, To: state.StepFinishing}, []string{"verifying", "finishing", "finished", "arming", "opening"}},
		{
			"advance to finishing with differences",
			state.Advance{Leg: 1, To: state.StepFinishing, Verified: state.Verified{Differences: 1}},
			[]string{"finishing", "finished", "arming", "opening"},
		},
		{"advance to arming", state.Advance{Leg: 1, To: state.StepArming}, []string{"finished", "arming", "opening"}},
		{"advance to opening", state.Advance{Leg: 1, To: state.StepOpening, Next: armed()}, []string{"arming", "opening"}},
		{"advance to opening unarmed", state.Advance{Leg: 1, To: state.StepOpening, Next: &state.Armed{Start: ct(1)}}, []string{"opening"}},
		{"advance to nowhere", state.Advance{Leg: 1, To: "moon"}, nil},
		{"advance another leg", state.Advance{Leg: 7, To: state.StepBlocked}, nil},
		{"finished", state.Finished{Leg: 1, Indexes: []state.IndexRef{emailRef}, Limits: []shardferry.Namespace{nsB}}, committing},
		{"committed", state.Committed{Leg: 1, At: at(99)}, []string{"opening"}},
		{"abort", state.Abort{Leg: 1, Reason: "x"}, without(committing, "opening")},
		{"aborted", state.Aborted{Leg: 1}, []string{"aborting"}},
		{"pause", state.Pause{At: at(99)}, running},
		{"resume", state.Resume{At: at(99)}, []string{"paused"}},
		{"reverse", state.TurnAround{At: at(99)}, []string{"committed"}},
		{"rollback", state.TurnAround{At: at(99), Rollback: true}, []string{"committed", "flowing back"}},
		{"turned", state.Turned{Leg: 2}, []string{all}},
	}
	states := stations(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, original := range states {
				before := encode(t, original)
				s := original.Clone()
				err := tt.cmd.Apply(s)
				require.Equalf(t, before, encode(t, original), "%s: the original of a clone changed", name)
				if slices.Contains(tt.want, all) || slices.Contains(tt.want, name) {
					require.NoErrorf(t, err, "while %s", name)
				} else {
					require.Errorf(t, err, "while %s", name)
				}
				if err != nil {
					assert.Equalf(t, before, encode(t, s), "%s: a refused command changed something", name)
				}
			}
		})
	}
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(names, s) })
}

// Whatever was recorded may be recorded again, by a leader that does not know
// that it was: nothing changes then.
func TestRepeatingAStepChangesNothing(t *testing.T) {
	s := state.New()
	for _, c := range chapters {
		for _, cmd := range c.cmds {
			require.NoError(t, cmd.Apply(s))
			if _, ok := cmd.(state.Assign); ok {
				continue // each assignment is a new epoch on purpose
			}
			once := encode(t, s)
			err := cmd.Apply(s)
			assert.Equalf(t, once, encode(t, s), "%T, repeated with the result %v", cmd, err)
		}
	}
}

// Two replicas that apply the same commands hold the same bytes, and the bytes
// hold everything.
func TestReplicasHoldTheSameBytes(t *testing.T) {
	a, b := stations(t), stations(t)
	for _, c := range chapters {
		bytes := encode(t, a[c.name])
		require.Equal(t, bytes, encode(t, b[c.name]), c.name)
		back := state.New()
		require.NoError(t, bson.Unmarshal([]byte(bytes), back))
		require.Equal(t, a[c.name], back, c.name)
		require.Equal(t, bytes, encode(t, back), c.name)
	}
}

// By its steps a commit never has both clusters open, and neither open only
// while it is on its way.
func TestOneClusterIsOpenAtATime(t *testing.T) {
	states := stations(t)
	for _, c := range chapters {
		s := states[c.name]
		if s.Leg.Number != 1 {
			continue
		}
		source, destination := open(s)
		assert.False(t, source && destination, c.name)
		if s.State != shardferry.StateCommitting {
			assert.True(t, source, c.name)
		}
	}
}

// open reads from the state which cluster of the leg users may write to, as far
// as it is recorded.
func open(s *state.Sync) (source, destination bool) {
	if s.Leg.Cutover == nil {
		return true, false
	}
	switch s.Leg.Cutover.Step {
	case state.StepBlocking, state.StepAborting:
		return true, false // perhaps: it is being changed
	case state.StepOpening:
		return false, true // perhaps
	case state.StepBlocked, state.StepDraining, state.StepVerifying, state.StepFinishing, state.StepArming:
	}
	return false, false
}
