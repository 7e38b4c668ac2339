package reverse_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/reverse"
	"github.com/shardferry/shardferry/topology"
)

var operators = [2]string{"root", "root"}

// The leg that flows back has the same collections with the ends swapped: found
// by the UUIDs of the cluster that takes writes, put by the keys of the other.
func TestTheWayBackIsTheWayForthTurnedRound(t *testing.T) {
	for name, shards := range map[string]int{"replica sets": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, shards, operators, func(t *testing.T, from, to *end) {
				leg := drained(t, from, to)
				armed, err := reverse.Arm(t.Context(), leg, from.our, to.our)
				require.NoError(t, err)
				assert.Equal(t, to.discover().ShardIDs(), armed.Shards)
				uuids := map[shardferry.Namespace]shardferry.UUID{}
				for _, c := range to.discover().Collections {
					uuids[c.NS] = c.UUID
				}
				got := map[string]shardferry.Collection{}
				for _, c := range armed.Collections {
					assert.Equal(t, uuids[c.Source], c.UUID)
					assert.Equal(t, c.Source, c.Destination)
					got[c.Source.Coll] = c
				}
				assert.Len(t, got, 3)
				assert.NotContains(t, got, "gone")
				assert.True(t, got["log"].Capped)
				assert.Equal(t, shards > 0, len(got[quotas.Coll].ShardKey) > 0)
			})
		})
	}
}

// changes lists the _ids of the inserts that a leg which starts at a time sees.
func changes(t *testing.T, e *end, after shardferry.ClusterTime) []string {
	t.Helper()
	_, err := mongoconn.Note(t.Context(), e.our, "moves shards that are idle")
	require.NoError(t, err)
	at := shardferry.Succ(after)
	stream, err := e.our.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetStartAtOperationTime(&at).SetMaxAwaitTime(time.Second))
	require.NoError(t, err)
	defer func() { assert.NoError(t, stream.Close(t.Context())) }()
	var ids []string
	for quietSince := time.Now(); time.Since(quietSince) < 5*time.Second; {
		if stream.TryNext(t.Context()) {
			ids = append(ids, stream.Current.Lookup("documentKey", "_id").String())
		}
		require.NoError(t, stream.Err())
	}
	return ids
}

// The leg that flows back begins after everything that came by the sync, and
// before the first write of an application: whatever the shard, and however soon
// after the destination was opened.
func TestWhatIsWrittenAfterArmingIsSeenAndNothingElse(t *testing.T) {
	for name, shards := range map[string]int{"replica sets": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, shards, operators, func(t *testing.T, from, to *end) {
				leg := drained(t, from, to)
				if shards > 0 {
					to.command("admin", bson.D{{"split", quotas.String()}, {"middle", bson.D{{"x", 0}}}})
					for i, x := range []int{-1, 1} {
						to.command("admin", bson.D{{"moveChunk", quotas.String()}, {"find", bson.D{{"x", x}}}, {"to", to.cluster.Shards()[i]}})
					}
				}
				sync := to.our.Database("d").Collection(quotas.Coll)
				_, err := sync.InsertMany(t.Context(), []any{bson.D{{"_id", "copied"}, {"x", -2}}, bson.D{{"_id", "applied"}, {"x", 2}}})
				require.NoError(t, err)

				armed, err := reverse.Arm(t.Context(), leg, from.our, to.our)
				require.NoError(t, err)
				assert.False(t, to.write(quotas, bson.D{{"_id", "early"}, {"x", 1}}), "arming opens nothing")
				require.NoError(t, mongoconn.SetWriteBlock(t.Context(), to.our, false))
				assert.True(t, to.write(quotas, bson.D{{"_id", "left"}, {"x", -1}}))
				assert.True(t, to.write(quotas, bson.D{{"_id", "right"}, {"x", 1}}))
				assert.ElementsMatch(t, []string{`"left"`, `"right"`}, changes(t, to, armed.Start))
			})
		})
	}
}

// picture is what arming must not change.
type picture struct{ from, to *topology.Cluster }

func look(from, to *end) picture { return picture{from.discover(), to.discover()} }

func TestArmingTwiceChangesNothing(t *testing.T) {
	bubble(t, 2, operators, func(t *testing.T, from, to *end) {
		leg := drained(t, from, to)
		before := look(from, to)
		first, err := reverse.Arm(t.Context(), leg, from.our, to.our)
		require.NoError(t, err)
		second, err := reverse.Arm(t.Context(), leg, from.our, to.our)
		require.NoError(t, err)
		assert.False(t, second.Start.Before(first.Start))
		assert.Equal(t, &state.Armed{Start: second.Start, Shards: first.Shards, Collections: first.Collections}, second)
		assert.Equal(t, before, look(from, to))
		require.NoError(t, mongoconn.SetWriteBlock(t.Context(), to.our, false))
		to.write(quotas, bson.D{{"_id", "first"}, {"x", 1}})
		assert.Equal(t, changes(t, to, first.Start), changes(t, to, second.Start), "either will do")
	})
}

// A way back that cannot be armed is an error that says why, and both clusters
// stay as they were: equal and blocked.
func TestAFailureLeavesBothClustersAsTheyWere(t *testing.T) {
	drop := func(e *end) { e.command("d", bson.D{{"drop", "plain"}}) }
	for name, c := range map[string]struct {
		spoil func(from, to *end)
		want  string
	}{
		"the destination cannot be read": {func(_, to *end) { to.fails("listCollections") }, "read the destination"},
		"the source cannot be read":      {func(from, _ *end) { from.fails("listCollections") }, "read the source"},
		"the destination takes no note":  {func(_, to *end) { to.fails("appendOplogNote") }, "note the start of the way back"},
		"lost on the destination":        {func(_, to *end) { drop(to) }, "d.plain is gone from the destination"},
		"lost on the source":             {func(from, _ *end) { drop(from) }, "d.plain is gone from the source"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, operators, func(t *testing.T, from, to *end) {
				leg := drained(t, from, to)
				c.spoil(from, to)
				armed, err := reverse.Arm(t.Context(), leg, from.our, to.our)
				require.ErrorContains(t, err, c.want)
				assert.Nil(t, armed, "half a way back must not be recorded")
				for _, e := range []*end{from, to} {
					assert.False(t, e.write(quotas, bson.D{{"_id", 1}}), "still blocked")
				}
			})
		})
	}
}
