package mongos

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// in adds the fields of a transaction's statement.
func in(lsid bson.D, number int64, first bool, cmd bson.D) bson.D {
	cmd = append(cmd, bson.E{Key: "lsid", Value: lsid}, bson.E{Key: "txnNumber", Value: number}, bson.E{Key: "autocommit", Value: false})
	if first {
		cmd = append(cmd, bson.E{Key: "startTransaction", Value: true})
	}
	return cmd
}

func TestATransactionOverTwoShardsCommitsOnBoth(t *testing.T) {
	c := spreadOut(t)
	w := c.watch()
	lsid := session()
	body := c.must("db", in(lsid, 1, true, bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 501}, {"k", -1}}}}}))
	assert.Equal(t, "s0", getString(getDoc(body, "recoveryToken"), "recoveryShardId"))
	c.must("db", in(lsid, 1, false, bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"k", 110}}}, {"u", bson.D{{"$set", bson.D{{"y", 1}}}}}}}}}))
	c.must("db", in(lsid, 1, false, bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"k", 120}}}, {"u", bson.D{{"$set", bson.D{{"k", -120}}}}}}}}}))
	assert.Empty(t, c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"_id", 501}}}}), "not visible before the commit")
	assert.Len(t, c.all("db", in(lsid, 1, false, bson.D{{"find", "c"}, {"filter", bson.D{{"_id", 501}}}})), 1)
	c.must("admin", in(lsid, 1, false, bson.D{{"commitTransaction", 1}}))
	c.must("admin", in(lsid, 1, false, bson.D{{"commitTransaction", 1}}))
	events := w.events()
	assert.ElementsMatch(t, []string{`insert {"$numberInt":"501"}`, `update {"$numberInt":"110"}`, `delete {"$numberInt":"120"}`, `insert {"$numberInt":"120"}`}, summary(events))
	for _, e := range events {
		assert.Equal(t, int64(1), getInt(e, "txnNumber", 0))
	}
	assert.Contains(t, ids(c.on("s0", "c")), int64(120))
}

func TestAFailedStatementAbortsTheTransactionEverywhere(t *testing.T) {
	c := spreadOut(t)
	lsid := session()
	c.must("db", in(lsid, 1, true, bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 501}, {"k", -1}}}}}))
	body, err := c.run("db", in(lsid, 1, false, bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 140}, {"k", 140}}}}}))
	if err == nil {
		require.NotEmpty(t, getDocs(body, "writeErrors"))
	}
	c.fails(mongoerr.NoSuchTransaction, "admin", in(lsid, 1, false, bson.D{{"commitTransaction", 1}}))
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
	c.must("db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 501}, {"k", -1}}}}})
}

func TestAbortUndoesAllShards(t *testing.T) {
	c := spreadOut(t)
	lsid := session()
	c.must("db", in(lsid, 7, true, bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{}}, {"limit", 0}}}}}))
	_, err := c.run("db", in(session(), 1, true, bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"k", 0}}}, {"u", bson.D{{"$set", bson.D{{"y", 1}}}}}}}}}))
	require.Error(t, err)
	assert.Contains(t, mongoerr.From(err).Labels, "TransientTransactionError")
	c.must("admin", in(lsid, 7, false, bson.D{{"abortTransaction", 1}}))
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
	c.move("c", 50, "s2") // waits for transactions: none is left
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
}

