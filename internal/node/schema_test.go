package node_test

import (
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

// A ruling is one schema change, and the command that makes it on the
// destination.
type ruling struct {
	name    string
	change  []bson.D // commands on the source
	command string   // on the destination
}

var rulings = []ruling{
	{"create", []bson.D{{{"create", "new"}, {"validator", bson.D{{"n", bson.D{{"$gte", 0}}}}}}}, "create"},
	{"create a capped one", []bson.D{{{"create", "new"}, {"capped", true}, {"size", 4096}}}, "create"},
	{"drop", []bson.D{{{"drop", "c"}}}, "drop"},
	{"drop and begin again", []bson.D{{{"drop", "c"}}, {{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 1}, {"new", true}}}}}}, "drop"},
	{"rename", []bson.D{{{"renameCollection", "d.c"}, {"to", "d.new"}}, {{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 9}}}}}}, "renameCollection"},
	{"create an index", []bson.D{{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"n", 1}}}, {"name", "n_1"}, {"sparse", true}, {"expireAfterSeconds", 3600}}}}}}, "createIndexes"},
	{"drop an index", []bson.D{{{"dropIndexes", "c"}, {"index", "x_1"}}}, "dropIndexes"},
	{"change the rules", []bson.D{{{"collMod", "c"}, {"validator", bson.D{{"y", bson.D{{"$exists", false}}}}}}}, "collMod"},
}

// rule makes the change on the source, between two writes of an application.
func (s *stage) rule(r ruling) {
	s.t.Helper()
	require.NoError(s.t, s.insert(s.app, 50, -50))
	for _, cmd := range r.change {
		db := "d"
		if cmd[0].Key == "renameCollection" {
			db = "admin"
		}
		require.NoError(s.t, s.from.Database(db).RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
	}
	require.NoError(s.t, s.insert(s.app, 60, -60))
}

// ruled brings a stage to streaming, with an index and documents on every shard.
func (s *stage) ruled() {
	s.t.Helper()
	s.sharded()
	require.NoError(s.t, s.insert(s.app, -5, -4, 4, 5))
	_, err := s.app.Database("d").Collection("c").Indexes().CreateOne(s.t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}}})
	require.NoError(s.t, err)
	s.up()
	s.start()
	s.stream()
	time.Sleep(3 * time.Second)
}

// settled checks that no change waits any more and both clusters are equal.
func (s *stage) settled() *state.Sync {
	s.t.Helper()
	time.Sleep(5 * time.Second)
	st, _ := s.node.State()
	assert.Equal(s.t, shardferry.StateRunning, st.State, st.Hold)
	assert.Nil(s.t, st.Leg.Barrier)
	for _, sh := range st.Leg.Shards {
		assert.Nil(s.t, sh.Schema, "%s still stands at a change", sh.ID)
	}
	s.equal()
	return st
}

// A change that is made on the destination but not recorded is made again by
// the node that follows. That must change nothing: above all, it must not touch
// what came after the change on the source.
func TestASchemaChangeSurvivesACrash(t *testing.T) {
	for _, r := range rulings {
		for when, late := range testedDeaths {
			t.Run(r.name+" "+when, func(t *testing.T) {
				play(t, setting{dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
					s.ruled()
					met := make(chan struct{})
					var once atomic.Bool
					s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
						if on != s.dst || !ours(c) || c.Name != r.command || !once.CompareAndSwap(false, true) {
							return mongotest.Fault{}
						}
						assert.NotNil(t, st.Leg.Barrier)
						assert.True(t, st.Leg.StandsStill(), "changed while something was being applied")
						s.faults.end()
						close(met)
						return mongotest.Fault{DropRequest: !late, DropReply: late}
					})
					s.rule(r)
					s.meets(met)
					s.kill()
					s.up()
					before := s.until("the change", func(st *state.Sync) bool { return st.Leg.Barrier == nil && st.Leg.Barriers > 0 })
					st := s.settled()
					assert.GreaterOrEqual(t, st.Leg.Barriers, before.Leg.Barriers)
					s.commit()
					s.reach(shardferry.StateCommitted)
				})
			})
		}
	}
}

// Every shard of a sharded collection reports the change, at a time of its own.
// Each report is answered once, and none while a worker is still applying.
func TestABarrierIsResolvedOnce(t *testing.T) {
	for _, r := range rulings {
		t.Run(r.name, func(t *testing.T) {
			play(t, setting{srcShards: 2, dstShards: 2}, func(t *testing.T, s *stage) {
				s.ruled()
				var made atomic.Int32
				s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
					switch {
					case on != s.dst || !ours(c):
					case c.Name == r.command:
						made.Add(1)
						assert.True(t, st.Leg.Barrier != nil && st.Leg.StandsStill(), "changed while something was being applied")
					case slices.Contains(writes, c.Name):
						assert.False(t, st.Leg.Barrier != nil && st.Leg.StandsStill(), "a worker writes while it stands still: %v", c.Body)
					}
					return mongotest.Fault{}
				})
				before := s.settled()
				s.rule(r)
				after := s.settled()
				assert.Positive(t, made.Load())
				assert.LessOrEqual(t, int(made.Load()), len(after.Leg.Shards), "made again for one report")
				assert.Greater(t, after.Leg.Barriers, before.Leg.Barriers)
				time.Sleep(20 * time.Second)
				assert.Equal(t, after.Leg.Barriers, s.settled().Leg.Barriers, "it is over")
			})
		})
	}
}
