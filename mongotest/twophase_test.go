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

	"github.com/shardferry/shardferry/mongotest"
)

// spread is a cluster of two shards: of d.c, documents with an _id below 10 are on
// shard0, the others on shard1. A transaction changes both.
type spread struct {
	t     *testing.T
	c     *mongotest.Cluster
	cl    *mongo.Client
	lsid  bson.E
	token bson.RawValue
}

func spreadOver(t *testing.T, o mongotest.Options, story func(s *spread)) {
	o.Shards, o.Mongos = 2, 2
	bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		raw(t, cl, "admin", bson.D{{"enableSharding", "d"}, {"primaryShard", "shard0"}})
		raw(t, cl, "admin", bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}})
		raw(t, cl, "admin", bson.D{{"moveRange", "d.c"}, {"min", bson.D{{"_id", 10}}}, {"toShard", "shard1"}})
		_, err := cl.Database("d").Collection("c").InsertMany(t.Context(), []any{bson.D{{"_id", 1}}, bson.D{{"_id", 11}}})
		require.NoError(t, err)
		id := bson.Binary{Subtype: 4, Data: []byte{1, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}}
		story(&spread{t: t, c: c, cl: cl, lsid: bson.E{Key: "lsid", Value: bson.D{{"id", id}}}})
	})
}

func (s *spread) inTxn(cmd ...bson.E) bson.D {
	return append(cmd, s.lsid, bson.E{Key: "txnNumber", Value: int64(1)}, bson.E{Key: "autocommit", Value: false})
}

// begin inserts 2 and 12 and changes 11 in a transaction.
func (s *spread) begin() {
	s.t.Helper()
	plain(s.t, s.c, "d", s.inTxn(bson.E{Key: "insert", Value: "c"}, bson.E{Key: "documents", Value: bson.A{bson.D{{"_id", 2}}, bson.D{{"_id", 12}}}},
		bson.E{Key: "startTransaction", Value: true}))
	set := bson.A{bson.D{{"q", bson.D{{"_id", 11}}}, {"u", bson.D{{"$set", bson.D{{"new", true}}}}}}}
	reply := plain(s.t, s.c, "d", s.inTxn(bson.E{Key: "update", Value: "c"}, bson.E{Key: "updates", Value: set}))
	s.token = reply.Lookup("recoveryToken")
}

// hold stops the coordinator at a fail point, commits, and returns the reply once
// it is there.
func (s *spread) hold(point string) <-chan bson.Raw {
	s.t.Helper()
	failPoint(s.t, s.c, s.primary("shard0"), point, "alwaysOn", nil)
	done := make(chan bson.Raw, 1)
	go func() { done <- s.commit() }()
	shard, end := direct(s.t, s.c, s.primary("shard0"))
	defer end()
	raw(s.t, shard, "admin", bson.D{{"waitForFailPoint", point}, {"timesEntered", 1}, {"maxTimeMS", 60000}})
	return done
}

func (s *spread) release(point string) { failPoint(s.t, s.c, s.primary("shard0"), point, "off", nil) }

func (s *spread) commit() bson.Raw {
	return answer(s.t, s.c, "admin", s.inTxn(bson.E{Key: "commitTransaction", Value: 1}))
}

// recovered asks the other router what has become of the transaction.
func (s *spread) recovered() error {
	other, done := direct(s.t, s.c, s.c.Routers()[1])
	defer done()
	cmd := s.inTxn(bson.E{Key: "commitTransaction", Value: 1}, bson.E{Key: "recoveryToken", Value: s.token}, bson.E{Key: "maxTimeMS", Value: 1000})
	return other.Database("admin").RunCommand(s.t.Context(), cmd).Err()
}

func (s *spread) primary(shard string) string {
	s.t.Helper()
	addr, err := s.c.Addr(shard)
	require.NoError(s.t, err)
	return addr
}

// early has the coordinator answer as soon as it has decided, as servers did
// before 6.1.
func (s *spread) early() {
	s.t.Helper()
	shard, end := direct(s.t, s.c, s.primary("shard0"))
	defer end()
	raw(s.t, shard, "admin", bson.D{{"setParameter", 1}, {"coordinateCommitReturnImmediatelyAfterPersistingDecision", true}})
}

