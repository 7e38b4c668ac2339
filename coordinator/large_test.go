package coordinator

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A plan of a hundred thousand tasks is a log entry that raft carries easily.
func TestALargeCommandIsCompressed(t *testing.T) {
	plan := state.Planned{Plan: doc, Start: tick, Shards: []shardferry.ShardID{"s0"}}
	for i := range 100_000 {
		plan.Tasks = append(plan.Tasks, shardferry.CopyTask{ID: int64(i + 1), Shard: "s0", Index: doc, Min: doc, Max: doc})
	}
	b, err := encodeCommand(plan)
	require.NoError(t, err)
	assert.Less(t, len(b), 2<<20)
	back, err := decodeCommand(b)
	require.NoError(t, err)
	read, ok := back.(state.Planned)
	require.True(t, ok)
	assert.Equal(t, plan.Tasks, read.Tasks)

	for name, bad := range map[string][]byte{"cut": b[:len(b)/2], "nothing": b[:1], "twice": mustCompress(t, append(bytes.Clone(b[:1]), make([]byte, 1<<20)...))} {
		_, err := decodeCommand(bad)
		require.Error(t, err, name)
	}
}

func mustCompress(t *testing.T, b []byte) []byte {
	t.Helper()
	b, err := compress(b)
	require.NoError(t, err)
	return b
}

// What raft cannot carry is refused before it is tried: the nodes would elect leader
// after leader, none of which gets it through.
func TestWhatRaftCannotCarryIsRefused(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	plan := bytes.Repeat([]byte{0}, 20<<20)
	for i := range plan {
		plan[i] = byte(random.Uint32())
	}
	_, err := compress(plan)
	require.ErrorIs(t, err, ErrTooLarge)
}

// An entry that was compressed by an older version is read as ever.
func TestCompressedEntriesAreReadAsEver(t *testing.T) {
	for _, b := range files(t, "entries/compressed") {
		require.EqualValues(t, compressed, b[0])
		cmd, err := decodeCommand(b)
		require.NoError(t, err)
		sessions, ok := cmd.(state.Sessions)
		require.True(t, ok)
		assert.Len(t, sessions.IDs, 7000)
	}
	_, taken := kinds[compressed], kinds[compressed] != nil
	assert.False(t, taken, "the code is reserved")
}
