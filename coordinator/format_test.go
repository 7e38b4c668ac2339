package coordinator

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var (
	moment = time.UnixMilli(1_700_000_000_000).UTC()
	tick   = shardferry.ClusterTime{T: 9, I: 2}
	orders = shardferry.Namespace{DB: "d", Coll: "c"}
	ref    = state.IndexRef{NS: orders, Name: "a_1"}
	doc    = bson.Raw{5, 0, 0, 0, 0}
)

// samples has one command of each kind.
var samples = []state.Command{
	state.Start{From: "op", Job: state.Job{
		Source: state.Endpoint{Name: "cluster0", Hosts: "h", ID: "x"}, Destination: state.Endpoint{Name: "cluster1"},
		Reversible: true, BlockDest: true, StartedAt: moment, CommitBudget: 60_000,
	}},
	state.Planned{
		Plan: doc, Start: tick, Shards: []shardferry.ShardID{"s0"},
		Collections: []shardferry.Collection{{UUID: shardferry.UUID{1}, Source: orders, Destination: orders, ShardKey: doc, Capped: true, Collated: true, Dropped: true}},
		Tasks:       []shardferry.CopyTask{{ID: 1, Shard: "s0", UUID: shardferry.UUID{1}, Index: doc, Min: doc, Max: doc, Resume: doc, Docs: 2, Bytes: 3, Done: true}},
		Indexes:     []state.Index{{NS: orders, Spec: doc, Built: true, Finished: true}}, Limits: []state.Limit{{NS: orders, Size: 1, Max: 2, Finished: true}},
		Reversible: true, BlockDest: true, Bytes: 7,
	},
	state.Created{},
	state.Assign{Leg: 1, Shard: "s0", Owner: "n1"},
	state.Sessions{Leg: 1, Shard: "s0", Epoch: 2, IDs: []bson.Raw{doc}},
	state.Fenced{Leg: 1, Shard: "s0", Epoch: 2, IDs: []bson.Raw{doc}},
	state.Report{Leg: 1, Reports: []shardferry.Report{{
		Shard: "s0", Epoch: 2, Applied: tick, Seen: tick, Tasks: []shardferry.TaskProgress{{ID: 1, Resume: doc, Docs: 2, Bytes: 3, Done: true}},
		Schema: &sampleChange, Ready: 4, Events: 5, Repairs: 6,
	}}},
	state.RaiseBarrier{Leg: 1},
	state.Resolve{
		Leg: 1, Barrier: 2, Change: sampleChange, Indexes: []state.Index{{NS: orders, Spec: doc}}, Dropped: []state.IndexRef{ref},
		Moved: []state.Move{{From: orders, To: orders}}, Limits: []state.Limit{{NS: orders, Size: 1}},
	},
	state.IndexesBuilt{Leg: 1, Indexes: []state.IndexRef{ref}},
	state.Commit{At: moment, From: "op"},
	state.Advance{
		Leg: 1, To: state.StepOpening, At: moment, End: tick, Verified: state.Verified{Documents: 1, Bytes: 2, Collections: 3, Differences: 4},
		Next: &state.Armed{Start: tick, Shards: []shardferry.ShardID{"d0"}},
	},
	state.Finished{Leg: 1, Indexes: []state.IndexRef{ref}, Limits: []shardferry.Namespace{orders}},
	state.Committed{Leg: 1, At: moment},
	state.Abort{Leg: 1, Reason: "r"},
	state.Aborted{Leg: 1},
	state.Pause{At: moment, From: "op", Hold: "h"},
	state.Resume{At: moment, From: "op"},
	state.TurnAround{At: moment, From: "op", Rollback: true},
	state.Turned{Leg: 1},
	state.Lost{Leg: 1, Shard: "s0", At: moment, Why: "w"},
	state.Recopied{
		Leg: 1, Shards: []shardferry.ShardID{"s0"}, Start: tick, Bytes: 7,
		Tasks:   []shardferry.CopyTask{{ID: 1, Shard: "s0", UUID: shardferry.UUID{1}, Index: doc, Min: doc, Max: doc, Resync: true}},
		Changes: []state.Remade{{Indexes: []state.Index{{NS: orders, Spec: doc}}}},
	},
	state.Recatalogued{Leg: 1, Changes: []state.Remade{{Dropped: []state.IndexRef{ref}, Moved: []state.Move{{From: orders, To: orders}}, Limits: []state.Limit{{NS: orders, Size: 1}}}}},
	state.Intruded{Leg: 1, Intrusion: state.Intrusion{Noticed: moment, Writes: []state.ForeignWrite{{NS: orders, ID: "1", Op: "insert", At: moment}}, More: true}},
	state.Known{Leg: 1, At: tick},
	state.Moving{Leg: 1, Moved: shardferry.Moved{Until: tick, Collections: []shardferry.UUID{{1}}, All: true}, Places: []shardferry.Place{{Collection: shardferry.UUID{1}, DB: "d", Shard: "s0", Version: "1"}}},
	state.Passed{Leg: 1, Barrier: 2},
	state.Settled{Leg: 1, Barrier: 2, At: tick, Cut: []int64{1}, Tasks: []shardferry.CopyTask{{ID: 2, Shard: "s0", UUID: shardferry.UUID{1}, Index: doc, Min: doc, Max: doc}}},
	state.Carrying{Leg: 1, Accounts: []shardferry.Account{{ID: "d.u"}, {ID: "d.r", Role: true}}},
	state.Carried{Leg: 1, Accounts: []shardferry.Account{{ID: "d.u"}}},
	state.Take{Leg: 1, Shard: "s0", Owner: "n1"},
	state.Drain{Node: "n1", Back: true},
	state.Asked{
		At: moment, Command: "pause", By: "alice", From: "10.0.0.1:9", With: "{}", Key: "k", Hash: []byte{1, 2},
		Refused: &state.RefusedError{Kind: "NotYet", Text: "t"},
		Start:   &state.Start{From: "op"}, Pause: &state.Pause{At: moment}, Resume: &state.Resume{At: moment, RecopyLost: true},
		Commit: &state.Commit{At: moment}, TurnAround: &state.TurnAround{At: moment, Rollback: true},
	},
}

