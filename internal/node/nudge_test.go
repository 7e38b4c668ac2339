package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// silent makes a cluster take no note of the node.
func (s *stage) silent(cluster *mongotest.Cluster) {
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
		if on == cluster && ours(c) && c.Name == "appendOplogNote" {
			return mongotest.Fault{Error: &mongotest.ServerError{Code: 91, Message: "shutting down"}}
		}
		return mongotest.Fault{}
	})
}

// Without notes the resume point of the whole sync would stand where the
// quietest shard stands, and the oplog window would run out.
func TestAnIdleShardAdvances(t *testing.T) {
	bubble(t, 3, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1)) // on one of three shards
		s.start()
		s.stream()
		for range 5 {
			time.Sleep(3 * time.Second)
			now := s.src.ClusterTime()
			st, _ := s.node.State()
			for _, sh := range st.Leg.Shards {
				assert.LessOrEqual(t, shardferry.Lag(now, sh.Applied), 3*time.Second, "%s stands still", sh.ID)
			}
			p, err := s.node.Progress(t.Context())
			require.NoError(t, err)
			require.NotNil(t, p.LagTimeSeconds)
			assert.LessOrEqual(t, *p.LagTimeSeconds, int64(3))
		}
	})
}

// What is not known is not shown as small: without notes the lag is unknown, and
// without a lag there is no commit.
func TestWithoutNotesTheLagIsUnknown(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.start()
		s.stream()
		time.Sleep(3 * time.Second)
		lag := func() *int64 {
			p, err := s.node.Progress(t.Context())
			require.NoError(t, err)
			for _, sh := range p.Detail.Shards {
				assert.Equal(t, p.LagTimeSeconds == nil, sh.Lag == nil)
			}
			return p.LagTimeSeconds
		}
		require.NotNil(t, lag())
		s.silent(s.src)
		time.Sleep(16 * time.Second)
		assert.Nil(t, lag())
		require.ErrorIs(t, s.node.Commit(t.Context(), "test"), api.ErrNotYet)
		s.faults.set(nil)
		time.Sleep(3 * time.Second)
		assert.NotNil(t, lag())
		require.NoError(t, s.node.Commit(t.Context(), "test"))
		s.reach(shardferry.StateCommitted)
		time.Sleep(3 * time.Second)
		assert.NotNil(t, lag())
		s.silent(s.dst)
		time.Sleep(16 * time.Second)
		assert.Nil(t, lag(), "on the leg that flows back the other cluster tells the time")
	})
}

// A commit of a sync that is far behind would keep the applications waiting.
func TestACommitWaitsForASmallLag(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.start()
		s.stream()
		s.deaf()
		require.NoError(t, s.insert(s.app, 2))
		time.Sleep(40 * time.Second)
		err := s.node.Commit(t.Context(), "test")
		require.ErrorIs(t, err, api.ErrNotYet)
		require.ErrorContains(t, err, "the lag is")
		st, _ := s.node.State()
		assert.Equal(t, shardferry.StateRunning, st.State)
		require.NoError(t, s.insert(s.app, 3), "nothing was blocked")
		s.faults.set(nil)
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}
