package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var (
	uuidA = shardferry.UUID{1}
	uuidB = shardferry.UUID{2}
	nsA   = shardferry.Namespace{DB: "shop", Coll: "orders"}
	nsB   = shardferry.Namespace{DB: "shop", Coll: "log"}
	email = raw(bson.D{{"key", bson.D{{"email", 1}}}, {"name", "email_1"}, {"unique", true}})
)

func raw(d bson.D) bson.Raw {
	b, err := bson.Marshal(d)
	if err != nil {
		panic(err)
	}
	return b
}

func ct(t uint32) shardferry.ClusterTime { return shardferry.ClusterTime{T: t, I: 1} }

func at(seconds int64) time.Time { return time.Unix(1_700_000_000+seconds, 0).UTC() }

// emailRef is the planned index on shop.orders.
var emailRef = state.IndexRef{NS: nsA, Name: "email_1"}

func startCmd() state.Command {
	return state.Start{From: "10.0.0.1", Job: state.Job{
		Source: state.Endpoint{Name: "cluster0"}, Destination: state.Endpoint{Name: "cluster1"},
		Reversible: true, StartedAt: at(0), CommitBudget: 60_000,
	}}
}

func plannedCmd() state.Command {
	return state.Planned{
		Plan: raw(bson.D{{"x", 1}}), Start: ct(100), Shards: []shardferry.ShardID{"s1", "s0"},
		Collections: []shardferry.Collection{{UUID: uuidB, Source: nsB, Destination: nsB, Capped: true}, {UUID: uuidA, Source: nsA, Destination: nsA}},
		Tasks: []shardferry.CopyTask{
			{ID: 2, Shard: "s1", UUID: uuidA, Index: raw(bson.D{{"_id", 1}})},
			{ID: 1, Shard: "s0", UUID: uuidB, Index: raw(bson.D{{"_id", 1}})},
		},
		Indexes:    []state.Index{{NS: nsA, Spec: email}},
		Limits:     []state.Limit{{NS: nsB, Size: 4096}},
		Reversible: true, BlockDest: true,
	}
}

func report(leg int, reports ...shardferry.Report) state.Command {
	return state.Report{Leg: leg, Reports: reports}
}

func done(id int64) []shardferry.TaskProgress {
	return []shardferry.TaskProgress{{ID: id, Docs: 10, Bytes: 1000, Done: true}}
}

func armed() *state.Armed {
	return &state.Armed{
		Start: ct(9000), Shards: []shardferry.ShardID{"d1", "d0"},
		Collections: []shardferry.Collection{{UUID: uuidB, Source: nsB, Destination: nsB}, {UUID: uuidA, Source: nsA, Destination: nsA}},
	}
}

// chapters are the stations of a whole story, in order: the commands that lead
// from the station before to the named one.
var chapters = []struct {
	name string
	cmds []state.Command
}{
	{"idle", nil},
	{"planning", []state.Command{startCmd()}},
	{"creating", []state.Command{plannedCmd()}},
	{"copying", []state.Command{
		state.Created{},
		state.Assign{Leg: 1, Shard: "s0", Owner: "n1"},
		state.Assign{Leg: 1, Shard: "s1", Owner: "n2"},
		state.Sessions{Leg: 1, Shard: "s0", Epoch: 1, IDs: []bson.Raw{raw(bson.D{{"id", 1}})}},
	}},
	{"building", []state.Command{report(
		1,
		shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(110), Seen: ct(111), Tasks: done(1)},
		shardferry.Report{Shard: "s1", Epoch: 1, Applied: ct(112), Seen: ct(113), Tasks: done(2)},
	)}},
	{"streaming", []state.Command{state.IndexesBuilt{Leg: 1, Indexes: []state.IndexRef{emailRef}}}},
	{"changing the schema", []state.Command{
		report(1, shardferry.Report{Shard: "s1", Epoch: 1, Applied: shardferry.Pred(ct(120)), Schema: change("s1", 120)}),
		state.RaiseBarrier{Leg: 1},
	}},
	{"streaming again", []state.Command{
		report(
			1,
			shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(125), Ready: 1},
			shardferry.Report{Shard: "s1", Epoch: 1, Applied: shardferry.Pred(ct(120)), Ready: 1},
		),
		state.Resolve{Leg: 1, Barrier: 1, Change: *change("s1", 120)},
	}},
	{"paused", []state.Command{state.Pause{At: at(10), From: "op"}}},
	{"running", []state.Command{state.Resume{At: at(11), From: "op"}}},
	{"blocking", []state.Command{state.Commit{At: at(20), From: "op"}}},
	{"aborting", []state.Command{state.Abort{Leg: 1, Reason: "tired"}}},
	{"given up", []state.Command{state.Aborted{Leg: 1}}},
	{"blocking again", []state.Command{state.Commit{At: at(30), From: "op"}}},
	{"blocked", []state.Command{state.Advance{Leg: 1, To: state.StepBlocked, At: at(31)}}},
	{"draining", []state.Command{state.Advance{Leg: 1, To: state.StepDraining, End: ct(200)}}},
	{"drained", []state.Command{report(
		1,
		shardferry.Report{Shard: "s0", Epoch: 1, Applied: ct(200), Seen: ct(201)},
		shardferry.Report{Shard: "s1", Epoch: 1, Applied: ct(205), Seen: ct(206)},
	)}},
	{"verifying", []state.Command{state.Advance{Leg: 1, To: state.StepVerifying}}},
	{"finishing", []state.Command{state.Advance{Leg: 1, To: state.StepFinishing, Verified: state.Verified{Documents: 20, Collections: 2}}}},
	{"finished", []state.Command{state.Finished{Leg: 1, Indexes: []state.IndexRef{emailRef}, Limits: []shardferry.Namespace{nsB}}}},
	{"arming", []state.Command{state.Advance{Leg: 1, To: state.StepArming}}},
	{"opening", []state.Command{state.Advance{Leg: 1, To: state.StepOpening, Next: armed()}}},
	{"committed", []state.Command{state.Committed{Leg: 1, At: at(40)}}},
	{"reversing", []state.Command{state.TurnAround{At: at(50), From: "op"}}},
	{"flowing back", []state.Command{
		state.Assign{Leg: 2, Shard: "d0", Owner: "n1"}, state.Assign{Leg: 2, Shard: "d1", Owner: "n1"}, state.Turned{Leg: 2},
	}},
	{"committing back", []state.Command{state.Commit{At: at(60), From: "op"}}},
}

func change(shard shardferry.ShardID, t uint32) *shardferry.SchemaChange {
	return &shardferry.SchemaChange{Shard: shard, Time: ct(t), Kind: "drop", UUID: uuidA, NS: nsA, Event: raw(bson.D{{"operationType", "drop"}})}
}

// stations plays the whole story and returns the state at each station.
func stations(t *testing.T) map[string]*state.Sync {
	t.Helper()
	s := state.New()
	out := map[string]*state.Sync{}
	for _, c := range chapters {
		for _, cmd := range c.cmds {
			require.NoErrorf(t, cmd.Apply(s), "%s: %T", c.name, cmd)
		}
		out[c.name] = s.Clone()
	}
	return out
}

func encode(t require.TestingT, s *state.Sync) string {
	b, err := bson.Marshal(s)
	require.NoError(t, err)
	return string(b)
}
