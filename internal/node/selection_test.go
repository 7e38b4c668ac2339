package node_test

import (
	"fmt"
	"strings"
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

// onlyShop selects the database shop without its temporary collections, which
// is called store on the destination.
var onlyShop = shardferry.Selection{
	Include: []shardferry.NamespaceRule{{Database: "shop"}},
	Exclude: []shardferry.NamespaceRule{{Database: "shop", CollectionsRegex: &shardferry.Regex{Pattern: "^tmp"}}},
	Remap: []shardferry.DatabaseRemap{{
		From: shardferry.DatabaseName{Database: "shop"}, To: shardferry.DatabaseName{Database: "store"},
	}},
}

func (s *stage) startWith(sel shardferry.Selection) error {
	return s.node.Start(s.t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1", Selection: sel}, "test")
}

// write inserts one document into each namespace.
func (s *stage) write(cl *mongo.Client, id any, namespaces ...string) {
	s.t.Helper()
	for _, name := range namespaces {
		db, coll, _ := strings.Cut(name, ".")
		_, err := cl.Database(db).Collection(coll).InsertOne(s.t.Context(), bson.D{{"_id", id}, {"x", id}})
		require.NoError(s.t, err, name)
	}
}

// holds lists the collections and views of a cluster with their numbers of
// documents.
func holds(t *testing.T, cl *mongo.Client) []string {
	t.Helper()
	var out []string
	names, err := cl.ListDatabaseNames(t.Context(), bson.D{{"name", bson.D{{"$nin", bson.A{"admin", "config", "local"}}}}})
	require.NoError(t, err)
	for _, db := range names {
		colls, err := cl.Database(db).ListCollectionNames(t.Context(), bson.D{{"name", bson.D{{"$not", bson.Regex{Pattern: "^system"}}}}})
		require.NoError(t, err)
		for _, c := range colls {
			n, err := cl.Database(db).Collection(c).CountDocuments(t.Context(), bson.D{})
			require.NoError(t, err)
			out = append(out, fmt.Sprintf("%s.%s %d", db, c, n))
		}
	}
	return out
}

// Only what is selected moves, under the names it is given, through copy, schema
// changes, commit and the way back.
func TestOnlyWhatIsSelectedMoves(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			bubble(t, shards, shards, func(t *testing.T, s *stage) {
				s.write(s.app, 1, "shop.orders", "shop.items", "shop.tmp1", "crm.people")
				require.NoError(t, s.from.Database("shop").RunCommand(t.Context(), bson.D{{"create", "view"}, {"viewOn", "orders"}, {"pipeline", bson.A{}}}).Err())
				require.NoError(t, s.startWith(onlyShop))
				s.stream()
				time.Sleep(2 * time.Second)
				assert.ElementsMatch(t, []string{"store.orders 1", "store.items 1", "store.view 1"}, holds(t, s.to))

				s.write(s.app, 2, "shop.orders", "shop.new", "shop.tmp2", "crm.people", "crm.new")
				shop := s.from.Database("shop")
				_, err := shop.Collection("new").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}}, Options: unique})
				require.NoError(t, err)
				_, err = shop.Collection("tmp2").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}}})
				require.NoError(t, err)
				s.command(s.from, bson.D{{"renameCollection", "shop.items"}, {"to", "shop.tmp3"}}) // leaves
				s.command(s.from, bson.D{{"renameCollection", "shop.tmp2"}, {"to", "shop.tmp1"}, {"dropTarget", true}})
				s.command(s.from, bson.D{{"renameCollection", "shop.new"}, {"to", "shop.newer"}})
				s.write(s.app, 3, "shop.tmp1", "shop.tmp3", "shop.newer")
				require.NoError(t, s.from.Database("crm").Drop(t.Context()))
				time.Sleep(3 * time.Second)
				want := []string{"store.orders 2", "store.newer 2", "store.view 2"}
				assert.ElementsMatch(t, want, holds(t, s.to))
				s.equal()

				s.commit()
				s.reach(shardferry.StateCommitted)
				assert.ElementsMatch(t, want, holds(t, s.to))
				s.write(s.guest, 4, "store.orders", "store.later", "store.tmp9", "other.x")
				require.NoError(t, s.to.Database("store").Collection("newer").Drop(t.Context()))
				time.Sleep(3 * time.Second)
				s.equal()
				assert.ElementsMatch(t, []string{"shop.orders 3", "shop.view 3", "shop.later 1", "shop.tmp1 2", "shop.tmp3 2"}, holds(t, s.from))

				require.NoError(t, s.node.Rollback(t.Context(), "test"))
				s.until("the way home", func(st *state.Sync) bool { return st.Leg.Number == 3 && st.State == shardferry.StateCommitted })
				s.write(s.app, 5, "shop.orders", "crm.people")
			})
		})
	}
}

// A name on the destination belongs to one database.
func TestTwoDatabasesCannotHaveOneName(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		sel := shardferry.Selection{Remap: onlyShop.Remap}
		s.write(s.app, 1, "shop.orders", "store.orders")
		err := s.startWith(sel)
		require.ErrorIs(t, err, api.ErrRefused)
		require.ErrorContains(t, err, "the database store keeps its name")

		require.NoError(t, s.from.Database("store").Drop(t.Context()))
		require.NoError(t, s.startWith(sel))
		s.stream()
		s.write(s.app, 1, "store.orders")
		st := s.reach(shardferry.StatePaused)
		assert.Contains(t, st.Hold, "create store.orders: its name on the destination belongs to another database")
	})
}

// A selection that makes no sense is refused with the field that is wrong.
func TestAWrongSelectionIsRefused(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		err := s.startWith(shardferry.Selection{Include: []shardferry.NamespaceRule{{Database: "admin"}}})
		require.ErrorIs(t, err, api.ErrBadRequest)
		require.ErrorContains(t, err, "includeNamespaces[0].database")
	})
}
