package node_test

import (
	"context"
	"fmt"
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

// stream starts a sync on an ensemble and brings it to streaming.
func (e *ensemble) stream() (leads, other *player) {
	e.t.Helper()
	leads, other = e.leader()
	require.NoError(e.t, other.Start(e.t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
	other.until(e.t, "stream", func(s *state.Sync) bool { return s.Leg.Phase == state.PhaseStreaming })
	return leads, other
}

// commit commits on a node, as soon as it can be, and compares.
func (e *ensemble) commit(on *player) {
	e.t.Helper()
	on.until(e.t, "commit", func(s *state.Sync) bool {
		if s.State == shardferry.StateRunning {
			_ = on.Commit(e.t.Context(), "test") // not yet, or not any more: it is asked again
		}
		return s.State == shardferry.StateCommitted
	})
	assert.ElementsMatch(e.t, docs(e.t, e.from), docs(e.t, e.to))
}

// A node that is told to stop gives its shards and the lead away before it ends:
// nobody has to find out that it is gone.
func TestANodeThatStopsHandsOver(t *testing.T) {
	play(t, setting{srcShards: 3, dstShards: 1}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, upTo(50)...))
		e := several(s, 3)
		defer e.down()
		leads, other := e.stream()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, leads.Drain(ctx))
		assert.Less(t, time.Since(began), 2*time.Second)
		other.until(t, "handed over", func(s *state.Sync) bool { return s.Leg.OwnedBy(leads.host) == 0 })
		next, other := e.leader()
		assert.NotEqual(t, leads, next)
		e.kill(leads)
		require.NoError(t, s.insert(s.app, 1000))
		time.Sleep(3 * time.Second)
		assert.Len(t, docs(t, s.to), 51, "nothing stands still")
		e.commit(other)
	})
}

// A node that the others do not hear any more goes on writing to the destination,
// where what it sends takes its time. Its shard has another worker by then, and
// nothing of it lands.
func TestANodeThatIsCutOffWritesNothingStale(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: 1, dstShards: shards}, func(t *testing.T, s *stage) {
				require.NoError(t, s.insert(s.app, upTo(5)...))
				e := several(s, 3)
				defer e.down()
				_, some := e.stream()
				set := func(n int) {
					_, err := s.app.Database("d").Collection("c").UpdateMany(t.Context(), bson.D{}, bson.D{{"$set", bson.D{{"n", n}}}})
					require.NoError(t, err)
				}
				st, _ := some.State()
				owner := e.named(st.Leg.Shards[0].Owner)
				s.node = some.Node // it tells what is recorded
				s.faults.of(some.Node)
				late := make(chan struct{})
				var held, landed int
				s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) (f mongotest.Fault) {
					if on == s.dst && c.Name == "update" && held == 0 && c.Body.Lookup("txnNumber").Type != 0 {
						held++
						close(late)
						f.Delay = 5 * time.Second // shorter than the lease
						landed++
					}
					return f
				})
				set(1)
				s.meets(late)
				for _, p := range e.nodes {
					if p != owner {
						e.net.Cut(owner.host, p.host)
						e.net.Cut(p.host, owner.host)
					}
				}
				var rest *player
				for _, p := range e.nodes {
					if p != owner {
						rest = p
					}
				}
				rest.until(t, "a takeover", func(s *state.Sync) bool { return s.Leg.Shards[0].Owner != owner.host })
				set(2)
				time.Sleep(30 * time.Second)
				assert.Equal(t, 1, landed)
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
				e.commit(rest)
			})
		})
	}
}

func (e *ensemble) named(host string) *player {
	for _, p := range e.nodes {
		if p.host == host {
			return p
		}
	}
	return nil
}
