package node_test

import (
	"path/filepath"
	"sync"
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

// balances reports whether the balancer of a cluster is on.
func balances(t *testing.T, cl *mongo.Client) bool {
	t.Helper()
	status, err := cl.Database("admin").RunCommand(t.Context(), bson.D{{"balancerStatus", 1}}).Raw()
	require.NoError(t, err)
	return status.Lookup("mode").StringValue() != "off"
}

// A start that is refused has changed nothing, and says all that is in its way.
func TestARefusedStartChangesNothing(t *testing.T) {
	bubble(t, 2, 2, func(t *testing.T, s *stage) {
		s.command(s.from, bson.D{{"balancerStart", 1}})
		s.command(s.to, bson.D{{"balancerStart", 1}})
		require.NoError(t, s.insert(s.app, 1))
		require.NoError(t, s.insert(s.guest, 2))
		cmd := bson.D{{"create", "secret"}, {"encryptedFields", bson.D{{"fields", bson.A{}}}}}
		require.NoError(t, s.from.Database("d").RunCommand(t.Context(), cmd).Err())
		cmd = bson.D{{"create", "readings"}, {"timeseries", bson.D{{"timeField", "at"}}}}
		require.NoError(t, s.from.Database("d").RunCommand(t.Context(), cmd).Err())
		s.faults.set(func(_ *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			switch {
			case !ours(c):
			case c.Name == "appendOplogNote", c.Name == "setUserWriteBlockMode", c.Name == "balancerStop", c.Name == "create", c.Name == "insert":
				assert.Fail(t, "something was changed", "%v", c.Body)
			}
			return mongotest.Fault{}
		})
		err := s.node.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test")
		require.ErrorIs(t, err, api.ErrRefused)
		require.ErrorContains(t, err, "the destination is not empty: it holds d.c")
		require.ErrorContains(t, err, "d.secret uses queryable encryption")
		require.ErrorContains(t, err, "d.readings is a timeseries collection")
		st, _ := s.node.State()
		assert.Equal(t, shardferry.StateIdle, st.State)
		assert.True(t, balances(t, s.from) && balances(t, s.to))

		s.faults.set(nil)
		for _, c := range []*mongo.Collection{s.from.Database("d").Collection("secret"), s.from.Database("d").Collection("readings"), s.to.Database("d").Collection("c")} {
			require.NoError(t, c.Drop(t.Context()))
		}
		s.start()
		s.stream()
		time.Sleep(3 * time.Second)
		s.equal()
		assert.False(t, balances(t, s.from) || balances(t, s.to), "stopped for good, as the operator was told")
	})
}

// furnish gives the source something of every kind that has to be created.
func (s *stage) furnish() {
	s.t.Helper()
	s.sharded()
	require.NoError(s.t, s.insert(s.app, -2, -1, 1, 2))
	_, err := s.app.Database("d").Collection("c").Indexes().CreateMany(s.t.Context(), []mongo.IndexModel{
		{Keys: bson.D{{"x", 1}}}, {Keys: bson.D{{"at", 1}}, Options: expiring},
	})
	require.NoError(s.t, err)
	for _, cmd := range []bson.D{
		{{"create", "recent"}, {"capped", true}, {"size", 4096}, {"max", 5}},
		{{"create", "view"}, {"viewOn", "c"}, {"pipeline", bson.A{}}},
		{{"createIndexes", "plain"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"y", 1}}}, {"name", "y_1"}}}}},
	} {
		require.NoError(s.t, s.from.Database("d").RunCommand(s.t.Context(), cmd).Err())
	}
}

// Preparing the destination is done again from its beginning by a node that
// comes after a crash. It finds what was made, and makes what is missing.
func TestPreparingSurvivesACrashAnywhere(t *testing.T) {
	for _, command := range []string{"setUserWriteBlockMode", "enableSharding", "create", "shardCollection", "split", "moveRange", "createIndexes"} {
		for when, late := range testedDeaths {
			t.Run(command+" "+when, func(t *testing.T) {
				play(t, setting{srcShards: 2, dstShards: 2, dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
					s.furnish()
					s.up()
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
					s.start()
					s.meets(met)
					s.kill()
					require.NoError(t, s.insert(s.app, 3))
					s.up()
					s.stream()
					time.Sleep(3 * time.Second)
					s.equal()
					require.Error(t, s.insert(s.guest, 4), "nobody else writes to the destination")
					s.commit()
					s.reach(shardferry.StateCommitted)
				})
			})
		}
	}
}

