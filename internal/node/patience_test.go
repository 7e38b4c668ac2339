package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// fill lets the disk of a cluster's first member be full until the returned
// function is called.
func (s *stage) fill(c *mongotest.Cluster) (free func()) {
	s.t.Helper()
	id, err := c.Disturb(s.t.Context(), mongotest.DiskFull{Process: c.Addrs()[0]}, 0)
	require.NoError(s.t, err)
	return func() { require.NoError(s.t, c.EndDisturbance(s.t.Context(), id)) }
}

// told waits until the progress says that something does not get through.
func (s *stage) told(why string) {
	s.t.Helper()
	var said string
	for range 120 {
		p, err := s.node.Progress(s.t.Context())
		require.NoError(s.t, err)
		for _, w := range p.Detail.Waits {
			said = w.What + ": " + w.Why
			if strings.Contains(said, why) {
				return
			}
		}
		time.Sleep(time.Second)
	}
	s.t.Fatalf("nothing says %q, last %q", why, said)
}

// A full disk of the destination is waited out in the copy and in the stream, and
// told as the reason.
func TestAFullDestinationIsWaitedOut(t *testing.T) {
	play(t, setting{batchDocs: 10}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(200)...))
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if on == s.dst && ours(c) && c.Name == "insert" {
				return mongotest.Fault{Delay: 500 * time.Millisecond}
			}
			return mongotest.Fault{}
		})
		s.start()
		s.until("copy", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseCopying })
		time.Sleep(2 * time.Second)
		free := s.fill(s.dst)
		s.told("OutOfDiskSpace")
		time.Sleep(20 * time.Minute)
		st, _ := s.node.State()
		require.Equal(t, shardferry.StateRunning, st.State, st.Hold)
		free()
		s.faults.set(nil)
		s.stream()

		free = s.fill(s.dst)
		_, err := s.app.Database("d").Collection("c").UpdateMany(t.Context(), bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "x", Value: 1}}}})
		require.NoError(t, err)
		s.told("OutOfDiskSpace")
		time.Sleep(20 * time.Minute)
		free()
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.Equal(t, docs(t, s.from), docs(t, s.to))
	})
}

// A destination that stays away longer than the patience pauses the sync. What
// was done is kept, and resumed it goes on from there.
func TestASyncThatGaveUpGoesOnWhereItWas(t *testing.T) {
	play(t, setting{batchDocs: 10}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(300)...))
		inserts := 0
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if on == s.dst && ours(c) && c.Name == "insert" {
				inserts++
				return mongotest.Fault{Delay: time.Second}
			}
			return mongotest.Fault{}
		})
		s.start()
		s.until("half a copy", func(st *state.Sync) bool { return st.Leg.Tasks.Len() > 0 && st.Leg.Tasks.At(0).Docs > 100 })
		s.dst.Cut(s.dst.Addrs()[0])
		s.told("cannot be reached")
		time.Sleep(29 * time.Minute)
		st, _ := s.node.State()
		require.Equal(t, shardferry.StateRunning, st.State, "29 minutes are not enough: %s", st.Hold)
		time.Sleep(time.Minute)
		st = s.until("pause", func(st *state.Sync) bool { return st.State == shardferry.StatePaused })
		assert.Contains(t, st.Hold, "gave up after 30m")
		kept := st.Leg.Tasks.At(0).Docs
		require.Greater(t, kept, int64(100), "what was copied is kept")

		s.dst.Heal(s.dst.Addrs()[0])
		time.Sleep(time.Minute)
		inserts = 0
		require.NoError(t, s.node.Resume(t.Context(), "test"))
		s.stream()
		assert.LessOrEqual(t, inserts, (300-int(kept))/9+2, "what was copied is not copied again")
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.Equal(t, docs(t, s.from), docs(t, s.to))
	})
}
