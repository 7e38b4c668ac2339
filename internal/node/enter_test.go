package node_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// hide makes the collection shop.tmp1, which is not selected, with n documents
// and indexes; sharded if the source is.
func (s *stage) hide(n int) {
	s.t.Helper()
	if s.srcShards > 0 {
		s.command(s.from, bson.D{{"enableSharding", "shop"}})
		s.command(s.from, bson.D{{"shardCollection", "shop.tmp1"}, {"key", bson.D{{"x", 1}}}})
		s.command(s.from, bson.D{{"split", "shop.tmp1"}, {"middle", bson.D{{"x", n / 2}}}})
		s.command(s.from, bson.D{{"moveChunk", "shop.tmp1"}, {"find", bson.D{{"x", n}}}, {"to", s.other("shop")}})
	}
	for i := range n {
		s.write(s.app, i, "shop.tmp1")
	}
	require.NoError(s.t, s.from.Database("shop").RunCommand(s.t.Context(), bson.D{{"createIndexes", "tmp1"}, {"indexes", bson.A{
		bson.D{{"key", bson.D{{"n", 1}, {"x", 1}}}, {"name", "n_x"}},
		bson.D{{"key", bson.D{{"x", 1}, {"y", 1}}}, {"name", "x_y"}, {"unique", true}},
	}}}).Err())
}

// A collection that is renamed into the selection is copied, with what is written
// to it meanwhile, whatever had its name before.
func TestACollectionThatEntersTheSelectionIsCopied(t *testing.T) {
	for _, shards := range []int{0, 2} {
		for _, over := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d shards, over another %v", shards, over), func(t *testing.T) {
				play(t, setting{srcShards: shards, dstShards: shards, batchDocs: 20}, func(t *testing.T, s *stage) {
					s.up()
					s.write(s.app, 1, "shop.orders", "shop.tmp7")
					s.hide(100)
					if over {
						s.write(s.app, "old", "shop.kept")
					}
					require.NoError(t, s.startWith(onlyShop))
					s.stream()
					change := func(coll string, from int) {
						for i := from; i < 100; i += 10 {
							_, err := s.app.Database("shop").Collection(coll).UpdateOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"$inc", bson.D{{"n", 1}}}})
							require.NoError(t, err)
							_, err = s.app.Database("shop").Collection(coll).DeleteOne(t.Context(), bson.D{{"_id", i + 1}, {"x", i + 1}})
							require.NoError(t, err)
							s.write(s.app, 1000+i, "shop."+coll)
						}
					}
					change("tmp1", 0)
					s.command(s.from, bson.D{{"renameCollection", "shop.tmp1"}, {"to", "shop.kept"}, {"dropTarget", over}})
					change("kept", 3)
					time.Sleep(500 * time.Millisecond)
					change("kept", 6)
					time.Sleep(10 * time.Second)
					assert.ElementsMatch(t, []string{"store.orders 1", "store.kept 100"}, holds(t, s.to))
					s.equal()

					s.commit()
					s.reach(shardferry.StateCommitted)
					s.write(s.guest, 1, "store.tmp2")
					require.NoError(t, s.to.Database("admin").RunCommand(t.Context(), bson.D{{"renameCollection", "store.kept"}, {"to", "store.tmp9"}}).Err())
					require.NoError(t, s.to.Database("admin").RunCommand(t.Context(), bson.D{{"renameCollection", "store.tmp2"}, {"to", "store.more"}}).Err())
					s.write(s.guest, 2, "store.more", "store.orders")
					time.Sleep(5 * time.Second)
					assert.ElementsMatch(t, []string{"shop.orders 2", "shop.tmp7 1", "shop.more 2"}, holds(t, s.from), "the way back does the same")
					s.equal()
					require.NoError(t, s.node.Rollback(t.Context(), "test"))
					s.until("the way home", func(st *state.Sync) bool { return st.Leg.Number == 3 && st.State == shardferry.StateCommitted })
				})
			})
		}
	}
}

// The pattern of $out: a collection is filled under a name that is not selected,
// and then takes the place of one that is. It may be gone before anybody looks.
func TestATemporaryCollectionTakesThePlaceOfASelectedOne(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		s.write(s.app, 1, "shop.report", "shop.orders")
		require.NoError(t, s.startWith(onlyShop))
		s.stream()
		for i := range 5 {
			for k := range i + 1 {
				s.write(s.app, k, "shop.tmp")
			}
			s.command(s.from, bson.D{{"renameCollection", "shop.tmp"}, {"to", "shop.report"}, {"dropTarget", true}})
		}
		time.Sleep(5 * time.Second)
		assert.ElementsMatch(t, []string{"store.orders 1", "store.report 5"}, holds(t, s.to))
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}

