package node_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// spread makes d.c a collection of six chunks on the shards of the source.
func (s *stage) spread() {
	s.t.Helper()
	shards := s.src.Shards()[:s.srcShards]
	s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", shards[0]}})
	s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
	for _, at := range bounds {
		s.command(s.from, bson.D{{"split", "d.c"}, {"middle", bson.D{{"x", at}}}})
	}
	for i, at := range bounds {
		s.moveChunk(at, shards[i%len(shards)])
	}
}

var bounds = []int{-40, -20, 0, 20, 40}

func (s *stage) moveChunk(at int, to string) {
	s.t.Helper()
	s.command(s.from, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"x", at}}}, {"to", to}, {"_waitForDelete", true}})
}

// move makes the nth of a row of moves: chunk after chunk goes to the next shard,
// round after round.
func (s *stage) move(n int) {
	s.t.Helper()
	shards := s.src.Shards()[:s.srcShards]
	chunk, round := n%len(bounds), n/len(bounds)
	s.moveChunk(bounds[chunk], shards[(chunk+round+1)%len(shards)])
}

// An editor changes the documents of d.c at random: it inserts them, replaces
// them, sets and removes their fields, and deletes them.
type editor struct {
	*stage
	rand *rand.Rand
	coll *mongo.Collection
}

func (s *stage) editor() *editor {
	seed := uint64(time.Now().UnixNano()) ^ rand.Uint64()
	s.t.Logf("seed %d", seed)
	return &editor{stage: s, rand: rand.New(rand.NewPCG(seed, 1)), coll: s.app.Database("d").Collection("c")}
}

func (e *editor) edit(n int) {
	e.t.Helper()
	ctx := e.t.Context()
	for range n {
		x := e.rand.IntN(120) - 60
		key := bson.D{{"_id", x}, {"x", x}}
		field := string(rune('a' + e.rand.IntN(3)))
		var err error
		switch e.rand.IntN(6) {
		case 0:
			_, err = e.coll.DeleteOne(ctx, key)
		case 1:
			_, err = e.coll.ReplaceOne(ctx, key, append(key, bson.E{Key: field, Value: e.rand.IntN(1000)}), options.Replace().SetUpsert(true))
		case 2:
			_, err = e.coll.UpdateOne(ctx, key, bson.D{{"$unset", bson.D{{field, ""}}}})
		default:
			_, err = e.coll.UpdateOne(ctx, key, bson.D{{"$set", bson.D{{field, e.rand.IntN(1000)}}}}, options.UpdateOne().SetUpsert(true))
		}
		require.NoError(e.t, err)
	}
}

// slowCopy makes every read of a copy take so long, until the returned function
// is called.
func (s *stage) slowCopy(d time.Duration) func() {
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
		if _, err := c.Body.LookupErr("hint"); err == nil && on == s.src && ours(c) && c.Name == "find" {
			return mongotest.Fault{Delay: d}
		}
		return mongotest.Fault{}
	})
	return func() { s.faults.set(nil) }
}

// lateShard lets the events of one source shard come late.
func (s *stage) lateShard(shard string, d time.Duration) {
	s.t.Helper()
	addr, err := s.src.Addr(shard)
	require.NoError(s.t, err)
	s.faults.routes(func(on *mongotest.Cluster, c mongotest.Command) mongotest.Fault {
		if on == s.src && c.Addr == addr && c.Name == "getMore" {
			return mongotest.Fault{Delay: d}
		}
		return mongotest.Fault{}
	})
}

// passes waits until everything so far is settled and applied.
func (s *stage) passes() *state.Sync {
	s.t.Helper()
	time.Sleep(4 * time.Second)
	return s.until("quiet", func(st *state.Sync) bool {
		return st.State == shardferry.StateRunning && st.Leg.OrderPoint() == nil && st.Leg.Barrier == nil
	})
}

// arrives lets all moves be settled, compares the clusters, and commits. It returns
// the state before the commit.
func (s *stage) arrives() *state.Sync {
	s.t.Helper()
	st := s.passes()
	s.equal()
	s.commit()
	s.reach(shardferry.StateCommitted)
	return st
}

// An event of a document that has moved to another shard is not applied before
// those that it had on the shard it left, however far behind that shard's worker
// is. Chunks are moved by hand, under load, there and back.
func TestNoOwnersWriteIsAppliedOverALaterOne(t *testing.T) {
	for _, dst := range []int{0, 2} {
		play(t, setting{srcShards: 3, dstShards: dst}, func(t *testing.T, s *stage) {
			s.spread()
			e := s.editor()
			e.edit(100)
			s.up()
			s.start()
			s.stream()
			for i := range 12 {
				s.lateShard(s.src.Shards()[i%3], time.Second)
				e.edit(e.rand.IntN(30))
				s.move(i)
				e.edit(e.rand.IntN(30))
				if i%3 == 0 {
					time.Sleep(time.Duration(e.rand.IntN(2000)) * time.Millisecond)
				}
			}
			s.faults.routes(nil)
			s.arrives()
		})
	}
}

