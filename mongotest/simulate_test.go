package mongotest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// An active disturbance as {simulate: "list"} has it.
type active struct {
	ID       int
	Simulate string
	From     string
	Until    time.Time
}

// simulate runs the command.
func simulate(t *testing.T, cl *mongo.Client, kind any, fields ...bson.E) (bson.Raw, error) {
	t.Helper()
	return cl.Database("admin").RunCommand(t.Context(), append(bson.D{{"simulate", kind}}, fields...)).Raw()
}

func listed(t *testing.T, cl *mongo.Client) []active {
	t.Helper()
	raw, err := simulate(t, cl, "list")
	require.NoError(t, err)
	var reply struct{ Active []active }
	require.NoError(t, bson.Unmarshal(raw, &reply))
	return reply.Active
}

func TestTheCommandSimulateBeginsListsAndEnds(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 1, Members: 3, FaultCommands: true}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		shard := c.Shards()[0]
		reply, err := simulate(t, cl, "partition", bson.E{Key: "from", Value: shard + "/primary"}, bson.E{Key: "to", Value: "config"})
		require.NoError(t, err)
		first := int(reply.Lookup("id").Int32())
		_, err = simulate(t, cl, "lag", bson.E{Key: "process", Value: shard + "/secondaries"}, bson.E{Key: "seconds", Value: 10})
		require.NoError(t, err)
		list := listed(t, cl)
		require.Len(t, list, 2)
		assert.Equal(t, active{ID: first, Simulate: "partition", From: shard + "/primary"}, list[0])
		assert.Equal(t, 10*time.Second, time.Until(list[1].Until).Round(time.Second))
		pass(11 * time.Second)
		assert.Len(t, listed(t, cl), 1, "the time of the other one is over")
		_, err = simulate(t, cl, "partition", bson.E{Key: "from", Value: shard + "/primary"}, bson.E{Key: "to", Value: "config"})
		assert.Equal(t, 2, code(err), "it lasts already: %v", err)
		_, err = simulate(t, cl, "pause", bson.E{Key: "process", Value: shard + "/primary"})
		require.NoError(t, err)
		_, err = simulate(t, cl, "heal", bson.E{Key: "id", Value: first})
		require.NoError(t, err)
		assert.Len(t, listed(t, cl), 1)
		_, err = simulate(t, cl, "heal", bson.E{Key: "id", Value: first})
		assert.Equal(t, 4, code(err), "NoSuchKey: %v", err)
		_, err = simulate(t, cl, "heal")
		require.NoError(t, err)
		assert.Empty(t, listed(t, cl))
		_, err = cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{})
		require.NoError(t, err)
	})
}

// Who has paused the only process can still say that it may go on.
func TestSimulateIsHeardByAPausedProcess(t *testing.T) {
	bubble(t, mongotest.Options{FaultCommands: true}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		require.NoError(t, cl.Ping(t.Context(), nil))
		_, err := simulate(t, cl, "pause", bson.E{Key: "process", Value: c.Addrs()[0]})
		require.NoError(t, err)
		_, err = simulate(t, cl, "heal")
		require.NoError(t, err)
		require.NoError(t, cl.Ping(t.Context(), nil))
	})
}

