package node_test

import (
	"fmt"
	"slices"
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

// oplogSize is how many entries the oplogs of these stories hold.
const oplogSize = 400

// rollOver writes to one shard until its oplog has let go of all that was there
// when it began. Documents of d.c with x below zero are on that shard.
func (s *stage) rollOver() {
	s.t.Helper()
	coll := s.app.Database("d").Collection("c")
	for i := range 2 * oplogSize {
		_, err := coll.UpdateOne(s.t.Context(), bson.D{{"_id", -1}, {"x", -1}}, bson.D{{"$set", bson.D{{"n", i}}}})
		require.NoError(s.t, err)
	}
}

// halves fills d.c: on a sharded source negative x on one shard, others on another.
func (s *stage) halves(n int) {
	s.t.Helper()
	if s.srcShards > 0 {
		s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
		s.command(s.from, bson.D{{"split", "d.c"}, {"middle", bson.D{{"x", 0}}}})
		s.command(s.from, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"x", 0}}}, {"to", s.other("d")}})
	}
	for i := 1; i <= n; i++ {
		require.NoError(s.t, s.insert(s.app, i, -i))
	}
}

// A shard whose oplog rolls over while the sync is paused is copied again, when
// the operator agrees, and only it. What was changed, added or deleted meanwhile is
// so on the destination.
func TestAnOplogThatRolledOverCostsOnlyItsShard(t *testing.T) {
	for _, to := range []int{0, 2} {
		t.Run(fmt.Sprintf("to %d shards", to), func(t *testing.T) {
			play(t, setting{srcShards: 2, dstShards: to, oplog: oplogSize, batchDocs: 20}, func(t *testing.T, s *stage) {
				s.halves(100)
				s.up()
				s.start()
				s.stream()
				before, _ := s.node.State()
				require.NoError(t, s.node.Pause(t.Context(), "test"))
				time.Sleep(2 * time.Second)
				coll := s.app.Database("d").Collection("c")
				for i := 1; i <= 100; i += 9 {
					_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", -i - 1}, {"x", -i - 1}})
					require.NoError(t, err)
					_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", -i - 2}, {"x", -i - 2}}, bson.D{{"$set", bson.D{{"changed", i}}}})
					require.NoError(t, err)
					require.NoError(t, s.insert(s.app, -1000-i, 1000+i))
					_, err = coll.DeleteOne(t.Context(), bson.D{{"_id", i}, {"x", i}})
					require.NoError(t, err)
				}
				s.rollOver()

				require.NoError(t, s.node.Resume(t.Context(), "test"))
				st := s.reach(shardferry.StatePaused)
				assert.Contains(t, st.Hold, "resume --recopy-lost")
				require.Len(t, st.Leg.Lost(), 1)
				lost := st.Leg.Lost()[0]
				err := s.node.Resume(t.Context(), "test")
				require.ErrorIs(t, err, api.ErrInvalidState, "nothing is deleted before the operator agrees")

				require.NoError(t, s.node.RecopyLost(t.Context(), "test"))
				st = s.recopied()
				for task := range st.Leg.Tasks.All() {
					old := slices.ContainsFunc(before.Leg.Tasks.List(), func(b shardferry.CopyTask) bool { return b.ID == task.ID })
					assert.Equal(t, task.Shard == lost, !old, "task %d of shard %s", task.ID, task.Shard)
					assert.Equal(t, task.Shard == lost, task.Resync)
				}
				assert.Equal(t, before.Leg.Tasks.Len(), st.Leg.Tasks.Len())
				require.NoError(t, s.insert(s.app, 5000, -5000))
				s.commit()
				s.reach(shardferry.StateCommitted)
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
				assert.Empty(t, st.Leg.Lost())
				assert.False(t, st.Recopying, "the next loss is another decision")
			})
		})
	}
}

// A range whose changes are lost may have left the shard that lost them. It is not
// among that shard's ranges any more, and is copied again all the same.
func TestARangeThatLeftALostShardIsCopiedAgain(t *testing.T) {
	play(t, setting{srcShards: 2, dstShards: 2, oplog: oplogSize, batchDocs: 20}, func(t *testing.T, s *stage) {
		s.halves(100)
		s.command(s.from, bson.D{{"split", "d.c"}, {"middle", bson.D{{"x", -50}}}})
		s.up()
		s.start()
		s.stream()
		require.NoError(t, s.node.Pause(t.Context(), "test"))
		time.Sleep(2 * time.Second)
		coll := s.app.Database("d").Collection("c")
		for i := 51; i <= 100; i += 7 {
			_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", -i}, {"x", -i}})
			require.NoError(t, err)
			_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", -i - 1}, {"x", -i - 1}}, bson.D{{"$set", bson.D{{"changed", i}}}})
			require.NoError(t, err)
		}
		s.moveChunk(-60, s.other("d"))
		s.rollOver()

		require.NoError(t, s.node.Resume(t.Context(), "test"))
		require.Len(t, s.reach(shardferry.StatePaused).Leg.Lost(), 1)
		require.NoError(t, s.node.RecopyLost(t.Context(), "test"))
		s.recopied()
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
	})
}

