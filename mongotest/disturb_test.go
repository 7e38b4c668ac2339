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
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/shardferry/shardferry/mongotest"
)

// disturb lets a disturbance begin that lasts until the returned function is
// called.
func disturb(t *testing.T, c *mongotest.Cluster, d mongotest.Disturbance) (end func()) {
	t.Helper()
	id, err := c.Disturb(t.Context(), d, 0)
	require.NoError(t, err)
	return func() {
		t.Helper()
		require.NoError(t, c.EndDisturbance(t.Context(), id))
	}
}

// direct is a client of one process.
func direct(t *testing.T, c *mongotest.Cluster, addr string) (*mongo.Client, func()) {
	t.Helper()
	cl, err := mongo.Connect(options.Client().SetHosts([]string{addr}).SetDirect(true).SetDialer(c.Dialer()).
		SetServerSelectionTimeout(time.Minute).SetRetryWrites(false))
	require.NoError(t, err)
	return cl, func() { assert.NoError(t, cl.Disconnect(t.Context())) }
}

// on is the set as seen through one member.
func (s *set) on(addr string) (*set, func()) {
	cl, done := direct(s.t, s.c, addr)
	return &set{t: s.t, c: s.c, cl: cl, addrs: s.addrs}, done
}

func (s *set) isPrimary() bool {
	s.t.Helper()
	var hello struct{ IsWritablePrimary bool }
	require.NoError(s.t, s.cl.Database("admin").RunCommand(s.t.Context(), bson.D{{"hello", 1}}).Decode(&hello))
	return hello.IsWritablePrimary
}

var w1 = acknowledgedBy(writeconcern.W1())

// The story of a primary that a partition cuts off from the others: for a while
// there are two primaries. What the old one takes is lost, what a majority has is
// not, and a change stream shows exactly the latter.
func TestAPrimaryThatIsCutOffTakesWritesThatAreRolledBack(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		old, disconnectOld := s.on(s.addrs[0])
		defer disconnectOld()
		require.NoError(t, s.insert(1))
		stream, err := s.coll().Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetMaxAwaitTime(time.Second))
		require.NoError(t, err)
		defer func() { assert.NoError(t, stream.Close(t.Context())) }()

		began := time.Now()
		heal := disturb(t, s.c, mongotest.Partition{From: s.addrs[0], To: "rs0/secondaries"})
		require.NoError(t, old.insert(2, w1))
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = old.coll().InsertOne(limited, bson.D{{"_id", 3}})
		cancel()
		require.Error(t, err, "a majority does not get it")
		assert.Equal(t, []int32{1, 2, 3}, old.ids())
		assert.Equal(t, []int32{1}, old.ids(options.Collection().SetReadConcern(readconcern.Majority())))

		pass(time.Until(began.Add(10*time.Second + time.Millisecond)))
		addr, err := s.c.Addr("rs0")
		require.NoError(t, err)
		assert.NotEqual(t, s.addrs[0], addr)
		successor, disconnectNew := s.on(addr)
		defer disconnectNew()
		assert.True(t, old.isPrimary(), "it does not know yet")
		assert.True(t, successor.isPrimary())
		require.NoError(t, old.insert(4, w1))
		require.NoError(t, successor.insert(5))
		assert.Equal(t, []int32{1, 5}, successor.ids())
		assert.Equal(t, []int32{1, 2, 3, 4}, old.ids())

		pass(time.Until(began.Add(12*time.Second + time.Second)))
		assert.False(t, old.isPrimary(), "it has missed its majority for too long")
		require.Error(t, old.insert(6, w1))
		assert.Equal(t, []int32{1, 2, 3, 4}, old.ids(secondary()))
		require.NoError(t, successor.insert(7))

		heal()
		pass(time.Second)
		assert.Equal(t, []int32{1, 5, 7}, old.ids(secondary()), "what only it had is rolled back")
		require.NoError(t, s.insert(8, acknowledgedBy(&writeconcern.WriteConcern{W: 3})))
		var seen []int32
		for len(seen) == 0 || seen[len(seen)-1] != 8 {
			require.True(t, stream.Next(t.Context()), "%v", stream.Err())
			seen = append(seen, stream.Current.Lookup("documentKey", "_id").Int32())
		}
		assert.Equal(t, []int32{5, 7, 8}, seen)
		assert.Equal(t, []int32{1, 5, 7, 8}, s.ids())
	})
}

// A partition that is over before an election has cost nothing.
func TestAPartitionThatIsSoonOverLosesNothing(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		old, disconnect := s.on(s.addrs[0])
		defer disconnect()
		heal := disturb(t, s.c, mongotest.Partition{From: s.addrs[0], To: "rs0/secondaries"})
		require.NoError(t, old.insert(1, w1))
		waiting := make(chan error, 1)
		go func() { waiting <- old.insert(2) }()
		pass(9 * time.Second)
		assert.Empty(t, waiting)
		heal()
		require.NoError(t, <-waiting)
		pass(time.Minute)
		assert.True(t, old.isPrimary())
		assert.Equal(t, []int32{1, 2}, s.ids(secondary()))
	})
}

