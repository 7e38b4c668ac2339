package mongotest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/shardferry/shardferry/mongotest"
)

// One router does not reach a shard; the other router does, and the other shard is
// there for both.
func TestAPartitionBetweenARouterAndAShard(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		routers := c.Addrs()[:2]
		other, done := direct(t, c, routers[1])
		defer done()
		heal := disturb(t, c, mongotest.Partition{From: routers[0], To: c.Shards()[0]})
		_, err := count(t.Context(), cl, "a")
		assert.Equal(t, 6, code(err), "HostUnreachable: %v", err)
		for router, db := range map[*mongo.Client]string{cl: "b", other: "a"} {
			n, err := count(t.Context(), router, db)
			require.NoError(t, err)
			assert.EqualValues(t, 1, n)
		}
		heal()
		_, err = count(t.Context(), cl, "a")
		require.NoError(t, err)

		heal = disturb(t, c, mongotest.Partition{From: routers[0], To: c.Shards()[0], Silent: true})
		answered := make(chan error, 1)
		go func() { _, err := count(t.Context(), cl, "a"); answered <- err }()
		pass(time.Minute)
		assert.Empty(t, answered, "what is lost without a sound is waited for")
		heal()
		require.NoError(t, <-answered)
	})
}

// A router that does not reach the config server routes on, but changes nothing
// that is kept there.
func TestARouterWithoutTheConfigServerChangesNoCatalog(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		shardIt := func() error {
			return cl.Database("admin").RunCommand(t.Context(), bson.D{{"shardCollection", "a.s"}, {"key", bson.D{{"k", 1}}}}).Err()
		}
		heal := disturb(t, c, mongotest.Partition{From: c.Addrs()[0], To: "config"})
		_, err := count(t.Context(), cl, "a")
		require.NoError(t, err)
		assert.Equal(t, 6, code(shardIt()))
		heal()
		require.NoError(t, shardIt())
	})
}

// A router goes on with the old primary as long as it reaches no other one.
func TestARouterOnTheWrongSideWritesToTheOldPrimary(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		shard := c.Shards()[0]
		members, err := c.Members(shard)
		require.NoError(t, err)
		other, done := direct(t, c, c.Addrs()[1])
		defer done()
		heal1 := disturb(t, c, mongotest.Partition{From: members[0], To: shard + "/secondaries"})
		heal2 := disturb(t, c, mongotest.Partition{From: c.Addrs()[0], To: shard + "/secondaries"})
		pass(10*time.Second + 10*time.Millisecond)
		insert := func(router *mongo.Client, id int) error {
			coll := router.Database("a").Collection("c", options.Collection().SetWriteConcern(writeconcern.W1()))
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", id}})
			return err
		}
		require.NoError(t, insert(other, 1))
		require.NoError(t, insert(cl, 2))
		require.NoError(t, insert(cl, 3))
		ours, err := count(t.Context(), cl, "a")
		require.NoError(t, err)
		theirs, err := count(t.Context(), other, "a")
		require.NoError(t, err)
		assert.EqualValues(t, 3, ours)
		assert.EqualValues(t, 2, theirs)
		heal1()
		heal2()
		pass(3 * time.Second)
		ours, err = count(t.Context(), cl, "a")
		require.NoError(t, err)
		assert.EqualValues(t, 2, ours)
	})
}

func TestADelayedLink(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		took := func(db string) time.Duration {
			began := time.Now()
			_, err := count(t.Context(), cl, db)
			require.NoError(t, err)
			return time.Since(began)
		}
		assert.Zero(t, took("a"))
		heal := disturb(t, c, mongotest.Delay{From: mongotest.Routers, To: c.Shards()[0], By: 300 * time.Millisecond})
		assert.Equal(t, 300*time.Millisecond, took("a"))
		assert.Zero(t, took("b"))
		heal()
		assert.Zero(t, took("a"))
		heal = disturb(t, c, mongotest.Delay{From: mongotest.Clients, To: c.Addrs()[0], By: time.Second})
		assert.Equal(t, time.Second, took("b"))
		heal()
	})
}

func TestADelayBetweenMembersIsLag(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		heal := disturb(t, s.c, mongotest.Delay{From: "rs0/secondaries", To: "rs0/primary", OneWay: true, By: 10 * time.Second})
		began := time.Now()
		require.NoError(t, s.insert(2))
		assert.GreaterOrEqual(t, time.Since(began), 10*time.Second)
		assert.LessOrEqual(t, time.Since(began), 13*time.Second)
		heal()
	})
}

func TestALossyLink(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		coll := cl.Database("a").Collection("c")
		for replies, there := range map[bool]int64{false: 1, true: 2} {
			heal := disturb(t, c, mongotest.Drop{From: c.Addrs()[0], To: c.Shards()[0], Probability: 1, Replies: replies})
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
			require.Error(t, err)
			heal()
			n, err := count(t.Context(), cl, "a")
			require.NoError(t, err)
			assert.Equal(t, there, n, "replies lost: %v", replies)
			_, err = coll.DeleteOne(t.Context(), bson.D{{"_id", 1}})
			require.NoError(t, err)
		}
		_, err := c.Disturb(t.Context(), mongotest.Drop{From: c.Shards()[0], To: "config", Probability: 1}, 0)
		require.ErrorContains(t, err, "from")
	})
}

// insistently repeats what an application would: something that was not even
// sent because connections had broken.
func insistently(do func() error) error {
	err := do()
	for try := 0; try < 3 && err != nil; try++ {
		pass(time.Second)
		err = do()
	}
	return err
}