// A commit that has begun waits for the copy of what enters the selection before
// the write block. An index that comes while it is copied is built in the commit.
func TestACommitWaitsForWhatEntersTheSelection(t *testing.T) {
	play(t, setting{batchDocs: 10}, func(t *testing.T, s *stage) {
		s.up()
		s.write(s.app, 1, "shop.orders")
		s.hide(200)
		require.NoError(t, s.startWith(onlyShop))
		s.stream()
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			_, copying := c.Body.LookupErr("hint")
			if on == s.src && ours(c) && (c.Name == "setUserWriteBlockMode" || copying == nil) {
				return mongotest.Fault{Delay: time.Second}
			}
			return mongotest.Fault{}
		})
		s.commit()
		s.command(s.from, bson.D{{"renameCollection", "shop.tmp1"}, {"to", "shop.kept"}})
		_, err := s.from.Database("shop").Collection("orders").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"late", 1}}})
		require.NoError(t, err)
		st := s.reach(shardferry.StateCommitted)
		assert.EqualValues(t, 201, st.Last.Verified.Documents)
	})
}

// A node that dies at any step of taking a collection in does it again.
func TestEnteringTheSelectionSurvivesACrash(t *testing.T) {
	for _, command := range []string{"drop", "create", "insert", "createIndexes"} {
		for when, late := range testedDeaths {
			t.Run(command+" "+when, func(t *testing.T) {
				play(t, setting{srcShards: 2, dstShards: 2, batchDocs: 20, dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
					s.up()
					s.write(s.app, 1, "shop.orders", "shop.kept")
					s.hide(100)
					require.NoError(t, s.startWith(onlyShop))
					s.stream()
					met := make(chan struct{})
					var once atomic.Bool
					s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
						if on != s.dst || !ours(c) || c.Name != command || !once.CompareAndSwap(false, true) {
							return mongotest.Fault{}
						}
						s.faults.end()
						close(met)
						return mongotest.Fault{DropRequest: !late, DropReply: late}
					})
					s.command(s.from, bson.D{{"renameCollection", "shop.tmp1"}, {"to", "shop.kept"}, {"dropTarget", true}})
					s.meets(met)
					s.kill()
					s.write(s.app, 2000, "shop.kept")
					s.up()
					time.Sleep(10 * time.Second)
					assert.ElementsMatch(t, []string{"store.orders 1", "store.kept 101"}, holds(t, s.to))
					s.commit()
					s.reach(shardferry.StateCommitted)
				})
			})
		}
	}
}

// What happens to a collection right after it entered, before anybody has looked
// at it, is not lost and stops nothing.
func TestWhatChangesAsItEnters(t *testing.T) {
	play(t, setting{srcShards: 2, dstShards: 2, batchDocs: 20}, func(t *testing.T, s *stage) {
		s.up()
		s.write(s.app, 1, "shop.orders")
		s.hide(100)
		require.NoError(t, s.startWith(onlyShop))
		s.stream()
		shop := s.app.Database("shop")
		s.command(s.from, bson.D{{"renameCollection", "shop.tmp1"}, {"to", "shop.kept"}})
		for i := range 20 {
			_, err := shop.Collection("kept").UpdateOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"$set", bson.D{{"b", i}, {"a", i}}}})
			require.NoError(t, err)
			_, err = shop.Collection("kept").DeleteOne(t.Context(), bson.D{{"_id", 50 + i}, {"x", 50 + i}})
			require.NoError(t, err)
		}
		s.command(s.from, bson.D{{"moveChunk", "shop.kept"}, {"find", bson.D{{"x", 0}}}, {"to", s.other("shop")}})
		for i := range 20 {
			_, err := shop.Collection("kept").UpdateOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"$unset", bson.D{{"b", 1}}}})
			require.NoError(t, err)
			s.write(s.app, 50+i, "shop.kept")
		}
		require.NoError(t, shop.RunCommand(t.Context(), bson.D{{"collMod", "kept"}, {"index", bson.D{{"name", "n_x"}, {"hidden", true}}}}).Err())
		require.NoError(t, shop.RunCommand(t.Context(), bson.D{{"dropIndexes", "kept"}, {"index", "n_x"}}).Err())
		s.command(s.from, bson.D{{"reshardCollection", "shop.kept"}, {"key", bson.D{{"x", 1}, {"y", 1}}}})
		s.write(s.app, 1000, "shop.kept")
		time.Sleep(10 * time.Second)
		assert.ElementsMatch(t, []string{"store.orders 1", "store.kept 101"}, holds(t, s.to))
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}

