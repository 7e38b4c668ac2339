package coordinator_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Any node takes a command, and knows what came of it when the caller hears.
func TestAFollowerForwards(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		f := follower(all, leads(t, all))
		require.NoError(t, f.c.Propose(t.Context(), begin))
		assert.Equal(t, state.PhasePlanning, phase(f), "its own write is not there")
		require.NoError(t, f.c.Propose(t.Context(), planned))
		assert.Equal(t, state.PhaseCreating, phase(f))
	})
}

// Errors of the leader are what they would be if it had been asked itself.
func TestErrorsTravel(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		for _, m := range []*member{l, f} {
			err := m.c.Propose(t.Context(), state.Resume{From: "op"})
			var wrong *shardferry.StateError
			require.ErrorAs(t, err, &wrong)
			assert.Equal(t, shardferry.StateError{Command: "resume", State: shardferry.StateIdle}, *wrong)
		}
		require.NoError(t, f.c.Propose(t.Context(), begin))
		require.NoError(t, f.c.Propose(t.Context(), planned))
		for _, m := range []*member{l, f} {
			require.ErrorIs(t, m.c.Propose(t.Context(), state.Commit{From: "op"}), state.ErrNotYet)
		}
		require.NoError(t, f.c.Propose(t.Context(), state.Created{}))
		require.NoError(t, f.c.Propose(t.Context(), state.Assign{Leg: 1, Shard: "s0", Owner: f.host}))
		for _, m := range []*member{l, f} {
			require.ErrorIs(t, m.c.Propose(t.Context(), state.Report{Leg: 1, Reports: []shardferry.Report{{Shard: "s0"}}}), shardferry.ErrStaleEpoch)
		}
		require.NoError(t, f.c.Propose(t.Context(), state.Lost{Leg: 1, Shard: "s0", Why: "gone"}))
		for _, m := range []*member{l, f} {
			err := m.c.Propose(t.Context(), state.Resume{From: "op"})
			var lost *state.LostError
			require.ErrorAs(t, err, &lost)
			assert.Equal(t, []shardferry.ShardID{"s0"}, lost.Shards)
		}
	})
}

// A follower's copy holds everything that was committed before it was asked for.
func TestAFollowerCatchesUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		f.net.Cut(l.host, f.host)
		require.NoError(t, l.c.Propose(t.Context(), begin))
		require.Empty(t, phase(f), "the leader is not heard here")
		caught := make(chan error, 1)
		go func() { caught <- f.c.CaughtUp(t.Context()) }()
		time.Sleep(100 * time.Millisecond)
		f.net.Heal(l.host, f.host)
		require.NoError(t, <-caught)
		assert.Equal(t, state.PhasePlanning, phase(f))
	})
}

// Whoever does not hear back does not know.
func TestALostAnswerIsAnUnknownOutcome(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		require.NoError(t, f.c.Propose(t.Context(), begin)) // there is a connection now
		f.net.Cut(l.host, f.host)
		began := time.Now()
		err := f.c.Propose(t.Context(), planned)
		require.ErrorIs(t, err, shardferry.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, shardferry.ErrNotLeader)
		assert.Less(t, time.Since(began), 3*time.Second, "it is missed before anybody gives up")
		f.heal()
		require.NoError(t, f.c.CaughtUp(t.Context()))
		assert.Equal(t, state.PhaseCreating, phase(f), "it had been taken")
	})
}

// A command that meets an election waits for its end: it has had no effect.
func TestACommandWaitsForANewLeader(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		l.kill()
		time.Sleep(time.Second + 300*time.Millisecond) // it is missed, or about to be
		require.NoError(t, f.c.Propose(t.Context(), begin))
		assert.Equal(t, state.PhasePlanning, phase(f))
	})
}

// Without a majority nothing happens, and a node that ends answers.
func TestAMinorityDecidesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		l.kill()
		f.kill()
		last := follower(all, l, f)
		time.Sleep(5 * time.Second)
		require.ErrorIs(t, last.c.Propose(t.Context(), begin), shardferry.ErrNotLeader)
		require.ErrorIs(t, last.c.CaughtUp(t.Context()), shardferry.ErrNotLeader)
		l.start()
		leads(t, []*member{l, last})
		require.NoError(t, last.c.Propose(t.Context(), begin))
	})
}

// A command that the leader's program does not know must not come into the log:
// there it would stop every node.
func TestALeaderTakesNoCommandItCannotRead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		answer, err := l.c.Answers()["propose"](t.Context(), append([]byte{250}, bson.Raw{5, 0, 0, 0, 0}...))
		require.NoError(t, err)
		assert.Contains(t, bson.Raw(answer).String(), "command 250 is not known")
		require.NoError(t, l.c.Propose(t.Context(), begin))
	})
}

// What a leader decided is not carried out by another one, which decides for
// itself.
func TestDecisionsStayWithTheirLeader(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := vacant(t, dir, 3)
		var slow []*slowly
		for _, m := range all {
			s := &slowly{begun: make(chan struct{}, 100), goOn: make(chan struct{})}
			slow = append(slow, s)
			m.start(s)
		}
		require.NoError(t, all[0].c.Init(t.Context()))
		for _, m := range all[1:] {
			require.NoError(t, m.c.Join(t.Context(), "n1:1", true))
		}
		require.NoError(t, all[1].c.Propose(t.Context(), begin))
		<-slow[0].begun
		time.Sleep(time.Second)
		require.NoError(t, all[0].c.TransferLeadership(t.Context(), "n2"))
		close(slow[0].goOn) // it is told that it leads no more, and does it all the same
		time.Sleep(2 * time.Second)
		assert.Equal(t, state.PhasePlanning, phase(all[1]))
		close(slow[1].goOn)
		time.Sleep(2 * time.Second)
		assert.Equal(t, state.PhaseCreating, phase(all[0]))
		close(slow[2].goOn)
	})
}

// slowly plans a sync, and does not listen to its context.
type slowly struct {
	begun chan struct{}
	goOn  chan struct{}
}

func (*slowly) Name() string { return "slowly" }

func (r *slowly) Reconcile(_ context.Context, s *state.Sync) ([]state.Command, error) {
	if s.Leg.Phase != state.PhasePlanning {
		return nil, nil
	}
	r.begun <- struct{}{}
	<-r.goOn
	return []state.Command{planned}, nil
}

var _ coordinator.Reconciler = (*slowly)(nil)
