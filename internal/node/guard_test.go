package node_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

func (s *stage) lift() {
	s.t.Helper()
	s.command(s.to, bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
}

// closed reports whether the destination takes no writes of a user.
func (s *stage) closed() bool {
	_, err := s.guest.Database("d").Collection("probe").InsertOne(s.t.Context(), bson.D{})
	return err != nil
}

// A write block that somebody lifted is set again, and told. If nobody has written
// meanwhile, nothing else happens.
func TestALiftedWriteBlockIsSetAgain(t *testing.T) {
	for _, shards := range []int{0, 2} {
		play(t, setting{srcShards: shards, dstShards: shards}, func(t *testing.T, s *stage) {
			s.up()
			require.NoError(t, s.insert(s.app, upTo(20)...))
			s.start()
			s.stream()
			require.True(t, s.closed())
			time.Sleep(time.Minute)
			s.lift()
			time.Sleep(2 * time.Minute)
			assert.True(t, s.closed(), "it is set again")
			p, err := s.node.Progress(t.Context())
			require.NoError(t, err)
			assert.Equal(t, shardferry.StateRunning, p.State)
			if shards == 0 { // routers do not tell
				require.Len(t, p.Warnings, 1)
				assert.Contains(t, p.Warnings[0], "nobody has written there")
			}
			s.commit()
			s.reach(shardferry.StateCommitted)
			time.Sleep(5 * time.Minute)
			assert.False(t, s.closed(), "after the commit it stays open")
		})
	}
}

// The old source stays closed after the commit, and what others write there is
// told: until the way back is made, both clusters must not take writes.
func TestTheOldSourceStaysBlocked(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(20)...))
		s.start()
		s.stream()
		s.commit()
		s.reach(shardferry.StateCommitted)
		time.Sleep(time.Minute)
		s.command(s.from, bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
		require.NoError(t, s.insert(s.app, 1000), "it takes writes, until it is looked at")
		time.Sleep(10 * time.Second)
		require.Error(t, s.insert(s.app, 1001), "it is set again")
		p, err := s.node.Progress(t.Context())
		require.NoError(t, err)
		assert.Equal(t, shardferry.StateCommitted, p.State)
		require.Len(t, p.Detail.ForeignWrites, 1)
		assert.Equal(t, "insert", p.Detail.ForeignWrites[0].Op)

		_, err = s.from.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 1000}})
		require.NoError(t, err)
		require.NoError(t, s.node.Rollback(t.Context(), "test"))
		s.until("back", func(st *state.Sync) bool { return st.State == shardferry.StateCommitted && st.Leg.Number == 3 })
		require.NoError(t, s.insert(s.app, 1002), "the rollback opens it")
		time.Sleep(time.Minute)
		require.NoError(t, s.insert(s.app, 1003), "and it stays open")
		assert.True(t, s.closed())
	})
}

// After a commit without a way back the old source is its owner's: who opens it again
// has it open.
func TestTheOldSourceIsLeftAloneWithoutAWayBack(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(20)...))
		no := false
		require.NoError(t, s.node.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1", Reversible: &no}, "test"))
		s.stream()
		s.commit()
		s.reach(shardferry.StateCommitted)
		s.command(s.from, bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
		time.Sleep(2 * time.Minute)
		require.NoError(t, s.insert(s.app, 1000))
	})
}

// What others wrote while the block was lifted is reported with its name, _id and
// time, and the sync pauses. It is not overwritten.
func TestWritesOfOthersAreReported(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(20)...))
		s.start()
		s.stream()
		time.Sleep(time.Minute)
		s.lift()
		require.NoError(t, s.insert(s.guest, 1000), "between two looks")
		_, err := s.guest.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 3}})
		require.NoError(t, err)
		require.NoError(t, s.insert(s.app, 50), "ours is not taken for theirs")
		st := s.reach(shardferry.StatePaused)
		assert.Contains(t, st.Hold, "there were 2 writes of others, first insert d.c {\"$numberInt\":\"1000\"}")
		p, err := s.node.Progress(t.Context())
		require.NoError(t, err)
		require.Len(t, p.Detail.ForeignWrites, 2)
		assert.Equal(t, "delete", p.Detail.ForeignWrites[1].Op)
		assert.Equal(t, "d.c", p.Detail.ForeignWrites[1].NS)
		assert.True(t, s.closed())
		assert.Len(t, docs(t, s.to), 21, "nothing is undone")

		// The operator mends it; then it goes on.
		coll := s.to.Database("d").Collection("c")
		_, err = coll.DeleteOne(t.Context(), bson.D{{"_id", 1000}})
		require.NoError(t, err)
		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 3}, {"x", 3}})
		require.NoError(t, err)
		require.NoError(t, s.node.Resume(t.Context(), "test"))
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
	})
}

// What others wrote is told although the oplog cannot be read at first, when the
// block is on again already.
func TestWritesOfOthersAreLookedForUntilTheyAreKnown(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(20)...))
		s.start()
		s.stream()
		time.Sleep(time.Minute)
		var refused atomic.Int32
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if on == s.dst && ours(c) && c.DB == "local" && refused.Add(1) <= 3 {
				return refuses(11602)
			}
			return mongotest.Fault{}
		})
		s.lift()
		require.NoError(t, s.insert(s.guest, 1000))
		st := s.reach(shardferry.StatePaused)
		assert.Greater(t, refused.Load(), int32(3))
		assert.Contains(t, st.Hold, "there were 1 writes of others, first insert d.c")
		time.Sleep(time.Minute)
		now, _ := s.node.State()
		assert.Len(t, now.Intrusions, 1, "it is told once")
	})
}

// What the sync itself has the destination do is not taken for a write of others.
func TestSchemaChangesAreNoWritesOfOthers(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		s.up()
		require.NoError(t, s.insert(s.app, upTo(20)...))
		s.start()
		s.stream()
		time.Sleep(time.Minute)
		s.lift()
		db := s.app.Database("d")
		require.NoError(t, db.CreateView(t.Context(), "v", "c", mongo.Pipeline{}))
		s.command(s.from, bson.D{{"renameCollection", "d.c"}, {"to", "e.c"}})
		st := s.until("told", func(st *state.Sync) bool { return len(st.Intrusions) > 0 })
		assert.Empty(t, st.Intrusions[0].Writes)
		time.Sleep(time.Minute)
		now, _ := s.node.State()
		assert.Equal(t, shardferry.StateRunning, now.State)
		assert.Len(t, now.Intrusions, 1)
	})
}