// A capped collection keeps its order: what is inserted while it is copied comes
// after what was there.
func TestTheOrderOfACappedCollectionThatEnters(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: shards, dstShards: shards, batchDocs: 5}, func(t *testing.T, s *stage) {
				db := s.app.Database("d")
				require.NoError(t, db.RunCommand(t.Context(), bson.D{{"create", "tmp"}, {"capped", true}, {"size", 1 << 16}, {"max", 60}}).Err())
				for i := range 50 {
					s.write(s.app, int32(i*37%101), "d.tmp")
				}
				s.up()
				require.NoError(t, s.startWith(shardferry.Selection{Exclude: []shardferry.NamespaceRule{{Database: "d", Collections: []string{"tmp"}}}}))
				s.stream()
				s.command(s.from, bson.D{{"renameCollection", "d.tmp"}, {"to", "d.capped"}})
				for i := 50; i < 80; i++ {
					s.write(s.app, int32(i*37%101), "d.capped")
					time.Sleep(50 * time.Millisecond)
				}
				time.Sleep(5 * time.Second)
				s.commit()
				s.reach(shardferry.StateCommitted)
				require.Len(t, order(t, s.from), 60)
				assert.Equal(t, order(t, s.from), order(t, s.to))
			})
		})
	}
}

// What cannot be synced pauses when it enters the selection; once it is gone the
// sync goes on.
func TestWhatCannotBeSyncedPausesAsItEnters(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		s.write(s.app, 1, "shop.orders")
		require.NoError(t, s.from.Database("shop").RunCommand(t.Context(), bson.D{{"create", "tmp"}, {"encryptedFields", bson.D{{"fields", bson.A{}}}}}).Err())
		require.NoError(t, s.startWith(onlyShop))
		s.stream()
		s.command(s.from, bson.D{{"renameCollection", "shop.tmp"}, {"to", "shop.kept"}})
		assert.Contains(t, s.reach(shardferry.StatePaused).Hold, "shop.tmp becomes shop.kept: shop.kept uses queryable encryption")
		require.NoError(t, s.from.Database("shop").Collection("kept").Drop(t.Context()))
		require.NoError(t, s.node.Resume(t.Context(), "test"))
		s.write(s.app, 2, "shop.kept")
		time.Sleep(2 * time.Second)
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.ElementsMatch(t, []string{"store.orders 1", "store.kept 1"}, holds(t, s.to))
	})
}

// A collection that entered the selection while changes were lost is copied with
// what is copied again.
func TestWhatEnteredUnseenIsCopied(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: shards, dstShards: shards, oplog: oplogSize, batchDocs: 20}, func(t *testing.T, s *stage) {
				s.halves(20)
				s.hide(30)
				s.up()
				require.NoError(t, s.startWith(shardferry.Selection{Exclude: onlyShop.Exclude}))
				s.stream()
				require.NoError(t, s.node.Pause(t.Context(), "test"))
				time.Sleep(2 * time.Second)
				s.command(s.from, bson.D{{"renameCollection", "shop.tmp1"}, {"to", "shop.kept"}})
				s.rollOver()
				require.NoError(t, s.node.RecopyLost(t.Context(), "test"))
				s.recopied()
				s.write(s.app, 1000, "shop.kept")
				time.Sleep(2 * time.Second)
				assert.ElementsMatch(t, []string{"d.c 40", "shop.kept 31"}, holds(t, s.to))
				s.commit()
				s.reach(shardferry.StateCommitted)
			})
		})
	}
}

// Between the rename and the reading of the collection its chunks may move, even to
// a shard that nothing is known of yet.
func TestWhatMovesAsItEnters(t *testing.T) {
	play(t, setting{srcShards: 2, dstShards: 2, spares: 1, batchDocs: 20}, func(t *testing.T, s *stage) {
		s.up()
		s.write(s.app, 1, "shop.orders")
		s.hide(100)
		require.NoError(t, s.startWith(onlyShop))
		s.stream()
		met, moved := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if on == s.src && ours(c) && c.Name == "listCollections" && once.CompareAndSwap(false, true) {
				close(met)
				<-moved
			}
			return mongotest.Fault{}
		})
		s.command(s.from, bson.D{{"renameCollection", "shop.tmp1"}, {"to", "shop.kept"}})
		s.meets(met)
		addr, err := s.src.Addr("shard2")
		require.NoError(t, err)
		s.command(s.from, bson.D{{"addShard", "shard2/" + addr}})
		s.command(s.from, bson.D{{"moveChunk", "shop.kept"}, {"find", bson.D{{"x", 0}}}, {"to", "shard2"}})
		s.write(s.app, -1, "shop.kept")
		close(moved)
		st := s.until("task that waits for the end of a stretch", func(st *state.Sync) bool {
			return slices.ContainsFunc(st.Leg.Tasks.List(), func(task shardferry.CopyTask) bool { return task.Shard == "" })
		})
		assert.Equal(t, state.PhaseCopying, st.Leg.Phase)
		time.Sleep(10 * time.Second)
		assert.ElementsMatch(t, []string{"store.orders 1", "store.kept 101"}, holds(t, s.to))
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}
