package node_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// slow lets every write of the node take a while.
func (s *stage) slow(d time.Duration) {
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
		if on == s.dst && ours(c) && c.Name == "insert" {
			return mongotest.Fault{Delay: d}
		}
		return mongotest.Fault{}
	})
}

func (s *stage) progress() api.Progress {
	s.t.Helper()
	p, err := s.node.Progress(s.t.Context())
	require.NoError(s.t, err)
	return p
}

// honest checks what the progress claims against what the destination holds at
// that moment.
func (s *stage) honest(p api.Progress) {
	s.t.Helper()
	have, err := s.to.Database("d").Collection("c").CountDocuments(s.t.Context(), bson.D{})
	require.NoError(s.t, err)
	assert.LessOrEqual(s.t, p.Detail.DocumentsCopied, have, "more is claimed than is there")
	require.NotNil(s.t, p.CollectionCopy.Estimated)
	assert.LessOrEqual(s.t, p.CollectionCopy.Copied, *p.CollectionCopy.Estimated)
	assert.LessOrEqual(s.t, p.Detail.TasksDone, p.Detail.TasksTotal)
	assert.LessOrEqual(s.t, p.IndexBuilding.Built, p.IndexBuilding.Total)
	assert.Equal(s.t, p.CanWrite, p.State == shardferry.StateCommitted)
	if p.CanCommit {
		assert.Equal(s.t, p.Detail.TasksTotal, p.Detail.TasksDone)
		assert.Equal(s.t, p.IndexBuilding.Total, p.IndexBuilding.Built)
		assert.NotNil(s.t, p.LagTimeSeconds)
	}
}

// What the progress counts is on the destination, at every moment of a copy, and
// after a crash in the middle of it.
func TestProgressNeverClaimsMoreThanIsThere(t *testing.T) {
	play(t, setting{dir: filepath.Join(t.TempDir(), "data"), batchDocs: 5}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, upTo(200)...))
		s.slow(500 * time.Millisecond)
		s.up()
		idle := s.progress()
		assert.Equal(t, shardferry.StateIdle, idle.State)
		assert.Nil(t, idle.LagTimeSeconds)
		assert.Nil(t, idle.CollectionCopy.Estimated, "nothing was looked at yet")
		s.start()
		s.until("copy", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseCopying })
		var seen int64
		watch := func(until int64) api.Progress {
			for range 600 {
				p := s.progress()
				s.honest(p)
				assert.GreaterOrEqual(t, p.Detail.DocumentsCopied, seen, "what is there stays there")
				seen = p.Detail.DocumentsCopied
				if seen >= until {
					return p
				}
				time.Sleep(100 * time.Millisecond)
			}
			require.Fail(t, "the copy does not end")
			return api.Progress{}
		}
		half := watch(100)
		assert.False(t, half.CanCommit)
		assert.Equal(t, "the sync is still copying", half.Detail.Waiting)
		assert.Equal(t, "collection copy", half.Info)
		s.kill()
		s.slow(500 * time.Millisecond)
		s.up()
		done := watch(200)
		assert.EqualValues(t, 200, done.Detail.DocumentsCopied, "counted once each, crash or not")
		s.stream()
		s.honest(s.progress())
	})
}

// An event counts when it is applied, once, in whatever leg it came.
func TestEventsAreCountedWhenTheyAreApplied(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.start()
		s.stream()
		base := s.progress().TotalEvents
		s.deaf()
		require.NoError(t, s.insert(s.app, 10, 11, 12))
		time.Sleep(5 * time.Second)
		assert.Equal(t, base, s.progress().TotalEvents, "met, but not applied")
		s.faults.set(nil)
		time.Sleep(5 * time.Second)
		assert.Equal(t, base+3, s.progress().TotalEvents)
		s.commit()
		s.reach(shardferry.StateCommitted)
		require.NoError(t, s.insert(s.guest, 20))
		time.Sleep(5 * time.Second)
		p := s.progress()
		assert.Equal(t, base+4, p.TotalEvents)
		assert.Equal(t, "reverse", p.Detail.Direction)
		assert.Contains(t, p.Directions.Source, "cluster1: ")
		assert.Contains(t, p.Directions.Destination, "cluster0: ")
	})
}

// The progress tells of a commit what is recorded: its step while it runs, how
// long nobody could write when it is over, and why one was given up.
func TestProgressOfACommit(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, upTo(10)...))
		s.start()
		s.stream()
		assert.Nil(t, s.progress().Detail.Commit)
		s.hangs(s.dst, "listIndexes", shardferry.StateCommitting)
		s.commit()
		time.Sleep(time.Minute)
		p := s.progress()
		assert.Equal(t, &api.Commit{Step: string(state.StepVerifying), InProgress: true}, p.Detail.Commit)
		assert.False(t, p.CanWrite || p.CanCommit, "applications must wait")
		assert.Equal(t, "waiting for commit to complete", p.Info)
		time.Sleep(5 * time.Minute)
		p = s.progress()
		assert.Equal(t, shardferry.StateRunning, p.State)
		assert.Contains(t, p.Detail.Commit.Failure, "the time budget ran out")
		assert.Zero(t, p.Detail.Commit.BlockedMS, "the destination was never opened")

		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
			if cut := st.Leg.Cutover; on == s.dst && ours(c) && c.Name == "setUserWriteBlockMode" && cut != nil {
				return mongotest.Fault{Delay: 2 * time.Second}
			}
			return mongotest.Fault{}
		})
		s.commit()
		s.reach(shardferry.StateCommitted)
		p = s.progress()
		assert.True(t, p.CanWrite)
		assert.GreaterOrEqual(t, p.Detail.Commit.BlockedMS, int64(2000))
		assert.EqualValues(t, 10, p.Detail.Commit.Documents)
		assert.False(t, p.Detail.Commit.InProgress)
	})
}
