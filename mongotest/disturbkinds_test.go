package mongotest_test

import (
	"context"
	"errors"
	"io"
	"os"
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

// code is the server's code in an error, 0 if there is none.
func code(err error) int {
	var s mongo.ServerError
	if mongo.IsDuplicateKeyError(err) {
		return 11000
	}
	if ok := errors.As(err, &s); !ok {
		return 0
	}
	codes := s.ErrorCodes()
	if len(codes) == 0 {
		return 0
	}
	return codes[0]
}

// two is a cluster of two shards, two routers and three members each, with a
// database on each shard.
func two(t *testing.T, story func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client)) {
	t.Helper()
	bubble(t, mongotest.Options{Shards: 2, Mongos: 2, Members: 3}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := direct(t, c, c.Addrs()[0])
		defer done()
		for i, name := range []string{"a", "b"} {
			require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{{"enableSharding", name}, {"primaryShard", c.Shards()[i]}}).Err())
			_, err := cl.Database(name).Collection("c").InsertOne(t.Context(), bson.D{{"_id", 0}})
			require.NoError(t, err)
		}
		story(t, c, cl)
	})
}

func count(ctx context.Context, cl *mongo.Client, db string) (int64, error) {
	return cl.Database(db).Collection("c").CountDocuments(ctx, bson.D{})
}

// A crash ends what is not kept, but no data.
func TestACrashedPrimary(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		failPoint(t, s.c, s.addrs[0], "failCommand", "alwaysOn", bson.D{{"failCommands", bson.A{"count"}}, {"errorCode", 1}})
		restart := disturb(t, s.c, mongotest.Crashed{Process: s.addrs[0]})
		_, err := s.c.Dialer().DialContext(t.Context(), "tcp", s.addrs[0])
		require.Error(t, err)
		// The driver itself tries once more, which may meet the same dead process.
		require.NoError(t, insistently(func() error { return s.insert(2) }), "another one was elected")
		restart()
		require.NoError(t, s.insert(3, acknowledgedBy(&writeconcern.WriteConcern{W: 3})))
		again, done := s.on(s.addrs[0])
		defer done()
		assert.Equal(t, []int32{1, 2, 3}, again.ids(secondary()))
		_, err = again.coll(secondary()).EstimatedDocumentCount(t.Context())
		require.NoError(t, err, "its fail points are gone")
	})
}

// The only member of a set is primary again as soon as it has started.
func TestTheOnlyMemberRestarts(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertMany(t.Context(), []any{bson.D{{"_id", 1}}, bson.D{{"_id", 2}}})
		require.NoError(t, err)
		cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetBatchSize(1))
		require.NoError(t, err)
		_, err = c.Disturb(t.Context(), mongotest.Restart{Process: c.Addrs()[0]}, 0)
		require.NoError(t, err)
		pass(time.Second)
		n, err := coll.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.EqualValues(t, 2, n)
		for cur.Next(t.Context()) {
		}
		assert.Equal(t, 43, code(cur.Err()), "CursorNotFound: %v", cur.Err())
	})
}

func TestARestartedRouterKnowsNoCursors(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		coll := cl.Database("a").Collection("c")
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetBatchSize(1))
		require.NoError(t, err)
		_, err = c.Disturb(t.Context(), mongotest.Restart{Process: c.Addrs()[0]}, 0)
		require.NoError(t, err)
		pass(time.Second)
		for cur.Next(t.Context()) {
		}
		assert.Equal(t, 43, code(cur.Err()), "%v", cur.Err())
		n, err := count(t.Context(), cl, "a")
		require.NoError(t, err)
		assert.EqualValues(t, 2, n)
	})
}

func TestAMemberThatStaysBehind(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		end := disturb(t, s.c, mongotest.Lag{Process: s.addrs[1], By: 30 * time.Second})
		require.NoError(t, s.insert(2))
		late, done := s.on(s.addrs[1])
		defer done()
		assert.Equal(t, []int32{1}, late.ids(secondary()))
		pass(25 * time.Second)
		assert.Equal(t, []int32{1}, late.ids(secondary()))
		pass(10 * time.Second)
		assert.Equal(t, []int32{1, 2}, late.ids(secondary()))
		require.NoError(t, s.insert(3))
		assert.Equal(t, []int32{1, 2}, late.ids(secondary()))
		end()
		assert.Equal(t, []int32{1, 2, 3}, late.ids(secondary()))
	})
}

