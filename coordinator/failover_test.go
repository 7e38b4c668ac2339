package coordinator_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// The leader dies, another goes on, and the dead one comes back and knows all.
func TestAKilledLeaderComesBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		first := leads(t, all)
		require.NoError(t, first.c.Propose(t.Context(), begin))
		first.kill()
		next := leads(t, all)
		require.NoError(t, follower(all, next).c.Propose(t.Context(), planned))
		time.Sleep(2 * time.Second)
		for _, m := range next.c.Members() {
			assert.Equal(t, m.ID == first.host, !m.FailingSince.IsZero(), "%+v", m)
		}
		first.start()
		require.NoError(t, first.c.CaughtUp(t.Context()))
		assert.Equal(t, state.PhaseCreating, phase(first))
		time.Sleep(2 * time.Second)
		assert.Equal(t, next, leads(t, all), "coming back disturbs nobody")
	})
}

// A leader that is not heard any more, or does not hear, is replaced, and finds
// out. When it is heard again it follows.
func TestALeaderCutOffOneWay(t *testing.T) {
	for name, cut := range map[string]func(*member){"silent": (*member).silence, "deaf": (*member).deafen, "both": (*member).isolate} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				all := settled(t, dir, 3)
				old := leads(t, all)
				require.NoError(t, old.c.Propose(t.Context(), begin))
				cut(old)
				time.Sleep(4 * time.Second)
				rest := follower(all, old)
				next := leads(t, all)
				require.NotEqual(t, old, next)
				require.NoError(t, rest.c.Propose(t.Context(), planned))
				require.Error(t, old.c.Propose(t.Context(), state.Pause{From: "op"}), "it decides nothing")
				old.heal()
				require.NoError(t, old.c.CaughtUp(t.Context()))
				assert.Equal(t, state.PhaseCreating, phase(old))
			})
		})
	}
}

// A leader that the others do not hear any more is told so before it takes a step
// that the next leader would not repeat, although it has not noticed yet.
func TestALeaderOfThePastIsTold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		old := leads(t, all)
		require.NoError(t, old.c.StillLeads(t.Context()))
		require.ErrorIs(t, follower(all, old).c.StillLeads(t.Context()), shardferry.ErrNotLeader)
		old.isolate()
		mine, _ := old.c.Leading()
		require.True(t, mine, "it takes itself for the leader")
		require.ErrorIs(t, old.c.StillLeads(t.Context()), shardferry.ErrNotLeader)
	})
}

// A follower that was cut off does not disturb the others when it comes back.
func TestAReturningFollowerDisturbsNobody(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		f.isolate()
		time.Sleep(time.Minute)
		f.heal()
		require.NoError(t, f.c.Propose(t.Context(), begin))
		time.Sleep(5 * time.Second)
		assert.Equal(t, l, leads(t, all))
	})
}

// Another node leads well within three seconds after the leader died, whenever
// that is. Most of it is the time in which it is missed.
func TestElectionsAreShort(t *testing.T) {
	const runs = 40
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var took []time.Duration
	for range runs {
		dies := time.Duration(random.Int64N(int64(3 * time.Second)))
		synctest.Test(t, func(t *testing.T) {
			all := settled(t, "", 3)
			l := leads(t, all)
			time.Sleep(dies)
			l.kill()
			died := time.Now()
			f := follower(all, l)
			require.NoError(t, f.c.CaughtUp(t.Context()))
			took = append(took, time.Since(died))
		})
	}
	slices.Sort(took)
	t.Logf("seed %d: median %v, last %v of %d", seed, took[runs/2], took[runs-1], runs)
	assert.Less(t, took[runs-1], 3*time.Second, "seed %d", seed)
}