// What became of the catalogue while nobody could see it is made up for.
func TestSchemaChangesThatNobodySaw(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: shards, dstShards: shards, oplog: oplogSize, batchDocs: 20}, func(t *testing.T, s *stage) {
				db := s.app.Database("d")
				s.halves(20)
				for _, name := range []string{"gone", "again", "moves", "rules"} {
					_, err := db.Collection(name).InsertMany(t.Context(), []any{bson.D{{"_id", 1}}, bson.D{{"_id", name}}})
					require.NoError(t, err)
				}
				_, err := db.Collection("rules").Indexes().CreateMany(t.Context(), []mongo.IndexModel{{Keys: bson.D{{"a", 1}}}, {Keys: bson.D{{"b", 1}}}})
				require.NoError(t, err)
				require.NoError(t, db.RunCommand(t.Context(), bson.D{{"create", "capped"}, {"capped", true}, {"size", 1 << 16}}).Err())
				capped := func(from, to int) {
					for i := from; i < to; i++ {
						_, err := db.Collection("capped").InsertOne(t.Context(), bson.D{{"_id", (i * 37) % 101}})
						require.NoError(t, err)
					}
				}
				capped(0, 20)
				require.NoError(t, db.RunCommand(t.Context(), bson.D{{"create", "view"}, {"viewOn", "c"}, {"pipeline", bson.A{}}}).Err())
				s.up()
				s.start()
				s.stream()
				require.NoError(t, s.node.Pause(t.Context(), "test"))
				time.Sleep(2 * time.Second)

				for _, cmd := range []bson.D{
					{{"drop", "gone"}},
					{{"drop", "again"}},
					{{"create", "again"}, {"validator", bson.D{{"n", bson.D{{"$gte", 0}}}}}},
					{{"insert", "again"}, {"documents", bson.A{bson.D{{"_id", 2}, {"n", 1}}}}},
					{{"renameCollection", "d.moves"}, {"to", "d.moved"}},
					{{"insert", "moved"}, {"documents", bson.A{bson.D{{"_id", 3}}}}},
					{{"insert", "new"}, {"documents", bson.A{bson.D{{"_id", 4}}}}},
					{{"createIndexes", "new"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"u", 1}}}, {"name", "u_1"}, {"unique", true}}}}},
					{{"collMod", "rules"}, {"validator", bson.D{{"y", bson.D{{"$exists", false}}}}}, {"validationLevel", "moderate"}},
					{{"dropIndexes", "rules"}, {"index", "a_1"}},
					{{"createIndexes", "rules"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"z", 1}}}, {"name", "z_1"}, {"expireAfterSeconds", 3600}}}}},
					{{"drop", "view"}},
					{{"create", "seen"}, {"viewOn", "rules"}, {"pipeline", bson.A{}}},
				} {
					on := db
					if cmd[0].Key == "renameCollection" {
						on = s.from.Database("admin")
					}
					require.NoError(t, on.RunCommand(t.Context(), cmd).Err(), "%v", cmd)
				}
				capped(20, 60)
				s.rollOver()

				require.NoError(t, s.node.RecopyLost(t.Context(), "test"))
				s.recopied()
				s.equal()
				s.commit()
				s.reach(shardferry.StateCommitted)
				assert.Equal(t, order(t, s.from), order(t, s.to), "the order of a capped collection")
				s.equal()
			})
		})
	}
}

// What nobody has seen of a collection is made up for when the shards that have
// lost nothing have passed it. What they are about to write would make anew what is
// dropped.
func TestWhatNobodySawWaitsForTheOtherShards(t *testing.T) {
	play(t, setting{srcShards: 2, oplog: oplogSize, batchDocs: 20}, func(t *testing.T, s *stage) {
		s.halves(20)
		kept := s.other("d")
		s.command(s.from, bson.D{{"enableSharding", "e"}, {"primaryShard", kept}})
		gone := s.app.Database("e").Collection("gone")
		_, err := gone.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		s.up()
		s.start()
		s.stream()
		s.passes()
		require.NoError(t, s.node.Pause(t.Context(), "test"))
		time.Sleep(2 * time.Second)
		s.rollOver()
		_, err = gone.InsertOne(t.Context(), bson.D{{"_id", 2}})
		require.NoError(t, err)

		writing := make(chan struct{})
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			switch {
			case !ours(c):
			case on == s.dst && c.Name == "update" && c.Body.Lookup("update").StringValue() == "gone":
				close(writing)
				return mongotest.Fault{Delay: 8 * time.Second}
			case on == s.src && c.Name == "listDatabases":
				return mongotest.Fault{Delay: 3 * time.Second} // a look at the catalogue
			}
			return mongotest.Fault{}
		})
		require.NoError(t, s.node.RecopyLost(t.Context(), "test"))
		s.meets(writing)
		s.lateShard(kept, 20*time.Second)
		time.Sleep(time.Second) // what the stream was waiting for is there
		require.NoError(t, gone.Drop(t.Context()))
		st := s.recopied()
		s.faults.routes(nil)
		s.faults.set(nil)
		for task := range st.Leg.Tasks.All() {
			assert.False(t, task.Resync && string(task.Shard) == kept, "the story needs a shard that has lost nothing")
		}
		s.arrives()
	})
}

// order lists the _ids of d.capped in natural order.
func order(t *testing.T, cl *mongo.Client) (ids []int32) {
	t.Helper()
	cur, err := cl.Database("d").Collection("capped").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	for cur.Next(t.Context()) {
		ids = append(ids, cur.Current.Lookup("_id").Int32())
	}
	require.NoError(t, cur.Err())
	return ids
}

// recopied waits until no shard is lost any more, and all is copied again.
func (s *stage) recopied() *state.Sync {
	s.t.Helper()
	for range 600 {
		st, _ := s.node.State()
		require.Equal(s.t, shardferry.StateRunning, st.State, st.Hold)
		again := slices.ContainsFunc(st.Leg.Tasks.List(), func(t shardferry.CopyTask) bool { return t.Resync })
		if again && len(st.Leg.Lost()) == 0 && st.Leg.Phase == state.PhaseStreaming {
			return st
		}
		time.Sleep(time.Second)
	}
	p, err := s.node.Progress(s.t.Context())
	require.NoError(s.t, err)
	s.t.Fatalf("after ten minutes it is not copied again: %+v", p)
	return nil
}
