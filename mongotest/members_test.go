package mongotest_test

import (
	"context"
	"math/rand/v2"
	"slices"
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

	"github.com/shardferry/shardferry/mongotest"
)

// trio runs a story on a replica set of three members.
func trio(t *testing.T, story func(t *testing.T, s *set)) {
	t.Helper()
	members(t, 3, story)
}

func members(t *testing.T, n int, story func(t *testing.T, s *set)) {
	t.Helper()
	bubble(t, mongotest.Options{Members: n}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		addrs, err := c.Members("rs0")
		require.NoError(t, err)
		require.Len(t, addrs, n)
		story(t, &set{t: t, c: c, cl: cl, addrs: addrs})
	})
}

type set struct {
	t     *testing.T
	c     *mongotest.Cluster
	cl    *mongo.Client
	addrs []string
}

// coll is the collection of the stories, with options.
func (s *set) coll(o ...options.Lister[options.CollectionOptions]) *mongo.Collection {
	return s.cl.Database("d").Collection("c", o...)
}

func (s *set) insert(id int, o ...options.Lister[options.CollectionOptions]) error {
	_, err := s.coll(o...).InsertOne(s.t.Context(), bson.D{{"_id", id}})
	return err
}

// ids reads the collection with options.
func (s *set) ids(o ...options.Lister[options.CollectionOptions]) []int32 {
	s.t.Helper()
	cur, err := s.coll(o...).Find(s.t.Context(), bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}))
	require.NoError(s.t, err)
	var docs []struct {
		ID int32 `bson:"_id"`
	}
	require.NoError(s.t, cur.All(s.t.Context(), &docs))
	ids := []int32{}
	for _, d := range docs {
		ids = append(ids, d.ID)
	}
	return ids
}

func (s *set) lag(addrs ...string) {
	s.t.Helper()
	for _, a := range addrs {
		require.NoError(s.t, s.c.StopReplication(a))
	}
}

func (s *set) catchUp(addrs ...string) {
	s.t.Helper()
	for _, a := range addrs {
		require.NoError(s.t, s.c.ResumeReplication(a))
	}
}

func secondary() *options.CollectionOptionsBuilder {
	return options.Collection().SetReadPreference(readpref.Secondary())
}

func acknowledgedBy(w *writeconcern.WriteConcern) *options.CollectionOptionsBuilder {
	return options.Collection().SetWriteConcern(w)
}

func TestSecondariesAreReadByThoseWhoSaySo(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		s.lag(s.addrs[1], s.addrs[2])
		require.NoError(t, s.insert(2, acknowledgedBy(writeconcern.W1())))
		assert.Equal(t, []int32{1, 2}, s.ids())
		assert.Equal(t, []int32{1}, s.ids(secondary()))
		assert.Equal(t, []int32{1}, s.ids(options.Collection().SetReadConcern(readconcern.Majority())))
		s.catchUp(s.addrs[1], s.addrs[2])
		assert.Equal(t, []int32{1, 2}, s.ids(secondary()))

		direct, err := mongo.Connect(options.Client().SetHosts(s.addrs[1:2]).SetDirect(true).SetDialer(s.c.Dialer()))
		require.NoError(t, err)
		defer func() { assert.NoError(t, direct.Disconnect(t.Context())) }()
		db := direct.Database("d")
		refused := func(cmd bson.D) int32 {
			var e mongo.CommandError
			require.ErrorAs(t, db.RunCommand(t.Context(), cmd).Err(), &e)
			return e.Code
		}
		assert.EqualValues(t, 10107, refused(bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{}}}}))
		var hello struct {
			Primary   string
			Secondary bool
			Hosts     []string
		}
		require.NoError(t, db.RunCommand(t.Context(), bson.D{{"hello", 1}}).Decode(&hello))
		assert.Equal(t, s.addrs[0], hello.Primary)
		assert.True(t, hello.Secondary)
		assert.Equal(t, s.addrs, hello.Hosts)
	})
}

