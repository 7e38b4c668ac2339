package coordinator

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process that is killed between the two writes of its first start must start
// all the same the next time.
func TestHalfBootstrapIsFinished(t *testing.T) {
	dir := t.TempDir()
	bolt, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	require.NoError(t, err)
	require.NoError(t, bolt.SetUint64(termKey, 1))
	require.NoError(t, bolt.Close())

	for range 2 { // the second time there is a state to keep
		c, err := New(Config{ID: "node1", Dir: dir})
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("the test ends")
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		wait, release := context.WithTimeout(ctx, 10*time.Second)
		leads, err := c.Leads(wait)
		release()
		cancel(stop)
		require.ErrorIs(t, <-ended, stop)
		require.NoError(t, err, "no leader")
		assert.True(t, leads)
	}
}