func TestALostCommandIsSentAgainOnlyWhenThatIsSafe(t *testing.T) {
	c := spreadOut(t)
	lost := 0
	c.lose = func(shard string, req *command.Request) error {
		if req.DB == "db" && shard == "s2" && lost < 1 {
			lost++
			return mongoerr.New(mongoerr.HostUnreachable, "lost")
		}
		return nil
	}
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
	lost = 0
	c.must("db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 900}, {"k", 900}}}}, {"lsid", session()}, {"txnNumber", int64(1)}})
	lost = 0
	c.fails(mongoerr.HostUnreachable, "db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 901}, {"k", 901}}}}})
}

func TestOplogNotesAndWriteBlocksReachEveryShard(t *testing.T) {
	c := spreadOut(t)
	before := map[string]bson.Timestamp{}
	for _, s := range shardNames {
		before[s] = c.nodes[s].Log().Last()
	}
	resp, err := c.router.Handle(t.Context(), &command.Request{Name: "appendOplogNote", DB: "admin", Client: c.client, Body: rawDoc(bson.D{{"appendOplogNote", 1}, {"data", bson.D{{"a", 1}}}})})
	require.NoError(t, err)
	for _, s := range shardNames {
		last := c.nodes[s].Log().Last()
		assert.Positive(t, last.Compare(before[s]), s)
		assert.GreaterOrEqual(t, resp.OperationTime.Compare(last), 0, "operationTime is that of the latest shard")
	}
	c.fails(mongoerr.StaleClusterTime, "admin", bson.D{{"appendOplogNote", 1}, {"data", bson.D{}}, {"maxClusterTime", bson.Timestamp{T: 1}}})
	c.must("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", true}})
	body, err := c.run("db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 900}, {"k", 900}}}}})
	if err == nil {
		require.NotEmpty(t, getDocs(body, "writeErrors"))
		assert.Equal(t, int64(mongoerr.UserWritesBlocked), getInt(getDocs(body, "writeErrors")[0], "code", 0))
	} else {
		assert.Equal(t, mongoerr.UserWritesBlocked, mongoerr.From(err).Code)
	}
	c.move("c", 50, "s2")
	c.must("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
	c.insert("c", bson.D{{"_id", 900}, {"k", 900}})
}

func TestHelloIsThatOfAMongos(t *testing.T) {
	c := newCluster(t)
	h := c.must("admin", bson.D{{"hello", 1}})
	assert.Equal(t, "isdbgrid", getString(h, "msg"))
	assert.Equal(t, int64(25), getInt(h, "maxWireVersion", 0))
	assert.True(t, getBool(h, "isWritablePrimary", false))
	assert.NotNil(t, getDoc(h, "topologyVersion"))
	c.insert("c", bson.D{{"_id", 1}})
	var names []string
	for _, d := range getDocs(c.must("admin", bson.D{{"listDatabases", 1}, {"nameOnly", true}}), "databases") {
		names = append(names, getString(d, "name"))
	}
	assert.Contains(t, names, "db")
	assert.Contains(t, names, "config")
}

func TestBulkWriteReportsEachOperation(t *testing.T) {
	c := spreadOut(t)
	ops := bson.A{
		bson.D{{"insert", 0}, {"document", bson.D{{"_id", 900}, {"k", 900}}}},
		bson.D{{"insert", 0}, {"document", bson.D{{"_id", 0}, {"k", 0}}}},
		bson.D{{"insert", 1}, {"document", bson.D{{"_id", 1}}}},
		bson.D{{"update", 0}, {"filter", bson.D{{"k", 10}}}, {"updateMods", bson.D{{"$set", bson.D{{"y", 1}}}}}},
		bson.D{{"update", 0}, {"filter", bson.D{{"k", 5000}}}, {"updateMods", bson.D{{"$set", bson.D{{"y", 1}}}}}, {"upsert", true}},
		bson.D{{"delete", 0}, {"filter", bson.D{{"x", 1}}}, {"multi", true}},
	}
	spaces := bson.A{bson.D{{"ns", "db.c"}}, bson.D{{"ns", "db.other"}}}
	body := c.must("admin", bson.D{{"bulkWrite", 1}, {"ops", ops}, {"nsInfo", spaces}, {"ordered", false}})
	results := getDocs(getDoc(body, "cursor"), "firstBatch")
	require.Len(t, results, 6)
	assert.Equal(t, int64(11000), getInt(results[1], "code", 0))
	assert.True(t, has(results[4], "upserted"))
	assert.Equal(t, []int64{1, 2, 1, 1}, []int64{getInt(body, "nErrors", 0), getInt(body, "nInserted", 0), getInt(body, "nMatched", 0), getInt(body, "nUpserted", 0)})
	assert.Equal(t, getInt(body, "nDeleted", 0), getInt(results[5], "n", -1))
	body = c.must("admin", bson.D{{"bulkWrite", 1}, {"ops", ops}, {"nsInfo", spaces}, {"errorsOnly", true}})
	results = getDocs(getDoc(body, "cursor"), "firstBatch")
	require.Len(t, results, 1)
	assert.Equal(t, int64(0), getInt(results[0], "idx", -1), "ordered: nothing runs after the first error")
}

func TestAnElectionIsWaitedFor(t *testing.T) {
	c := spreadOut(t)
	refusals := 0
	c.lose = func(shard string, req *command.Request) error {
		if req.DB == "db" && shard == "s2" && refusals < 4 {
			refusals++
			return mongoerr.New(mongoerr.NotWritablePrimary, "not primary")
		}
		return nil
	}
	c.insert("c", bson.D{{"_id", 900}, {"k", 900}})
	assert.Equal(t, 4, refusals)
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 21)
}

// What one participant has committed the others commit too, however long they
// cannot be reached.
func TestADecidedCommitReachesEveryParticipant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := spreadOut(t)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { assert.NoError(t, c.router.Run(ctx)) })
		running.Go(func() { c.nodes["s0"].Run(ctx) }) // the coordinator
		synctest.Wait()
		lsid := session()
		c.must("db", in(lsid, 1, true, bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 901}, {"k", -1}}, bson.D{{"_id", 902}, {"k", 900}}}}}))
		var away atomic.Bool
		away.Store(true)
		c.lose = func(shard string, req *command.Request) error {
			if shard == "s2" && away.Load() && req.Name != "prepareTransaction" {
				return mongoerr.New(mongoerr.HostUnreachable, "away")
			}
			return nil
		}
		c.fails(mongoerr.MaxTimeMSExpired, "admin", in(lsid, 1, false, bson.D{{"commitTransaction", 1}, {"maxTimeMS", 1000}}))
		assert.Contains(t, ids(c.on("s0", "c")), int64(901))
		assert.NotContains(t, ids(c.on("s2", "c")), int64(902))
		away.Store(false)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		assert.Contains(t, ids(c.on("s2", "c")), int64(902))
		c.fails(mongoerr.TransactionCommitted, "admin", in(lsid, 1, false, bson.D{{"abortTransaction", 1}}))
		c.must("admin", in(lsid, 1, false, bson.D{{"commitTransaction", 1}}))
		cancel()
		running.Wait()
	})
}

