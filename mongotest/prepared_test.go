package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// A transaction on two shards whose cluster is killed in the middle of the commit
// is there as a whole if its commit had been decided, whoever has heard of that,
// and not at all otherwise. Its client may ask again.
func TestTransactionOnTwoShardsIsWhole(t *testing.T) {
	for name, cut := range map[string]struct{ decided, heard bool }{
		"prepared": {}, "decided": {decided: true}, "committed": {decided: true, heard: true},
	} {
		t.Run(name, func(t *testing.T) {
			session := bson.E{Key: "lsid", Value: bson.D{{"id", bson.Binary{Subtype: 4, Data: []byte{1, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}}}}}
			inTxn := func(cmd bson.D) bson.D {
				return append(cmd, session, bson.E{Key: "txnNumber", Value: int64(1)}, bson.E{Key: "autocommit", Value: false})
			}
			commit := inTxn(bson.D{{"commitTransaction", 1}})
			whole := []bson.D{{{"_id", int32(1)}}, {{"_id", int32(2)}, {"new", true}}, {{"_id", int32(11)}}, {{"_id", int32(12)}, {"new", true}}}
			want := []bson.D{{{"_id", int32(2)}}, {{"_id", int32(12)}}}
			if cut.decided {
				want = whole
			}
			lives(t, mongotest.Options{Shards: 2},
				func(t *testing.T, c *mongotest.Cluster) {
					cl, done := connect(t, c)
					defer done()
					raw(t, cl, "admin", bson.D{{"enableSharding", "d"}, {"primaryShard", "shard0"}})
					raw(t, cl, "admin", bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}})
					raw(t, cl, "admin", bson.D{{"moveRange", "d.c"}, {"min", bson.D{{"_id", 10}}}, {"toShard", "shard1"}})
					_, err := cl.Database("d").Collection("c").InsertMany(t.Context(), []any{bson.D{{"_id", 2}}, bson.D{{"_id", 12}}})
					require.NoError(t, err)
					plain(t, c, "d", append(inTxn(bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 1}}, bson.D{{"_id", 11}}}}}), bson.E{Key: "startTransaction", Value: true}))
					for _, id := range []int{2, 12} {
						plain(t, c, "d", inTxn(bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", id}}}, {"u", bson.D{{"$set", bson.D{{"new", true}}}}}}}}}))
					}
					if !cut.decided {
						addr, err := c.Addr("shard0")
						require.NoError(t, err)
						failPoint(t, c, addr, "hangBeforeWritingDecision", "alwaysOn", nil)
					}
					c.SetFaults(mongotest.Faults{Route: func(cmd mongotest.Command) mongotest.Fault {
						return mongotest.Fault{DropRequest: cmd.Name == "commitTransaction" && !cut.heard}
					}})
					reply := answer(t, c, "admin", append(commit[:len(commit):len(commit)], bson.E{Key: "maxTimeMS", Value: 100}))
					assert.Equal(t, cut.heard, reply.Lookup("ok").Double() > 0, "%s", reply)
				},
				func(t *testing.T, c *mongotest.Cluster) {
					cl, done := connect(t, c)
					defer done()
					coll := cl.Database("d").Collection("c")
					assert.Equal(t, want, all(t, coll))
					again := answer(t, c, "admin", append(commit, bson.E{Key: "recoveryToken", Value: bson.D{{"recoveryShardId", "shard1"}}}))
					assert.Equal(t, cut.decided, again.Lookup("ok").Double() > 0, "%s", again)
					_, err := coll.UpdateMany(t.Context(), bson.D{}, bson.D{{"$set", bson.D{{"after", true}}}})
					require.NoError(t, err, "nothing holds the documents")
				},
				func(t *testing.T, c *mongotest.Cluster) {
					cl, done := connect(t, c)
					defer done()
					var docs []bson.D
					cur, err := cl.Database("d").Collection("c").Aggregate(t.Context(), mongo.Pipeline{{{"$sort", bson.D{{"_id", 1}}}}, {{"$unset", "after"}}})
					require.NoError(t, err)
					require.NoError(t, cur.All(t.Context(), &docs))
					assert.Equal(t, want, docs)
				})
		})
	}
}
