package coordinator_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// When a majority is lost for good, what one node had becomes a cluster of one, and
// others join it.
func TestAClusterBeginsAgainFromOneNode(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		require.NoError(t, all[1].c.Propose(t.Context(), begin))
		require.NoError(t, all[1].c.Propose(t.Context(), planned))
		want, _ := all[1].c.Watch()
		var running, stopped bytes.Buffer
		require.NoError(t, all[1].c.Snapshot(t.Context(), &running))
		require.ErrorIs(t, coordinator.Save(t.Context(), all[1].dir, &stopped), coordinator.ErrInUse)
		for _, m := range all {
			m.kill()
		}
		require.NoError(t, coordinator.Save(t.Context(), all[1].dir, &stopped))
		assert.Equal(t, running.Bytes(), stopped.Bytes())

		next := vacant(t, dir+"/next", 2)
		require.ErrorIs(t, coordinator.Restore(t.Context(), all[1].dir, "n1", "n1:1", bytes.NewReader(stopped.Bytes())), coordinator.ErrOccupied)
		require.NoError(t, coordinator.Restore(t.Context(), next[0].dir, "n1", "n1:1", &stopped))
		next[0].start()
		require.NoError(t, next[0].c.CaughtUp(t.Context()))
		got, _ := next[0].c.Watch()
		assert.Equal(t, want, got)
		next[1].start()
		require.NoError(t, next[1].c.Join(t.Context(), "n1:1", true))
		require.NoError(t, next[1].c.Propose(t.Context(), state.Created{}))
		got, _ = next[0].c.Watch()
		assert.NotEqual(t, want.Leg.Phase, got.Leg.Phase)
	})
}

func TestWhatIsNoSnapshotIsNotRestored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	require.Error(t, coordinator.Restore(t.Context(), dir, "n1", "n1:1", bytes.NewReader([]byte("nonsense"))))
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist, "nothing was made")
	require.Error(t, coordinator.Save(t.Context(), dir, &bytes.Buffer{}))
	_, err = os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}