// Everything goes on but what waits for a majority, in a set of one member too.
func TestAFrozenMajorityCommitPoint(t *testing.T) {
	for _, n := range []int{1, 3} {
		members(t, n, func(t *testing.T, s *set) {
			require.NoError(t, s.insert(1))
			stream, err := s.coll().Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetMaxAwaitTime(time.Second))
			require.NoError(t, err)
			defer func() { assert.NoError(t, stream.Close(t.Context())) }()
			end := disturb(t, s.c, mongotest.FrozenMajority{Shard: "rs0"})
			require.NoError(t, s.insert(2, w1))
			waiting := make(chan error, 1)
			go func() { waiting <- s.insert(3) }()
			pass(time.Minute)
			assert.Empty(t, waiting)
			assert.Equal(t, []int32{1, 2, 3}, s.ids())
			assert.Equal(t, []int32{1}, s.ids(options.Collection().SetReadConcern(readconcern.Majority())))
			assert.False(t, stream.TryNext(t.Context()))
			end()
			require.NoError(t, <-waiting)
			require.True(t, stream.TryNext(t.Context()))
			assert.EqualValues(t, 2, stream.Current.Lookup("documentKey", "_id").Int32())
		})
	}
}

// An election while the point is frozen rolls nothing back that all members have.
func TestAnElectionWhileTheMajorityIsFrozen(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		end := disturb(t, s.c, mongotest.FrozenMajority{Shard: "rs0"})
		require.NoError(t, s.insert(1, w1))
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[0]))
		pass(11 * time.Second) // the driver tries again only once, and may take the old primary for it
		require.NoError(t, s.insert(2, w1))
		assert.Empty(t, s.ids(options.Collection().SetReadConcern(readconcern.Majority())))
		end()
		assert.Equal(t, []int32{1, 2}, s.ids(options.Collection().SetReadConcern(readconcern.Majority())))
	})
}

func TestAFullDisk(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		free := disturb(t, s.c, mongotest.DiskFull{Process: s.addrs[0]})
		assert.Equal(t, 14031, code(s.insert(2)))
		_, err := s.coll().DeleteOne(t.Context(), bson.D{{"_id", 1}})
		assert.Equal(t, 14031, code(err))
		assert.Equal(t, []int32{1}, s.ids())
		free()
		require.NoError(t, s.insert(2))
		free = disturb(t, s.c, mongotest.DiskFull{Process: "rs0/secondaries"})
		waiting := make(chan error, 1)
		go func() { waiting <- s.insert(3) }()
		pass(time.Minute)
		assert.Empty(t, waiting, "the secondaries cannot apply it")
		free()
		require.NoError(t, <-waiting)
	})
}

// What a process with a wrong clock writes has a later cluster time, which the
// others take over, up to a year.
func TestASkewedClock(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		a := cl.Database("a").Collection("c")
		insert := func(id int) error { _, err := a.InsertOne(t.Context(), bson.D{{"_id", id}}); return err }
		ahead := func() time.Duration { return time.Until(time.Unix(int64(c.ClusterTime().T), 0)).Round(time.Hour) }
		end := disturb(t, c, mongotest.ClockSkew{Process: c.Shards()[0], By: 24 * time.Hour})
		require.NoError(t, insert(1))
		assert.Equal(t, 24*time.Hour, ahead())
		_, err := cl.Database("b").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		_, last, err := c.OplogWindow(c.Shards()[1])
		require.NoError(t, err)
		assert.Equal(t, 24*time.Hour, time.Until(time.Unix(int64(last.T), 0)).Round(time.Hour), "the other shard has heard of it")
		end()
		end = disturb(t, c, mongotest.ClockSkew{Process: c.Shards()[0], By: 400 * 24 * time.Hour})
		assert.Equal(t, 205, code(insert(2)), "ClusterTimeFailsRateLimiter")
		end()
	})
}

func TestAFrozenSecondaryIsNotElected(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		end := disturb(t, s.c, mongotest.Frozen{Process: "rs0/secondaries"})
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[0]))
		pass(time.Hour)
		_, err := s.c.Addr("rs0")
		require.ErrorIs(t, err, mongotest.ErrNoPrimary)
		end()
		pass(11 * time.Second)
		_, err = s.c.Addr("rs0")
		require.NoError(t, err)
	})
	trio(t, func(t *testing.T, s *set) {
		_, err := s.c.Disturb(t.Context(), mongotest.Frozen{Process: "rs0/primary"}, 0)
		require.ErrorContains(t, err, "primary")
		one, done := s.on(s.addrs[1])
		defer done()
		freeze := func(secs int) error {
			return one.cl.Database("admin").RunCommand(t.Context(), bson.D{{"replSetFreeze", secs}}).Err()
		}
		require.NoError(t, freeze(3600))
		_, err = s.c.Disturb(t.Context(), mongotest.StepDown{Shard: "rs0", For: time.Hour}, 0)
		require.NoError(t, err)
		addr, err := s.c.Addr("rs0")
		require.NoError(t, err)
		assert.Equal(t, s.addrs[2], addr)
		two, done2 := s.on(s.addrs[2])
		defer done2()
		assert.Equal(t, 95, code(two.cl.Database("admin").RunCommand(t.Context(), bson.D{{"replSetFreeze", 1}}).Err()), "NotSecondary")
	})
}