// A retryable write whose only trace has been rolled back is done when it comes
// again.
func TestARetryAfterARollbackIsNoRepetition(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		old, disconnect := s.on(s.addrs[0])
		defer disconnect()
		cmd := bson.D{
			{"insert", "c"},
			{"documents", bson.A{bson.D{{"_id", 1}}}},
			{"txnNumber", int64(7)},
			{"writeConcern", bson.D{{"w", 1}}},
			{"lsid", bson.D{{"id", bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}},
		}
		require.NoError(t, s.insert(0))
		heal := disturb(t, s.c, mongotest.Partition{From: s.addrs[0], To: "rs0/secondaries"})
		require.NoError(t, old.cl.Database("d").RunCommand(t.Context(), cmd).Err())
		pass(11 * time.Second)
		addr, err := s.c.Addr("rs0")
		require.NoError(t, err)
		successor, disconnectNew := s.on(addr)
		defer disconnectNew()
		assert.Equal(t, []int32{0}, successor.ids())
		require.NoError(t, successor.cl.Database("d").RunCommand(t.Context(), cmd).Err())
		require.NoError(t, old.cl.Database("d").RunCommand(t.Context(), cmd).Err(), "here it is a repetition")
		heal()
		pass(time.Second)
		assert.Equal(t, []int32{0, 1}, s.ids())
	})
}

// A member that cannot reach the primary fetches from one that can.
func TestAMemberFetchesFromAnotherOneThatCanReachThePrimary(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		heal := disturb(t, s.c, mongotest.Partition{From: s.addrs[0], To: s.addrs[2]})
		require.NoError(t, s.insert(1, acknowledgedBy(&writeconcern.WriteConcern{W: 3})))
		pass(time.Minute)
		addr, err := s.c.Addr("rs0")
		require.NoError(t, err)
		assert.Equal(t, s.addrs[0], addr)
		heal()
	})
}

// The secondaries do not reach the primary, but it reaches them: they elect
// another one, and it hears of that.
func TestAPartitionInOneDirection(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		old, disconnect := s.on(s.addrs[0])
		defer disconnect()
		require.NoError(t, s.insert(1))
		heal := disturb(t, s.c, mongotest.Partition{From: "rs0/secondaries", To: s.addrs[0], OneWay: true})
		require.NoError(t, old.insert(2, w1))
		pass(10*time.Second + 100*time.Millisecond)
		require.NoError(t, old.insert(3, w1))
		pass(time.Second)
		require.Error(t, old.insert(4, w1), "a heartbeat told it of the later primary")
		assert.Equal(t, []int32{1}, old.ids(secondary()), "it fetches what the others have")
		heal()
	})
}

func TestAPausedPrimaryTakesWhatWasSentToItWhenItGoesOn(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		old, disconnect := s.on(s.addrs[0])
		defer disconnect()
		require.NoError(t, s.insert(1))
		require.NoError(t, old.insert(2))
		goOn := disturb(t, s.c, mongotest.Paused{Process: s.addrs[0]})
		answered := make(chan error, 1)
		go func() { answered <- old.insert(3, w1) }()
		pass(11 * time.Second)
		assert.Empty(t, answered)
		require.NoError(t, s.insert(4))
		goOn()
		require.NoError(t, <-answered, "it takes itself for the primary")
		pass(time.Second)
		require.Error(t, old.insert(5, w1))
		assert.Equal(t, []int32{1, 2, 4}, s.ids())
	})
}

// Who has heard of a later primary does not go back to an earlier one, even if
// that is the only one it reaches: together they would be a majority.
func TestAMemberFollowsNoPrimaryOfAnEarlierTerm(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		old, disconnect := s.on(s.addrs[0])
		defer disconnect()
		require.NoError(t, old.insert(1))
		goOn := disturb(t, s.c, mongotest.Paused{Process: s.addrs[0]})
		pass(11 * time.Second)
		later, err := s.c.Addr("rs0")
		require.NoError(t, err)
		heal := disturb(t, s.c, mongotest.Partition{From: later, To: "rs0/secondaries"})
		healOld := disturb(t, s.c, mongotest.Partition{From: later, To: s.addrs[0]})
		waiting := make(chan error, 1)
		go func() { waiting <- old.insert(2) }()
		pass(time.Second)
		goOn()
		require.Error(t, <-waiting)
		heal()
		healOld()
		pass(12 * time.Second)
		assert.Equal(t, []int32{1}, s.ids())
	})
}