func TestAWriteWaitsForAsManyMembersAsItAsksFor(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		waits := func(id, members int) bool {
			return mongo.IsTimeout(s.insert(id, acknowledgedBy(&writeconcern.WriteConcern{W: members}))) // the client's own limit
		}
		concernError := func(cmd bson.D) string {
			var e mongo.WriteException
			err := s.cl.Database("d").RunCommand(t.Context(), cmd).Err()
			if err == nil {
				return ""
			}
			require.ErrorAs(t, err, &e)
			return e.WriteConcernError.Name
		}
		insert := func(id int, w any) bson.D {
			return bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", id}}}}, {"writeConcern", bson.D{{"w", w}, {"wtimeout", 5000}}}}
		}
		assert.False(t, waits(1, 3))
		s.lag(s.addrs[1])
		assert.Empty(t, concernError(insert(2, "majority")))
		assert.Equal(t, "WriteConcernTimeout", concernError(insert(3, 3)))
		s.lag(s.addrs[2])
		assert.Equal(t, "WriteConcernTimeout", concernError(insert(4, "majority")))
		assert.Equal(t, "WriteConcernTimeout", concernError(insert(5, 2)))
		assert.Empty(t, concernError(insert(6, 1)))
		assert.Equal(t, "UnsatisfiableWriteConcern", concernError(insert(7, 4)))
		assert.Equal(t, []int32{1, 2, 3, 4, 5, 6, 7}, s.ids(), "a concern that is not met undoes nothing")

		done := make(chan error, 1)
		go func() { done <- s.insert(8) }() // the default is a majority
		pass(time.Minute)
		assert.Empty(t, done)
		s.catchUp(s.addrs[1])
		assert.NoError(t, <-done)
	})
}

func TestAChangeStreamShowsWhatAMajorityHas(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		stream, err := s.coll().Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetMaxAwaitTime(time.Second))
		require.NoError(t, err)
		defer func() { assert.NoError(t, stream.Close(t.Context())) }()
		assert.False(t, stream.TryNext(t.Context())) // the first batch, of the opening
		s.lag(s.addrs[1], s.addrs[2])
		require.NoError(t, s.insert(2, acknowledgedBy(writeconcern.W1())))
		assert.False(t, stream.TryNext(t.Context()))
		s.catchUp(s.addrs[2])
		require.True(t, stream.TryNext(t.Context()))
		assert.EqualValues(t, 2, stream.Current.Lookup("documentKey", "_id").Int32())
	})
}

// Of five members three must have it: with one that keeps up, the second best of
// the others says how far that is.
func TestTheCommitPointIsWhatTheSlowestOfAMajorityHas(t *testing.T) {
	members(t, 5, func(t *testing.T, s *set) {
		for i, addr := range s.addrs[1:] {
			require.NoError(t, s.insert(i, acknowledgedBy(writeconcern.W1())))
			s.lag(addr)
		}
		require.NoError(t, s.insert(4, acknowledgedBy(writeconcern.W1())))
		assert.Equal(t, []int32{0, 1, 2, 3, 4}, s.ids())
		assert.Equal(t, []int32{0, 1, 2}, s.ids(options.Collection().SetReadConcern(readconcern.Majority())))
		s.catchUp(s.addrs[1])
		assert.Equal(t, []int32{0, 1, 2, 3}, s.ids(options.Collection().SetReadConcern(readconcern.Majority())))
	})
}

func TestAStepDownHandsOverAtOnce(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		began := time.Now()
		require.NoError(t, s.c.StepDown(t.Context(), "rs0", time.Minute))
		require.NoError(t, s.insert(2))
		assert.Less(t, time.Since(began), 2*time.Second)
		addr, err := s.c.Addr("rs0")
		require.NoError(t, err)
		assert.NotEqual(t, s.addrs[0], addr)
		assert.Equal(t, []int32{1, 2}, s.ids(secondary()))
	})
}

// The server has the same rule: what a majority has not acknowledged may be
// undone by an election, and a retry then does it anew.
func TestWhatNoMajorityHasIsRolledBack(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		s.lag(s.addrs[1], s.addrs[2])
		retryable := bson.D{
			{"insert", "c"},
			{"documents", bson.A{bson.D{{"_id", 2}}}},
			{"txnNumber", int64(7)},
			{"writeConcern", bson.D{{"w", 1}}},
			{"lsid", bson.D{{"id", bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}},
		}
		run := func() int32 {
			reply, err := s.cl.Database("d").RunCommand(t.Context(), retryable).Raw()
			require.NoError(t, err)
			return reply.Lookup("n").Int32()
		}
		assert.EqualValues(t, 1, run())
		assert.Equal(t, []int32{1, 2}, s.ids())
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[0]))
		_, err := s.c.Addr("rs0")
		require.ErrorIs(t, err, mongotest.ErrNoPrimary)
		pass(11 * time.Second)
		assert.Equal(t, []int32{1}, s.ids())
		assert.EqualValues(t, 1, run())
		assert.Equal(t, []int32{1, 2}, s.ids(), "the retry was not taken for done")
		require.NoError(t, s.c.Rejoin(s.addrs[0]))
		require.NoError(t, s.insert(3, acknowledgedBy(&writeconcern.WriteConcern{W: 2})))
		assert.Equal(t, []int32{1, 2, 3}, s.ids())
	})
}

