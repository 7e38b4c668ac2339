package coordinator_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// running returns a sync with a number of shards that nobody has yet.
func running(shards int) *state.Sync {
	s := state.New()
	s.State, s.Leg.Number, s.Leg.Phase = shardferry.StateRunning, 1, state.PhaseCopying
	for i := range shards {
		s.Leg.Shards = append(s.Leg.Shards, state.Shard{ID: shardferry.ShardID(fmt.Sprintf("s%02d", i))})
	}
	return s
}

func assignOnce(ctx context.Context, t require.TestingT, r *coordinator.Assignments, s *state.Sync) int {
	cmds, err := r.Reconcile(ctx, s)
	require.NoError(t, err)
	for _, c := range cmds {
		require.NoError(t, c.Apply(s))
	}
	return len(cmds)
}

func owners(s *state.Sync) map[string]int {
	out := map[string]int{}
	for _, sh := range s.Leg.Shards {
		out[sh.Owner]++
	}
	return out
}

// The life of a cluster: shards are spread, those of a lost node go to the others
// at once, and come back slowly, one after the other.
func TestShardsFollowTheNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := []coordinator.Host{{ID: "a"}, {ID: "b"}, {ID: "c"}}
		r := &coordinator.Assignments{Hosts: func() []coordinator.Host { return hosts }}
		s := running(6)
		assert.Equal(t, 6, assignOnce(t.Context(), t, r, s))
		assert.Equal(t, map[string]int{"a": 2, "b": 2, "c": 2}, owners(s))
		assert.Zero(t, assignOnce(t.Context(), t, r, s), "everyone is well")

		hosts[1].Lost = true
		assert.Equal(t, 2, assignOnce(t.Context(), t, r, s), "only those of the lost node move")
		assert.Equal(t, map[string]int{"a": 3, "c": 3}, owners(s))

		hosts[1].Lost = false
		for range 3 {
			assert.Zero(t, assignOnce(t.Context(), t, r, s), "it may be lost again soon")
			time.Sleep(10 * time.Second)
			assert.Zero(t, assignOnce(t.Context(), t, r, s))
			time.Sleep(11 * time.Second)
			if assignOnce(t.Context(), t, r, s) == 0 {
				break
			}
		}
		assert.Equal(t, map[string]int{"a": 2, "b": 2, "c": 2}, owners(s))

		require.NoError(t, state.Drain{Node: "c"}.Apply(s))
		assert.Equal(t, 2, assignOnce(t.Context(), t, r, s), "a node that is about to stop gives its shards away")
		assert.Zero(t, s.Leg.OwnedBy("c"))
		require.NoError(t, state.Drain{Node: "c", Back: true}.Apply(s))
		time.Sleep(time.Minute)
		assert.Zero(t, assignOnce(t.Context(), t, r, s))
		time.Sleep(time.Minute)
		s.State = shardferry.StateCommitting
		assert.Zero(t, assignOnce(t.Context(), t, r, s), "a commit is not held up for evenness")
	})
}

// Whatever happens to nodes: a shard whose node is well stays there, one whose node
// is not gets one that is, if there is any, and all come to rest.
func TestAssignmentsSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var hosts []coordinator.Host
		r := &coordinator.Assignments{Hosts: func() []coordinator.Host { return hosts }}
		s := running(rapid.IntRange(1, 7).Draw(t, "shards"))
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			hosts = nil
			well := map[string]bool{}
			for _, id := range []string{"a", "b", "c"} {
				if rapid.Bool().Draw(t, id+" is a member") {
					h := coordinator.Host{ID: id, Lost: rapid.Bool().Draw(t, id+" is lost")}
					hosts = append(hosts, h)
					well[id] = !h.Lost
				}
			}
			before := s.Clone()
			assignOnce(t.Context(), t, r, s)
			for i, sh := range s.Leg.Shards {
				was := before.Leg.Shards[i].Owner
				switch {
				case well[was]:
					assert.Equal(t, was, sh.Owner, "moved without need")
				case well["a"] || well["b"] || well["c"]:
					assert.True(t, well[sh.Owner], "on %q", sh.Owner)
				default:
					assert.Equal(t, was, sh.Owner, "nobody else is well")
				}
			}
			assert.Zero(t, assignOnce(t.Context(), t, r, s), "it does not come to rest")
		}
	})
}