// A command that the destination refuses for good pauses the sync with the
// reason. What was made stays, so that the sync can go on where it stood.
func TestARefusedCreationPausesAndGoesOn(t *testing.T) {
	for _, command := range []string{"setUserWriteBlockMode", "create", "shardCollection", "moveRange", "createIndexes"} {
		t.Run(command, func(t *testing.T) {
			play(t, setting{srcShards: 2, dstShards: 2}, func(t *testing.T, s *stage) {
				s.furnish()
				s.up()
				s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
					if on == s.dst && ours(c) && c.Name == command {
						return mongotest.Fault{Error: &mongotest.ServerError{Code: 13, Message: "not authorized on d"}}
					}
					return mongotest.Fault{}
				})
				s.start()
				st := s.reach(shardferry.StatePaused)
				assert.Contains(t, st.Hold, "setup: ")
				assert.Contains(t, st.Hold, "not authorized on d")
				s.faults.set(nil)
				require.NoError(t, s.insert(s.app, 3))
				require.NoError(t, s.node.Resume(t.Context(), "test"))
				s.stream()
				time.Sleep(3 * time.Second)
				s.equal()
			})
		})
	}
}

// What our user may not do is known before the commit, and shown.
func TestWhoMayNotPassAWriteBlock(t *testing.T) {
	for name, c := range map[string]struct {
		src, dst       string
		blocked, leads bool // the destination while it syncs; the way back
	}{
		"both may":               {"operator", "operator", true, true},
		"not on the source":      {"clerk", "operator", true, false},
		"not on the destination": {"operator", "clerk", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, setting{srcUser: c.src, dstUser: c.dst}, func(t *testing.T, s *stage) {
				require.NoError(t, s.insert(s.app, 1))
				s.up()
				s.start()
				s.stream()
				_, err := s.guest.Database("other").Collection("c").InsertOne(t.Context(), bson.D{})
				assert.Equal(t, c.blocked, err != nil)
				require.NoError(t, s.to.Database("other").Drop(t.Context()))
				p, err := s.node.Progress(t.Context())
				require.NoError(t, err)
				assert.Equal(t, c.leads, p.Detail.Reversible)
				assert.Equal(t, c.leads, len(p.Warnings) == 0, "%v", p.Warnings)
				s.commit()
				s.reach(shardferry.StateCommitted)
				require.Error(t, s.insert(s.app, 2), "the old source is closed all the same")
				require.NoError(t, s.insert(s.guest, 3))
				err = s.node.Rollback(t.Context(), "test")
				if !c.leads {
					require.ErrorIs(t, err, api.ErrInvalidState)
					require.ErrorContains(t, err, "there is no way back")
					return
				}
				require.NoError(t, err)
			})
		})
	}
}

// A reading takes several commands. What is created between them, an index and the
// shard key that needs it, looks as if the index were missing, once.
func TestACollectionThatIsShardedMeanwhileIsNotRefused(t *testing.T) {
	bubble(t, 2, 2, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		var once sync.Once
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if find, _ := c.Body.Lookup("find").StringValueOK(); on == s.src && ours(c) && find == "databases" {
				once.Do(func() {
					_, err := s.from.Database("d").Collection("c").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}}})
					require.NoError(t, err)
					s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
				})
			}
			return mongotest.Fault{}
		})
		s.start()
		s.stream()
		s.equal()
	})
}

// An index that is being built while the collection loses its name is built on
// that collection, under its new name, and on no other.
func TestIndexesAreBuiltOnTheCollectionTheyAreOf(t *testing.T) {
	for name, change := range map[string][]bson.D{
		"renamed": {{{"renameCollection", "d.c"}, {"to", "d.new"}}},
		"replaced": {
			{{"renameCollection", "d.c"}, {"to", "d.new"}},
			{{"renameCollection", "d.other"}, {"to", "d.c"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, 2, func(t *testing.T, s *stage) {
				require.NoError(t, s.insert(s.app, 1, 2))
				_, err := s.app.Database("d").Collection("c").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}}})
				require.NoError(t, err)
				_, err = s.app.Database("d").Collection("other").InsertOne(t.Context(), bson.D{{"_id", 3}})
				require.NoError(t, err)
				met := make(chan struct{})
				var once atomic.Bool
				s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
					if on != s.dst || !ours(c) || c.Name != "createIndexes" || !once.CompareAndSwap(false, true) {
						return mongotest.Fault{}
					}
					close(met)
					return mongotest.Fault{Delay: 5 * time.Second}
				})
				s.start()
				s.meets(met)
				for _, cmd := range change {
					s.command(s.from, cmd)
				}
				s.stream()
				time.Sleep(10 * time.Second)
				s.equal()
				s.commit()
				s.reach(shardferry.StateCommitted)
			})
		})
	}
}