// An update that carries a document to another shard is a transaction of the router's
// own: nobody else could find out what has become of it, however long that takes.
func TestTheRouterFindsOutWhatBecameOfItsOwnCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := spreadOut(t)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { assert.NoError(t, c.router.Run(ctx)) })
		synctest.Wait()
		began := time.Now()
		c.lose = func(_ string, req *command.Request) error {
			if req.Name == "coordinateCommitTransaction" && time.Since(began) < time.Minute {
				return mongoerr.New(mongoerr.HostUnreachable, "away")
			}
			return nil
		}
		body := c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{
			bson.D{{"q", bson.D{{"_id", 50}, {"k", 50}}}, {"u", bson.D{{"$set", bson.D{{"k", -500}}}, {"$inc", bson.D{{"n", 1}}}}}},
		}}, {"lsid", session()}, {"txnNumber", int64(1)}})
		assert.EqualValues(t, 1, getInt(body, "nModified", 0))
		assert.GreaterOrEqual(t, time.Since(began), time.Minute)
		assert.Contains(t, ids(c.on("s0", "c")), int64(50))
		cancel()
		running.Wait()
	})
}

// A participant that has promised to commit keeps its part through an election;
// one that can promise nothing lets all abort.
func TestAPreparedTransactionSurvivesAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := spreadOut(t)
		write := func(number int64) bson.D {
			lsid := session()
			c.must("db", in(lsid, number, true, bson.D{{"insert", "c"}, {"documents", bson.A{
				bson.D{{"_id", 900 + number}, {"k", -1}}, bson.D{{"_id", 950 + number}, {"k", 900}},
			}}}))
			return lsid
		}
		stepDown := func(shard string) { require.NoError(t, c.nodes[shard].StepDown(t.Context(), time.Second)) }

		stepped := false
		c.lose = func(shard string, req *command.Request) error {
			if shard == "s2" && req.Name == "commitTransaction" && !stepped {
				stepped = true
				stepDown("s2")
			}
			return nil
		}
		lsid := write(1)
		c.must("admin", in(lsid, 1, false, bson.D{{"commitTransaction", 1}}))
		assert.True(t, stepped)
		assert.Contains(t, ids(c.on("s0", "c")), int64(901))
		assert.Contains(t, ids(c.on("s2", "c")), int64(951))

		c.lose = nil
		lsid = write(2)
		stepDown("s2")
		c.fails(mongoerr.NoSuchTransaction, "admin", in(lsid, 2, false, bson.D{{"commitTransaction", 1}}))
		assert.NotContains(t, ids(c.on("s0", "c")), int64(902))
	})
}

func TestCurrentOpAsksEveryShard(t *testing.T) {
	c := spreadOut(t)
	body := c.must("admin", bson.D{{"currentOp", 1}})
	seen := map[string]bool{}
	for _, d := range getDocs(body, "inprog") {
		seen[getString(d, "shard")] = true
	}
	assert.Len(t, seen, 3)
}
