package coordinator

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

func entry(t *testing.T, index uint64, cmd state.Command) *raft.Log {
	t.Helper()
	data, err := encodeCommand(cmd)
	require.NoError(t, err)
	return &raft.Log{Index: index, Data: data}
}

// withField returns the entry of a newer program, which knows one more field.
func withField(t *testing.T, l *raft.Log, path ...string) *raft.Log {
	t.Helper()
	var d bson.D
	require.NoError(t, bson.Unmarshal(l.Data[1:], &d))
	at := &d
	for _, key := range path {
		for i := range *at {
			if (*at)[i].Key == key {
				inner, ok := (*at)[i].Value.(bson.D)
				require.True(t, ok)
				(*at)[i].Value = append(inner, bson.E{Key: "unheardOf", Value: true})
			}
		}
	}
	if len(path) == 0 {
		d = append(d, bson.E{Key: "unheardOf", Value: true})
	}
	b, err := bson.Marshal(d)
	require.NoError(t, err)
	return &raft.Log{Index: l.Index, Data: append([]byte{l.Data[0]}, b...)}
}

// Skipping what is not known would make this copy differ from the others; so would
// going on after it.
func TestNothingIsAppliedAfterAnUnreadableEntry(t *testing.T) {
	start := entry(t, 7, samples[0])
	for name, bad := range map[string]*raft.Log{
		"a new command":               {Index: 7, Data: []byte{200, 5, 0, 0, 0, 0}},
		"a new field":                 withField(t, start),
		"a new field of a part of it": withField(t, start, "job"),
		"a damaged entry":             {Index: 7, Data: []byte{11, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFSM()
			err, ok := f.Apply(bad).(error)
			require.True(t, ok)
			require.ErrorIs(t, err, shardferry.ErrOutcomeUnknown, "others may apply it")
			require.ErrorContains(t, err, "log entry 7")
			if name != "a damaged entry" {
				require.ErrorIs(t, err, ErrNewer)
			}
			require.ErrorIs(t, f.watch(t.Context()), f.whyBroken())

			require.Error(t, f.Apply(entry(t, 8, samples[0])).(error))
			assert.Equal(t, state.New(), f.sync)
			_, err = f.Snapshot()
			require.Error(t, err, "raft believes that entry 7 is applied")
			require.Error(t, f.Restore(io.NopCloser(bytes.NewReader(nil))))
		})
	}
}

// The node ends and says which version it takes; what it has on disk stays, and
// that version goes on with it.
func TestANodeEndsAtWhatANewerVersionWrote(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, func(c *Coordinator) { require.NoError(t, c.Propose(t.Context(), samples[0])) })
	data := appendEntry(t, dir, []byte{200, 5, 0, 0, 0, 0})

	for range 2 {
		c, err := New(Config{ID: "n1", Dir: dir})
		require.NoError(t, err)
		require.ErrorIs(t, c.Run(t.Context()), ErrNewer)
		s, _ := c.Watch()
		assert.Equal(t, shardferry.StateRunning, s.State, "what came before it is applied")
	}
	assert.Equal(t, data, lastEntry(t, dir))
}

// An older snapshot is not taken in place of one that cannot be read: the log no
// longer begins there.
func TestANodeEndsAtASnapshotOfANewerVersion(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, func(c *Coordinator) {
		require.NoError(t, c.Propose(t.Context(), samples[0]))
		require.NoError(t, c.raft.Snapshot().Error())
		require.NoError(t, c.Propose(t.Context(), state.Pause{At: moment}))
	})
	snapshots, err := raft.NewFileSnapshotStore(dir, snapshotsKept, io.Discard)
	require.NoError(t, err)
	list, err := snapshots.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
	_, transport := raft.NewInmemTransport("n1")
	sink, err := snapshots.Create(raft.SnapshotVersionMax, list[0].Index+1, list[0].Term, list[0].Configuration, list[0].ConfigurationIndex, transport)
	require.NoError(t, err)
	newer, err := bson.Marshal(bson.D{{"version", 99}})
	require.NoError(t, err)
	_, err = sink.Write(newer)
	require.NoError(t, err)
	require.NoError(t, sink.Close())

	c, err := New(Config{ID: "n1", Dir: dir})
	require.NoError(t, err)
	require.ErrorIs(t, c.Run(t.Context()), ErrNewer)
	s, _ := c.Watch()
	assert.Equal(t, state.New(), s)
}

// run runs a node that is alone, as long as it takes to do something.
func run(t *testing.T, dir string, do func(c *Coordinator)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := New(Config{ID: "n1", Dir: dir})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	wait, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for leads := false; !leads; {
		leads, err = c.Leads(wait)
		require.NoError(t, err)
	}
	do(c)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func openLog(t *testing.T, dir string) (store *raftboltdb.BoltStore, last raft.Log) {
	t.Helper()
	store, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	require.NoError(t, err)
	index, err := store.LastIndex()
	require.NoError(t, err)
	require.NoError(t, store.GetLog(index, &last))
	return store, last
}

func appendEntry(t *testing.T, dir string, data []byte) []byte {
	t.Helper()
	store, last := openLog(t, dir)
	require.NoError(t, store.StoreLog(&raft.Log{Index: last.Index + 1, Term: last.Term, Type: raft.LogCommand, Data: data}))
	require.NoError(t, store.Close())
	return data
}

// lastEntry returns the data of the last command in the log.
func lastEntry(t *testing.T, dir string) []byte {
	t.Helper()
	store, last := openLog(t, dir)
	for last.Type != raft.LogCommand {
		require.NoError(t, store.GetLog(last.Index-1, &last))
	}
	require.NoError(t, store.Close())
	return last.Data
}