// A stream that has fallen behind an oplog of few entries cannot go on.
func TestAnOplogThatIsMadeSmall(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(0))
		stream, err := s.coll().Watch(t.Context(), mongo.Pipeline{})
		require.NoError(t, err)
		token := stream.ResumeToken()
		require.NoError(t, stream.Close(t.Context()))
		resume := func() error {
			stream, err := s.coll().Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(token))
			if err == nil {
				_ = stream.Close(t.Context()) // it was good
			}
			return err
		}
		for i := range 20 {
			require.NoError(t, s.insert(i+1))
		}
		require.NoError(t, resume())
		end := disturb(t, s.c, mongotest.Oplog{Shard: "rs0", Entries: 5})
		assert.Equal(t, 286, code(resume()), "ChangeStreamHistoryLost")
		end()
		_, err = s.c.Disturb(t.Context(), mongotest.Oplog{Shard: "rs0", Truncate: true}, 0)
		require.NoError(t, err)
		first, last, err := s.c.OplogWindow("rs0")
		require.NoError(t, err)
		assert.Equal(t, first, last)
	})
}

func TestTheSameDisturbanceTwiceIsRefused(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		end := disturb(t, s.c, mongotest.FrozenMajority{Shard: "rs0"})
		_, err := s.c.Disturb(t.Context(), mongotest.FrozenMajority{Shard: "rs0"}, 0)
		require.ErrorIs(t, err, mongotest.ErrLastsAlready)
		end()
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[0]))
		_, err = s.c.Disturb(t.Context(), mongotest.Paused{Process: "rs0/primary"}, 0)
		require.ErrorIs(t, err, mongotest.ErrNoPrimary)
		require.ErrorIs(t, s.c.EndDisturbance(t.Context(), 99), mongotest.ErrNoDisturbance)
	})
}

func TestKillingTheConnectionsToOneProcess(t *testing.T) {
	bubble(t, mongotest.Options{Members: 3}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		require.NoError(t, cl.Ping(t.Context(), nil))
		kept, err := c.Dialer().DialContext(t.Context(), "tcp", c.Addrs()[2])
		require.NoError(t, err)
		defer func() { _ = kept.Close() }()
		for range 200 { // however new a connection is
			conn, err := c.Dialer().DialContext(t.Context(), "tcp", c.Addrs()[1])
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			_, err = c.Disturb(t.Context(), mongotest.KillConnections{Process: c.Addrs()[1]}, 0)
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		require.NoError(t, kept.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = kept.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// A drop that only a primary cut off from its majority has carried out is no
// success, for another one is elected that knows nothing of it.
func TestARouterDoesNotTakeForDoneWhatMayBeLost(t *testing.T) {
	two(t, func(t *testing.T, c *mongotest.Cluster, cl *mongo.Client) {
		shard := c.Shards()[0]
		heal := disturb(t, c, mongotest.Partition{From: shard + "/primary", To: shard + "/secondaries"})
		done := make(chan error, 1)
		go func() { done <- cl.Database("a").Collection("c").Drop(t.Context()) }()
		pass(13 * time.Second)
		assert.Equal(t, 6, code(<-done), "HostUnreachable")
		heal()
		pass(time.Second)
		n, err := count(t.Context(), cl, "a")
		require.NoError(t, err)
		assert.EqualValues(t, 1, n)
	})
}

// An election does not lift a write block that a majority has acknowledged, and
// undoes one that none has.
func TestAWriteBlockAcrossElections(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		block := func(cl *mongo.Client, on bool, wc any) error {
			return cl.Database("admin").RunCommand(t.Context(), bson.D{{"setUserWriteBlockMode", 1}, {"global", on}, {"writeConcern", wc}}).Err()
		}
		require.NoError(t, block(s.cl, true, bson.D{{"w", "majority"}}))
		heal := disturb(t, s.c, mongotest.Partition{From: s.addrs[0], To: "rs0/secondaries"})
		pass(12 * time.Second)
		assert.Equal(t, 371, code(s.insert(2)), "UserWritesBlocked, by the new primary too")
		heal()
		pass(3 * time.Second)
		require.NoError(t, block(s.cl, false, bson.D{{"w", "majority"}}))
		addr, err := s.c.Addr("rs0")
		require.NoError(t, err)
		old, done := s.on(addr)
		defer done()
		heal = disturb(t, s.c, mongotest.Partition{From: "rs0/primary", To: "rs0/secondaries"})
		require.NoError(t, block(old.cl, true, bson.D{{"w", 1}}))
		pass(12 * time.Second)
		require.NoError(t, s.insert(3))
		heal()
	})
}
