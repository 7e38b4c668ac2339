package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// keeps stores a function in a database, in place of one of the same name.
func (s *stage) keeps(cl *mongo.Client, db string, name any, body string) {
	s.t.Helper()
	_, err := cl.Database(db).Collection("system.js").ReplaceOne(s.t.Context(), bson.D{{"_id", name}},
		bson.D{{"_id", name}, {"value", bson.JavaScript("function() {" + body + "}")}}, options.Replace().SetUpsert(true))
	require.NoError(s.t, err)
}

func (s *stage) forgets(cl *mongo.Client, db string, name any) {
	s.t.Helper()
	_, err := cl.Database(db).Collection("system.js").DeleteOne(s.t.Context(), bson.D{{"_id", name}})
	require.NoError(s.t, err)
}

// stored lists the functions of a database.
func (s *stage) stored(cl *mongo.Client, db string) (all []string) {
	s.t.Helper()
	cur, err := cl.Database(db).Collection("system.js").Find(s.t.Context(), bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}))
	require.NoError(s.t, err)
	for cur.Next(s.t.Context()) {
		all = append(all, cur.Current.String())
	}
	require.NoError(s.t, cur.Err())
	return all
}

// Stored functions are on the destination when it opens, as they are on the
// source then, and find the way back.
func TestStoredFunctionsComeWithTheCommit(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			bubble(t, shards, shards, func(t *testing.T, s *stage) {
				require.NoError(t, s.insert(s.app, 1))
				s.keeps(s.app, "d", "stays", "return 1")
				s.keeps(s.app, "d", "changes", "return 1")
				s.keeps(s.app, "d", "goes", "return 1")
				s.keeps(s.app, "e", 1, "return 1")
				s.start()
				s.stream()
				s.keeps(s.app, "d", "changes", "return 2")
				s.keeps(s.app, "d", "new", "return 1")
				s.forgets(s.app, "d", "goes")
				assert.Empty(t, s.stored(s.to, "d"))
				s.commit()
				s.reach(shardferry.StateCommitted)
				assert.Len(t, s.stored(s.to, "d"), 3)
				assert.Equal(t, s.stored(s.from, "d"), s.stored(s.to, "d"))
				assert.Equal(t, s.stored(s.from, "e"), s.stored(s.to, "e"))

				s.keeps(s.guest, "d", "changes", "return 3")
				s.keeps(s.guest, "f", "last", "return 1")
				s.forgets(s.guest, "d", "stays")
				s.forgets(s.guest, "e", 1)
				s.keeps(s.guest, "e", int64(1), "return 1")
				require.NoError(t, s.node.Rollback(t.Context(), "test"))
				st := s.until("way back", func(st *state.Sync) bool { return st.State == shardferry.StateCommitted && st.Leg.Number == 3 })
				assert.Empty(t, st.Last.Failure)
				assert.Len(t, s.stored(s.from, "d"), 2)
				for _, db := range []string{"d", "e", "f"} {
					assert.Equal(t, s.stored(s.to, db), s.stored(s.from, db), db)
				}
			})
		})
	}
}

// Functions go where their database goes, and those of other databases are left
// alone on both sides.
func TestStoredFunctionsOfASelection(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		s.write(s.app, 1, "shop.orders", "crm.people")
		s.keeps(s.app, "shop", "f", "return 1")
		s.keeps(s.app, "crm", "f", "return 1")
		require.NoError(t, s.startWith(onlyShop))
		s.stream()
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.Len(t, s.stored(s.to, "store"), 1)
		assert.Empty(t, s.stored(s.to, "crm"))
		assert.Empty(t, s.stored(s.to, "shop"))
		s.forgets(s.guest, "store", "f")
		require.NoError(t, s.node.Rollback(t.Context(), "test"))
		s.until("way back", func(st *state.Sync) bool { return st.State == shardferry.StateCommitted && st.Leg.Number == 3 })
		assert.Empty(t, s.stored(s.from, "shop"))
		assert.Len(t, s.stored(s.from, "crm"), 1)
	})
}

// A commit is given up that finds another function than the one it has brought.
func TestStoredFunctionsAreCompared(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		s.keeps(s.app, "d", "f", "return 1")
		s.start()
		s.stream()
		done := false
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
			if ours(c) && on == s.dst && st.Leg.Cutover != nil && st.Leg.Cutover.Step == state.StepVerifying && !done {
				done = true
				s.keeps(s.to, "d", "f", "return 2")
			}
			return mongotest.Fault{}
		})
		s.commit()
		st := s.until("end", func(st *state.Sync) bool { return st.State == shardferry.StateRunning && st.Last != nil })
		assert.Contains(t, st.Last.Failure, "d.system.js differs: 0 functions are missing, 1 are others")
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.Equal(t, s.stored(s.from, "d"), s.stored(s.to, "d"))
	})
}

// What cannot be brought over is refused at the start, or ends a commit.
func TestStoredFunctionsThatCannotComeAreRefused(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1))
		start := func() error {
			return s.node.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test")
		}
		s.keeps(s.to, "x", "f", "return 1")
		err := start()
		require.ErrorIs(t, err, api.ErrRefused)
		require.ErrorContains(t, err, "the destination is not empty: it holds stored JavaScript in [x.system.js]")
		s.forgets(s.to, "x", "f")

		large := strings.Repeat(" ", 9<<20)
		s.keeps(s.app, "d", "f", large)
		s.keeps(s.app, "e", "f", large)
		err = start()
		require.ErrorIs(t, err, api.ErrRefused)
		require.ErrorContains(t, err, "more than 16 MiB of stored JavaScript")
		s.forgets(s.app, "e", "f")
		require.NoError(t, start())
		s.stream()
		s.keeps(s.app, "e", "f", large)
		s.commit()
		st := s.until("end", func(st *state.Sync) bool { return st.State == shardferry.StateRunning && st.Last != nil })
		assert.Contains(t, st.Last.Failure, "more than 16 MiB of stored JavaScript")
	})
}
