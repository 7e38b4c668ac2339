package topology_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// A leader is held up right before it drops or renames a collection. Another one
// has done that meanwhile, and has gone on to make a collection of that name anew:
// nothing happens to it.
func TestALeaderThatWasHeldUpDropsNothing(t *testing.T) {
	for name, cmd := range map[string]bson.D{
		"drop":   {{"drop", "c"}},
		"rename": {{"renameCollection", "d.c"}, {"to", "d.e"}},
	} {
		for _, shards := range []int{0, 2} {
			t.Run(name, func(t *testing.T) {
				opts := mongotest.Options{Shards: shards}
				bubble(t, []mongotest.Options{opts, opts}, func(t *testing.T, cl []*mongo.Client) {
					f := follow(t, cl[0], cl[1], false)
					defer f.close()
					f.do(bson.D{{"create", "c"}})
					there := cl[1].Database("d").Collection("c")
					f.changer.StillLeads = func(ctx context.Context) error {
						require.NoError(t, there.Drop(ctx))
						_, err := there.InsertOne(ctx, bson.D{{"_id", "of the next leader"}})
						return err
					}
					on := "d"
					if name == "rename" {
						on = "admin"
					}
					require.NoError(t, cl[0].Database(on).RunCommand(t.Context(), cmd).Err())
					changes := f.changes()
					require.Len(t, changes, 1)
					_, err := f.changer.Apply(t.Context(), changes[0])
					require.ErrorIs(t, err, mongoconn.ErrPasses, "the next look tells")
					n, err := there.CountDocuments(t.Context(), bson.D{})
					require.NoError(t, err)
					assert.EqualValues(t, 1, n)

					// Who knows that he leads no more does not even try.
					f.changer.StillLeads = func(context.Context) error { return shardferry.ErrNotLeader }
					_, err = f.changer.Apply(t.Context(), changes[0])
					require.ErrorIs(t, err, shardferry.ErrNotLeader)
					n, err = there.CountDocuments(t.Context(), bson.D{})
					require.NoError(t, err)
					assert.EqualValues(t, 1, n)
				})
			})
		}
	}
}