var sampleChange = shardferry.SchemaChange{Shard: "s0", Time: tick, Index: 1, Kind: "drop", UUID: shardferry.UUID{1}, NS: orders, To: orders, Event: doc}

type notACommand struct{ state.Created }

func TestUnreadableCommandsAreErrors(t *testing.T) {
	_, err := encodeCommand(notACommand{})
	require.ErrorContains(t, err, "no code")
	for name, b := range map[string][]byte{"empty": nil, "unknown code": {200, 5, 0, 0, 0, 0}, "no document": {11, 1, 2}} {
		_, err := decodeCommand(b)
		require.Error(t, err, name)
	}
}

func TestReplayAndSnapshotGiveTheSameState(t *testing.T) {
	a, b := newFSM(), newFSM()
	for i, cmd := range samples {
		data, err := encodeCommand(cmd)
		require.NoError(t, err)
		entry := &raft.Log{Index: uint64(i + 1), Data: data}
		require.Equal(t, a.Apply(entry), b.Apply(entry))
	}
	assert.Equal(t, a.sync, b.sync)

	snap, err := a.Snapshot()
	require.NoError(t, err)
	var sink memSink
	require.NoError(t, snap.Persist(&sink))
	saved := bytes.Clone(sink.Bytes())
	restored := newFSM()
	_, changed := restored.read()
	require.NoError(t, restored.Restore(io.NopCloser(&sink.Buffer)))
	assert.Equal(t, a.sync, restored.sync)
	<-changed

	future := bytes.Clone(saved)
	future[2]++
	require.ErrorIs(t, restored.Restore(io.NopCloser(bytes.NewReader(future))), ErrNewer)
	assert.Equal(t, a.sync, restored.sync, "a snapshot that cannot be read changes nothing")
}

func TestAViewIsNeverChanged(t *testing.T) {
	f := newFSM()
	view, changed := f.read()
	data, err := encodeCommand(samples[0])
	require.NoError(t, err)
	require.Nil(t, f.Apply(&raft.Log{Data: data}))
	<-changed
	assert.Equal(t, state.New(), view)
	next, _ := f.read()
	assert.Equal(t, shardferry.StateRunning, next.State)
}

type memSink struct{ bytes.Buffer }

func (*memSink) ID() string    { return "mem" }
func (*memSink) Cancel() error { return nil }
func (*memSink) Close() error  { return nil }