// find returns the documents of d.c, of one shard if a filter says so.
func (s *spread) find(concern bson.D, filter bson.D) ([]int64, error) {
	reply, err := s.cl.Database("d").RunCommand(s.t.Context(), bson.D{
		{"find", "c"}, {"filter", filter}, {"sort", bson.D{{"_id", 1}}}, {"readConcern", concern}, {"maxTimeMS", 1000},
	}).Raw()
	if err != nil {
		return nil, err
	}
	docs, err := reply.Lookup("cursor", "firstBatch").Array().Values()
	require.NoError(s.t, err)
	ids := []int64{}
	for _, d := range docs {
		ids = append(ids, d.Document().Lookup("_id").AsInt64())
	}
	return ids, nil
}

func (s *spread) must(concern bson.D) []int64 {
	s.t.Helper()
	ids, err := s.find(concern, bson.D{})
	require.NoError(s.t, err)
	return ids
}

var (
	snapshotConcern = bson.D{{"level", "snapshot"}}
	whole           = []int64{1, 2, 11, 12}
)

func tooLate(t *testing.T, err error) {
	t.Helper()
	var e mongo.CommandError
	require.ErrorAs(t, err, &e)
	assert.EqualValues(t, 50, e.Code, "%v", err)
}

// oplog returns what a shard's oplog has of the transaction.
func (s *spread) oplog(shard string) (entries []bson.Raw) {
	s.t.Helper()
	cl, done := direct(s.t, s.c, s.primary(shard))
	defer done()
	cur, err := cl.Database("local").Collection("oplog.rs").Find(s.t.Context(), bson.D{{"lsid.id", s.lsid.Value.(bson.D)[0].Value}, {"txnNumber", int64(1)}})
	require.NoError(s.t, err)
	require.NoError(s.t, cur.All(s.t.Context(), &entries))
	return entries
}

// While it is prepared a transaction is in the oplogs but nowhere else; reads with
// a cluster time wait for it. Its commit counts from one time on for all shards,
// and each logs it, and streams it, at a time of its own.
func TestATransactionOnTwoShardsIsPreparedFirst(t *testing.T) {
	spreadOver(t, mongotest.Options{}, func(s *spread) {
		t := s.t
		stream, err := s.cl.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream())
		require.NoError(t, err)
		defer func() { require.NoError(t, stream.Close(t.Context())) }()
		s.begin()
		done := s.hold("hangBeforeWritingDecision")
		assert.Equal(t, []int64{1, 11}, s.must(bson.D{{"level", "majority"}}))
		_, err = s.find(bson.D{{"level", "local"}, {"afterClusterTime", s.c.ClusterTime()}}, bson.D{})
		tooLate(t, err)
		_, err = s.find(snapshotConcern, bson.D{})
		tooLate(t, err)
		ids, err := s.find(snapshotConcern, bson.D{{"_id", 1}})
		require.NoError(t, err)
		assert.Equal(t, []int64{1}, ids)
		assert.False(t, stream.TryNext(t.Context()))
		for _, shard := range s.c.Shards() {
			entries := s.oplog(shard)
			require.Len(t, entries, 1)
			assert.True(t, entries[0].Lookup("o", "prepare").Boolean())
		}
		s.release("hangBeforeWritingDecision")
		assert.InDelta(t, 1, (<-done).Lookup("ok").Double(), 0)
		assert.Equal(t, whole, s.must(snapshotConcern))

		times := map[string]bson.RawValue{}
		var prepared, committed []bson.RawValue
		for _, shard := range s.c.Shards() {
			entries := s.oplog(shard)
			require.Len(t, entries, 2)
			assert.Equal(t, entries[0].Lookup("ts"), entries[1].Lookup("prevOpTime", "ts"))
			prepared, committed = append(prepared, entries[0].Lookup("ts")), append(committed, entries[1].Lookup("o", "commitTimestamp"))
			times[shard] = entries[1].Lookup("ts")
		}
		assert.Equal(t, committed[0], committed[1], "one time")
		assert.Contains(t, prepared, committed[0], "the later of the two")
		events := map[int64]bson.Raw{}
		for range 3 {
			require.True(t, stream.Next(t.Context()))
			events[stream.Current.Lookup("documentKey", "_id").AsInt64()] = stream.Current
		}
		for id, shard := range map[int64]string{2: "shard0", 12: "shard1", 11: "shard1"} {
			require.Contains(t, events, id)
			assert.Equal(t, times[shard], events[id].Lookup("clusterTime"), "the time of the commit, not of the prepare")
			assert.EqualValues(t, 1, events[id].Lookup("txnNumber").AsInt64())
		}
	})
}