// A transaction that was prepared may have been committed on another shard, so an
// election leaves it prepared, even one that undoes its commit.
func TestAPreparedTransactionIsNotRolledBack(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		var reply bson.Raw
		run := func(number int64, first bool, db string, cmd ...bson.E) (err error) {
			cmd = append(cmd, bson.E{Key: "lsid", Value: bson.D{{"id", bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}},
				bson.E{Key: "txnNumber", Value: number}, bson.E{Key: "autocommit", Value: false})
			if first {
				cmd = append(cmd, bson.E{Key: "startTransaction", Value: true})
			}
			reply, err = s.cl.Database(db).RunCommand(t.Context(), bson.D(cmd)).Raw()
			return err
		}
		insert := func(id int) []bson.E {
			return []bson.E{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{{"_id", id}}}}}
		}
		w1 := bson.E{Key: "writeConcern", Value: bson.D{{"w", 1}}}
		require.NoError(t, run(1, true, "d", insert(2)...))
		require.NoError(t, run(1, false, "admin", bson.E{Key: "prepareTransaction", Value: 1}))
		at := bson.E{Key: "commitTimestamp", Value: reply.Lookup("prepareTimestamp")}
		s.lag(s.addrs[1], s.addrs[2])
		require.NoError(t, run(1, false, "admin", bson.E{Key: "commitTransaction", Value: 1}, at, w1))
		assert.Equal(t, []int32{1, 2}, s.ids())
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[0]))
		pass(11 * time.Second)
		assert.Equal(t, []int32{1}, s.ids())
		require.NoError(t, s.c.Rejoin(s.addrs[0]))
		s.catchUp(s.addrs...)

		blocked := make(chan error, 1)
		go func() {
			blocked <- s.cl.Database("admin").RunCommand(t.Context(), bson.D{{"setUserWriteBlockMode", 1}, {"global", true}}).Err()
		}()
		pass(time.Second)
		assert.Empty(t, blocked, "its write is in flight again")
		require.NoError(t, run(1, false, "admin", bson.E{Key: "commitTransaction", Value: 1}, at))
		require.NoError(t, <-blocked)
		assert.Equal(t, []int32{1, 2}, s.ids())
	})
}

// Without a majority nobody is elected, however long it takes.
func TestAMinorityElectsNobody(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		require.NoError(t, s.insert(1))
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[0]))
		require.NoError(t, s.c.Isolate(t.Context(), s.addrs[2]))
		pass(5 * time.Minute)
		_, err := s.c.Addr("rs0")
		require.ErrorIs(t, err, mongotest.ErrNoPrimary)
		assert.Equal(t, []int32{1}, s.ids(secondary()))
		require.NoError(t, s.c.Rejoin(s.addrs[2]))
		pass(11 * time.Second)
		require.NoError(t, s.insert(2))
	})
}

func TestAShardedClusterLosesAPrimary(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Members: 3, ElectionTimeout: 3 * time.Second}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		coll := cl.Database("d").Collection("c")
		for i, shard := range append(c.Shards(), "config") {
			addr, err := c.Addr(shard)
			require.NoError(t, err)
			require.NoError(t, c.Isolate(t.Context(), addr))
			_, err = coll.InsertOne(t.Context(), bson.D{{"_id", i}})
			require.NoError(t, err, shard)
			require.NoError(t, c.Rejoin(addr))
		}
		n, err := coll.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.EqualValues(t, 3, n)
	})
}

// A participant whose promise a majority has not heard of may still lose its
// part; then nobody commits.
func TestATransactionIsAllOrNothingWhenAPrimaryIsLost(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2, Members: 3, ElectionTimeout: 2 * time.Second}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		ctx := t.Context()
		for i, name := range []string{"a", "b"} {
			require.NoError(t, cl.Database("admin").RunCommand(ctx, bson.D{{"enableSharding", name}, {"primaryShard", c.Shards()[i]}}).Err())
			require.NoError(t, cl.Database(name).CreateCollection(ctx, "c"))
		}
		addrs, err := c.Members(c.Shards()[1])
		require.NoError(t, err)
		session, err := cl.StartSession()
		require.NoError(t, err)
		defer session.EndSession(ctx)
		require.NoError(t, session.StartTransaction())
		in := mongo.NewSessionContext(ctx, session)
		for _, name := range []string{"a", "b"} {
			_, err := cl.Database(name).Collection("c").InsertOne(in, bson.D{{"_id", 1}})
			require.NoError(t, err)
		}
		for _, addr := range addrs[1:] {
			require.NoError(t, c.StopReplication(addr))
		}
		// Something later than what the two have, which they then lose.
		_, err = cl.Database("b", options.Database().SetWriteConcern(writeconcern.W1())).Collection("d").InsertOne(ctx, bson.D{})
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- session.CommitTransaction(ctx) }()
		pass(time.Second)
		assert.Empty(t, ended)
		require.NoError(t, c.Isolate(ctx, addrs[0]))
		pass(5 * time.Second)
		require.NoError(t, c.ResumeReplication(addrs[1]))
		require.NoError(t, c.ResumeReplication(addrs[2]))
		err = <-ended
		for _, name := range []string{"a", "b"} {
			n, countErr := cl.Database(name).Collection("c").CountDocuments(ctx, bson.D{})
			require.NoError(t, countErr)
			assert.Equal(t, err == nil, n == 1, "%s has %d after %v", name, n, err)
		}
	})
}

