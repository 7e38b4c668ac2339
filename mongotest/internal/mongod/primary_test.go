package mongod_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestAStepdownEndsEverythingAndIsFollowedByAHigherTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.insert(doc(1, 1), doc(2, 2))
		before := f.run("admin", "hello", 1)
		x := f.begin()
		x.insert(doc(9, 9))
		f.run("db", "find", "c", "batchSize", 1)
		stream := f.run("db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$changeStream", value.D())}, "cursor", value.D())
		reading := make(chan error)
		go func() {
			_, err := f.try(t.Context(), "db", "getMore", cursorID(stream), "collection", "c", "maxTimeMS", 60_000)
			reading <- err
		}()
		hello := make(chan bson.Raw)
		go func() {
			hello <- f.run("admin", "hello", 1, "topologyVersion", before.Lookup("topologyVersion"), "maxAwaitTimeMS", 600_000)
		}()
		synctest.Wait()
		up := make(chan error)
		go func() { up <- f.StepDown(t.Context(), 10*time.Second) }()
		e := mongoerr.From(<-reading)
		assert.Equal(t, mongoerr.InterruptedDueToReplStateChange, e.Code)
		assert.Contains(t, e.Labels, "ResumableChangeStreamError")
		down := <-hello
		assert.False(t, down.Lookup("isWritablePrimary").Boolean())
		assert.Equal(t, bson.Type(0), down.Lookup("electionId").Type)
		synctest.Wait()
		assert.Zero(t, f.CursorCount())
		e = f.failure(mongoerr.NotWritablePrimary, "db", "insert", "c", "documents", []bson.Raw{doc(3, 3)}, "lsid", lsid(), "txnNumber", int64(1))
		assert.Contains(t, e.Labels, "RetryableWriteError")
		require.Error(t, f.StepDown(t.Context(), time.Second))
		require.NoError(t, <-up)

		after := f.run("admin", "hello", 1)
		assert.True(t, after.Lookup("isWritablePrimary").Boolean())
		assert.Greater(t, after.Lookup("electionId").ObjectID().Hex(), before.Lookup("electionId").ObjectID().Hex())
		assert.EqualValues(t, 2, num(after, "topologyVersion", "counter"))
		f.fail(mongoerr.NoSuchTransaction, "admin", x.args("commitTransaction", 1)...)
		assert.Equal(t, []int64{1, 2}, f.find())
	})
}

func TestReplSetStepDownIsFollowedByAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		stop := f.background()
		f.run("admin", "replSetStepDown", 5)
		f.fail(mongoerr.NotPrimaryNoSecondaryOk, "db", "find", "c")
		time.Sleep(6 * time.Second)
		f.run("db", "find", "c")
		stop()
	})
}

func TestAStepdownThatIsCutShortStillEndsInAnElection(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	term := f.Log().Term()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, f.StepDown(ctx, time.Hour))
	assert.Equal(t, term+1, f.Log().Term())
	assert.Equal(t, []int64{1}, f.find())
}

func TestHelloNeedsBothOrNeitherOfItsAwaitFields(t *testing.T) {
	f := newFixture(t)
	f.fail(51760, "admin", "hello", 1, "maxAwaitTimeMS", 10)
	reply := f.run("admin", "ismaster", 1, "helloOk", true)
	assert.True(t, reply.Lookup("ismaster").Boolean())
	assert.EqualValues(t, 25, num(reply, "maxWireVersion"))
	assert.Equal(t, "rs", reply.Lookup("setName").StringValue())
}

func TestAnIdlePrimaryWritesNoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		stop := f.background()
		f.insert(doc(1, 1))
		last := f.Log().Last()
		time.Sleep(10*time.Second + time.Millisecond)
		assert.Equal(t, last, f.Log().Last(), "the log moved during the first interval")
		time.Sleep(10 * time.Second)
		assert.True(t, f.Log().Last().After(last))
		f.run("admin", "setParameter", 1, "periodicNoopIntervalSecs", 1)
		synctest.Wait()
		count := f.Log().Len()
		time.Sleep(5*time.Second + time.Millisecond)
		assert.Equal(t, count+5, f.Log().Len())
		f.run("admin", "setParameter", 1, "writePeriodicNoops", false)
		count = f.Log().Len()
		time.Sleep(time.Minute)
		assert.Equal(t, count, f.Log().Len())
		stop()
	})
}

