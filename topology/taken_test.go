package topology_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/topology"
)

// givesAway leaves out temporary collections and gives the name b to the
// collection a.
func (f *follower) givesAway() {
	f.t.Helper()
	name := func(coll string) shardferry.CollectionName {
		return shardferry.CollectionName{Database: "d", Collection: coll}
	}
	var err error
	f.changer.Source = f.from
	f.changer.Route, err = shardferry.Selection{
		Exclude:          []shardferry.NamespaceRule{{Database: "d", CollectionsRegex: &shardferry.Regex{Pattern: "^tmp"}}},
		RemapCollections: []shardferry.CollectionRemap{{From: name("a"), To: name("b")}},
	}.Forward()
	require.NoError(f.t, err)
}

// A collection that gets a taken name, and at once another UUID, is refused under
// that one. With another name it enters.
func TestATakenNameAndAnotherUUID(t *testing.T) {
	bubble(t, two(2, 2), func(t *testing.T, cl []*mongo.Client) {
		f := follow(t, cl[0], cl[1], true)
		defer f.close()
		f.givesAway()
		f.do(create("tmp1"))
		f.admin(bson.D{{"shardCollection", "d.tmp1"}, {"key", bson.D{{"x", 1}}}})
		f.renameAll("tmp1", "b")
		admin(t, cl[0], bson.D{{"reshardCollection", "d.b"}, {"key", bson.D{{"y", 1}}}})
		var refused *shardferry.SchemaChange
		for _, change := range f.changes() {
			out, err := f.changer.Apply(t.Context(), change)
			if err != nil {
				require.ErrorIs(t, err, topology.ErrUnsupportedChange)
				refused = &change
				break
			}
			f.record(out)
		}
		require.NotNil(t, refused)
		assert.Equal(t, "reshardCollection", refused.Kind)
		assert.Empty(t, discover(t, cl[1]).Collections)

		f.renameAll("b", "c")
		out, err := f.changer.Apply(t.Context(), *refused)
		require.NoError(t, err)
		f.record(out)
		f.catchUp()
		f.finish()
		f.requireEqual()
	})
}

// A view that reads what is another collection on the destination is not made
// there, whether an event tells of it or nobody has seen it. Once it is gone,
// nothing stands in the way.
func TestAViewThatWouldReadAnother(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		f := follow(t, cl[0], cl[1], true)
		defer f.close()
		f.givesAway()
		f.do(create("plain"), create("v", e("viewOn", "plain"), e("pipeline", bson.A{})))
		command(t, cl[0], collMod("v", e("viewOn", "a"), e("pipeline", bson.A{})))
		changes := f.changes()
		require.Len(t, changes, 1)
		_, err := f.changer.Apply(t.Context(), changes[0])
		require.ErrorIs(t, err, topology.ErrUnsupportedChange)
		err = f.changer.Views(t.Context(), discover(t, cl[0]), discover(t, cl[1]))
		require.ErrorIs(t, err, topology.ErrUnsupportedChange)
		assert.Equal(t, "plain", find(t, discover(t, cl[1]), ns("v")).Options.Lookup("viewOn").StringValue())

		command(t, cl[0], bson.D{{"drop", "v"}})
		_, err = f.changer.Apply(t.Context(), changes[0])
		require.NoError(t, err)
		f.catchUp()
		f.requireEqual()
	})
}
