package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
)

func renaming(pairs ...string) (out []shardferry.CollectionRemap) {
	name := func(s string) shardferry.CollectionName {
		ns, _ := shardferry.ParseNamespace(s)
		return shardferry.CollectionName{Database: ns.DB, Collection: ns.Coll}
	}
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, shardferry.CollectionRemap{From: name(pairs[i]), To: name(pairs[i+1])})
	}
	return out
}

// renamed calls the database shop store, and three of its collections otherwise,
// one of them as another one is called on the source.
var renamed = shardferry.Selection{
	Remap:            onlyShop.Remap,
	RemapCollections: renaming("shop.orders", "store.bills", "shop.items", "store.orders", "shop.log", "store.journal"),
}

func (s *stage) do(cl *mongo.Client, db string, cmds ...bson.D) {
	s.t.Helper()
	for _, cmd := range cmds {
		require.NoError(s.t, cl.Database(db).RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
	}
}

// change updates a document so that it has to be read again, deletes another one,
// and inserts a third.
func (s *stage) change(cl *mongo.Client, name string, from int) {
	s.t.Helper()
	ns, err := shardferry.ParseNamespace(name)
	require.NoError(s.t, err)
	coll := cl.Database(ns.DB).Collection(ns.Coll)
	_, err = coll.UpdateOne(s.t.Context(), bson.D{{"_id", from}, {"x", from}}, bson.D{{"$set", bson.D{{"a", bson.D{{"0", 1}}}, {"a2", 2}}}})
	require.NoError(s.t, err)
	_, err = coll.UpdateOne(s.t.Context(), bson.D{{"_id", from}, {"x", from}}, bson.D{{"$set", bson.D{{"a.0", 3}, {"a.1", 4}}}})
	require.NoError(s.t, err)
	_, err = coll.DeleteOne(s.t.Context(), bson.D{{"_id", from + 1}, {"x", from + 1}})
	require.NoError(s.t, err)
	s.write(cl, from+100, name)
}

// Collections go under other names through copy, streams, schema changes,
// comparison and commit, and come home under their own.
func TestCollectionsUnderOtherNames(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			bubble(t, shards, shards, func(t *testing.T, s *stage) {
				if shards > 0 {
					s.command(s.from, bson.D{{"shardCollection", "shop.orders"}, {"key", bson.D{{"x", 1}}}})
					s.command(s.from, bson.D{{"split", "shop.orders"}, {"middle", bson.D{{"x", 10}}}})
					s.command(s.from, bson.D{{"moveChunk", "shop.orders"}, {"find", bson.D{{"x", 10}}}, {"to", s.other("shop")}})
				}
				s.do(s.from, "shop", bson.D{{"create", "log"}, {"capped", true}, {"size", 1 << 16}, {"max", 5}})
				for i := range 20 {
					s.write(s.app, i, "shop.orders", "shop.items", "shop.log", "shop.plain")
				}
				s.do(
					s.from, "shop",
					bson.D{{"createIndexes", "orders"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}, {"y", 1}}}, {"name", "x_y"}, {"unique", true}}}}},
					bson.D{{"create", "view"}, {"viewOn", "plain"}, {"pipeline", bson.A{}}},
				)
				require.NoError(t, s.startWith(renamed))
				s.stream()
				s.change(s.app, "shop.orders", 1)
				s.change(s.app, "shop.items", 3)
				time.Sleep(2 * time.Second)
				assert.ElementsMatch(t, []string{"store.bills 20", "store.orders 20", "store.journal 5", "store.plain 20", "store.view 20"}, holds(t, s.to))

				s.do(
					s.from, "shop",
					bson.D{{"createIndexes", "items"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x"}, {"expireAfterSeconds", 9999}}}}},
					bson.D{{"collMod", "orders"}, {"validator", bson.D{{"z", bson.D{{"$exists", false}}}}}},
					bson.D{{"collMod", "log"}, {"cappedMax", 6}},
				)
				s.write(s.app, 20, "shop.log")
				s.command(s.from, bson.D{{"renameCollection", "shop.orders"}, {"to", "shop.old"}})
				s.write(s.app, 1, "shop.new")
				s.command(s.from, bson.D{{"renameCollection", "shop.new"}, {"to", "shop.orders"}})
				s.change(s.app, "shop.old", 5)
				s.write(s.app, 2, "shop.orders")
				s.do(s.from, "shop", bson.D{{"drop", "items"}})
				s.write(s.app, 1, "shop.items")
				time.Sleep(2 * time.Second)
				assert.ElementsMatch(t, []string{"store.old 20", "store.bills 2", "store.orders 1", "store.journal 6", "store.plain 20", "store.view 20"}, holds(t, s.to))
				s.equal()
				s.commit()
				s.reach(shardferry.StateCommitted)

				s.write(s.guest, 3, "store.bills", "store.orders", "store.more", "store.items")
				s.command(s.to, bson.D{{"renameCollection", "store.bills"}, {"to", "store.older"}})
				s.command(s.to, bson.D{{"renameCollection", "store.more"}, {"to", "store.bills"}})
				s.change(s.guest, "store.old", 7)
				s.do(s.to, "store", bson.D{{"createIndexes", "bills"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"y", 1}}}, {"name", "y"}}}}})
				time.Sleep(3 * time.Second)
				assert.ElementsMatch(t, []string{"shop.old 20", "shop.older 3", "shop.orders 1", "shop.items 2", "shop.log 6", "shop.plain 20", "shop.view 20"}, holds(t, s.from), "store.items has no name to come home under")
				s.equal()
				require.NoError(t, s.node.Rollback(t.Context(), "test"))
				s.until("the way home", func(st *state.Sync) bool { return st.Leg.Number == 3 && st.State == shardferry.StateCommitted })
				s.write(s.app, 5, "shop.orders")
				time.Sleep(2 * time.Second)
				assert.Contains(t, holds(t, s.to), "store.bills 2")
			})
		})
	}
}