// As long as one shard has not heard of the decision, a snapshot waits there, and
// then has all of the transaction, at whatever time since the commit it is.
func TestASnapshotHasAllOfATransactionOrNothing(t *testing.T) {
	spreadOver(t, mongotest.Options{}, func(s *spread) {
		t := s.t
		s.early()
		before := s.c.ClusterTime()
		s.begin()
		s.c.SetFaults(mongotest.Faults{Route: func(cmd mongotest.Command) mongotest.Fault {
			return mongotest.Fault{DropRequest: cmd.Name == "commitTransaction"}
		}})
		assert.InDelta(t, 1, s.commit().Lookup("ok").Double(), 0, "it is decided")
		assert.Equal(t, []int64{1, 2, 11}, s.must(bson.D{{"level", "local"}}), "plain reads may see it in part")
		_, err := s.find(snapshotConcern, bson.D{})
		tooLate(t, err)
		now := s.c.ClusterTime()
		s.c.SetFaults(mongotest.Faults{})
		pass(2 * time.Second)
		assert.Equal(t, whole, s.must(snapshotConcern))
		at := func(ts bson.Timestamp) bson.D { return bson.D{{"level", "snapshot"}, {"atClusterTime", ts}} }
		assert.Equal(t, whole, s.must(at(now)), "it was committed before, though shard1 logged it later")
		assert.Equal(t, []int64{1, 11}, s.must(at(before)))
		commit := s.oplog("shard0")[1].Lookup("o", "commitTimestamp")
		ts, i := commit.Timestamp()
		assert.Equal(t, whole, s.must(at(bson.Timestamp{T: ts, I: i})))
		assert.Equal(t, []int64{1, 11}, s.must(at(bson.Timestamp{T: ts, I: i - 1})))
	})
}

// Whoever dies while a transaction is prepared: it stays prepared, with its
// conflicts, and the coordinating shard's next primary commits it. Any router can
// tell.
func TestATransactionOutlivesItsCoordinator(t *testing.T) {
	const point = "hangBeforeWritingDecision"
	for name, strike := range map[string]func(s *spread){
		"the coordinator steps down": func(s *spread) {
			require.NoError(s.t, s.c.StepDown(s.t.Context(), "shard0", time.Minute))
		},
		"the coordinator is killed": func(s *spread) {
			_, err := s.c.Disturb(s.t.Context(), mongotest.Crashed{Process: s.primary("shard0")}, time.Minute)
			require.NoError(s.t, err)
		},
		"a participant is killed": func(s *spread) {
			_, err := s.c.Disturb(s.t.Context(), mongotest.Crashed{Process: s.primary("shard1")}, time.Minute)
			require.NoError(s.t, err)
			s.release(point)
		},
		"the router is killed": func(s *spread) {
			_, err := s.c.Disturb(s.t.Context(), mongotest.Crashed{Process: s.c.Routers()[0]}, time.Minute)
			require.NoError(s.t, err)
			tooLate(s.t, s.recovered())
			s.release(point)
		},
	} {
		t.Run(name, func(t *testing.T) {
			spreadOver(t, mongotest.Options{Members: 3}, func(s *spread) {
				t := s.t
				s.begin()
				failPoint(t, s.c, s.primary("shard0"), point, "alwaysOn", nil)
				ctx, cancel := context.WithCancel(t.Context())
				gone := make(chan struct{})
				router, done := direct(t, s.c, s.c.Routers()[0])
				go func() {
					defer close(gone)
					_ = router.Database("admin").RunCommand(ctx, s.inTxn(bson.E{Key: "commitTransaction", Value: 1})).Err() // nobody hears of it
				}()
				pass(time.Second)
				require.Len(t, s.oplog("shard1"), 1)
				strike(s)
				cancel()
				<-gone
				done()
				pass(30 * time.Second)
				require.NoError(t, s.recovered())
				other, done := direct(t, s.c, s.c.Routers()[1])
				defer done()
				coll := other.Database("d").Collection("c", options.Collection().SetReadConcern(readconcern.Majority()))
				n, err := coll.CountDocuments(t.Context(), bson.D{})
				require.NoError(t, err)
				assert.EqualValues(t, 4, n)
				pass(time.Minute)
				for _, shard := range s.c.Shards() {
					entries := s.oplog(shard)
					require.Len(t, entries, 2)
					assert.Equal(t, "commitTransaction", entries[1].Lookup("o").Document().Index(0).Key())
					cl, end := direct(t, s.c, s.primary(shard))
					left, err := cl.Database("config").Collection("transaction_coordinators").CountDocuments(t.Context(), bson.D{})
					require.NoError(t, err)
					assert.Zero(t, left, "it is done with")
					end()
				}
			})
		})
	}
}

