package node_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// orders are all commands of an operator.
func (s *stage) orders() map[string]func(ctx context.Context, from string) error {
	return map[string]func(ctx context.Context, from string) error{
		"start": func(ctx context.Context, from string) error {
			return s.node.Start(ctx, api.StartRequest{Source: "cluster0", Destination: "cluster1"}, from)
		},
		"pause": s.node.Pause, "resume": s.node.Resume, "commit": s.node.Commit, "reverse": s.node.Reverse, "rollback": s.node.Rollback,
	}
}

// refuses checks that every command but the allowed ones is refused with the
// state it met, and that nothing has changed.
func (s *stage) refuses(at shardferry.State, allowed ...string) {
	s.t.Helper()
	before := s.reach(at)
	for name, order := range s.orders() {
		if slices.Contains(allowed, name) {
			continue
		}
		err := order(s.t.Context(), "test")
		var wrong *shardferry.StateError
		require.ErrorAs(s.t, err, &wrong, "%s while %s", name, at)
		assert.Equal(s.t, shardferry.StateError{Command: name, State: at}, *wrong)
	}
	after := s.reach(at)
	assert.Equal(s.t, before.Audit, after.Audit)
	assert.Equal(s.t, before.Leg.Number, after.Leg.Number)
}

// hangs makes commands of the node hang that a cluster gets in a state.
func (s *stage) hangs(cluster *mongotest.Cluster, name string, in shardferry.State) {
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
		if on == cluster && ours(c) && c.Name == name && st.State == in {
			return mongotest.Fault{Delay: 10 * time.Second, DropRequest: true}
		}
		return mongotest.Fault{}
	})
}

// A command in a state that does not allow it is refused by name, whatever the
// state, and leaves no trace.
func TestACommandInTheWrongStateIsRefused(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.refuses(shardferry.StateIdle, "start")

		s.start()
		s.stream()
		s.refuses(shardferry.StateRunning, "pause", "commit")

		require.NoError(t, s.node.Pause(t.Context(), "test"))
		s.refuses(shardferry.StatePaused, "resume")
		require.NoError(t, s.node.Resume(t.Context(), "test"))

		s.hangs(s.src, "setUserWriteBlockMode", shardferry.StateCommitting)
		s.commit()
		s.refuses(shardferry.StateCommitting)
		time.Sleep(6 * time.Minute) // it is given up
		s.faults.set(nil)
		s.commit()
		s.refuses(shardferry.StateCommitted, "reverse", "rollback")

		require.NoError(t, s.node.Reverse(t.Context(), "test"))
		s.refuses(shardferry.StateRunning, "pause", "commit", "rollback")
		st, _ := s.node.State()
		var said []string
		for _, entry := range st.Audit {
			assert.Equal(t, "test", entry.From)
			said = append(said, entry.Command)
		}
		assert.Equal(t, []string{"start", "pause", "resume", "commit", "commit", "reverse"}, said)
	})
}

// Two clusters that are named wrongly are a mistake in the question, in every
// state.
func TestAStartNamesTheTwoClusters(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		for _, req := range []api.StartRequest{
			{},
			{Source: "cluster0"},
			{Source: "cluster0", Destination: "cluster0"},
			{Source: "cluster1", Destination: "cluster0"},
			{Source: "cluster0", Destination: "cluster2"},
		} {
			require.ErrorIs(t, s.node.Start(t.Context(), req, "test"), api.ErrBadRequest, "%+v", req)
		}
		s.refuses(shardferry.StateIdle, "start")
		_, err := s.node.Verify(t.Context())
		require.ErrorIs(t, err, api.ErrNotStarted)
	})
}

// An operator who is asked to wait has changed nothing: the sync goes on, and
// the applications with it.
func TestACommitThatIsTooEarlyIsAskedToWait(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.hangs(s.dst, "insert", shardferry.StateRunning)
		s.start()
		s.until("copy", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseCopying })
		err := s.node.Commit(t.Context(), "test")
		require.ErrorIs(t, err, api.ErrNotYet)
		require.ErrorContains(t, err, "the sync is still copying")
		require.NoError(t, s.insert(s.app, 2))
		s.faults.set(nil)
		s.stream()
	})
}

// Commands that come before the node knows its state wait, and end with whoever
// asks.
func TestACommandWaitsForTheNode(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.faults.set(nil)
		s.run(s.config())
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errToldToStop)
		for name, order := range s.orders() {
			require.ErrorIs(t, order(ctx, "test"), errToldToStop, name)
		}
		<-s.node.Ready()
		s.start()
	})
}
