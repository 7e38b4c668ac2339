package mongotest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// hello tells a client what it talks to.
func TestHello(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  mongotest.Options
		wire  int32
		field string
		value any
	}{
		"replica set": {mongotest.Options{}, 25, "setName", "rs0"},
		"router":      {mongotest.Options{Shards: 1}, 25, "msg", "isdbgrid"},
		"7.0":         {mongotest.Options{Version: "7.0.14"}, 21, "setName", "rs0"},
		"a series":    {mongotest.Options{Version: "7.0"}, 21, "setName", "rs0"},
		"6.0 router":  {mongotest.Options{Shards: 1, Version: "6.0.5"}, 17, "msg", "isdbgrid"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tc.opts, func(t *testing.T, c *mongotest.Cluster) {
				cl, done := connect(t, c)
				defer done()
				var hello bson.M
				require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{{"hello", 1}}).Decode(&hello))
				assert.Equal(t, tc.wire, hello["maxWireVersion"])
				assert.Equal(t, tc.value, hello[tc.field])
				assert.Equal(t, true, hello["isWritablePrimary"])
				assert.Contains(t, hello, "operationTime")
				assert.Contains(t, hello, "$clusterTime")
			})
		})
	}
}

// A client that streams hello hears of a step-down at once, not at its next
// heartbeat.
func TestStreamedHelloTellsOfAStepDown(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c, options.Client().SetServerMonitoringMode("stream").SetHeartbeatInterval(time.Hour))
		defer done()
		coll := cl.Database("d").Collection("c", options.Collection())
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		require.NoError(t, c.StepDown(t.Context(), "rs0", 15*time.Second))
		synctest.Wait()
		start := time.Now()
		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 2}})
		require.NoError(t, err)
		assert.InDelta(t, 15, time.Since(start).Seconds(), 2)
	})
}

// Causally consistent sessions read their own writes through any router.
func TestReadYourWritesThroughAnotherRouter(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shardHashed(t, cl, "d.c")
		coll := cl.Database("d").Collection("c")
		s, err := cl.StartSession()
		require.NoError(t, err)
		defer s.EndSession(t.Context())
		ctx := mongo.NewSessionContext(t.Context(), s)
		for i := range 20 {
			_, err := coll.InsertOne(ctx, bson.D{{"_id", i}})
			require.NoError(t, err)
			n, err := coll.CountDocuments(ctx, bson.D{})
			require.NoError(t, err)
			require.Equal(t, int64(i+1), n)
		}
		assert.NotZero(t, s.OperationTime())
		assert.NotEmpty(t, s.ClusterTime())
	})
}

// The fence of a cutover: a note on every shard, repeated with maxClusterTime
// until all are past it.
func TestOplogNoteReachesEveryShard(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 3}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		reply, err := cl.Database("admin").RunCommand(t.Context(), bson.D{
			{"appendOplogNote", 1}, {"data", bson.D{{"msg", "fence"}}},
		}).Raw()
		require.NoError(t, err)
		var at bson.Timestamp
		at.T, at.I = reply.Lookup("operationTime").Timestamp()
		for _, id := range c.Shards() {
			_, last, err := c.OplogWindow(id)
			require.NoError(t, err)
			assert.InDelta(t, at.T, last.T, 1, id)
		}
		err = cl.Database("admin").RunCommand(t.Context(), bson.D{
			{"appendOplogNote", 1}, {"data", bson.D{{"msg", "fence"}}}, {"maxClusterTime", bson.Timestamp{T: 1, I: 1}},
		}).Err()
		assertCode(t, 209, err)
	})
}

// connectionStatus says who is logged in, on a member and on a router.
func TestConnectionStatus(t *testing.T) {
	users := []mongotest.User{{Name: "sync", Password: "pw", Roles: []mongotest.Role{{Role: "restore"}, {Role: "read", DB: "app"}}}}
	for name, shards := range map[string]int{"replica set": 0, "sharded": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: shards, Users: users}, func(t *testing.T, c *mongotest.Cluster) {
				type names []struct{ User, Role, DB string }
				status := func(more ...*options.ClientOptions) (u, r names) {
					cl, done := connect(t, c, more...)
					defer done()
					var reply struct {
						Info struct {
							Users names `bson:"authenticatedUsers"`
							Roles names `bson:"authenticatedUserRoles"`
						} `bson:"authInfo"`
					}
					require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{{"connectionStatus", 1}}).Decode(&reply))
					return reply.Info.Users, reply.Info.Roles
				}
				u, r := status()
				assert.Empty(t, u)
				assert.Empty(t, r)
				u, r = status(login("sync"))
				assert.Equal(t, names{{User: "sync", DB: "admin"}}, u)
				assert.Equal(t, names{{Role: "restore", DB: "admin"}, {Role: "read", DB: "app"}}, r)
			})
		})
	}
}
