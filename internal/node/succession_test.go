package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// lateEvents lets all events of the source come late.
func (s *stage) lateEvents(d time.Duration) {
	s.faults.routes(func(on *mongotest.Cluster, c mongotest.Command) mongotest.Fault {
		if on == s.src && c.Name == "getMore" {
			return mongotest.Fault{Delay: d}
		}
		return mongotest.Fault{}
	})
}

// A document whose change cannot be carried over as it was told is read again,
// whatever became of its collection before the change was told: names and UUIDs
// that are to come are found out ahead of the barrier that makes them known.
func TestDocumentsAreReadAgainWhateverBecameOfTheirCollection(t *testing.T) {
	rename := func(from, to string) bson.D { return bson.D{{"renameCollection", from}, {"to", to}} }
	reshard := func(ns string) bson.D {
		return bson.D{{"reshardCollection", ns}, {"key", bson.D{{"_id", "hashed"}}}}
	}
	unshard := func(ns string) bson.D { return bson.D{{"unshardCollection", ns}, {"toShard", "shard1"}} }
	write := bson.D{{"write", "d.c"}}
	tests := []struct {
		name      string
		unsharded bool
		changes   []bson.D
	}{
		{"renamed and resharded", false, []bson.D{rename("d.c", "d.e"), reshard("d.e")}},
		{"resharded and renamed", false, []bson.D{reshard("d.c"), rename("d.c", "d.e")}},
		{"renamed and unsharded", false, []bson.D{rename("d.c", "d.e"), unshard("d.e")}},
		{"renamed and moved", true, []bson.D{rename("d.c", "d.e"), {{"moveCollection", "d.e"}, {"toShard", "shard1"}}}},
		{"resharded, its name another's", false, []bson.D{rename("d.c", "d.e"), reshard("d.e"), write}},
		{"a chain", false, []bson.D{rename("d.c", "d.e"), reshard("d.e"), rename("d.e", "d.f"), unshard("d.f"), rename("d.f", "d.c")}},
		{"over another", true, []bson.D{
			rename("d.c", "d.e"), {{"moveCollection", "d.e"}, {"toShard", "shard1"}}, {{"renameCollection", "d.e"}, {"to", "d.other"}, {"dropTarget", true}},
		}},
		{"under another", true, []bson.D{
			{{"moveCollection", "d.c"}, {"toShard", "shard1"}}, {{"renameCollection", "d.other"}, {"to", "d.c"}, {"dropTarget", true}},
		}},
		{"its database moved, then renamed", true, []bson.D{{{"movePrimary", "d"}, {"to", "shard1"}}, rename("d.c", "d.e")}},
		{"resharded and dropped, its name another's", false, []bson.D{reshard("d.c"), {{"drop", "d.c"}}, write}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play(t, setting{srcShards: 2}, func(t *testing.T, s *stage) {
				if tt.unsharded {
					s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", "shard0"}})
				} else {
					s.spread()
				}
				e := s.editor()
				e.edit(100)
				_, err := s.app.Database("d").Collection("other").InsertOne(t.Context(), bson.D{{"_id", 1}})
				require.NoError(t, err)
				s.up()
				s.start()
				s.stream()
				s.passes()
				s.lateEvents(3 * time.Second)
				time.Sleep(time.Second)
				s.rewrite(1)
				for n, cmd := range tt.changes {
					switch cmd[0].Key {
					case "write":
						s.rewrite(2 + n)
					case "drop":
						require.NoError(t, s.app.Database("d").Collection("c").Drop(t.Context()))
					default:
						s.command(s.from, cmd)
					}
				}
				time.Sleep(4 * time.Second)
				s.faults.routes(nil)
				s.until("news", func(st *state.Sync) bool { return st.Leg.OrderPoint() == nil })
				s.arrives()
			})
		})
	}
}

// rewrite makes the documents of d.c others, the last time in a way that has to be
// read again.
func (s *stage) rewrite(mark int) {
	s.t.Helper()
	c := s.app.Database("d").Collection("c")
	dotted := bson.D{{"$setField", bson.D{{"field", "a.b"}, {"input", "$$ROOT"}, {"value", mark}}}}
	for i := range 20 {
		key := bson.D{{"_id", i}, {"x", i}}
		_, err := c.DeleteOne(s.t.Context(), key)
		require.NoError(s.t, err)
		_, err = c.InsertOne(s.t.Context(), append(key, bson.E{Key: "mark", Value: mark}))
		require.NoError(s.t, err)
		_, err = c.UpdateOne(s.t.Context(), key, mongo.Pipeline{{{"$replaceWith", dotted}}})
		require.NoError(s.t, err)
	}
}
