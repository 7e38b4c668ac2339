package mongotest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// failPoint configures one at a process.
func failPoint(t *testing.T, c *mongotest.Cluster, addr, name string, mode any, data bson.D) {
	t.Helper()
	direct, err := mongo.Connect(options.Client().SetHosts([]string{addr}).SetDirect(true).SetDialer(c.Dialer()))
	require.NoError(t, err)
	defer func() { require.NoError(t, direct.Disconnect(t.Context())) }()
	cmd := bson.D{{"configureFailPoint", name}, {"mode", mode}}
	if data != nil {
		cmd = append(cmd, bson.E{Key: "data", Value: data})
	}
	require.NoError(t, direct.Database("admin").RunCommand(t.Context(), cmd).Err())
}

// What routers send to shards fails only with failInternalCommands.
func TestAFailPointOfAShardMeetsItsRouters(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 1}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shard, err := c.Addr(c.Shards()[0])
		require.NoError(t, err)
		_, err = cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{})
		require.NoError(t, err)
		count := func() error {
			return cl.Database("d").RunCommand(t.Context(), bson.D{{"count", "c"}}).Err()
		}
		fail := bson.D{{"failCommands", bson.A{"count", "aggregate"}}, {"errorCode", 96}}
		failPoint(t, c, shard, "failCommand", "alwaysOn", fail)
		require.NoError(t, count())
		failPoint(t, c, shard, "failCommand", "alwaysOn", append(fail, bson.E{Key: "failInternalCommands", Value: true}))
		var e mongo.CommandError
		require.ErrorAs(t, count(), &e)
		assert.EqualValues(t, 96, e.Code)
		failPoint(t, c, shard, "failCommand", "off", nil)
		require.NoError(t, count())
	})
}

func TestFailPointsOfStatementsFailThem(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		addr := c.Addrs()[0]
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		for point, write := range map[string]func() error{
			"failAllInserts": func() error { _, err := coll.InsertOne(t.Context(), bson.D{{"_id", 2}}); return err },
			"failAllUpdates": func() error {
				_, err := coll.UpdateOne(t.Context(), bson.D{{"_id", 1}}, bson.D{{"$set", bson.D{{"a", 1}}}})
				return err
			},
			"failAllRemoves": func() error { _, err := coll.DeleteOne(t.Context(), bson.D{{"_id", 3}}); return err },
		} {
			require.NoError(t, write())
			failPoint(t, c, addr, point, bson.D{{"times", 1}}, nil)
			var e mongo.WriteException
			require.ErrorAs(t, write(), &e, point)
			assert.Contains(t, e.Error(), point)
			if point != "failAllInserts" {
				require.NoError(t, write(), point)
			}
		}
	})
}

func TestAFailPointMakesATransactionConflict(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		coll := cl.Database("d").Collection("c")
		session, err := cl.StartSession()
		require.NoError(t, err)
		defer session.EndSession(t.Context())
		failPoint(t, c, c.Addrs()[0], "WTWriteConflictException", bson.D{{"times", 2}}, nil)
		tries := 0
		_, err = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
			tries++
			return coll.InsertOne(ctx, bson.D{{"_id", 1}})
		})
		require.NoError(t, err)
		assert.Equal(t, 3, tries, "the driver repeats what conflicted")
	})
}

// The fail points by which the server's own tests hold a secondary back.
func TestFailPointsStopReplication(t *testing.T) {
	for _, point := range []string{"rsSyncApplyStop", "stopReplProducer"} {
		trio(t, func(t *testing.T, s *set) {
			require.NoError(t, s.insert(1))
			failPoint(t, s.c, s.addrs[1], point, "alwaysOn", nil)
			failPoint(t, s.c, s.addrs[2], point, "alwaysOn", nil)
			blocked := make(chan error, 1)
			go func() { blocked <- s.insert(2) }()
			pass(time.Minute)
			assert.Empty(t, blocked)
			assert.Equal(t, []int32{1}, s.ids(secondary()))
			failPoint(t, s.c, s.addrs[2], point, "off", nil)
			require.NoError(t, <-blocked)
		})
	}
}
