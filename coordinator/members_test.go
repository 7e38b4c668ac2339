package coordinator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The leader knows since when a member has not answered, and forgets it when it
// answers again. Nobody else claims to know.
func TestTheLeaderKnowsWhoDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := startCluster(t, 3, nil)
		leader := cl.propose(t, begin)
		lost := (leader + 1) % 3
		time.Sleep(time.Minute)
		for _, m := range cl.nodes[leader].Members() {
			assert.Zero(t, m.FailingSince, "%+v", m)
			assert.True(t, m.Voter)
		}

		cut := time.Now()
		cl.isolate(lost)
		time.Sleep(2 * time.Second)
		for i, m := range cl.nodes[leader].Members() {
			assert.Equal(t, i == leader, m.Leader, "%+v", m)
			if i == lost {
				require.NotZero(t, m.FailingSince)
				assert.WithinDuration(t, cut, m.FailingSince, 500*time.Millisecond)
			} else {
				assert.Zero(t, m.FailingSince, "%+v", m)
			}
		}
		for _, m := range cl.nodes[(leader+2)%3].Members() {
			assert.Zero(t, m.FailingSince, "a follower cannot know")
		}

		cl.heal(lost)
		time.Sleep(10 * time.Second)
		for _, m := range cl.nodes[leader].Members() {
			assert.Zero(t, m.FailingSince, "%+v", m)
		}
	})
}

// Who leads next begins to know of its own.
func TestANewLeaderForgetsWhatAnEarlierOneKnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := startCluster(t, 3, nil)
		first := cl.propose(t, begin)
		lost := (first + 1) % 3
		cl.isolate(lost)
		time.Sleep(5 * time.Second)
		require.NotZero(t, cl.nodes[first].Members()[lost].FailingSince)
		cl.heal(lost)
		cl.isolate(first)
		time.Sleep(10 * time.Second)
		assert.Zero(t, cl.nodes[first].Members()[lost].FailingSince, "it leads no more")
		next := cl.propose(t, planned)
		assert.NotEqual(t, first, next)
		assert.NotZero(t, cl.nodes[next].Members()[first].FailingSince)
	})
}
