package topology_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/topology"
)

// leaveOutTemporary leaves out the collections of d whose names begin with tmp.
func (f *follower) leaveOutTemporary() {
	f.t.Helper()
	var err error
	f.changer.Source = f.from
	f.changer.Route, err = shardferry.Selection{Exclude: []shardferry.NamespaceRule{
		{Database: "d", CollectionsRegex: &shardferry.Regex{Pattern: "^tmp"}},
	}}.Forward()
	require.NoError(f.t, err)
}

// entering tells a story between clusters of each kind, with what is relaxed until
// the commit and without that.
func entering(t *testing.T, story func(t *testing.T, f *follower)) {
	for _, shards := range []int{0, 2} {
		for _, relax := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d shards, relaxed %v", shards, relax), func(t *testing.T) {
				bubble(t, two(shards, shards), func(t *testing.T, cl []*mongo.Client) {
					f := follow(t, cl[0], cl[1], relax)
					defer f.close()
					f.leaveOutTemporary()
					story(t, f)
				})
			})
		}
	}
}

func (f *follower) renameAll(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		admin(f.t, f.from, bson.D{{"renameCollection", "d." + pairs[i]}, {"to", "d." + pairs[i+1]}, {"dropTarget", true}})
	}
}

// A collection that enters the selection is made as the source has it when that is
// noticed. What was changed until then is not made again, because it may not even
// be possible any more; what comes later is.
func TestWhatEntersIsMadeAsItIsNow(t *testing.T) {
	x := bson.D{{"x", 1}}
	entering(t, func(t *testing.T, f *follower) {
		f.do(create("tmp1", e("validator", x)), createIndex("tmp1", "a", bson.D{{"a", 1}}), create("tmp2", e("capped", true), e("size", 8192)), create("kept", e("validator", bson.D{{"old", 1}})))
		assert.Equal(t, "d.kept", discover(t, f.changer.Client).Collections[0].NS.String())
		if f.sharded() {
			f.admin(bson.D{{"shardCollection", "d.tmp1"}, {"key", x}})
		}
		f.renameAll("tmp1", "kept", "tmp2", "capped")
		for _, cmd := range []bson.D{
			collMod("kept", e("index", bson.D{{"name", "a"}, {"hidden", true}})),
			{{"dropIndexes", "kept"}, {"index", "a"}},
			createIndex("kept", "b", bson.D{{"b", 1}}, e("unique", !f.sharded())),
			createIndex("kept", "t", bson.D{{"t", 1}}, e("expireAfterSeconds", 9)),
			collMod("kept", e("validator", bson.D{{"y", 1}})),
			collMod("capped", e("cappedMax", 7)),
		} {
			command(t, f.from, cmd)
		}
		f.catchUp()
		f.do(createIndex("kept", "later", bson.D{{"l", 1}}), collMod("kept", e("index", bson.D{{"name", "t"}, {"expireAfterSeconds", 10}})), collMod("capped", e("cappedSize", 16384)))
		f.finish()
		f.requireEqual()
		assert.Len(t, f.changer.Limits, map[bool]int{true: 1, false: 0}[f.changer.Relax])
	})
}

// One that is gone when it is looked for stays outside, and another one that got
// its name meanwhile comes in its own time.
func TestWhatHasGoneBeforeItEntersStaysOutside(t *testing.T) {
	entering(t, func(t *testing.T, f *follower) {
		f.do(create("kept"), create("tmp1"), create("tmp2"), create("tmp3"))
		f.renameAll("tmp1", "kept", "tmp2", "kept", "tmp3", "other")
		command(t, f.from, bson.D{{"drop", "other"}})
		f.catchUp()
		f.finish()
		f.requireEqual()
		for _, c := range f.changer.Collections {
			assert.Equal(t, c.Source == ns("kept") && !c.Dropped, c.Synced(), "%+v", c)
		}
	})
}

// What could not have been synced from the start does not enter either, and
// nothing is done.
func TestWhatCannotBeSyncedDoesNotEnter(t *testing.T) {
	entering(t, func(t *testing.T, f *follower) {
		f.do(create("kept"), create("tmp1", e("encryptedFields", bson.D{{"fields", bson.A{}}})))
		f.renameAll("tmp1", "kept")
		before := discover(t, f.changer.Client)
		for _, change := range f.changes() {
			out, err := f.changer.Apply(t.Context(), change)
			require.ErrorIs(t, err, topology.ErrUnsupportedChange)
			require.ErrorContains(t, err, "d.tmp1 becomes d.kept: d.kept uses queryable encryption")
			assert.Equal(t, topology.Outcome{}, out)
		}
		assert.Equal(t, before, discover(t, f.changer.Client))
	})
}

// One that was resharded before it was looked for enters under its new UUID.
func TestWhatIsReshardedBeforeItEnters(t *testing.T) {
	bubble(t, two(2, 2), func(t *testing.T, cl []*mongo.Client) {
		f := follow(t, cl[0], cl[1], true)
		defer f.close()
		f.leaveOutTemporary()
		f.do(create("tmp1"))
		f.admin(bson.D{{"shardCollection", "d.tmp1"}, {"key", bson.D{{"x", 1}}}})
		f.renameAll("tmp1", "kept")
		admin(t, cl[0], bson.D{{"reshardCollection", "d.kept"}, {"key", bson.D{{"y", 1}}}})
		var copied []shardferry.UUID
		for _, change := range f.changes() {
			out, err := f.changer.Apply(t.Context(), change)
			require.NoError(t, err)
			f.record(out)
			if out.Copy != nil {
				copied = append(copied, out.Copy.Collections[0].UUID)
			}
		}
		assert.Equal(t, []shardferry.UUID{find(t, discover(t, cl[0]), ns("kept")).UUID}, copied)
		f.finish()
		f.requireEqual()
	})
}
