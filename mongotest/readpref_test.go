package mongotest_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/tag"

	"github.com/shardferry/shardferry/mongotest"
)

// asked notes which members the routers ask for what.
type asked struct {
	mu  sync.Mutex
	all map[string][]string // by command
}

func watchRoutes(c *mongotest.Cluster) *asked {
	a := &asked{all: map[string][]string{}}
	c.SetFaults(mongotest.Faults{Route: func(cmd mongotest.Command) mongotest.Fault {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all[cmd.Name] = append(a.all[cmd.Name], cmd.Addr)
		return mongotest.Fault{}
	}})
	return a
}

func (a *asked) take(name string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	addrs := a.all[name]
	a.all[name] = nil
	return addrs
}

func secondariesOf(t *testing.T, c *mongotest.Cluster, shard string) []string {
	t.Helper()
	primary, err := c.Addr(shard)
	require.NoError(t, err)
	members, err := c.Members(shard)
	require.NoError(t, err)
	var out []string
	for _, m := range members {
		if m != primary {
			out = append(out, m)
		}
	}
	return out
}

// Reads through a router go to the members that the client prefers, and their
// cursors stay there.
func TestARouterHonoursReadPreferences(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Members: 3}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		shardHashed(t, cl, "d.c")
		docs := make([]any, 300)
		for i := range docs {
			docs[i] = bson.D{{"_id", i}}
		}
		_, err := cl.Database("d").Collection("c").InsertMany(ctx, docs)
		require.NoError(t, err)
		a := watchRoutes(c)
		with := func(p *readpref.ReadPref) *mongo.Collection {
			return cl.Database("d").Collection("c", options.Collection().SetReadPreference(p))
		}
		secondaries := append(secondariesOf(t, c, "shard0"), secondariesOf(t, c, "shard1")...)

		cur, err := with(readpref.Secondary()).Find(ctx, bson.D{}, options.Find().SetBatchSize(50))
		require.NoError(t, err)
		var got []bson.Raw
		require.NoError(t, cur.All(ctx, &got))
		assert.Len(t, got, 300)
		opened := a.take("find")
		assert.Len(t, opened, 2)
		assert.Subset(t, secondaries, opened)
		assert.Subset(t, opened, a.take("getMore"))

		n, err := with(readpref.Secondary()).CountDocuments(ctx, bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(300), n)
		assert.Subset(t, secondaries, a.take("aggregate"))
		_, err = with(readpref.SecondaryPreferred()).InsertOne(ctx, bson.D{{"_id", 1000}})
		require.NoError(t, err)
		assert.NotSubset(t, secondaries, a.take("insert"))
		require.NoError(t, with(readpref.Primary()).FindOne(ctx, bson.D{{"_id", 1}}).Err())
		assert.NotSubset(t, secondaries, a.take("find"))
		_, err = with(readpref.Secondary()).Aggregate(ctx, mongo.Pipeline{{{"$match", bson.D{{"_id", 1}}}}, {{"$out", "o"}}})
		require.NoError(t, err)
		assert.NotSubset(t, secondaries, a.take("aggregate"))

		began := time.Now()
		err = with(readpref.Secondary(readpref.WithTags("dc", "east"))).FindOne(ctx, bson.D{{"_id", 1}}).Err()
		var ce mongo.CommandError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, int32(133), ce.Code)
		assert.Contains(t, ce.Message, `Could not find host matching read preference { mode: "secondary", tags: [ { dc: "east" } ] } for set shard`)
		assert.Greater(t, time.Since(began), 5*time.Second, "somebody might have come")
		require.NoError(t, with(readpref.SecondaryPreferred(readpref.WithTags("dc", "east"))).FindOne(ctx, bson.D{{"_id", 1}}).Err())
		require.NoError(t, with(readpref.Secondary(readpref.WithTagSets(tag.Set{{Name: "dc", Value: "east"}}, tag.Set{}))).FindOne(ctx, bson.D{{"_id", 1}}).Err())

		for code, pref := range map[int32]bson.D{
			2:   {{"mode", "sometimes"}},
			4:   {{"tags", bson.A{}}},
			14:  {{"mode", "secondary"}, {"tags", 1}},
			160: {{"mode", "secondary"}, {"maxStalenessSeconds", 89}},
		} {
			err := cl.Database("d").RunCommand(ctx, bson.D{{"find", "c"}, {"$readPreference", pref}}).Err()
			require.ErrorAs(t, err, &ce, "%v", pref)
			assert.Equal(t, code, ce.Code, "%v", err)
		}
	})
}

// A secondary that is behind answers with what it has, unless the client asks for
// more, or for one that is not so far behind.
func TestReadsFromASecondaryThatIsBehind(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 1, Members: 3}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertOne(ctx, bson.D{{"_id", 1}})
		require.NoError(t, err)
		secondaries := secondariesOf(t, c, "shard0")
		require.NoError(t, c.Isolate(ctx, secondaries[1]))
		require.NoError(t, c.StopReplication(secondaries[0]))
		_, err = cl.Database("d").Collection("c", options.Collection().SetWriteConcern(writeconcern.W1())).InsertOne(ctx, bson.D{{"_id", 2}})
		require.NoError(t, err)
		count := func(p *readpref.ReadPref, level *readconcern.ReadConcern) (int64, error) {
			o := options.Collection().SetReadPreference(p).SetReadConcern(level)
			return cl.Database("d").Collection("c", o).CountDocuments(ctx, bson.D{})
		}
		for level, want := range map[*readconcern.ReadConcern]int64{readconcern.Local(): 1, readconcern.Available(): 1, readconcern.Majority(): 1} {
			n, err := count(readpref.Secondary(), level)
			require.NoError(t, err)
			assert.Equal(t, want, n, level.Level)
		}
		n, err := count(readpref.Primary(), readconcern.Local())
		require.NoError(t, err)
		assert.Equal(t, int64(2), n)

		_, err = count(readpref.Secondary(), readconcern.Linearizable())
		require.ErrorContains(t, err, "linearizable")
		causal := bson.D{{"find", "c"}, {"$readPreference", bson.D{{"mode", "secondary"}}}, {"maxTimeMS", 500}, {"readConcern", bson.D{{"afterClusterTime", c.ClusterTime()}}}}
		var ce mongo.CommandError
		require.ErrorAs(t, cl.Database("d").RunCommand(ctx, causal).Err(), &ce)
		assert.Equal(t, int32(50), ce.Code)

		fresh := func(mode readpref.Mode) *readpref.ReadPref {
			p, err := readpref.New(mode, readpref.WithMaxStaleness(120*time.Second))
			require.NoError(t, err)
			return p
		}
		n, err = count(fresh(readpref.SecondaryPreferredMode), readconcern.Local())
		require.NoError(t, err)
		assert.Equal(t, int64(1), n, "not stale yet")
		pass(4 * time.Minute) // the primary's no-ops tell how old the secondary is
		n, err = count(fresh(readpref.SecondaryPreferredMode), readconcern.Local())
		require.NoError(t, err)
		assert.Equal(t, int64(2), n, "from the primary")
		_, err = count(fresh(readpref.SecondaryMode), readconcern.Local())
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, int32(133), ce.Code)

		require.NoError(t, c.ResumeReplication(secondaries[0]))
		n, err = count(readpref.Secondary(), readconcern.Majority())
		require.NoError(t, err)
		assert.Equal(t, int64(2), n)
	})
}