func TestExpiredDocumentsAreDeletedUnlessUserWritesAreBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		stop := f.background()
		f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("at", 1), "name", "at", "expireAfterSeconds", 30)})
		f.insert(value.D("_id", 1, "at", time.Now()), value.D("_id", 2, "at", time.Now().Add(time.Hour)))
		f.run("admin", "setUserWriteBlockMode", 1, "global", true)
		time.Sleep(3 * time.Minute)
		assert.Equal(t, []int64{1, 2}, f.find())
		f.run("admin", "setUserWriteBlockMode", 1, "global", false)
		time.Sleep(2 * time.Minute)
		assert.Equal(t, []int64{2}, f.find())
		stop()
	})
}

func TestTheWriteBlockStopsUnprivilegedWritesToUserData(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	x := f.begin()
	x.insert(doc(2, 2))
	f.run("admin", "setUserWriteBlockMode", 1, "global", true)
	assert.EqualValues(t, 2, num(f.run("admin", "serverStatus", 1), "repl", "userWriteBlockMode"))
	code := func(reply bson.Raw) int64 { return num(reply, "writeErrors", "0", "code") }
	assert.EqualValues(t, 371, code(f.run("db", "insert", "c", "documents", []bson.Raw{doc(3, 3)})))
	assert.EqualValues(t, 371, code(f.run("db", "update", "c", "updates", []bson.Raw{value.D("q", value.D("_id", 1), "u", value.D("b", 1))})))
	assert.EqualValues(t, 371, code(f.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D(), "limit", 0)})))
	f.fail(mongoerr.UserWritesBlocked, "db", "create", "d")
	f.fail(mongoerr.UserWritesBlocked, "db", "drop", "c")
	f.fail(mongoerr.UserWritesBlocked, "db", "findAndModify", "c", "remove", true)
	f.fail(mongoerr.UserWritesBlocked, "admin", x.args("commitTransaction", 1)...)
	f.run("config", "insert", "c", "documents", []bson.Raw{doc(1, 1)})
	f.through(command.Routed{FromMigrate: true}).insert(doc(4, 4))
	f.as(&command.Client{BypassWriteBlock: true}).insert(doc(5, 5))
	assert.Equal(t, []int64{1, 4, 5}, f.find())
	f.run("admin", "setUserWriteBlockMode", 1, "global", false)
	f.insert(doc(6, 6))
}

func TestFaultsComeBeforeOrAfterTheCommand(t *testing.T) {
	f := newFixture(t)
	lost := errors.New("lost")
	f.SetFaults(mongod.Faults{Before: func(r *command.Request) error {
		if r.Name == "insert" {
			return mongoerr.New(mongoerr.HostUnreachable, "lost")
		}
		return nil
	}})
	f.fail(mongoerr.HostUnreachable, "db", "insert", "c", "documents", []bson.Raw{doc(1, 1)})
	f.SetFaults(mongod.Faults{After: func(r *command.Request) error {
		if r.Name == "insert" {
			return lost
		}
		return nil
	}})
	f.fail(mongoerr.InternalError, "db", "insert", "c", "documents", []bson.Raw{doc(2, 2)})
	assert.Equal(t, []int64{2}, f.find())
}

func TestKillSessionsReturnsWhenNothingRunsInThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run("db", "create", "c")
		s := lsid()
		stream := f.run("db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$changeStream", value.D())}, "cursor", value.D(), "lsid", s)
		failed := make(chan error, 1)
		go func() {
			_, err := f.try(t.Context(), "db", "getMore", cursorID(stream), "collection", "c", "maxTimeMS", 60_000, "lsid", s)
			failed <- err
		}()
		x := &txn{fixture: f, lsid: s, number: 1}
		x.insert(doc(1, 1))
		theirs := lsid()
		other := cursorID(f.run("db", "find", "c", "batchSize", 0, "lsid", theirs))
		synctest.Wait()
		f.run("admin", "killSessions", []bson.Raw{s})
		assert.Len(t, failed, 1)
		assert.Equal(t, mongoerr.Interrupted, mongoerr.From(<-failed).Code)
		assert.Equal(t, 1, f.CursorCount())
		f.fail(mongoerr.NoSuchTransaction, "admin", x.args("commitTransaction", 1)...)
		f.run("db", "getMore", other, "collection", "c", "lsid", theirs)
		f.run("admin", "killAllSessions", []bson.Raw{})
	})
}

func TestEndSessionsForgetsThem(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	s := f.run("admin", "startSession", 1).Lookup("id").Document()
	f.run("db", "find", "c", "batchSize", 1, "lsid", s)
	f.run("admin", "refreshSessions", []bson.Raw{s})
	f.run("admin", "endSessions", []bson.Raw{s})
	assert.Zero(t, f.CursorCount())
}

func TestACancelledCommandSaysSo(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.insert(doc(1, 1))
	_, err := f.try(ctx, "db", "find", "c")
	assert.Equal(t, mongoerr.ClientDisconnect, mongoerr.From(err).Code)
}
