package mongod_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestACursorReturnsEverythingInBatches(t *testing.T) {
	f := newFixture(t)
	for i := range 250 {
		f.insert(doc(i, i))
	}
	reply := f.run("db", "find", "c")
	assert.Len(t, ids(t, reply), 101)
	id := cursorID(reply)
	assert.Equal(t, 1, f.CursorCount())
	reply = f.run("db", "getMore", id, "collection", "c", "batchSize", 100)
	assert.EqualValues(t, 101, ids(t, reply)[0])
	reply = f.run("db", "getMore", id, "collection", "c")
	assert.Len(t, ids(t, reply), 49)
	assert.Zero(t, cursorID(reply))
	f.fail(mongoerr.CursorNotFound, "db", "getMore", id, "collection", "c")
	assert.Zero(t, f.CursorCount())
}

func TestABatchIsNoLargerThanADocumentMayBe(t *testing.T) {
	f := newFixture(t)
	big := strings.Repeat("x", 5<<20)
	for i := range 7 {
		f.insert(doc(i, big))
	}
	reply := f.run("db", "find", "c")
	assert.Equal(t, []int64{0, 1, 2}, ids(t, reply))
	reply = f.run("db", "getMore", cursorID(reply), "collection", "c")
	assert.Equal(t, []int64{3, 4, 5}, ids(t, reply))
	reply = f.run("db", "getMore", cursorID(reply), "collection", "c")
	assert.Equal(t, []int64{6}, ids(t, reply))
}

func TestACursorSeesChangesBetweenItsBatches(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2), doc(3, 3))
	reply := f.run("db", "find", "c", "batchSize", 1)
	f.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D("_id", 2), "limit", 1)})
	f.insert(doc(4, 4))
	reply = f.run("db", "getMore", cursorID(reply), "collection", "c")
	assert.Equal(t, []int64{3, 4}, ids(t, reply))
}

func TestACursorDiesWithItsCollection(t *testing.T) {
	for name, end := range map[string]func(f *fixture){
		"drop":   func(f *fixture) { f.run("db", "drop", "c") },
		"rename": func(f *fixture) { f.run("admin", "renameCollection", "db.c", "to", "db.d") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.insert(doc(1, 1), doc(2, 2), doc(3, 3))
			id := cursorID(f.run("db", "find", "c", "batchSize", 1))
			end(f)
			f.fail(mongoerr.QueryPlanKilled, "db", "getMore", id, "collection", "c")
			f.fail(mongoerr.CursorNotFound, "db", "getMore", id, "collection", "c")
		})
	}
}

func TestACursorBelongsToItsSessionAndUser(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	mine := lsid()
	id := cursorID(f.run("db", "find", "c", "batchSize", 1, "lsid", mine))
	f.fail(50737, "db", "getMore", id, "collection", "c")
	f.fail(50738, "db", "getMore", id, "collection", "c", "lsid", lsid())
	f.fail(mongoerr.Unauthorized, "db", "getMore", id, "collection", "d", "lsid", mine)
	f.as(&command.Client{User: "admin.eve"}).fail(mongoerr.Unauthorized, "db", "getMore", id, "collection", "c", "lsid", mine)
	assert.Equal(t, []int64{2}, ids(t, f.run("db", "getMore", id, "collection", "c", "lsid", mine)))
}

func TestKillCursorsSaysWhichThereWere(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	id := cursorID(f.run("db", "find", "c", "batchSize", 0))
	reply := f.run("db", "killCursors", "c", "cursors", value.A(id, int64(5)))
	assert.JSONEq(t, "[5]", relaxed(t, reply.Lookup("cursorsNotFound")))
	assert.Zero(t, f.CursorCount())
}

func TestATailableCursorWaitsForDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run("db", "create", "c", "capped", true, "size", 1000)
		f.insert(doc(1, 1))
		reply := f.run("db", "find", "c", "tailable", true, "awaitData", true)
		id := cursorID(reply)
		require.NotZero(t, id)
		start := time.Now()
		reply = f.run("db", "getMore", id, "collection", "c", "maxTimeMS", 500)
		assert.Empty(t, ids(t, reply))
		assert.Equal(t, 500*time.Millisecond, time.Since(start))
		go func() {
			time.Sleep(100 * time.Millisecond)
			f.insert(doc(2, 2))
		}()
		reply = f.run("db", "getMore", id, "collection", "c", "maxTimeMS", 500)
		assert.Equal(t, []int64{2}, ids(t, reply))
		assert.Equal(t, id, cursorID(reply))
	})
}

func TestKillingACursorInterruptsItsGetMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run("db", "create", "c")
		reply := f.run("db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$changeStream", value.D())}, "cursor", value.D())
		id := cursorID(reply)
		failed := make(chan error)
		go func() {
			_, err := f.try(t.Context(), "db", "getMore", id, "collection", "c", "maxTimeMS", 60_000)
			failed <- err
		}()
		synctest.Wait()
		f.run("db", "killCursors", "c", "cursors", value.A(id))
		assert.Equal(t, mongoerr.CursorKilled, mongoerr.From(<-failed).Code)
		assert.Zero(t, f.CursorCount())
	})
}

func TestAnIdleCursorTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		stop := f.background()
		f.insert(doc(1, 1), doc(2, 2))
		f.run("db", "find", "c", "batchSize", 1)
		f.run("db", "find", "c", "batchSize", 1, "noCursorTimeout", true)
		time.Sleep(9 * time.Minute)
		assert.Equal(t, 2, f.CursorCount())
		time.Sleep(2 * time.Minute)
		assert.Equal(t, 1, f.CursorCount())
		stop()
	})
}