// While a collection is copied its chunks move between the shards, so that the
// ranges of copy tasks change hands. No document is missed, none is revived.
func TestDocumentsMissedWhileChunksMove(t *testing.T) {
	for _, dst := range []int{0, 2} {
		play(t, setting{srcShards: 3, dstShards: dst, batchDocs: 4}, func(t *testing.T, s *stage) {
			s.spread()
			e := s.editor()
			e.edit(400)
			s.up()
			slow := s.slowCopy(time.Second)
			s.start()
			planned := s.until("copy", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseCopying })
			for i := range 12 {
				e.edit(e.rand.IntN(20))
				s.move(i)
				e.edit(e.rand.IntN(20))
				time.Sleep(time.Duration(e.rand.IntN(300)) * time.Millisecond)
			}
			slow()
			s.stream()
			st := s.arrives()
			assert.Greater(t, st.Leg.Tasks.Len(), planned.Leg.Tasks.Len(), "no task changed hands: the story does not test what it tells")
		})
	}
}

// The unsharded collections of a database move to another primary shard, while
// they are copied and afterwards. No event tells of it.
func TestAPrimaryShardMoves(t *testing.T) {
	for _, dst := range []int{0, 2} {
		play(t, setting{srcShards: 3, dstShards: dst, batchDocs: 4}, func(t *testing.T, s *stage) {
			shards := s.src.Shards()[:s.srcShards]
			s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", shards[0]}})
			e := s.editor()
			e.edit(200)
			s.up()
			slow := s.slowCopy(time.Second)
			s.start()
			planned := s.until("copy", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseCopying })
			for i := range 8 {
				e.edit(e.rand.IntN(20))
				s.lateShard(shards[i%3], time.Second)
				s.command(s.from, bson.D{{"movePrimary", "d"}, {"to", shards[(i+1)%3]}})
				e.edit(e.rand.IntN(20))
				time.Sleep(time.Duration(e.rand.IntN(1500)) * time.Millisecond)
				if i == 4 {
					slow()
				}
			}
			s.faults.routes(nil)
			s.stream()
			st := s.arrives()
			assert.Greater(t, st.Leg.Tasks.Len(), planned.Leg.Tasks.Len(), "no task changed hands")
		})
	}
}

// A shard joins and gets chunks, another is drained and removed, while the sync
// copies and streams.
func TestShardsJoinAndLeave(t *testing.T) {
	for _, during := range []state.Phase{state.PhaseCopying, state.PhaseStreaming} {
		t.Run(string(during), func(t *testing.T) {
			play(t, setting{srcShards: 2, dstShards: 2, spares: 1, batchDocs: 4}, func(t *testing.T, s *stage) {
				s.spread()
				e := s.editor()
				e.edit(300)
				s.up()
				slow := s.slowCopy(time.Second)
				s.start()
				if during == state.PhaseStreaming {
					slow()
				}
				s.until(string(during), func(st *state.Sync) bool { return st.Leg.Phase == during })
				e.edit(20)
				addr, err := s.src.Addr("shard2")
				require.NoError(t, err)
				s.command(s.from, bson.D{{"addShard", "shard2/" + addr}})
				for _, at := range bounds[:3] {
					s.moveChunk(at, "shard2")
					e.edit(20)
				}
				time.Sleep(3 * time.Second)
				st, _ := s.node.State()
				require.Len(t, st.Leg.Shards, 3)

				s.command(s.from, bson.D{{"removeShard", "shard0"}})
				for _, at := range append([]int{-60}, bounds...) {
					s.moveChunk(at, "shard1")
					e.edit(10)
				}
				s.command(s.from, bson.D{{"movePrimary", "d"}, {"to", "shard2"}})
				e.edit(20)
				s.until("a shard that has left", func(st *state.Sync) bool { return len(st.Leg.Shards) == 2 })
				s.command(s.from, bson.D{{"removeShard", "shard0"}})
				e.edit(50)
				slow()
				s.stream()
				s.arrives()
			})
		})
	}
}

// Collections get other shard keys, are unsharded and moved while they are copied
// and streamed. What the source has is made on the destination.
func TestCollectionsAreReshaped(t *testing.T) {
	for _, during := range []state.Phase{state.PhaseCopying, state.PhaseStreaming} {
		for _, dst := range []int{0, 2} {
			t.Run(string(during), func(t *testing.T) {
				play(t, setting{srcShards: 2, dstShards: dst, batchDocs: 4}, func(t *testing.T, s *stage) {
					s.spread()
					e := s.editor()
					e.edit(200)
					s.up()
					slow := s.slowCopy(time.Second)
					s.start()
					if during == state.PhaseStreaming {
						slow()
					}
					s.until(string(during), func(st *state.Sync) bool { return st.Leg.Phase == during })
					_, err := s.from.Database("d").Collection("c").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}, {"_id", 1}}})
					require.NoError(t, err)
					for _, cmd := range []bson.D{
						{{"refineCollectionShardKey", "d.c"}, {"key", bson.D{{"x", 1}, {"_id", 1}}}},
						{{"reshardCollection", "d.c"}, {"key", bson.D{{"_id", "hashed"}}}, {"numInitialChunks", 4}},
						{{"reshardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}},
						{{"unshardCollection", "d.c"}, {"toShard", "shard1"}},
						{{"moveCollection", "d.c"}, {"toShard", "shard0"}},
					} {
						e.edit(30)
						s.command(s.from, cmd)
						e.edit(30)
						time.Sleep(time.Duration(e.rand.IntN(2000)) * time.Millisecond)
					}
					slow()
					s.stream()
					s.arrives()
				})
			})
		}
	}
}
