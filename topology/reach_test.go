package topology_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/topology"
)

// A worker that was paused goes on to write after its successor has closed its
// sessions: whichever shard the write is for, and whichever router it goes through,
// it is refused.
func TestWhatIsSentInAClosedSessionIsRefused(t *testing.T) {
	for _, version := range []string{"6.0", "7.0", "8.0"} {
		for _, shards := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s/%d shards", version, shards), func(t *testing.T) {
				opts := mongotest.Options{Shards: shards, Mongos: min(shards, 2), Version: version}
				disturbed(t, []mongotest.Options{opts}, func(t *testing.T, cl []*mongo.Client, on []*mongotest.Cluster) {
					run := func(db string, cmd bson.D) { require.NoError(t, cl[0].Database(db).RunCommand(t.Context(), cmd).Err()) }
					c := cl[0].Database("d").Collection("c")
					for i := range 3 {
						_, err := c.InsertOne(t.Context(), bson.D{{"_id", i}})
						require.NoError(t, err)
					}
					kind := topology.ReplicaSet
					if shards > 0 {
						kind = topology.Sharded
						run("admin", bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}})
						for i, s := range on[0].Shards() {
							if i > 0 {
								run("admin", bson.D{{"split", "d.c"}, {"middle", bson.D{{"_id", i}}}})
							}
							run("admin", bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"_id", i}}}, {"to", s}, {"_waitForDelete", true}})
						}
					}
					session, err := cl[0].StartSession()
					require.NoError(t, err)
					defer session.EndSession(t.Context())
					write := func(in *mongo.Session, id int, number int64) error {
						update := bson.D{{"q", bson.D{{"_id", id}}}, {"u", bson.D{{"$set", bson.D{{"n", number}}}}}}
						return cl[0].Database("d").RunCommand(mongo.NewSessionContext(t.Context(), in), bson.D{{"update", "c"}, {"updates", bson.A{update}}, {"txnNumber", number}}).Err()
					}
					require.NoError(t, write(session, 0, 50), "before it is closed; the others have not seen the session yet")

					reach, err := topology.Reach(t.Context(), cl[0], kind)
					require.NoError(t, err)
					closer, err := mongoconn.NewCloser(t.Context(), mongoconn.Config{URI: on[0].URI(), Dialer: on[0].Dialer()})
					require.NoError(t, err)
					require.NoError(t, closer.Close(t.Context(), []bson.Raw{session.ID()}, 100, reach))
					require.NoError(t, closer.Close(t.Context(), []bson.Raw{session.ID()}, 90, reach), "one closed by a later successor is closed")
					require.NoError(t, closer.Disconnect(t.Context()))

					another, err := cl[0].StartSession()
					require.NoError(t, err)
					defer another.EndSession(t.Context())
					for id := range 3 {
						assert.True(t, mongoconn.IsCode(write(session, id, 60), mongoconn.CodeTransactionTooOld), "document %d", id)
						assert.NoError(t, write(another, id, 60), "document %d", id)
					}
				})
			})
		}
	}
}

// Every shard is reached that is a database's primary or owns a chunk, and none
// twice without need.
func TestReachAsksEveryShardThatMayHoldData(t *testing.T) {
	bubble(t, []mongotest.Options{{Shards: 3}}, func(t *testing.T, cl []*mongo.Client) {
		reach, err := topology.Reach(t.Context(), cl[0], topology.Sharded)
		require.NoError(t, err)
		assert.Empty(t, reach, "there is nothing to be reached yet")
		for db, shard := range map[string]string{"d": "shard0", "e": "shard0"} {
			require.NoError(t, cl[0].Database("admin").RunCommand(t.Context(), bson.D{{"enableSharding", db}, {"primaryShard", shard}}).Err())
		}
		require.NoError(t, cl[0].Database("admin").RunCommand(t.Context(), bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}}).Err())
		require.NoError(t, cl[0].Database("admin").RunCommand(t.Context(), bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"_id", 1}}}, {"to", "shard2"}}).Err())
		reach, err = topology.Reach(t.Context(), cl[0], topology.Sharded)
		require.NoError(t, err)
		assert.Len(t, reach, 2)
		assert.Contains(t, reach, shardferry.Namespace{DB: "d", Coll: "c"})
	})
}