// Whatever becomes of members: what a majority has acknowledged stays, and a
// change stream shows exactly what stays, once.
func TestMajorityWritesSurviveAnything(t *testing.T) {
	for seed := range uint64(memberWalks) {
		trio(t, func(t *testing.T, s *set) {
			r := rand.New(rand.NewPCG(seed, 1))
			stream, err := s.coll().Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetMaxAwaitTime(time.Second))
			require.NoError(t, err)
			defer func() { assert.NoError(t, stream.Close(t.Context())) }()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			acked := make(chan []int32)
			go func() { acked <- s.writer(ctx, 1) }()
			writers := 1
			for i, addr := range s.addrs { // who asks a member itself may meet a deposed primary
				one, done := s.on(addr)
				defer done()
				go func() { acked <- one.writer(ctx, int32(i+1)*10_000) }()
				writers++
			}
			s.disturb(ctx, r)
			var must []int32
			for range writers {
				must = append(must, <-acked...)
			}
			require.NoError(t, s.c.EndDisturbances(t.Context()))
			for _, a := range s.addrs {
				require.NoError(t, s.c.Rejoin(a))
			}
			s.catchUp(s.addrs...)
			pass(time.Minute)
			require.NoError(t, s.insert(1<<20), "seed %d", seed)

			var seen []int32
			for len(seen) == 0 || seen[len(seen)-1] != 1<<20 {
				require.True(t, stream.Next(t.Context()), "seed %d: %v", seed, stream.Err())
				seen = append(seen, stream.Current.Lookup("documentKey", "_id").Int32())
			}
			there := s.ids()
			assert.Empty(t, without(there, seen), "seed %d: not seen", seed)
			assert.Empty(t, without(seen, there), "seed %d: seen, and rolled back", seed)
			assert.Len(t, seen, len(there), "seed %d", seed)
			assert.Empty(t, without(must, there), "seed %d: acknowledged by a majority, and lost", seed)
			assert.Greater(t, len(must), 10, "seed %d", seed)
		})
	}
}

// without returns the elements of a that are not in b.
func without(a, b []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(a), func(id int32) bool { return slices.Contains(b, id) })
}

// writer inserts one document after the other until ctx ends, and returns what
// a majority has acknowledged.
func (s *set) writer(ctx context.Context, id int32) (acked []int32) {
	for ; ctx.Err() == nil; id++ {
		w, one := writeconcern.Majority(), id%3 == 0
		if one {
			w = writeconcern.W1()
		}
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		_, err := s.coll(acknowledgedBy(w)).InsertOne(limited, bson.D{{"_id", id}})
		cancel()
		if err == nil && !one {
			acked = append(acked, id)
		}
		rest(300 * time.Millisecond)
	}
	return acked
}

// disturb does things to members until ctx ends.
func (s *set) disturb(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		addr := s.addrs[r.IntN(len(s.addrs))]
		other := s.addrs[r.IntN(len(s.addrs))]
		lasts := time.Duration(1+r.IntN(25_000)) * time.Millisecond
		// What there is already, or no more, is refused.
		cause := func(d mongotest.Disturbance) { _, _ = s.c.Disturb(context.WithoutCancel(ctx), d, lasts) }
		switch r.IntN(14) {
		case 6, 7:
			cause(mongotest.Partition{From: addr, To: other, OneWay: r.IntN(3) == 0, Silent: r.IntN(2) == 0})
		case 8:
			cause(mongotest.Partition{From: "rs0/primary", To: "rs0/secondaries"})
		case 9:
			cause(mongotest.Paused{Process: addr})
		case 10:
			cause(mongotest.Crashed{Process: addr})
		case 11:
			cause(mongotest.Lag{Process: addr, By: lasts / 2})
		case 12:
			cause(mongotest.FrozenMajority{Shard: "rs0"})
		case 13:
			cause(mongotest.ClockSkew{Process: addr, By: lasts - 10*time.Second})
		case 0:
			assert.NoError(s.t, s.c.Isolate(context.WithoutCancel(ctx), addr))
		case 1, 2:
			assert.NoError(s.t, s.c.Rejoin(addr))
		case 3:
			s.lag(addr)
		case 4:
			s.catchUp(addr)
		case 5:
			_ = s.c.StepDown(context.WithoutCancel(ctx), "rs0", time.Second) // fails while there is no primary
		}
		rest(time.Duration(r.IntN(8000)) * time.Millisecond)
	}
}