// A name on the destination belongs to one collection. At the start that is
// refused, later it pauses; undone on the source, the sync goes on.
func TestTwoCollectionsCannotHaveOneName(t *testing.T) {
	sel := shardferry.Selection{RemapCollections: renaming("shop.orders", "shop.bills")}
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		goesOn := func(hold string, undo func()) {
			t.Helper()
			assert.Contains(t, s.reach(shardferry.StatePaused).Hold, hold)
			undo()
			require.NoError(t, s.node.Resume(t.Context(), "test"))
			time.Sleep(3 * time.Second)
			st, _ := s.node.State()
			require.Equal(t, shardferry.StateRunning, st.State, st.Hold)
		}
		s.write(s.app, 1, "shop.orders", "shop.bills", "shop.x")
		err := s.startWith(sel)
		require.ErrorIs(t, err, api.ErrRefused)
		require.ErrorContains(t, err, "the collection shop.bills keeps its name, which collectionRemap gives to another one")

		s.do(s.from, "shop", bson.D{{"drop", "bills"}})
		require.NoError(t, s.startWith(sel))
		s.stream()
		s.write(s.app, 1, "shop.bills")
		goesOn("create shop.bills: its name on the destination belongs to another collection", func() { s.do(s.from, "shop", bson.D{{"drop", "bills"}}) })
		s.command(s.from, bson.D{{"renameCollection", "shop.x"}, {"to", "shop.bills"}})
		s.write(s.app, 2, "shop.bills")
		goesOn("shop.x becomes shop.bills: its name on the destination belongs to another collection", func() {
			s.command(s.from, bson.D{{"renameCollection", "shop.bills"}, {"to", "shop.y"}})
			s.write(s.app, 3, "shop.y")
		})
		assert.ElementsMatch(t, []string{"shop.bills 1", "shop.y 3"}, holds(t, s.to))
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}

// A view comes with the source's definition. One that names what is another
// collection on the destination is refused, or pauses until it is undone.
func TestAViewOfARenamedCollection(t *testing.T) {
	sel := shardferry.Selection{RemapCollections: renaming("shop.orders", "shop.bills")}
	join := func(from string) bson.A {
		return bson.A{bson.D{{"$facet", bson.D{{"all", bson.A{bson.D{{"$lookup", bson.D{{"from", from}, {"localField", "x"}, {"foreignField", "x"}, {"as", "y"}}}}}}}}}}
	}
	for _, bad := range []bson.D{
		{{"viewOn", "orders"}, {"pipeline", bson.A{}}},
		{{"viewOn", "bills"}, {"pipeline", bson.A{}}},
		{{"viewOn", "plain"}, {"pipeline", join("orders")}},
		{{"viewOn", "plain"}, {"pipeline", bson.A{bson.D{{"$unionWith", "bills"}}}}},
		{{"viewOn", "plain"}, {"pipeline", bson.A{bson.D{{"$unionWith", bson.D{{"coll", "orders"}}}}}}},
		{{"viewOn", "plain"}, {"pipeline", bson.A{bson.D{{"$graphLookup", bson.D{{"from", "orders"}, {"startWith", "$x"}, {"connectFromField", "x"}, {"connectToField", "y"}, {"as", "z"}}}}}}},
	} {
		bubble(t, 0, 0, func(t *testing.T, s *stage) {
			s.write(s.app, 1, "shop.orders", "shop.plain")
			s.do(s.from, "shop", append(bson.D{{"create", "view"}}, bad...))
			err := s.startWith(sel)
			require.ErrorIs(t, err, api.ErrRefused, "%v", bad)
			require.ErrorContains(t, err, "the view shop.view reads shop.")

			s.do(s.from, "shop", bson.D{{"drop", "view"}}, bson.D{{"create", "good"}, {"viewOn", "plain"}, {"pipeline", join("plain")}})
			require.NoError(t, s.startWith(sel))
			s.stream()
			s.do(s.from, "shop", append(bson.D{{"create", "late"}}, bad...))
			assert.Contains(t, s.reach(shardferry.StatePaused).Hold, "the view shop.late reads shop.")
			s.do(s.from, "shop", bson.D{{"drop", "late"}}, append(bson.D{{"collMod", "good"}}, bad...))
			require.NoError(t, s.node.Resume(t.Context(), "test"))
			s.until("pause at the second view", func(st *state.Sync) bool {
				return st.State == shardferry.StatePaused && st.Hold != ""
			})
			st, _ := s.node.State()
			assert.Contains(t, st.Hold, "the view shop.good reads shop.")
			s.do(s.from, "shop", bson.D{{"collMod", "good"}, {"viewOn", "plain"}, {"pipeline", bson.A{}}})
			require.NoError(t, s.node.Resume(t.Context(), "test"))
			time.Sleep(2 * time.Second)
			s.commit()
			s.reach(shardferry.StateCommitted)
			assert.ElementsMatch(t, []string{"shop.bills 1", "shop.plain 1", "shop.good 1"}, holds(t, s.to))
		})
	}
}
