package mongod_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func snapshotAt(at any) bson.Raw { return value.D("level", "snapshot", "atClusterTime", at) }

func TestASnapshotIsReadAgainAtItsTime(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	reply := f.run("db", "find", "c", "batchSize", 1, "readConcern", value.D("level", "snapshot"))
	at := reply.Lookup("cursor", "atClusterTime")
	require.Equal(t, bson.TypeTimestamp, at.Type)
	f.insert(doc(3, 3))
	assert.Equal(t, []int64{2}, ids(t, f.run("db", "getMore", cursorID(reply), "collection", "c")))
	assert.Equal(t, []int64{1, 2}, f.find("readConcern", snapshotAt(at)))
	assert.Equal(t, []int64{1, 2, 3}, f.find("readConcern", value.D("level", "snapshot")))
	f.fail(mongoerr.InvalidOptions, "db", "count", "c", "readConcern", value.D("level", "snapshot"))
}

// Any time within the window can be read, under the catalog of that time.
func TestAnyTimeOfTheWindowCanBeRead(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	one := f.Log().Last()
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "x")})
	f.insert(doc(2, 2))
	two := f.Log().Last()
	f.run("db", "drop", "c")
	f.run("db", "create", "c")
	f.insert(doc(9, 9))

	assert.Equal(t, []int64{1}, f.find("readConcern", snapshotAt(one)))
	assert.Equal(t, []int64{1, 2}, f.find("readConcern", snapshotAt(two)))
	assert.Equal(t, []int64{9}, f.find("readConcern", snapshotAt(f.Log().Last())))
	assert.Equal(t, []int64{2}, f.find("hint", "x", "filter", value.D("a", 2), "readConcern", snapshotAt(two)))
	f.fail(mongoerr.BadValue, "db", "find", "c", "hint", "x", "readConcern", snapshotAt(one))

	distinct := f.run("db", "distinct", "c", "key", "_id", "readConcern", snapshotAt(one))
	assert.Equal(t, value.D("values", value.A(1), "atClusterTime", one), distinct)
	sum := f.run("db", "aggregate", "c", "pipeline", value.A(value.D("$count", "n")), "cursor", value.D(), "readConcern", snapshotAt(two))
	assert.Equal(t, int32(2), sum.Lookup("cursor", "firstBatch", "0", "n").Int32())
}

// A transaction may begin in the past. It conflicts with what came since.
func TestATransactionInThePast(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	then := f.Log().Last()
	f.run("db", "update", "c", "updates", value.A(value.D("q", value.D("_id", 1), "u", value.D("$set", value.D("a", 5)))))
	in := []any{"lsid", value.D("id", value.NewUUID()), "txnNumber", int64(1), "autocommit", false}
	begin := append([]any{"find", "c", "startTransaction", true, "readConcern", snapshotAt(then)}, in...)
	reply := f.run("db", begin...)
	assert.Equal(t, int32(1), reply.Lookup("cursor", "firstBatch", "0", "a").Int32())
	set := func(id int) []any {
		return append([]any{"update", "c", "updates", value.A(value.D("q", value.D("_id", id), "u", value.D("$set", value.D("a", 7))))}, in...)
	}
	f.run("db", set(2)...)
	f.fail(mongoerr.WriteConflict, "db", set(1)...)
}

// What is older than the window is gone, for cursors that are open too; what
// has not been yet is refused or, if the cluster is there already, awaited.
func TestTheEndsOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.insert(doc(1, 1), doc(2, 2))
		then := f.Log().Last()
		open := f.run("db", "find", "c", "batchSize", 1, "readConcern", snapshotAt(then))
		time.Sleep(299 * time.Second)
		f.insert(doc(3, 3))
		assert.Equal(t, []int64{1, 2}, f.find("readConcern", snapshotAt(then)))
		time.Sleep(3 * time.Second)
		f.insert(doc(4, 4))
		f.fail(mongoerr.SnapshotTooOld, "db", "find", "c", "readConcern", snapshotAt(then))
		f.fail(mongoerr.SnapshotTooOld, "db", "getMore", cursorID(open), "collection", "c")
		in := []any{"lsid", value.D("id", value.NewUUID()), "txnNumber", int64(1), "autocommit", false, "startTransaction", true}
		f.fail(mongoerr.SnapshotTooOld, "db", append([]any{"find", "c", "readConcern", snapshotAt(then)}, in...)...)

		f.run("admin", "setParameter", 1, "minSnapshotHistoryWindowInSeconds", 1)
		recent := f.Log().Last()
		time.Sleep(4 * time.Second)
		f.insert(doc(5, 5))
		f.fail(mongoerr.SnapshotTooOld, "db", "find", "c", "readConcern", snapshotAt(recent))

		ahead := bson.Timestamp{T: f.Log().Last().T + 10, I: 1}
		f.fail(mongoerr.InvalidOptions, "db", "find", "c", "readConcern", snapshotAt(ahead))
		f.fail(mongoerr.InvalidOptions, "db", "find", "c", "readConcern", value.D("afterClusterTime", ahead))
		f.Clock().Advance(ahead)
		assert.Equal(t, []int64{1, 2, 3, 4, 5}, f.find("readConcern", snapshotAt(ahead)))
	})
}

// Whatever time is read, it shows what a model had then.
func TestReadsOfThePastAgreeWithAModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFixture(t)
		f.run("db", "create", "c")
		model := []int64{}
		var times []bson.Timestamp
		var history [][]int64
		for range rapid.IntRange(1, 40).Draw(r, "writes") {
			id := int64(rapid.IntRange(1, 9).Draw(r, "id"))
			if i := slices.Index(model, id); i >= 0 {
				f.run("db", "delete", "c", "deletes", value.A(value.D("q", value.D("_id", id), "limit", 1)))
				model = slices.Delete(slices.Clone(model), i, i+1)
			} else {
				f.run("db", "insert", "c", "documents", value.A(value.D("_id", id)))
				model = append(slices.Clone(model), id)
			}
			times, history = append(times, f.Log().Last()), append(history, model)
		}
		for range 10 {
			i := rapid.IntRange(0, len(times)-1).Draw(r, "time")
			assert.ElementsMatch(r, history[i], f.find("readConcern", snapshotAt(times[i])))
		}
	})
}