// Whoever is told of a commit finds all of it with any read: the answer waits for
// the last participant (SERVER-63971).
func TestACommitIsAnsweredWhenAllHaveHeardOfIt(t *testing.T) {
	for name, early := range map[string]bool{"": false, "early": true} {
		t.Run(name, func(t *testing.T) {
			spreadOver(t, mongotest.Options{}, func(s *spread) {
				t := s.t
				if early {
					s.early()
				}
				s.begin()
				s.c.SetFaults(mongotest.Faults{Route: func(cmd mongotest.Command) mongotest.Fault {
					return mongotest.Fault{DropRequest: cmd.Name == "commitTransaction"}
				}})
				time.AfterFunc(30*time.Second, func() { s.c.SetFaults(mongotest.Faults{}) })
				began := time.Now()
				assert.InDelta(t, 1, s.commit().Lookup("ok").Double(), 0)
				waited := time.Since(began) >= 30*time.Second
				assert.Equal(t, !early, waited)
				if waited {
					assert.Equal(t, whole, s.must(bson.D{{"level", "local"}}))
				}
			})
		})
	}
}

// What the coordinator keeps, as a client sees it.
func TestACoordinatorWritesWhatItDecides(t *testing.T) {
	spreadOver(t, mongotest.Options{}, func(s *spread) {
		t := s.t
		s.early()
		s.begin()
		done := s.hold("hangBeforeWritingDecision")
		shard, end := direct(t, s.c, s.primary("shard0"))
		defer end()
		doc := func() bson.Raw {
			d, err := shard.Database("config").Collection("transaction_coordinators").FindOne(t.Context(), bson.D{}).Raw()
			require.NoError(t, err)
			return d
		}
		assert.Equal(t, `["shard0","shard1"]`, doc().Lookup("participants").String())
		assert.Zero(t, doc().Lookup("decision").Type)
		failPoint(t, s.c, s.primary("shard0"), "hangBeforeSendingCommit", "alwaysOn", nil)
		s.release("hangBeforeWritingDecision")
		assert.InDelta(t, 1, (<-done).Lookup("ok").Double(), 0, "the client does not wait for the participants")
		assert.Equal(t, "commit", doc().Lookup("decision", "decision").StringValue())
		assert.Equal(t, []int64{1, 11}, s.must(bson.D{{"level", "local"}}))
		s.release("hangBeforeSendingCommit")
		pass(2 * time.Second)
		assert.Equal(t, whole, s.must(bson.D{{"level", "local"}}))
	})
}

// A participant that has lost its part has all abort.
func TestAParticipantThatHasForgottenAbortsAll(t *testing.T) {
	spreadOver(t, mongotest.Options{}, func(s *spread) {
		t := s.t
		s.begin()
		require.NoError(t, s.c.StepDown(t.Context(), "shard1", time.Second))
		pass(2 * time.Second)
		reply := s.commit()
		assert.EqualValues(t, 251, reply.Lookup("code").AsInt64(), "%s", reply)
		for i, e := range s.oplog("shard0") { // it may not even have come to prepare
			assert.Equal(t, []string{"applyOps", "abortTransaction"}[i], e.Lookup("o").Document().Index(0).Key())
		}
		assert.Equal(t, []int64{1, 11}, s.must(snapshotConcern))
		_, err := s.cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 2}})
		require.NoError(t, err, "nothing holds it")
	})
}