func TestSimulateNamesWhatIsWrong(t *testing.T) {
	bubble(t, mongotest.Options{Members: 3, FaultCommands: true}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		e := func(k string, v any) bson.E { return bson.E{Key: k, Value: v} }
		for what, cmd := range map[string]struct {
			code   int
			kind   any
			fields bson.D
		}{
			"flood":                {2, "flood", nil},
			"simulate.simulate":    {14, 1, nil},
			"simulate.to":          {40414, "partition", bson.D{e("from", "rs0")}},
			"simulate.from":        {14, "partition", bson.D{e("from", 1), e("to", "rs0")}},
			"simulate.oneWay":      {14, "partition", bson.D{e("from", "rs0"), e("to", "rs0"), e("oneWay", "yes")}},
			"simulate.both":        {40415, "partition", bson.D{e("from", "rs0"), e("to", "rs0"), e("both", true)}},
			"from: there is no":    {2, "partition", bson.D{e("from", "rs9"), e("to", "rs0")}},
			"to: clients":          {2, "partition", bson.D{e("from", "rs0"), e("to", "clients")}},
			"seconds":              {2, "partition", bson.D{e("from", "rs0"), e("to", "rs0"), e("seconds", -1)}},
			"simulate.delayMS":     {40414, "delay", bson.D{e("from", "rs0"), e("to", "rs0")}},
			"delayMS":              {2, "delay", bson.D{e("from", "rs0"), e("to", "rs0"), e("delayMS", 0)}},
			"probability":          {2, "drop", bson.D{e("from", "clients"), e("to", "rs0"), e("probability", 2)}},
			"process":              {2, "pause", bson.D{e("process", "nowhere:1")}},
			"no part":              {2, "crash", bson.D{e("process", "rs0/third")}},
			"skewMS":               {2, "clockSkew", bson.D{e("process", "rs0"), e("skewMS", 0)}},
			"lagMS":                {2, "lag", bson.D{e("process", "rs0"), e("lagMS", -1)}},
			"shard":                {2, "freezeMajority", bson.D{e("shard", "rs1")}},
			"truncate":             {2, "oplog", bson.D{e("shard", "rs0")}},
			"entries":              {2, "oplog", bson.D{e("shard", "rs0"), e("entries", -1)}},
			"bytes":                {2, "oplog", bson.D{e("shard", "rs0"), e("bytes", -1)}},
			"shard: mongotest":     {2, "stepDown", bson.D{e("shard", "rs1")}},
			"is the primary":       {2, "freeze", bson.D{e("process", "rs0")}},
			"simulate.id":          {14, "heal", bson.D{e("id", "x")}},
			"simulate.everything":  {40415, "list", bson.D{e("everything", true)}},
			"simulate.probability": {14, "drop", bson.D{e("from", "clients"), e("to", "rs0"), e("probability", "1")}},
		} {
			_, err := simulate(t, cl, cmd.kind, cmd.fields...)
			require.Error(t, err, what)
			assert.Equal(t, cmd.code, code(err), "%s: %v", what, err)
			require.ErrorContains(t, err, what)
			assert.Empty(t, listed(t, cl), what)
		}
		assert.Equal(t, 13, code(cl.Database("d").RunCommand(t.Context(), bson.D{{"simulate", "list"}}).Err()), "only in admin")
	})
}

func TestSimulateIsUnknownUnlessTheClusterAllowsIt(t *testing.T) {
	for _, shards := range []int{0, 1} {
		bubble(t, mongotest.Options{Shards: shards}, func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			_, err := simulate(t, cl, "list")
			assert.Equal(t, 59, code(err), "CommandNotFound: %v", err)
		})
	}
}

func TestSimulateNeedsARight(t *testing.T) {
	users := []mongotest.User{
		{Name: "reader", Password: "x", Roles: []mongotest.Role{{Role: "readAnyDatabase"}}},
		{Name: "host", Password: "x", Roles: []mongotest.Role{{Role: "hostManager"}}},
	}
	bubble(t, mongotest.Options{Users: users, RequireAuth: true, FaultCommands: true}, func(t *testing.T, c *mongotest.Cluster) {
		for name, want := range map[string]int{"reader": 13, "host": 0} {
			o := c.ClientOptions()
			cl, err := mongo.Connect(o.SetAuth(options.Credential{Username: name, Password: "x"}))
			require.NoError(t, err)
			_, err = simulate(t, cl, "list")
			assert.Equal(t, want, code(err), "%s: %v", name, err)
			require.NoError(t, cl.Disconnect(t.Context()))
		}
	})
}
